"""What a caller gives to the engine and gets back: requests, tokens, results and streams."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field
from numbers import Integral, Real

from .grammar import Constraint


@dataclass
class Request:
    """One generation. `prompt` is token ids or text; `prefix` names a stored prefix that comes before it."""

    prompt: Sequence[int] | str
    prefix: str | None = None
    constraint: Constraint | None = None
    max_tokens: int = 256
    temperature: float = 0.0  # 0 takes the likeliest token
    top_k: int = 0  # 0: off
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0
    stop: tuple[str, ...] = ()  # the text ends before the first of these
    stop_tokens: tuple[int, ...] | None = None  # None: the checkpoint's end-of-text tokens
    background: bool = False  # waits for others, and leaves one slot free for them where there are several
    logprobs: int = 0  # how many alternatives to report per chosen token, up to 20

    def check(self) -> None:
        """`ValueError` naming the first field that makes no sense."""
        self._check_types()
        if self.max_tokens < 1:
            raise ValueError(f"max_tokens is {self.max_tokens}; it must be at least 1")
        if not 0 <= self.temperature <= 1e6:  # float32 must hold it
            raise ValueError(f"temperature is {self.temperature}; it must lie between 0 and a million")
        if not 0 < self.top_p <= 1:
            raise ValueError(f"top_p is {self.top_p}; it must lie in (0, 1]")
        if not 0 <= self.min_p <= 1:
            raise ValueError(f"min_p is {self.min_p}; it must lie in [0, 1]")
        if not 0 <= self.top_k < 1 << 31:
            raise ValueError(f"top_k is {self.top_k}; it must be 0 (off) or more, below 2^31")
        if not 0 <= self.logprobs <= 20:
            raise ValueError(f"logprobs is {self.logprobs}; it must lie between 0 and 20")
        if "" in self.stop:
            raise ValueError("a stop string is empty")

    def _check_types(self) -> None:
        """What is wrong must be noticed here: in the engine's thread nobody could tell the caller."""
        for name in ("max_tokens", "top_k", "seed", "logprobs"):
            if not isinstance(value := getattr(self, name), Integral):
                raise ValueError(f"{name} is {value!r}; it must be an integer")
        for name in ("temperature", "top_p", "min_p"):
            if not isinstance(value := getattr(self, name), Real):
                raise ValueError(f"{name} is {value!r}; it must be a number")
        if not _holds(self.stop, str):
            raise ValueError(f"stop is {self.stop!r}; it must be a tuple of strings")
        if self.stop_tokens is not None and not _holds(self.stop_tokens, Integral):
            raise ValueError(f"stop_tokens is {self.stop_tokens!r}; it must be a tuple of token ids, or None")


def _holds(values: object, kind: type) -> bool:
    return isinstance(values, Collection) and not isinstance(values, str) and all(isinstance(v, kind) for v in values)


@dataclass(slots=True)
class Token:
    """One generated token and what the model thought of it."""

    id: int
    forced: bool  # the constraint left no choice, so no forward pass was spent on it
    logprob: float  # natural logarithm, among the allowed tokens; 0 for forced ones
    free_logprob: float  # among all tokens; NaN for forced ones that were not scored (see `Engine`) or not yet fed
    top: list[tuple[int, float]] = field(default_factory=list)  # alternatives, when the request asked for them


@dataclass
class Result:
    """A finished generation. `text` is empty when the model has no tokenizer."""

    tokens: list[Token]
    text: str
    finish_reason: str  # stop | length | cancelled
    prompt_tokens: int
    reused_tokens: int  # of the prompt, found in the prefix cache
    forwards: int  # forward passes that this request took part in

    @property
    def ids(self) -> list[int]:
        """The generated token ids."""
        return [token.id for token in self.tokens]


class Stream:
    """Tokens as they are generated: iterate (`for` or `async for`), or wait for the `result`."""

    def __init__(self) -> None:
        self.tokens: list[Token] = []
        self._changed = threading.Condition()
        self._wakers: list[Callable[[], None]] = []
        self._result: Result | None = None
        self._error: BaseException | None = None
        self._cancelled = False

    @property
    def done(self) -> bool:
        """True once the result or an error is there."""
        return self._result is not None or self._error is not None

    @property
    def cancelled(self) -> bool:
        """True once `cancel` was called."""
        return self._cancelled

    def cancel(self) -> None:
        """End the generation soon; the result holds what there is, with `finish_reason` "cancelled"."""
        self._cancelled = True

    def result(self, timeout: float | None = None) -> Result:
        """Wait for the end; raises what went wrong, or `TimeoutError` after `timeout` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.done, timeout):
                raise TimeoutError(f"no result after {timeout} s")
        return self._outcome()

    def __iter__(self) -> Iterator[Token]:
        seen = 0
        while True:
            with self._changed:
                while not self.done and len(self.tokens) == seen:
                    self._changed.wait()
            while seen < len(self.tokens):
                yield self.tokens[seen]
                seen += 1
            if self.done and seen == len(self.tokens):
                self._outcome()
                return

    async def __aiter__(self) -> AsyncIterator[Token]:
        async for count in self._changes():
            for token in self.tokens[count[0] : count[1]]:
                yield token
        self._outcome()

    async def wait(self) -> Result:
        """As `result`, without blocking the event loop; cancelling the task cancels the generation."""
        try:
            async for _ in self._changes():
                pass
        except asyncio.CancelledError:
            self.cancel()
            raise
        return self._outcome()

    async def _changes(self) -> AsyncIterator[tuple[int, int]]:
        loop, event = asyncio.get_running_loop(), asyncio.Event()

        def wake() -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits
                loop.call_soon_threadsafe(event.set)

        with self._changed:
            self._wakers.append(wake)
        seen = 0
        try:
            while True:
                done, count = self.done, len(self.tokens)
                if count > seen:
                    yield seen, count
                    seen = count
                elif done:
                    return
                else:
                    await event.wait()
                    event.clear()
        finally:
            with self._changed:
                self._wakers.remove(wake)

    def _outcome(self) -> Result:
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def push(self, tokens: list[Token]) -> None:
        """Engine's side: these tokens were generated."""
        with self._changed:
            self.tokens.extend(tokens)
            self._notify()

    def finish(self, result: Result | None = None, error: BaseException | None = None) -> None:
        """Engine's side: the end, with a result or an error."""
        with self._changed:
            self._result, self._error = result, error
            self._notify()

    def _notify(self) -> None:
        self._changed.notify_all()
        for wake in self._wakers:
            wake()
