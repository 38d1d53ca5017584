"""Fits the planner's confidence: a logistic regression of "the plan is exact" on what the model thought of it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from assistant.planning import Calibration, Planner, PlanningError
from assistant.planning.confidence import choices

from .scoring import Outcome, exact

if TYPE_CHECKING:
    from .evaluate import Case

# Of the plans that run without a question, at least this share should be right on held-out lines, which are harder than
# what people say: their words never occur in training and half of them are noisy.
WANTED = 0.8


def fit(planner: Planner, cases: Sequence[Case]) -> Calibration:
    """Run the cases and fit. With too few mistakes to learn from, the neutral calibration is returned."""
    drafts = [(c, planner.draft(c.say, [c.before] if c.before else [])) for c in cases]
    streams = [(c, d, planner.engine.submit(d.request)) for c, d in drafts if d.request]
    features, right = [], []
    for c, draft, stream in streams:
        result = planner.reconsidered(draft, stream.result())
        logprobs = choices(result.tokens)
        try:
            planned = planner.read(draft, result)
            asked = tuple(argument for _, argument in planned.gaps)
            correct = exact(Outcome(c.say, c.truth, planned.plan, asked), planner.tools)
        except PlanningError:
            correct = False
        features.append([1.0, sum(logprobs), min(logprobs, default=0.0)])
        right.append(float(correct))
    x, y = np.array(features), np.array(right)
    if len(y) < 20 or min(y.sum(), len(y) - y.sum()) < 5:
        return Calibration()
    bias, total, worst = logistic(x, y)
    if worst < 0:  # the two go together; a likelier choice must never count against a plan
        (bias, total), worst = logistic(x[:, :2], y), 0.0
    confidence = 1 / (1 + np.exp(-x @ np.array([bias, total, worst])))
    return Calibration(round(bias, 4), round(total, 4), round(worst, 4), threshold(confidence, y))


def logistic(x: np.ndarray, y: np.ndarray, ridge: float = 1e-2, steps: int = 50) -> list[float]:
    """Weights of a logistic regression by Newton's method. `x[N, D]`, `y[N]` 0 or 1."""
    weights = np.zeros(x.shape[1])
    penalty = ridge * np.eye(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + np.exp(-np.clip(x @ weights, -30, 30)))
        gradient = x.T @ (y - p) - penalty @ weights
        hessian = (x.T * (p * (1 - p))) @ x + penalty
        weights = weights + np.linalg.solve(hessian, gradient)
    return [float(w) for w in weights]


def threshold(confidence: np.ndarray, right: np.ndarray) -> float:
    """The lowest confidence such that of the plans from there on WANTED are right; 0.5 if there is none, and never
    above 0.9, so that an uncertain model still acts sometimes."""
    order = np.argsort(-confidence)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(precision >= WANTED)
    return round(float(min(0.9, confidence[order][good[-1]])), 4) if len(good) else 0.5
