"""A second look at a plan that the model was unsure of.

Where the model hesitated between two choices, the one that it did not take is followed to its end as well, and the
likeliest of all the plans wins. It is what a beam search would find first, and costs nothing where the model is sure.
Where that leaves much doubt, the tools are shown in other orders as well, and the plans vote: what a model makes of
tools that it was never trained on depends on where they stand (Tang et al. 2024, "Found in the Middle: Permutation
Self-Consistency").
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce

import numpy as np

from assistant.llm import Constraint, Engine, Request, Result, Token

from .confidence import choices
from .planned import Planned, Usage

MOST = 3  # other choices that are followed
DOUBT = 0.3  # a plan with less confidence is made with the tools in other orders, too
ORDERS = 3  # of the tools, in all
LIKELY = math.log(0.05)  # a choice less likely than this is not


@dataclass
class Searched(Result):
    """The likeliest result; `forwards`, `generated` and `forced` tokens are those of all that were made."""

    generated: int = 0
    forced: int = 0

    def after(self, other: Searched) -> Searched:
        """This one, with the cost of the other as well."""
        return replace(self, forwards=self.forwards + other.forwards, generated=self.generated + other.generated,
                       forced=self.forced + other.forced)  # fmt: skip


def best(engine: Engine, request: Request, result: Result, constraint: Callable[[], Constraint]) -> Searched:
    """The likeliest of `result`, which the engine made of `request` with `logprobs`, and the plans beside it.

    `constraint()` makes the request's constraint anew.
    """
    others = []
    for i, alternative in hesitations(result.tokens):
        written = [*result.ids[:i], alternative.id]
        follows = constraint()
        allowed = np.zeros(-(-engine.model.config.vocab_size // 32), np.uint32)
        for token in written:
            follows.mask(allowed)  # as in decoding: what may follow says what a token begins
            follows.consume(token)
        again = replace(request, prompt=[*request.prompt, *written], constraint=follows, logprobs=0)
        stream = None if follows.done else engine.submit(again)
        others.append(([*result.tokens[:i], alternative], stream))
    found = [result]
    made = [result]
    for tokens, stream in others:
        rest = stream.result() if stream else None
        made += [rest] if rest else []
        reason = rest.finish_reason if rest else "stop"
        if reason == "stop":
            found.append(replace(result, tokens=[*tokens, *(rest.tokens if rest else [])], finish_reason=reason))
    winner = max(found, key=lambda r: sum(choices(r.tokens)))
    return Searched(
        winner.tokens, winner.text, winner.finish_reason, winner.prompt_tokens, winner.reused_tokens,
        sum(r.forwards for r in made), sum(len(r.tokens) for r in made),
        sum(token.forced for r in made for token in r.tokens),
    )  # fmt: skip


def agreed(plans: Sequence[Planned]) -> Planned:
    """The plan that most confidence stands behind, with the mean of it (none from those that say otherwise) and with
    the cost of all."""
    votes: dict[str, list[Planned]] = {}
    for planned in plans:
        votes.setdefault(repr((planned.plan, planned.gaps)), []).append(planned)
    winners = max(votes.values(), key=lambda same: sum(p.confidence for p in same))
    confidence = sum(p.confidence for p in winners) / len(plans)
    usage = reduce(Usage.__add__, (p.usage for p in plans))
    return replace(max(winners, key=lambda p: p.confidence), confidence=confidence, usage=usage)


def hesitations(tokens: Sequence[Token]) -> list[tuple[int, Token]]:
    """Where (index) the model might have chosen another token, and that token; the closest calls first."""
    close = []
    for i, token in enumerate(tokens):
        for other, logprob in token.top:
            if not token.forced and other != token.id and logprob > LIKELY:
                close.append((token.logprob - logprob, i, Token(other, False, logprob, math.nan)))
    return [(i, token) for _, i, token in sorted(close, key=lambda c: c[0])[:MOST]]
