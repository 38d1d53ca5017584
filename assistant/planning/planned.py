"""What the planner takes and gives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from assistant.plugin.plan import Plan
from assistant.plugin.signature import Type

from .reading import Place


class PlanningError(ValueError):
    """This text cannot be planned; the message says why and what to do."""


@dataclass(frozen=True)
class Earlier:
    """An errand of the session's past. `results` are its steps' types, for `^n`; `answers` what else the user said that
    may be quoted, such as answers to its questions; `shown` what the model is shown in place of `text`."""

    text: str
    plan: Plan
    results: tuple[Type, ...] = ()
    answers: tuple[str, ...] = ()
    shown: str = ""


@dataclass(frozen=True)
class Question:
    """What only the user can say. kind: "missing" or "confirm"."""

    kind: str
    text: str
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Usage:
    """What a plan cost. `forced` of the `tokens` were left without a choice by the grammar."""

    seconds: float = 0.0
    forwards: int = 0
    tokens: int = 0
    forced: int = 0
    prompt_tokens: int = 0
    reused_tokens: int = 0

    def __add__(self, other: Usage) -> Usage:
        return Usage(*(getattr(self, f.name) + getattr(other, f.name) for f in fields(self)))


@dataclass(frozen=True)
class Planned:
    """A checked plan, or why there is none.

    gaps: arguments that the user must still give, as (step from 1, argument). refused: no tool serves this. confidence:
    of the whole plan, 0 to 1; `arguments` per argument. said: the texts whose words the plan may use. previous: the
    result types that `^n` may refer to.
    """

    text: str
    plan: Plan = field(default_factory=Plan)
    gaps: tuple[Place, ...] = ()
    refused: bool = False
    confidence: float = 0.0
    arguments: Mapping[Place, float] = field(default_factory=dict)
    question: Question | None = None
    said: tuple[str, ...] = ()
    previous: tuple[Type, ...] = ()
    usage: Usage = field(default_factory=Usage)

    @property
    def missing(self) -> Place | None:
        """The argument that the question asks for."""
        return self.gaps[0] if self.gaps else None
