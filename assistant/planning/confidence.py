"""How sure the model is, from the probabilities of its own choices.

Only choices count: what the grammar forced says nothing. A checkpoint may bring `planner.json` with logistic
calibrations, fitted on held-out errands, and the thresholds below which a plan is asked about. Of tools that it was
never trained on a model is too sure, so plans with one of them are judged by a calibration of their own.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from assistant.llm import Token, Tokenizer
from assistant.plugin.plan import Plan

from .reading import Place

FILE = "planner.json"


@dataclass(frozen=True)
class Calibration:
    """confidence = sigmoid(bias + total · Σ logprob + worst · min logprob); plans below `threshold` are asked about,
    empty ones (refusals) never are. An argument's is sigmoid(argument_bias + argument_total · Σ logprob). Where a
    bias is missing it is the choices' own probability."""

    bias: float | None = None
    total: float = 1.0
    worst: float = 0.0
    threshold: float = 0.3
    argument_bias: float | None = None
    argument_total: float = 1.0

    def confidence(self, logprobs: Sequence[float]) -> float:
        """Of a plan whose choices had these log-probabilities."""
        total, worst = sum(logprobs), min(logprobs, default=0.0)
        return math.exp(total) if self.bias is None else _sigmoid(self.bias + self.total * total + self.worst * worst)

    def of_argument(self, logprobs: Sequence[float]) -> float:
        """Of one argument whose choices had these log-probabilities."""
        total = sum(logprobs)
        if self.argument_bias is None:
            return math.exp(total)
        return _sigmoid(self.argument_bias + self.argument_total * total)


@dataclass(frozen=True)
class Calibrations:
    """A checkpoint's: `familiar` for plans of the `tools` that it was trained on, `unfamiliar` for all others."""

    familiar: Calibration = Calibration()
    unfamiliar: Calibration = Calibration()
    tools: frozenset[str] = frozenset()

    def of(self, plan: Plan, offered: Iterable[str] = ()) -> Calibration:
        """What judges this plan."""
        return self.familiar if self.know(plan, offered) else self.unfamiliar

    def know(self, plan: Plan, offered: Iterable[str] = ()) -> bool:
        """Whether all of its tools were trained on; of a refusal, those that were `offered`."""
        return all(tool in self.tools for tool in [step.tool for step in plan.steps] or offered)

    @classmethod
    def load(cls, folder: Path) -> Calibrations:
        """From a checkpoint's folder; the neutral ones when it has none."""
        file = folder / FILE
        if not file.exists():
            return cls()
        saved = json.loads(file.read_text("utf-8"))
        return cls(Calibration(**saved["familiar"]), Calibration(**saved["unfamiliar"]), frozenset(saved["tools"]))

    def save(self, folder: Path) -> None:
        """Write `planner.json`."""
        saved = {**asdict(self), "tools": sorted(self.tools)}
        (folder / FILE).write_text(json.dumps(saved, indent=1) + "\n", "utf-8")


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(min(700.0, -x)))


def choices(tokens: Sequence[Token]) -> list[float]:
    """Log-probabilities of what was not forced."""
    return [token.logprob for token in tokens if not token.forced]


def by_argument(
    tokens: Sequence[Token], tokenizer: Tokenizer, lines: Sequence[tuple[int, str | None]]
) -> dict[Place, list[float]]:
    """The choices of each argument; `lines` says what each line of the text is about."""
    found: dict[Place, list[float]] = {}
    line = 0
    for token in tokens:
        step, argument = lines[line] if line < len(lines) else (0, None)
        if argument is not None:
            chosen = found.setdefault((step, argument), [])
            if not token.forced:
                chosen.append(token.logprob)
        line += "\n" in tokenizer.decode([token.id])
    return found
