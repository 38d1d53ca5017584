"""Identifiers as words.

A small model knows "seconds" and "photo", not `seconds_per_photo`: it reads and writes the names of tools, parameters
and choices as lower-case words ("photos select", "seconds per photo", "rotate left"), in the same tokens that the
user's sentence has. Large foreign checkpoints take the names as they are.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from assistant.plugin.plan import Plan, Step
from assistant.plugin.signature import Parameter, ToolSpec, Type

WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_a-zA-Z]+")


def spell(name: str) -> str:
    """ "photos.add_to_album" → "photos add to album", "boostHeating" → "boost heating"."""
    plain = "".join(c for c in unicodedata.normalize("NFD", name) if not unicodedata.combining(c))
    return " ".join(w.lower() for w in WORD.findall(plain)) or name


@dataclass(frozen=True)
class Spelled:
    """Tools with spelled names, and the way back to the real ones.

    Two names that are spelled alike keep their own spelling, so that the way back is never ambiguous.
    """

    tools: dict[str, ToolSpec]
    names: dict[str, str]
    originals: dict[str, ToolSpec]

    @classmethod
    def of(cls, specs: Iterable[ToolSpec]) -> Spelled:
        originals = {s.name: s for s in specs}
        names = _unique(originals)
        tools = {spelled: replace(_parameters(originals[name]), name=spelled) for spelled, name in names.items()}
        return cls(tools, names, originals)

    def write(self, plan: Plan) -> Plan:
        """A plan in real names as one in spelled names."""
        back = {name: spelled for spelled, name in self.names.items()}
        pairs = [(s, self.originals[s.tool], self.tools[back[s.tool]]) for s in plan.steps]
        return Plan(tuple(_translate(*pair) for pair in pairs))

    def spelled_argument(self, tool: str, argument: str) -> str:
        """The spelled name of a real parameter of a spelled tool."""
        spec, original = self.tools[tool], self.originals[self.names[tool]]
        return spec.parameters[[p.name for p in original.parameters].index(argument)].name


def _translate(step: Step, mine: ToolSpec, theirs: ToolSpec) -> Step:
    pairs = zip(mine.parameters, theirs.parameters, strict=True)
    args = {b.name: spell_value(step.args[a.name], a.type, b.type) for a, b in pairs if a.name in step.args}
    return Step(theirs.name, args)


def spell_value(value: Any, mine: Type, theirs: Type) -> Any:
    """A choice of one type as the corresponding choice of the other; anything else as it is."""
    if isinstance(value, list) and mine.item and theirs.item:
        return [spell_value(v, mine.item, theirs.item) for v in value]
    if mine.choices and value in mine.choices:
        return theirs.choices[mine.choices.index(value)]
    return value


def _unique(names: Iterable[str]) -> dict[str, str]:
    """spelled → real; those that would collide stay as they are."""
    names = list(names)
    spelled = [spell(n) for n in names]
    return {s if spelled.count(s) == 1 else n: n for s, n in zip(spelled, names, strict=True)}


def _parameters(spec: ToolSpec) -> ToolSpec:
    names = _unique(p.name for p in spec.parameters)
    parameters = tuple(
        Parameter(spelled, _type(p.type), p.required, spell_value(p.default, p.type, _type(p.type)), p.description)
        for spelled, p in zip(names, spec.parameters, strict=True)
    )
    return replace(spec, parameters=parameters)


def _type(type_: Type) -> Type:
    if type_.item:
        return Type("list", item=_type(type_.item))
    if type_.choices:
        return replace(type_, choices=tuple(_unique(type_.choices)))
    return type_
