"""How a checkpoint writes tool calls, read off its chat template, and the grammar that makes them well-formed.

Three ways of writing are known: JSON between `<tool_call>` and `</tool_call>` (Qwen and the many that copied Hermes),
FunctionGemma's own (see `escaped.py`), and a bare JSON object with `parameters` (Llama 3). Templates that show none of
them get the bare object with `arguments`.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import escaped
from .grammar import JSON_STYLE, Grammar
from .loading import Model


@dataclass(frozen=True)
class Call:
    """One call that the model wrote."""

    name: str
    arguments: Any


NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}


def tool_format(model: Model, tools: list[dict[str, Any]]) -> ToolFormat:
    """The way of writing that the model's chat template uses; `ValueError` for tools that are not functions."""
    functions: dict[str, Any] = {}
    for tool in tools:
        function = tool.get("function")
        if tool.get("type") != "function" or not isinstance(function, dict) or not function.get("name"):
            raise ValueError("every tool must be of type 'function' and have a name")
        functions[function["name"]] = function.get("parameters") or NO_PARAMETERS
    assert model.tokenizer is not None
    template = model.tokenizer.template
    if "<start_function_call>" in template:
        return EscapedFormat(model, functions, "", "<start_function_call>", "<end_function_call>")
    if "<tool_call>" in template:
        return ToolFormat(model, functions, "arguments", "<tool_call>", "</tool_call>")
    return ToolFormat(model, functions, "parameters" if '"parameters"' in template else "arguments")


class ToolFormat:
    """Grammars and parser for calls of the given functions (name → JSON schema of the arguments)."""

    _space = '"\\n"'  # around the body of a call, and between calls

    def __init__(self, model: Model, functions: dict[str, Any], key: str, opening: str = "", closing: str = "") -> None:
        assert model.tokenizer is not None
        self._model, self._functions, self._key = model, functions, key
        self._opening, self._closing = opening, closing
        self._marker = model.tokenizer.token_id(opening) if opening else None

    def required(self, name: str | None, parallel: bool) -> Grammar:
        """At least one call (of the named function), or exactly one when not `parallel`; bare calls are always one."""
        if name is not None and name not in self._functions:
            raise ValueError(f"tool_choice names {name!r}, which is not among the tools")
        if not self._opening:
            return self._model.grammars.json_schema(json.dumps(self._schema(name)))
        more = f"({self._space} call)*" if parallel and name is None else ""
        call = f"{self._token(self._opening)} {self._rest()}"
        return self._model.grammars.lark(f"start: call {more}\ncall: {call}\n{self._body(name)}")

    def optional(self) -> Optional | None:
        """Free text in which every call, once begun, is well-formed; None where a call has no token to begin with."""
        if self._marker is None:
            return None
        grammar = self._model.grammars.lark(f"start: {self._rest()}\n{self._body(None)}")
        return Optional(self._model, self._marker, grammar)

    def starts(self, token: int, before: str) -> bool:
        """Does this token begin a call, so that no more text is to be shown?"""
        return token == self._marker

    def may_start(self, text: str) -> bool:
        """Could the text so far turn out to be a call? (Then it is not shown yet.)"""
        text = text.lstrip()
        if self._opening:
            return self._opening.startswith(text) or text.startswith(self._opening)
        return not text or text.startswith("{")

    def parse(self, ids: list[int], text: str) -> tuple[str, list[Call]]:
        """The text without its calls, and the calls. What does not parse as a call of a known function stays text."""
        assert self._model.tokenizer is not None
        if not self._opening:
            call = self._read(text.strip())
            return ("", [call]) if call else (text, [])
        whole = self._model.tokenizer.decode(ids, skip_special=False) if self._marker is not None and ids else text
        first, *parts = whole.split(self._opening)
        calls = [self._read(part.split(self._closing)[0].strip()) for part in parts]
        found = [call for call in calls if call is not None]
        if not found or len(found) < len(parts):
            return text, found
        clean = self._model.tokenizer.decode(self._model.tokenizer.encode(first)) if self._marker is not None else first
        return clean.strip(), found

    def _rest(self) -> str:
        """What follows the opening, in Lark."""
        return f"{self._space} body {self._space} {self._token(self._closing)}"

    def _body(self, name: str | None) -> str:
        """Lark rules of which `body` is a call without its brackets."""
        return f"body: %json {json.dumps(self._schema(name))}\n"

    def _read(self, text: str) -> Call | None:
        try:
            data = json.loads(text)
        except json.JSONDecodeError:
            return None
        if not isinstance(data, dict) or data.get("name") not in self._functions or self._key not in data:
            return None
        return Call(data["name"], data[self._key])

    def _schema(self, name: str | None) -> dict[str, Any]:
        chosen = [name] if name is not None else list(self._functions)
        calls = [
            {
                "type": "object",
                "properties": {"name": {"const": n}, self._key: self._functions[n]},
                "required": ["name", self._key],
                "additionalProperties": False,
            }
            for n in chosen
        ]
        return {"x-guidance": JSON_STYLE, **(calls[0] if len(calls) == 1 else {"anyOf": calls})}

    def _token(self, text: str) -> str:
        assert self._model.tokenizer is not None
        token = self._model.tokenizer.token_id(text)
        return json.dumps(text) if token is None else f"<[{token}]>"


class EscapedFormat(ToolFormat):
    """FunctionGemma's way of writing, without space anywhere."""

    _space = ""

    def _body(self, name: str | None) -> str:
        functions = self._functions if name is None else {name: self._functions[name]}
        return escaped.rules(functions, self._token(escaped.ESCAPE))

    def _read(self, text: str) -> Call | None:
        found = escaped.read(text)
        return Call(*found) if found is not None and found[0] in self._functions else None


class Optional:
    """A constraint that is free until the token that begins a call, then follows the grammar of a call to its end."""

    def __init__(self, model: Model, marker: int, grammar: Grammar) -> None:
        bits = np.zeros(-(-model.config.vocab_size // 32) * 32, np.uint8)
        bits[: model.vocabulary] = 1
        self._free = np.packbits(bits, bitorder="little").view(np.uint32)
        self._marker, self._grammar = marker, grammar
        self._call: Grammar | None = None

    @property
    def done(self) -> bool:
        return False

    def forced(self) -> list[int]:
        return self._call.forced() if self._call is not None else []

    def mask(self, out: np.ndarray) -> None:
        if self._call is None:
            out[:] = self._free
        else:
            self._call.mask(out)

    def consume(self, token: int) -> None:
        if self._call is None:
            self._call = self._grammar.copy() if token == self._marker else None
            return
        self._call.consume(token)
        if self._call.done:
            self._call = None
