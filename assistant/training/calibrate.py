"""Fits the planner's confidence: logistic regressions of "the plan is exact" and "the argument is right" on what the
model thought of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from assistant.llm import Engine
from assistant.planning import Calibration, Calibrations, Planned, Planner, PlanningError
from assistant.planning.confidence import choices
from assistant.plugin.signature import ToolSpec

from .scoring import Outcome, Truth, arguments, exact, same

if TYPE_CHECKING:
    from .evaluate import Case, EvaluationSet

# Of the plans that run without a question, at least this share should be right on held-out lines, which are harder than
# what people say: their words never occur in training and half of them are noisy.
WANTED = 0.8


@dataclass
class Judgement:
    """What the model thought of its plans and arguments, and whether they were right."""

    plans: list[tuple[float, float, bool]] = field(default_factory=list)  # sum and least of the log-probabilities
    arguments: list[tuple[float, bool]] = field(default_factory=list)


def fit_all(engine: Engine, familiar: EvaluationSet, unfamiliar: Sequence[EvaluationSet]) -> Calibrations:
    """Run the cases and fit a calibration for the tools of `familiar` and, installed beside these, one for others; each
    on the plans that it will judge."""
    ours, others = Judgement(), Judgement()
    neutral = Calibrations(tools=frozenset(familiar.tools))
    for part in (familiar, *unfamiliar):
        judge(Planner(engine, {**familiar.tools, **part.tools}, calibrations=neutral), part.cases, ours, others)
    return replace(neutral, familiar=fit(ours), unfamiliar=fit(others))


def judge(planner: Planner, cases: Sequence[Case], ours: Judgement, others: Judgement) -> None:
    """Run the cases: `ours` are the plans of tools that the planner knows. Its calibrations must be neutral ones."""
    drafts = [(c, planner.draft(c.say, [c.before] if c.before else [])) for c in cases]
    streams = [(c, d, planner.engine.submit(d.request)) for c, d in drafts if d.request]
    for c, draft, stream in streams:
        result = planner.reconsidered(draft, stream.result())
        logprobs = choices(result.tokens)
        try:
            planned = planner.read(draft, result)
            asked = tuple(argument for _, argument in planned.gaps)
            correct = exact(Outcome(c.say, c.truth, planned.plan, asked), planner.tools)
        except PlanningError:
            planned, correct = draft.planned, False
        into = ours if planner.calibrations.know(planned.plan, draft.grammar.names) else others
        into.arguments += judged(planned, c.truth, planner.tools)
        into.plans.append((sum(logprobs), min(logprobs, default=0.0), correct))


def fit(judgement: Judgement) -> Calibration:
    """The neutral calibration when there are too few mistakes to learn from."""
    x = np.array([(1.0, total, worst) for total, worst, _ in judgement.plans])
    y = np.array([float(ok) for _, _, ok in judgement.plans])
    if len(y) < 20 or min(y.sum(), len(y) - y.sum()) < 5:
        return Calibration()
    bias, total, worst = logistic(x, y)
    if worst < 0:  # the two go together; a likelier choice must never count against a plan
        (bias, total), worst = logistic(x[:, :2], y), 0.0
    confidence = 1 / (1 + np.exp(-x @ np.array([bias, total, worst])))
    fitted = Calibration(round(bias, 4), round(total, 4), round(worst, 4), threshold(confidence, y))
    parts = judgement.arguments
    if sum(not ok for _, ok in parts) < 5:
        return fitted
    of_argument = logistic(np.array([[1.0, logprob] for logprob, _ in parts]), np.array([float(ok) for _, ok in parts]))
    if of_argument[1] < 0:
        return fitted
    return replace(fitted, argument_bias=round(of_argument[0], 4), argument_total=round(of_argument[1], 4))


def judged(planned: Planned, truth: Truth, tools: Mapping[str, ToolSpec]) -> list[tuple[float, bool]]:
    """(log-probability, whether it is right) of each argument, where the tools are the right ones. `planned` must come
    from a planner with the neutral calibrations."""
    logprobs = {place: math.log(max(probability, 1e-30)) for place, probability in planned.arguments.items()}
    if same(planned.plan, truth.plan, tools):
        return [(logprob, True) for logprob in logprobs.values()]
    if [s.tool for s in planned.plan.steps] != [s.tool for s in truth.plan.steps]:
        return []
    mine, meant = ([arguments(s, tools[s.tool]) for s in plan.steps] for plan in (planned.plan, truth.plan))
    return [(p, mine[n - 1].get(name) == meant[n - 1].get(name)) for (n, name), p in logprobs.items()]


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
    """The lowest confidence such that of the plans from there on WANTED are right; never above 0.9, so that an
    uncertain model still acts sometimes."""
    order = np.argsort(-confidence)
    precision = np.cumsum(right[order]) / np.arange(1, len(order) + 1)
    good = np.flatnonzero(precision >= WANTED)
    return round(float(min(0.9, confidence[order][good[-1]])), 4) if len(good) else 0.9
