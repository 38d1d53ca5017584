"""How a checkpoint writes tool calls, read off its chat template; grammars that make them well-formed, and readers.

Three ways of writing are known: JSON between `<tool_call>` and `</tool_call>` (Qwen and the many that copied Hermes),
FunctionGemma's own (see `escaped.py`), and a bare JSON object with `parameters` (Llama 3). Templates that show none of
them get the bare object with `arguments`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from . import escaped
from .grammar import JSON_STYLE, Grammar
from .loading import Model
from .tokenizer import TextStream, Tokenizer


@dataclass(frozen=True)
class Call:
    """One call that the model wrote."""

    name: str
    arguments: Any


Part = str | Call  # of an answer

NO_PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}


def _json(schema: dict[str, Any]) -> str:
    """JSON of a schema, in Lark."""
    return f"%json {json.dumps({'x-guidance': JSON_STYLE, **schema})}"


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
    """Grammars and readers for calls of the given functions (name → JSON schema of the arguments)."""

    _space = '"\\n"'  # around the body of a call, and between calls

    def __init__(self, model: Model, functions: dict[str, Any], key: str, opening: str = "", closing: str = "") -> None:
        assert model.tokenizer is not None
        self._model, self._functions, self._key = model, functions, key
        self._opening, self._closing = opening, closing
        self._marker = model.tokenizer.token_id(opening) if opening else None
        self._names: dict[int, str] = {}
        self.marks: dict[int, str] = {}
        self.begin, self.end = self._mark(opening), self._mark(closing)
        self.whole = self._pattern(r'[^"]|"(?:[^"\\]|\\.)*"')

    def required(self, name: str | None, parallel: bool, answer: dict[str, Any] | None = None) -> Grammar:
        """At least one call (of the named function), or exactly one when not `parallel`; bare calls are always one.
        With the schema of an `answer`, such JSON may be written instead."""
        if name is not None and name not in self._functions:
            raise ValueError(f"tool_choice names {name!r}, which is not among the tools")
        call = f"{self._token(self._opening)} {self._rest()}" if self._opening else "body"
        more = f"({self._space} call)*" if self._opening and parallel and name is None else ""
        lines = [f"start: call {more}", f"call: {call}", self._body(name)]
        if answer is not None:
            lines[0] += " | answer"
            lines.append(f"answer: {_json(answer)}")
        return self._model.grammars.lark("\n".join(lines))

    def optional(self, parallel: bool) -> Optional | None:
        """Free text in which every call, once begun, is well-formed, and the last thing when not `parallel`; None where
        a call has no token to begin with."""
        if self._marker is not None:
            grammar = self._model.grammars.lark(f"start: {self._rest()}\n{self._body(None)}")
            return Optional(self._model, self._marker, grammar, parallel)
        if self._opening and not parallel:
            raise ValueError(f"parallel_tool_calls cannot be false: {self._opening} is no token of this checkpoint")
        return None

    def reader(self, stops: Sequence[str] = ()) -> Reader:
        """For one answer."""
        assert self._model.tokenizer is not None
        kind = _MarkedReader if self._opening else _BareReader
        return kind(self._model.tokenizer, stops, self)

    def read(self, text: str) -> Call | None:
        """The call with this body; None for anything else than a call of a known function."""
        try:
            data = json.loads(self.plain(text))
        except (ValueError, RecursionError):
            return None
        name = data.get("name") if isinstance(data, dict) else None
        if not isinstance(name, str) or name not in self._functions or self._key not in data:
            return None
        return Call(name, data[self._key])

    def plain(self, text: str) -> str:
        """With the names of the marks."""
        return text.translate(self._names)

    def _mark(self, name: str) -> str:
        """How a token that means something is read: as a lone surrogate, because text may spell the token's name but
        cannot contain that. A name without a token is what it is."""
        assert self._model.tokenizer is not None
        token = self._model.tokenizer.token_id(name) if name else None
        if token is None:
            return name
        mark = chr(0xDC80 + len(self.marks))
        self.marks[token], self._names[ord(mark)] = mark, name
        return mark

    def _pattern(self, piece: str) -> re.Pattern[str]:
        """Text before a call, and the call's body. A string is one piece, so the marks in it do not count. (Without
        possessive quantifiers and atomic groups, which match wrongly before Python 3.11.5.)"""
        begin, end = re.escape(self.begin), re.escape(self.end)
        return re.compile(f"((?:(?!{begin}).)*){begin}((?:{piece})*?){end}", re.DOTALL)

    def _rest(self) -> str:
        """What follows the opening, in Lark."""
        return f"{self._space} body {self._space} {self._token(self._closing)}"

    def _body(self, name: str | None) -> str:
        """Lark rules of which `body` is a call without its brackets."""
        chosen = [name] if name is not None else list(self._functions)
        lines = [f"body: {' | '.join(f'call{i}' for i in range(len(chosen)))}"]
        for i, n in enumerate(chosen):
            # Each schema is a document of its own, so that its "$ref"s are found.
            opening = json.dumps(f'{{"name": {json.dumps(n, ensure_ascii=False)}, "{self._key}": ', ensure_ascii=False)
            lines.append(f'call{i}: {opening} arguments{i} "}}"')
            lines.append(f"arguments{i}: {_json(self._functions[n])}")
        return "\n".join(lines) + "\n"

    def _token(self, text: str) -> str:
        assert self._model.tokenizer is not None
        token = self._model.tokenizer.token_id(text)
        return json.dumps(text) if token is None else f"<[{token}]>"


class EscapedFormat(ToolFormat):
    """FunctionGemma's way of writing, without space anywhere."""

    _space = ""

    def __init__(self, model: Model, functions: dict[str, Any], key: str, opening: str, closing: str) -> None:
        super().__init__(model, functions, key, opening, closing)
        self._quote = self._mark(escaped.ESCAPE)
        quote = re.escape(self._quote)
        self.whole = self._pattern(f"(?!{quote}).|{quote}(?:(?!{quote}).)*{quote}")

    def _body(self, name: str | None) -> str:
        functions = self._functions if name is None else {name: self._functions[name]}
        return escaped.rules(functions, self._token(escaped.ESCAPE))

    def read(self, text: str) -> Call | None:
        names = {mark: name for mark, name in self._names.items() if mark != ord(self._quote[0])}
        found = escaped.read(text.translate(names), self._quote)
        return Call(*found) if found is not None and found[0] in self._functions else None


