"""A planner that gives the plans which a test dictates, so that the service is tested apart from a model's quality."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from assistant.planning.planned import Earlier, Planned, PlanningError, Question
from assistant.plugin.plan import Plan, Step

Script = Callable[[Sequence[Earlier]], Planned]


def plan(*steps: tuple[str, dict[str, Any]]) -> Plan:
    return Plan(tuple(Step(tool, args) for tool, args in steps))


class Dictated:
    """`says(text, steps…)` sets the plan for a text; every other text is refused."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.asked: list[tuple[str, Sequence[Earlier]]] = []

    def says(self, text: str, *steps: tuple[str, dict[str, Any]], missing: tuple[int, str] | None = None,
             doubt: bool = False) -> None:  # fmt: skip
        question = Question("missing", "When should that be?") if missing else None
        if doubt:
            question = Question("confirm", "I understood: something. Is that right?", ("yes", "no"))
        gaps = (missing,) if missing else ()
        self.scripts[text] = lambda history: Planned(text, plan(*steps), gaps, confidence=1.0, question=question)

    def fails(self, text: str, error: Exception) -> None:
        def script(history: Sequence[Earlier]) -> Planned:
            raise error

        self.scripts[text] = script

    def plan(self, text: str, history: Sequence[Earlier] = ()) -> Planned:
        self.asked.append((text, history))
        if text in self.scripts:
            return self.scripts[text](history)
        return Planned(text, refused=True, confidence=1.0)

    def complete(self, planned: Planned, answer: str) -> Planned:
        if not planned.gaps:
            raise PlanningError("nothing is missing in this plan")
        n, name = planned.gaps[0]
        steps = list(planned.plan.steps)
        steps[n - 1] = Step(steps[n - 1].tool, {**steps[n - 1].args, name: answer})
        return replace(planned, plan=Plan(tuple(steps)), gaps=(), question=None)

    def warm_up(self) -> None:
        return None
