"""Examples → token arrays: many utterances behind one shared prompt of tools.

A pack is a prefix (the tools) and rows of fixed length that hold whole segments (one utterance and its plan each). A
segment sees the prefix and itself, so the tools are encoded once for dozens of utterances. The loss is on the
plan's tokens alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from transformers import PreTrainedTokenizerFast

from assistant.planning import plantext
from assistant.plugin.signature import ToolSpec

from .sentences import Example
from .tokenizer import END, PAD, PLAN, USER


@dataclass(frozen=True)
class Shape:
    """The static sizes of a pack: tokens of prefix, number of rows, tokens a row, targets in all."""

    prefix: int
    rows: int
    row: int
    targets: int

    @property
    def tokens(self) -> int:
        return self.prefix + self.rows * self.row


@dataclass
class Pack:
    """Arrays of one pack of shape s: tokens, positions[s.tokens]; segments[s.rows, s.row] (0 is padding);
    targets (index into tokens), labels and owners (number of the example, -1 is padding)[s.targets]."""

    tokens: np.ndarray
    positions: np.ndarray
    prefix: int
    segments: np.ndarray
    targets: np.ndarray
    labels: np.ndarray
    owners: np.ndarray
    examples: list[Example]

    def add(self, row: int, start: int, ids: list[int], answer: int) -> None:
        """Put a segment there; its last `answer` tokens are targets."""
        number, filled = int(self.owners.max()) + 1, int(np.count_nonzero(self.owners >= 0))
        at = self.tokens.size - self.segments.size + row * self.segments.shape[1] + start
        self.tokens[at : at + len(ids)] = ids
        self.positions[at : at + len(ids)] = self.prefix + np.arange(len(ids))
        self.segments[row, start : start + len(ids)] = number + 1
        first, targets = at + len(ids) - answer, slice(filled, filled + answer)
        self.targets[targets] = np.arange(first - 1, first - 1 + answer)
        self.labels[targets] = ids[-answer:]
        self.owners[targets] = number


class Encoder:
    """Turns tools and examples into tokens exactly as the chat template renders them."""

    def __init__(self, tokenizer: PreTrainedTokenizerFast):
        self.tokenizer = tokenizer
        self.normalise = tokenizer.backend_tokenizer.normalizer.normalize_str
        self._encode = lru_cache(maxsize=50_000)(self._encode_text)

    def _encode_text(self, text: str) -> list[int]:
        return self.tokenizer.backend_tokenizer.encode(text, add_special_tokens=False).ids

    def prefix(self, tools: Mapping[str, ToolSpec]) -> list[int]:
        """The tools as they stand before every utterance."""
        text = self.tokenizer.apply_chat_template(
            [{"role": "system", "content": ""}], tools=[t.schema() for t in tools.values()], tokenize=False
        )
        return self._encode_text(str(text))

    def segment(self, example: Example, tools: Mapping[str, ToolSpec]) -> tuple[list[int], int]:
        """The tokens of an example and how many of them, at the end, are the plan."""
        before = self.segment(example.before, tools)[0] if example.before else []
        say = [USER, *self._encode_text(" " + " ".join(example.say.split())), PLAN]
        plan = [*self._encode(plantext.write(example.plan, tools, example.ask)), END]
        return [*before, *say, *plan], len(plan)

    def pack(self, tools: Mapping[str, ToolSpec], examples: Iterable[Example], shape: Shape) -> Pack | None:
        """Fill a pack from the front of `examples` until it is full; None when the tools alone are too long."""
        prefix = self.prefix(tools)
        if len(prefix) > shape.prefix:
            return None
        pack = empty(shape, prefix)
        used = np.zeros(shape.rows, int)
        filled = 0
        for example in examples:
            ids, answer = self.segment(example, tools)
            fits = np.flatnonzero(used + len(ids) <= shape.row)
            if not len(fits):
                if len(ids) > shape.row:
                    continue
                break
            if filled + answer > shape.targets:
                break
            pack.add(fits[0], used[fits[0]], ids, answer)
            used[fits[0]] += len(ids)
            pack.examples.append(example)
            filled += answer
        return pack


def empty(shape: Shape, prefix: list[int]) -> Pack:
    """A pack of the tools alone."""
    tokens = np.full(shape.tokens, PAD, np.int32)
    positions = np.zeros(shape.tokens, np.int32)
    tokens[: len(prefix)] = prefix
    positions[: shape.prefix] = np.arange(shape.prefix)
    segments = np.zeros((shape.rows, shape.row), np.int32)
    targets, labels = np.zeros(shape.targets, np.int32), np.zeros(shape.targets, np.int32)
    return Pack(tokens, positions, len(prefix), segments, targets, labels, np.full(shape.targets, -1, np.int32), [])


def pack_all(encoder: Encoder, tools: Mapping[str, ToolSpec], examples: list[Example], shape: Shape,
             keep: Callable[[Pack], None]) -> int:  # fmt: skip
    """Pack every example (for evaluation); returns how many fitted. Raises ValueError when the tools alone do not."""
    done = 0
    rest = [e for e in examples if len(encoder.segment(e, tools)[0]) <= shape.row]
    while done < len(rest):
        pack = encoder.pack(tools, rest[done:], shape)
        if pack is None or not pack.examples:
            raise ValueError(f"the tools do not fit into {shape.prefix} tokens")
        done += len(pack.examples)
        keep(pack)
    return done
