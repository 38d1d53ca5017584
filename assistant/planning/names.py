"""Names of tools, arguments and choices as the model writes them, and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from assistant.plugin.signature import Parameter, ToolSpec, Type

from .spelling import Spelled
from .text import Normalise, fold


class AmbiguousName(ValueError):
    """Two names look the same to the model; the message says which and what to do."""


@dataclass(frozen=True)
class Argument:
    """A parameter, and its choices by the way the model writes them."""

    parameter: Parameter
    choices: Mapping[str, str]


@dataclass(frozen=True)
class Tool:
    """A tool, its arguments by the way the model writes their names, and its signature as the prompt shows it."""

    spec: ToolSpec
    arguments: Mapping[str, Argument]
    shown: ToolSpec


def read_names(specs: Iterable[ToolSpec], normalise: Normalise, spelled: bool = False, special: Sequence[str] = ()) \
        -> dict[str, Tool]:  # fmt: skip
    """The tools by the way the model writes their names. Raises AmbiguousName.

    spelled: whether the model knows names as words (see `spelling`). special: the tokenizer's special tokens, which are
    broken up in descriptions, so that no text of a plugin can end a turn or pose as the user.
    """
    originals = {spec.name: spec for spec in specs}
    written = originals
    if spelled:
        found = Spelled.of(originals.values())
        written = {original: found.tools[name] for name, original in found.names.items()}
    pairs = ((written[name].name, _tool(spec, written[name], normalise, special)) for name, spec in originals.items())
    return _unique(pairs, normalise, "the tools", "one of the plugins")


def _tool(spec: ToolSpec, written: ToolSpec, normalise: Normalise, special: Sequence[str]) -> Tool:
    where = f"the arguments of {spec.name}"
    pairs = (
        (w.name, _argument(f"the choices of {spec.name}, argument {p.name}", p, w, normalise))
        for p, w in zip(spec.parameters, written.parameters, strict=True)
    )
    return Tool(spec, _unique(pairs, normalise, where, "one of them"), _clean(written, special))


def _argument(where: str, p: Parameter, written: Parameter, normalise: Normalise) -> Argument:
    choices = zip(scalar(written.type).choices, scalar(p.type).choices, strict=True)
    return Argument(p, _unique(choices, normalise, where, "one of them"))


def _unique(pairs: Iterable[tuple[str, Any]], normalise: Normalise, what: str, which: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    names: dict[str, str] = {}
    for name, value in pairs:
        written = fold(name, normalise).text
        if not written:
            raise AmbiguousName(f"{what}: {name!r} has no letter that the model can write; rename it")
        if written in names:
            raise AmbiguousName(f"{what}: {names[written]!r} and {name!r} are both written {written!r}; rename {which}")
        names[written], found[written] = name, value
    return found


def scalar(type_: Type) -> Type:
    """The type of one line's value: a list's elements stand on lines of their own."""
    return type_.item if type_.item and type_.is_value else type_


def _clean(spec: ToolSpec, special: Sequence[str]) -> ToolSpec:
    def clean(text: str) -> str:
        return fold(text, lambda c: c, special).text

    def shown(p: Parameter) -> Parameter:
        default = clean(p.default) if isinstance(p.default, str) and not p.type.choices else p.default
        return replace(p, description=clean(p.description), default=default)

    parameters = tuple(map(shown, spec.parameters))
    return replace(spec, description=clean(spec.description), parameters=parameters)
