"""Which rows run next: slots, the prefix index and the plan of a step. Host state only; knows nothing of JAX.

A slot keeps its tokens after its sequence has ended. A new sequence goes to the free slot that already holds the
longest beginning of its prompt; if a stored prefix or a busy slot holds a longer one, that is copied over first. Each
step either feeds a few tokens to every row that is about to choose (decode and forced tokens), or one larger chunk to
one row that still reads its prompt; the two alternate, so a long prompt does not stall the others.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np

_WORTH_COPYING = 16  # tokens that a copy must save


@dataclass(eq=False)
class Sequence:
    """Tokens of one request: the prompt, then what was chosen or forced. The first `cached` of them are in the slot."""

    tokens: list[int]
    background: bool = False
    slot: int = -1
    cached: int = 0
    reused: int = 0

    def __post_init__(self) -> None:
        self.reusable = len(self.tokens) - 1  # the last token of the prompt is always fed, as its logits are needed

    @property
    def pending(self) -> int:
        """How many tokens must be fed before the next choice."""
        return len(self.tokens) - self.cached


@dataclass(frozen=True)
class Admission:
    """A sequence got a slot; when `source` is given, that row is copied to the slot before the first step."""

    sequence: Sequence
    source: str | int | None = None  # name of a stored prefix, or another slot


@dataclass(frozen=True)
class Plan:
    """One forward pass: the rows' sequences, and into how many rows and tokens per row they are padded."""

    sequences: list[Sequence]
    rows: int
    size: int

    def placed(self, slots: int) -> list[tuple[int, Sequence]]:
        """Each sequence with its row. A step over all slots has the row of each slot where the cache has it."""
        if self.rows == slots:
            return [(sequence.slot, sequence) for sequence in self.sequences]
        return list(enumerate(self.sequences))

    def count(self, sequence: Sequence) -> int:
        """How many tokens this step feeds to the sequence."""
        return min(sequence.pending, self.size)


@dataclass
class Scheduler:
    """`sizes` are the compiled tokens per row, `rows` the compiled numbers of rows; both ascending.

    `short` is the largest size that every row may take at once. With `whole`, a step always spans all slots.
    """

    slots: int
    rows: tuple[int, ...]
    sizes: tuple[int, ...]
    short: int
    whole: bool = False
    waiting: deque[Sequence] = field(default_factory=deque)
    running: dict[int, Sequence] = field(default_factory=dict)
    prefixes: dict[str, np.ndarray] = field(default_factory=dict)
    _turn: bool = False
    _clock: int = 0

    def __post_init__(self) -> None:
        self._held: list[np.ndarray] = [np.empty(0, np.int32) for _ in range(self.slots)]
        self._used = [0] * self.slots

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence with its prompt."""
        self.waiting.append(sequence)

    def remove(self, sequence: Sequence) -> None:
        """The sequence has ended or was cancelled; its slot stays warm for the next one."""
        if sequence.slot < 0:
            self.waiting.remove(sequence)
            return
        self._held[sequence.slot] = self._contents(sequence.slot)
        self._used[sequence.slot] = self._clock = self._clock + 1
        del self.running[sequence.slot]

    def forget(self, slot: int) -> None:
        """What the slot holds must not be reused."""
        self._held[slot] = np.empty(0, np.int32)

    def admit(self) -> list[Admission]:
        """Give free slots to waiting sequences, first come first served; those in the background come after the others
        and leave one slot free for them (where there are several)."""
        admissions = []
        while self.waiting:
            sequence = min(self.waiting, key=lambda s: s.background)
            if len(self.running) >= self.slots - (sequence.background and self.slots > 1):
                break
            self.waiting.remove(sequence)
            admission = self._place(sequence)
            sequence.reused = sequence.cached
            self.running[sequence.slot] = sequence
            admissions.append(admission)
        return admissions

    def _place(self, sequence: Sequence) -> Admission:
        prompt = np.asarray(sequence.tokens[: sequence.reusable], np.int32)
        shared = {slot: _common(self._contents(slot), prompt) for slot in range(self.slots)}
        free = [slot for slot in range(self.slots) if slot not in self.running]
        best = max(free, key=lambda slot: (shared[slot], -self._used[slot]))
        others: dict[str | int, int] = {name: _common(tokens, prompt) for name, tokens in self.prefixes.items()}
        others |= {slot: count for slot, count in shared.items() if slot != best}
        source = max(others, key=others.__getitem__, default=None)
        if source is None or others[source] < shared[best] + _WORTH_COPYING:
            sequence.slot, sequence.cached = best, shared[best]
            return Admission(sequence)
        sequence.slot, sequence.cached = min(free, key=lambda slot: self._used[slot]), others[source]
        return Admission(sequence, None if source == sequence.slot else source)

    def _contents(self, slot: int) -> np.ndarray:
        sequence = self.running.get(slot)
        return self._held[slot] if sequence is None else np.asarray(sequence.tokens[: sequence.cached], np.int32)

    def plan(self) -> Plan | None:
        """The next step, or None when nothing runs."""
        short = [s for s in self.running.values() if s.pending <= self.short]
        long = [s for s in self.running.values() if s.pending > self.short]
        if not short and not long:
            return None
        if len(short) + len(long) == 1:
            chosen = short or long
        else:
            self._turn = not self._turn
            chosen = long[:1] if long and (self._turn or not short) else short
        if self.whole and chosen is not short:
            chosen = long
        size = _fit(self.sizes, max(s.pending for s in chosen))
        return Plan(chosen, self.slots if self.whole else _fit(self.rows, len(chosen)), size)

    def fed(self, plan: Plan) -> None:
        """The step has run: its tokens are in the cache now."""
        for sequence in plan.sequences:
            sequence.cached += plan.count(sequence)


def _fit(sizes: tuple[int, ...], wanted: int) -> int:
    return next((size for size in sizes if size >= wanted), sizes[-1])


def _common(a: np.ndarray, b: np.ndarray) -> int:
    length = min(len(a), len(b))
    differ = np.flatnonzero(a[:length] != b[:length])
    return int(differ[0]) if len(differ) else length
