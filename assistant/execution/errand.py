"""What goes into the executor and what comes out of it."""

from __future__ import annotations

import datetime as dt
import secrets
from dataclasses import dataclass, field
from typing import Any, Literal

from assistant.plugin.plan import Plan

ErrandStatus = Literal["running", "needs_confirmation", "needs_answer", "done", "failed", "cancelled"]
StepStatus = Literal["waiting", "running", "done", "failed", "skipped", "cancelled"]
QuestionKind = Literal["confirm", "choose", "missing"]
FINISHED = ("done", "failed", "cancelled")
OPEN = ("running", "needs_confirmation", "needs_answer")


def asking(kind: str) -> ErrandStatus:
    """How an errand or a command stands while a question of this kind is open."""
    return "needs_confirmation" if kind == "confirm" else "needs_answer"


class UnknownErrand(KeyError):
    """There is no errand of this id."""

    def __str__(self) -> str:
        return f"there is no errand {self.args[0]!r}"


class AnswerError(ValueError):
    """Nothing is asked, or the answer does not fit the question; the message says which."""


class NotAsked(AnswerError):
    """The question that was answered is not open, or not any more."""


class ExecutorError(RuntimeError):
    """The executor cannot be used as asked; the message says why and what to do."""


@dataclass(frozen=True)
class ErrandRequest:
    """A plan to carry out.

    text: what the user said. said: the texts whose words the plan may use, when they are more than `text`. session:
    whose earlier results `^n` refers to. approve: sends and deletions need no question. id: chosen by the caller; a
    known one returns that errand. previous: the errand that `^n` refers to ("" for none; default: the session's newest
    finished one).
    """

    plan: Plan
    text: str = ""
    session: str = "default"
    approve: bool = False
    said: tuple[str, ...] = ()
    id: str = field(default_factory=lambda: secrets.token_hex(8))
    previous: str | None = None


@dataclass(frozen=True)
class Question:
    """Something that only the user can say. `choices` are numbered from 1 in an answer."""

    kind: QuestionKind
    text: str
    choices: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"kind": self.kind, "text": self.text, "choices": list(self.choices)}


@dataclass(frozen=True)
class Event:
    """One thing that happened. `id` increases; `type` is status, step, progress, question, effect or reply."""

    id: int
    type: str
    data: dict[str, Any]


@dataclass(frozen=True)
class StepState:
    """One step of an errand. `result` is the typed value as JSON, `ms` its running time without questions."""

    id: int
    tool: str
    status: StepStatus = "waiting"
    summary: str = ""
    error: str = ""
    result: Any = None
    artifacts: tuple[dict[str, Any], ...] = ()
    ms: float | None = None

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id,
            "tool": self.tool,
            "status": self.status,
            "summary": self.summary or self.error,
            "ms": None if self.ms is None else round(self.ms, 1),
            "artifacts": list(self.artifacts),
        }


@dataclass(frozen=True)
class EffectState:
    """One effect in the journal: what leaves, to whom, and how far it came."""

    id: str
    step: int
    kind: str
    recipient: str
    name: str
    channel: str
    state: str
    detail: str = ""


@dataclass(frozen=True)
class ErrandState:
    """An errand as it stands. `run_ms` is from start to end, or to now while it runs."""

    id: str
    session: str
    text: str
    plan: Plan
    status: ErrandStatus
    created: dt.datetime
    finished: dt.datetime | None = None
    steps: tuple[StepState, ...] = ()
    effects: tuple[EffectState, ...] = ()
    question: Question | None = None
    reply: str = ""

    @property
    def run_ms(self) -> float:
        end = self.finished or dt.datetime.now(dt.UTC)
        return (end - self.created).total_seconds() * 1000

    @property
    def artifacts(self) -> list[dict[str, Any]]:
        """The files that the errand made, in the order of the steps."""
        return [a for s in self.steps for a in s.artifacts]

    def to_json(self) -> dict[str, Any]:
        """The execution's part of the HTTP answer."""
        return {
            "id": self.id,
            "status": self.status,
            "plan": {**self.plan.to_json(), "hash": self.plan.hash},
            "steps": [s.to_json() for s in self.steps],
            "artifacts": self.artifacts,
            "question": self.question.to_json() if self.question else None,
            "reply": self.reply,
        }
