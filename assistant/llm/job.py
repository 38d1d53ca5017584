"""One request on its way: what has been generated, what its constraint forces, and when it ends."""

from __future__ import annotations

import math
from collections.abc import Callable

from .request import Request, Result, Stream, Token
from .runner import Batch, Chosen
from .scheduler import Sequence
from .tokenizer import TextStream, Tokenizer


class Job:
    """Lives in the engine's thread; `finish` is set (or the stream has failed) when the request has ended."""

    def __init__(self, request: Request, tokens: list[int], room: int, stops: frozenset[int], text: Tokenizer | None):
        self.request = request
        self.sequence = Sequence(list(tokens), request.background)
        self.stream = Stream()
        self.finish: str | None = None
        self.store_as: str | None = None  # a prefix to keep: nothing is generated
        self.forwards = 0
        self._prompt = len(tokens)
        self._room = room  # how many tokens may be generated
        self._stops = stops  # end-of-text tokens
        self._tokenizer = text
        self._pieces = TextStream(text) if request.stop and text is not None else None
        self._text = ""  # kept only to watch for stop strings
        self._tokens: list[Token] = []
        self._sent = 0

    @property
    def ended(self) -> bool:
        """True when no further step may include this request."""
        return self.finish is not None or self.stream.done

    @property
    def failed(self) -> bool:
        """True when it ended with an error."""
        return self.finish is None and self.stream.done

    def begin(self) -> None:
        """Tokens forced at the very beginning are prefilled along with the prompt."""
        if self.request.constraint is not None:
            self._guarded(self._force)

    def fill(self, batch: Batch, row: int, count: int) -> None:
        """Write the next `count` pending tokens, and how to choose after them, into a row of the batch."""
        self._guarded(lambda: self._fill(batch, row, count))

    def _fill(self, batch: Batch, row: int, count: int) -> None:
        request, sequence, start = self.request, self.sequence, self.sequence.cached
        fed = sequence.tokens[start : start + count + 1]
        batch.set(row, sequence.slot, start, fed[:count], fed[count] if len(fed) > count else None)
        floats = (request.temperature, request.top_p, request.min_p)
        batch.sample(row, request.top_k, request.seed, request.logprobs, floats)
        if request.constraint is not None and count == sequence.pending:
            self._mask(batch, row)

    def take(self, chosen: Chosen, row: int, start: int, count: int) -> None:
        """The step fed `count` tokens from position `start` on; nothing pending means that it chose one more."""
        self._guarded(lambda: self._take(chosen, row, start, count))

    def _take(self, chosen: Chosen, row: int, start: int, count: int) -> None:
        self.forwards += 1
        if chosen.scores.shape[1]:
            self._score(start, chosen.scores[row, :count].tolist())
        if self.sequence.pending or self.store_as is not None:
            return
        token, free = int(chosen.tokens[row]), float(chosen.free_logprobs[row])
        if not math.isfinite(free):
            self.fail(RuntimeError("the model's output is not finite; its weights are damaged or overflow their type"))
        elif token in self._stops:
            self.finish = "stop"
        else:
            self._append(Token(token, False, float(chosen.logprobs[row]), free, self._top(chosen, row)))
            if self.request.constraint is not None and self.finish is None:
                self._consume(token)
            elif len(self._tokens) >= self._room and self.finish is None:
                self.finish = "length"

    def settle(self) -> None:
        """Hand out new tokens, and the result if the request has ended."""
        if self.stream.done:
            return
        if len(self._tokens) > self._sent:
            self.stream.push(self._tokens[self._sent :])
            self._sent = len(self._tokens)
        if self.finish is not None:
            reused = min(self.sequence.reused, self._prompt)
            self.stream.finish(Result(self._tokens, self._final(), self.finish, self._prompt, reused, self.forwards))

    def fail(self, error: BaseException) -> None:
        """End with an error that only this request's caller sees."""
        self.stream.finish(error=error)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except Exception as error:  # a caller's constraint may raise anything, and it must not end the others
            self.fail(error)

    def _mask(self, batch: Batch, row: int) -> None:
        assert self.request.constraint is not None
        self.request.constraint.mask(batch.mask[row])
        if not batch.mask[row].any():
            raise ValueError("the constraint allows no token at all, not even the end of the text")

    def _consume(self, token: int) -> None:
        assert self.request.constraint is not None
        self.request.constraint.consume(token)
        self._force()

    def _force(self) -> None:
        """Append what the constraint forces, until it leaves a choice or is done."""
        constraint = self.request.constraint
        assert constraint is not None
        while self.finish is None:
            if constraint.done:
                self.finish = "stop"
            elif len(self._tokens) >= self._room:
                self.finish = "length"
            elif not (forced := constraint.forced()):
                return
            elif forced[0] in self._stops:
                self.finish = "stop"
            else:
                for token in forced[: self._room - len(self._tokens)]:
                    constraint.consume(token)
                    self._append(Token(token, True, 0.0, math.nan))

    def _append(self, token: Token) -> None:
        self._tokens.append(token)
        self.sequence.tokens.append(token.id)
        if self._pieces is not None:
            self._text += self._pieces.push(token.id)
            if any(stop in self._text for stop in self.request.stop):
                self.finish = "stop"

    def _score(self, start: int, scores: list[float]) -> None:
        """The fed token at position p was followed by the one at p + 1: note the model's opinion of forced ones."""
        for i, score in enumerate(scores, start + 1 - self._prompt):
            if 0 <= i < len(self._tokens) and self._tokens[i].forced:
                self._tokens[i].free_logprob = score

    def _top(self, chosen: Chosen, row: int) -> list[tuple[int, float]]:
        wanted = self.request.logprobs
        pairs = zip(chosen.top_ids[row, :wanted].tolist(), chosen.top_logprobs[row, :wanted].tolist(), strict=True)
        return [(token, logprob) for token, logprob in pairs if logprob > -math.inf]

    def _final(self) -> str:
        if self._tokenizer is None:
            return ""
        text = self._tokenizer.decode([token.id for token in self._tokens])
        ends = [at for stop in self.request.stop if (at := text.find(stop)) >= 0]
        return text[: min(ends)] if ends else text
