"""Signatures as data: what a tool takes and gives, in a form that needs no import of the tool.

`Type` is the small algebra of the plan language; `ToolSpec` is one tool. Both go to and from JSON, because a
third-party tool is described by the confined child that alone imports it.
"""

from __future__ import annotations

import inspect
import re
import textwrap
import types
import typing
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field, is_dataclass
from functools import cached_property
from typing import Any, Literal, Union

from .types import DATACLASSES, EFFECTS, Effect, File, Spoken, type_name

SCALARS = {int: "int", float: "float", bool: "bool", str: "str", Spoken: "Spoken"}
JSON_TYPES = {"int": "integer", "float": "number", "bool": "boolean", "str": "string", "Spoken": "string"}
NAME = re.compile(r"[A-Za-z_]\w*(\.\w+)*")
LONGEST = 300  # characters of a description: all tools of a prompt share its room


class SignatureError(TypeError):
    """A function cannot be a tool; the message names the function and the parameter."""


@dataclass(frozen=True)
class Type:
    """One type: a scalar, a class by name, `list` with `item`, or `enum` with `choices`."""

    name: str
    item: Type | None = None
    choices: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.item:
            return f"list[{self.item}]"
        return "|".join(self.choices) + "|" * (len(self.choices) == 1) if self.choices else self.name

    @classmethod
    def parse(cls, text: str) -> Type:
        """The inverse of `str`. "list[Photo]", "small|large", "Spoken"; one choice is written "a|"."""
        text = text.strip()
        if text.startswith("list[") and text.endswith("]"):
            return cls("list", item=cls.parse(text[5:-1]))
        if "|" in text:
            return cls("enum", choices=tuple(c for c in text.split("|") if c))
        if not NAME.fullmatch(text):
            raise ValueError(f"not a type: {text!r}")
        return cls(text)

    @property
    def is_value(self) -> bool:
        """Written into a plan literally; every other type comes only by reference."""
        return bool(self.choices) or self.name in JSON_TYPES or bool(self.item and self.item.is_value)

    def accepts(self, given: Type) -> bool:
        """Whether a result of type `given` may stand where this type is wanted."""
        if self.item:
            return bool(given.item and self.item.accepts(given.item))
        if self == given:
            return not self.is_value  # scalars are said by the user, never computed by a tool
        known = DATACLASSES.get(given.name)
        return known is not None and self.name in {c.__name__ for c in known.__mro__}

    def takes(self, given: Type) -> bool:
        """As `accepts`, and a list also takes one more element or another list to append."""
        return self.accepts(given) or bool(self.item and not self.is_value and self.item.accepts(given))

    def schema(self) -> dict[str, Any]:
        """JSON schema. Results of earlier steps are strings "$n"."""
        if self.item:
            return {"type": "array", "items": self.item.schema()}
        if self.choices:
            return {"type": "string", "enum": list(self.choices)}
        if self.name in JSON_TYPES:
            return {"type": JSON_TYPES[self.name], **({"format": "spoken"} if self.name == "Spoken" else {})}
        return {"type": "string", "format": "reference", "title": self.name}


@dataclass(frozen=True)
class Parameter:
    """One argument of a tool. `default` is JSON; it means nothing when `required`."""

    name: str
    type: Type
    required: bool = True
    default: Any = None
    description: str = ""


@dataclass(frozen=True)
class ToolSpec:
    """One tool as the planner, the executor and `GET /tools` see it."""

    name: str
    description: str
    parameters: tuple[Parameter, ...]
    returns: Type
    examples: tuple[str, ...] = ()
    effect: str = "read"
    plugin: str = ""
    third_party: bool = True
    fields: tuple[tuple[str, str], ...] = field(default=())  # of the result: (name, type)

    @cached_property
    def by_name(self) -> dict[str, Parameter]:
        return {p.name: p for p in self.parameters}

    @cached_property
    def inputs(self) -> tuple[Parameter, ...]:
        """The parameters that take results of other tools."""
        return tuple(p for p in self.parameters if not p.type.is_value)

    def schema(self) -> dict[str, Any]:
        """The function in the form that chat templates and OpenAI's API take."""
        properties = {}
        for p in self.parameters:
            properties[p.name] = {**p.type.schema(), **({"description": p.description} if p.description else {})}
            if not p.required and p.default is not None:
                properties[p.name]["default"] = p.default
        parameters = {"type": "object", "properties": properties, "additionalProperties": False}
        parameters["required"] = [p.name for p in self.parameters if p.required]
        function = {"name": self.name, "description": self.description, "parameters": parameters}
        return {"type": "function", "function": {**function, "returns": str(self.returns)}}

    def to_json(self) -> dict[str, Any]:
        out = {k: getattr(self, k) for k in ("name", "description", "effect", "plugin", "third_party")}
        out["parameters"] = [{**vars(p), "type": str(p.type)} for p in self.parameters]
        return out | {"returns": str(self.returns), "examples": list(self.examples), "fields": dict(self.fields)}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> ToolSpec:
        parameters = tuple(Parameter(**{**p, "type": Type.parse(p["type"])}) for p in data["parameters"])
        return cls(
            **{k: data[k] for k in ("name", "description", "effect", "plugin", "third_party")},
            parameters=parameters,
            returns=Type.parse(data["returns"]),
            examples=tuple(data["examples"]),
            fields=tuple(data.get("fields", {}).items()),
        )