class Reader:
    """Splits an answer, token by token, into text and calls; this one finds no calls.

    The text ends before the first of `stops`, and is given out once it is certain to be neither such a string nor a
    call. What does not read as a call of a known function stays text.
    """

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str] = ()) -> None:
        self._tokenizer, self._stops = tokenizer, stops
        self._stream = TextStream(tokenizer)
        self._text = ""  # may yet be a call
        self._held = ""  # is text, but may yet be a stop string

    def push(self, token: int) -> list[Part]:
        """What is certain with this token."""
        self._write(token)
        return self._cut(self._take(final=False), final=False)

    def end(self) -> list[Part]:
        """The rest."""
        self._text += self._stream.flush()
        return self._cut(self._take(final=True), final=True)

    def read(self, tokens: Iterable[int]) -> tuple[str, list[Call]]:
        """A whole answer: its text and its calls."""
        parts = [part for token in tokens for part in self.push(token)] + self.end()
        text = "".join(part for part in parts if isinstance(part, str))
        return text, [part for part in parts if isinstance(part, Call)]

    def _write(self, token: int) -> None:
        self._text += self._stream.push(token)

    def _take(self, final: bool) -> Iterator[Part]:
        """What is certain to be text or a call."""
        text, self._text = self._text, ""
        yield text

    def _cut(self, parts: Iterable[Part], final: bool) -> list[Part]:
        certain: list[Part] = []
        for part in parts:
            if isinstance(part, str):
                self._held += part
            else:
                certain += [self._release(final=True), part]
        certain.append(self._release(final))
        return [part for part in certain if part]

    def _release(self, final: bool) -> str:
        """The text held back up to the first stop string, or to what may become one. The string itself stays."""
        end = len(self._held)
        if not final:
            end -= max((_overlap(self._held, stop) for stop in self._stops), default=0)
        end = min((at for stop in self._stops if (at := self._held.find(stop)) >= 0), default=end)
        text, self._held = self._held[:end], self._held[end:]
        return text


class _BareReader(Reader):
    """The whole answer is one call, or text."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], form: ToolFormat) -> None:
        super().__init__(tokenizer, stops)
        self._form = form
        self._free = False  # it cannot be a call any more

    def _take(self, final: bool) -> Iterator[Part]:
        self._free = self._free or self._text.lstrip()[:1] not in ("", "{")
        if self._free:
            yield from super()._take(final)
        elif final:
            yield self._form.read(self._text) or self._text


class _MarkedReader(Reader):
    """Calls stand between marks. Where there are calls, white space before one and at the end belongs to no text."""

    def __init__(self, tokenizer: Tokenizer, stops: Sequence[str], form: ToolFormat) -> None:
        super().__init__(tokenizer, stops)
        self._form = form
        self._called = False

    def _write(self, token: int) -> None:
        mark = self._form.marks.get(token)
        if mark is None:
            return super()._write(token)
        self._text += self._stream.flush() + mark
        self._stream = TextStream(self._tokenizer)

    def _take(self, final: bool) -> Iterator[Part]:
        while self._form.end in self._text and (whole := self._form.whole.match(self._text)):
            call = self._form.read(whole[2].strip())
            if call is None:
                yield self._form.plain(whole[0])
            else:
                self._called = True
                yield from (whole[1].rstrip(), call)
            self._text = self._text[whole.end() :]
        end = self._text.find(self._form.begin)
        if final:
            end = len(self._text)
        elif end < 0:
            end = len(self._text) - _overlap(self._text, self._form.begin)
        text = self._text[:end].rstrip() if self._called or not final else self._text
        self._text = self._text[len(text) :]
        yield self._form.plain(text)


def _overlap(text: str, word: str) -> int:
    """How many letters of a word the text ends with, fewer than all."""
    return max((n for n in range(1, len(word)) if text.endswith(word[:n])), default=0)


class Optional:
    """A constraint that is free until the token that begins a call, then follows the grammar of a call to its end, and
    ends there unless more calls may follow."""

    def __init__(self, model: Model, marker: int, grammar: Grammar, parallel: bool) -> None:
        bits = np.zeros(-(-model.config.vocab_size // 32) * 32, np.uint8)
        bits[: model.vocabulary] = 1
        self._free = np.packbits(bits, bitorder="little").view(np.uint32)
        self._marker, self._grammar, self._parallel = marker, grammar, parallel
        self._call: Grammar | None = None
        self._done = False

    @property
    def done(self) -> bool:
        return self._done

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
            self._call, self._done = None, not self._parallel
