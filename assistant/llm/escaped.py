"""Tool calls as FunctionGemma writes them: `call:name{to:<escape>Alice<escape>,count:5,tags:[<escape>a<escape>]}`.

Strings stand between two `<escape>` tokens and hold anything else; keys are bare and sorted, as the checkpoint's chat
template sorts them; numbers, true, false and null are those of JSON. `rules` makes the grammar of the calls that JSON
schemas allow, `read` parses one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

ESCAPE = "<escape>"
_IGNORED = {"description", "title", "default", "examples", "format", "nullable", "$schema", "additionalProperties"}
_KNOWN = {
    "object": {"properties", "required"},
    "array": {"items", "minItems", "maxItems"},
    "string": {"minLength", "maxLength"},
    "integer": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "number": {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"},
    "boolean": set(),
    "null": set(),
}
_NAME = re.compile(r"call:([^{\s]+)")
_SCALAR = re.compile(r"-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|true|false|null")


def rules(functions: dict[str, Any], escape: str) -> str:
    """Lark rules whose `body` is a call of one of `functions` (name → schema of the arguments). `escape` is how the
    grammar names the token; `ValueError` for a schema that says more than can be written."""
    return _Rules(escape).calls(functions)


class _Rules:
    def __init__(self, escape: str) -> None:
        self._escape = escape
        self._lines: list[str] = []

    def calls(self, functions: dict[str, Any]) -> str:
        calls = []
        for name, schema in functions.items():
            if schema.get("type", "object") != "object":
                raise ValueError(f"the parameters of {name!r} are no object")
            _check(schema, _KNOWN["object"])
            calls.append(f"{json.dumps('call:' + name)} {self._object(schema)}")
        return "\n".join(["body: " + " | ".join(calls), *self._lines]) + "\n"

    def _rule(self, body: str) -> str:
        name = f"r{len(self._lines)}"
        self._lines.append(f"{name}: {body}")
        return name

    def _value(self, schema: Any) -> str:
        if not isinstance(schema, dict):
            raise ValueError(f"{schema!r} is not a schema that this checkpoint's tool calls can follow")
        for key in ("anyOf", "oneOf"):
            if key in schema:
                _check(schema, {key})
                return self._rule(" | ".join(self._value(option) for option in schema[key]))
        if "const" in schema or "enum" in schema:
            _check(schema, {"const", "enum"})
            values = schema.get("enum", [schema.get("const")])
            return self._rule(" | ".join(self._literal(value) for value in values))
        kind = schema.get("type")
        if isinstance(kind, list):
            return self._rule(" | ".join(self._value({**schema, "type": one}) for one in kind))
        if kind not in _KNOWN:
            raise ValueError(f"tool calls of this checkpoint cannot follow a schema with type {kind!r}")
        _check(schema, _KNOWN[kind])
        make: dict[str, Callable[[Any], str]] = {"object": self._object, "array": self._array, "string": self._string}
        return make.get(kind, lambda schema: self._rule(f"%json {json.dumps(schema)}"))(schema)

    def _literal(self, value: Any) -> str:
        if isinstance(value, str):
            return (
                f"{self._escape} {json.dumps(value, ensure_ascii=False)} {self._escape}"
                if value
                else f"{self._escape} {self._escape}"
            )
        if isinstance(value, (dict, list)):
            raise ValueError("tool calls of this checkpoint cannot follow an enum of objects or lists")
        return json.dumps(json.dumps(value))

    def _string(self, schema: dict[str, Any]) -> str:
        least, most = schema.get("minLength", 0), schema.get("maxLength", "")
        return self._rule(f"{self._escape} /(?s:.){{{least},{most}}}/ {self._escape}")

    def _array(self, schema: dict[str, Any]) -> str:
        item = self._value(schema.get("items", {"type": "string"}))
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        if most == 0:
            return self._rule('"[]"')
        more = f'("," {item}){{{max(least - 1, 0)},{"" if most is None else most - 1}}}'
        full = f'"[" {item} {more} "]"'
        return self._rule(full if least else f'"[]" | {full}')

    def _object(self, schema: dict[str, Any]) -> str:
        properties, required = schema.get("properties") or {}, set(schema.get("required") or ())
        keys = sorted(properties, key=str.lower)
        after, first = '""', '""'  # what may follow a member, and what may follow the bracket
        for key in reversed(keys):
            value = self._value(properties[key])
            member, comma = (
                f"{json.dumps(sign + key + ':', ensure_ascii=False)} {value} {after}" for sign in ("", ",")
            )
            skip = ["", ""] if key in required else [f" | {first}", f" | {after}"]
            first, after = self._rule(member + skip[0]), self._rule(comma + skip[1])
        return self._rule(f'"{{" {first} "}}"')


def _check(schema: dict[str, Any], known: set[str]) -> None:
    """`ValueError` naming what the grammar of such a schema would leave unsaid."""
    if unknown := set(schema) - _IGNORED - {"type"} - known:
        raise ValueError(f"tool calls of this checkpoint cannot follow a schema with {', '.join(sorted(unknown))}")


def read(text: str, quote: str = ESCAPE) -> tuple[str, dict[str, Any]] | None:
    """Name and arguments of a call, or None for anything else. `quote` is how the escaping token is seen."""
    name = _NAME.match(text)
    if name is None:
        return None
    try:
        value, end = _read(text, name.end(), quote)
    except (ValueError, IndexError, RecursionError):
        return None
    return (name[1], value) if end == len(text) and isinstance(value, dict) else None


def _read(text: str, at: int, quote: str) -> tuple[Any, int]:
    """The value that begins at a position, and where it ends; ValueError or IndexError where there is none."""
    if text.startswith(quote, at):
        begin = at + len(quote)
        end = text.index(quote, begin)
        return text[begin:end], end + len(quote)
    if text[at] == "[":
        return _members(text, at + 1, "]", lambda at: _read(text, at, quote), list)
    if text[at] == "{":
        return _members(text, at + 1, "}", lambda at: _pair(text, at, quote), dict)
    scalar = _SCALAR.match(text, at)
    if scalar is None:
        raise ValueError(f"no value at {at}")
    return json.loads(scalar[0]), scalar.end()


def _pair(text: str, at: int, quote: str) -> tuple[tuple[str, Any], int]:
    if text.startswith(quote, at):
        key, at = _read(text, at, quote)
        at += 1 if text[at] == ":" else len(text)
    else:
        end = text.index(":", at)
        key, at = text[at:end].strip(), end + 1
    value, at = _read(text, at, quote)
    return (key, value), at


def _members(text: str, at: int, close: str, one: Callable[[int], tuple[Any, int]], make: Any) -> tuple[Any, int]:
    found: list[Any] = []
    while text[at] != close:
        if found:
            if text[at] != ",":
                raise ValueError(f"no comma at {at}")
            at += 1
        member, at = one(at)
        found.append(member)
    return make(found), at + 1