def describe(function: Callable[..., Any], name: str, *, examples: tuple[str, ...] = (), effect: str | None = None,
             plugin: str = "", third_party: bool = True) -> ToolSpec:  # fmt: skip
    """The signature of a function as a ToolSpec. Raises SignatureError naming what is wrong."""
    if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
        raise SignatureError(f"{name}: an async function cannot be a tool; write it without async")
    hints = typing.get_type_hints(function)
    doc, about = _docstring(function)
    if not doc:
        raise SignatureError(f"{name}: needs a docstring; the planner chooses tools by it")
    parameters = []
    for p in inspect.signature(function).parameters.values():
        if p.kind not in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY):
            raise SignatureError(f"{name}: parameter {p.name!r}: * and / parameters cannot be planned; name each one")
        if p.name not in hints:
            raise SignatureError(f"{name}: parameter {p.name!r} has no type annotation")
        required = p.default is p.empty
        type_ = _type(hints[p.name], f"{name}: parameter {p.name!r}", optional=not required)
        default = None if required else _default(p.default, type_, f"{name}: parameter {p.name!r}")
        parameters.append(Parameter(p.name, type_, required, default, about.get(p.name, "")))
    distinct((p.name for p in parameters), f"{name}: the parameters")
    if hints.get("return") is None:
        raise SignatureError(f"{name}: needs a return annotation; later steps are typed by it")
    returned, wished = _returned(hints["return"], name)
    kind = effect or wished or ("create" if isinstance(returned, type) and issubclass(returned, File) else "read")
    if kind not in EFFECTS:
        raise SignatureError(f"{name}: effect {kind!r} is none of {', '.join(EFFECTS)}")
    return ToolSpec(name, doc, tuple(parameters), _type(returned, f"{name}: return"), examples, kind, plugin,
                    third_party, _fields(returned))  # fmt: skip


def _type(hint: Any, where: str, optional: bool = False) -> Type:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, types.UnionType):
        inner = [a for a in args if a is not type(None)]
        if len(inner) == 1 and optional:
            return _type(inner[0], where)
        raise SignatureError(f"{where}: only `T | None = None` unions can be planned, not {hint}")
    if origin is list and len(args) == 1:
        return Type("list", item=_type(args[0], where))
    if origin is Literal:
        if not all(isinstance(a, str) and re.fullmatch(r"[\w .+-]+", a) for a in args):
            raise SignatureError(f"{where}: choices must be plain words, not {args}")
        distinct(args, f"{where}: the choices")
        return Type("enum", choices=tuple(args))
    if hint in SCALARS:
        return Type(SCALARS[hint])
    if isinstance(hint, type) and is_dataclass(hint):
        known = DATACLASSES.values()
        if hint not in known and (base := next((c for c in hint.__mro__ if c in known), None)):
            raise SignatureError(f"{where}: no tool takes a {hint.__name__}; use {base.__name__} itself")
        return Type(type_name(hint))
    raise SignatureError(f"{where}: {hint!r} is not a type that a plan can hold; use Spoken, int, float, bool, "
                         "Literal[...], list[...] or a dataclass")  # fmt: skip


def distinct(names: typing.Iterable[str], what: str) -> None:
    """Raises SignatureError when two names differ in no more than case, accents and how their words are joined: the
    model could not tell them apart."""
    seen: dict[str, str] = {}
    for name in names:
        apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|[\s_]+", " ", name)
        plain = "".join(c for c in unicodedata.normalize("NFKD", apart.casefold()) if not unicodedata.combining(c))
        if plain in seen:
            raise SignatureError(f"{what} {seen[plain]!r} and {name!r} look the same to the model; rename one of them")
        seen[plain] = name


def _default(value: Any, type_: Type, where: str) -> Any:
    good = {"int": int, "float": (int, float), "bool": bool, "str": str, "Spoken": str, "list": (list, tuple)}
    if value is None or value in type_.choices or isinstance(value, typing.cast(tuple, good.get(type_.name, ()))):
        return list(value) if isinstance(value, tuple) else value
    raise SignatureError(f"{where}: the default {value!r} is not of type {type_}")


def _returned(hint: Any, name: str) -> tuple[Any, str | None]:
    """A result type, and the kind of effect when the function returns a wish for one."""
    origin = typing.get_origin(hint) or hint
    if not (isinstance(origin, type) and issubclass(origin, Effect)):
        return hint, None
    for base in getattr(hint, "__orig_bases__", (hint,)):
        if typing.get_origin(base) is Effect:
            return typing.get_args(base)[0], getattr(origin, "kind", None)
    raise SignatureError(f"{name}: return: write the effect's own class, such as Send")


def _fields(returned: Any) -> tuple[tuple[str, str], ...]:
    if not (isinstance(returned, type) and is_dataclass(returned)):
        return ()
    out = []
    for key, hint in typing.get_type_hints(returned).items():
        try:
            out.append((key, str(_type(hint, key, optional=True))))
        except SignatureError:
            continue  # a field of a type that no parameter can have is of no use to a plan
    return tuple(out)


def _docstring(function: Callable[..., Any]) -> tuple[str, dict[str, str]]:
    """The description, which is the first paragraph, and what an `Args:` section says of each parameter."""
    doc = inspect.getdoc(function) or ""
    head, _, args = doc.partition("\nArgs:")
    about: dict[str, str] = {}
    key = ""
    for line in re.split(r"\n(?=\S)", args)[0].splitlines():  # to the next section
        if match := re.match(r"\s{2,4}(\w+)(?: \([^)]*\))?:\s*(.*)", line):
            key = match[1]
            about[key] = match[2].strip()
        elif key and line.strip():
            about[key] += " " + line.strip()
    return textwrap.shorten(re.split(r"\n\s*\n", head)[0], LONGEST, placeholder=" …"), about
