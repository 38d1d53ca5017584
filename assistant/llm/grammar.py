"""Constrained decoding: what may come next, and what must.

A `Constraint` is any object with the five members below; the engine asks it for a bitmask before each choice and feeds
forced tokens as one chunk without asking the model. `Grammars` makes constraints from JSON schemas, regular expressions
and Lark grammars through llguidance; compiled grammars are kept, because compiling costs more than copying.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from typing import Any, Protocol

import numpy as np
from llguidance import LLMatcher, LLTokenizer

from .tokenizer import Tokenizer

_KEPT = 256
JSON_STYLE: Any = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
"""As `json.dumps` writes. A schema inside a Lark grammar needs it as its own `x-guidance`."""


class BadGrammar(ValueError):
    """The grammar or schema cannot be compiled, or it needs more than the library's limits."""


class Constraint(Protocol):
    """What the engine needs from a grammar. All calls come from the engine's thread, one at a time."""

    @property
    def done(self) -> bool:
        """True when nothing more may follow: the engine stops without another forward pass."""
        ...

    def forced(self) -> list[int]:
        """Tokens that must follow now (possibly none); the engine then calls `consume` for each of them."""
        ...

    def mask(self, out: np.ndarray) -> None:
        """Fill `out`, uint32 `[ceil(vocab / 32)]`: bit i of word w allows token 32 w + i. Allow an
        end-of-text token where the output may end."""
        ...

    def consume(self, token: int) -> None:
        """The token was chosen or forced; never called with an end-of-text token."""
        ...


class Grammar:
    """A llguidance matcher as a `Constraint`; made by `Grammars`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    @property
    def done(self) -> bool:
        return self._matcher.is_stopped()

    @property
    def accepting(self) -> bool:
        """True where the output so far is complete (it may still be allowed to go on)."""
        return self._matcher.is_accepting()

    def forced(self) -> list[int]:
        return self._matcher.compute_ff_tokens()

    def mask(self, out: np.ndarray) -> None:
        self._matcher.unsafe_compute_mask_ptr(out.ctypes.data, out.nbytes)
        self._check()

    def consume(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            self._check()

    def copy(self) -> Grammar:
        """An independent constraint in the same state."""
        return Grammar(self._matcher.deep_copy())

    def _check(self) -> None:
        if self._matcher.is_error():
            raise BadGrammar(self._matcher.get_error())


class Grammars:
    """Compiles grammars for one tokenizer. `vocab_size` is the model's: its rows may be padded beyond the tokenizer's
    tokens, and added tokens beyond its rows (images, for the larger models of a family) are left out."""

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, eos: list[int]) -> None:
        source = str(tokenizer.file) if tokenizer.size <= vocab_size else tokenizer.within(vocab_size)
        try:
            self._tokenizer = LLTokenizer(source, n_vocab=vocab_size, eos_token=eos or None)
        except ValueError as error:
            raise BadGrammar(f"the tokenizer does not fit a model of {vocab_size} tokens: {error}") from None
        self._compiled: OrderedDict[str, LLMatcher] = OrderedDict()
        self._lock = threading.Lock()

    def bytes_of(self, token: int) -> bytes:
        """A token's true bytes, which need not be whole characters."""
        return bytes(self._tokenizer.decode_bytes([token]))

    def json_schema(self, schema: dict[str, Any] | str) -> Grammar:
        """JSON that the schema accepts, with canonical separators (`", "` and `": "` as `json.dumps` writes them)."""
        try:
            text = schema if isinstance(schema, str) else json.dumps(schema)
            grammar = LLMatcher.grammar_from_json_schema(text, defaults=JSON_STYLE)
        except (TypeError, ValueError) as error:
            raise BadGrammar(f"not a JSON schema: {error}") from None
        return self.compile(grammar)

    def regex(self, pattern: str) -> Grammar:
        """Text that the whole regular expression matches (Rust syntax)."""
        return self.compile(LLMatcher.grammar_from_regex(pattern))

    def lark(self, grammar: str) -> Grammar:
        """Text of a Lark grammar in llguidance's dialect, where `%json {…}` embeds a schema and
        `%regex {"substring_words": "…"}` a span of a given text."""
        return self.compile(LLMatcher.grammar_from_lark(grammar))

    def compile(self, grammar: str) -> Grammar:
        """From llguidance's own serialised form."""
        with self._lock:
            matcher = self._compiled.get(grammar)
            if matcher is not None:
                self._compiled.move_to_end(grammar)
        if matcher is None:
            matcher = LLMatcher(self._tokenizer, grammar, log_level=0)
            if matcher.is_error():
                raise BadGrammar(matcher.get_error().strip())
            with self._lock:
                self._compiled[grammar] = matcher
                if len(self._compiled) > _KEPT:
                    self._compiled.popitem(last=False)
        return Grammar(matcher.deep_copy())
