"""A command as people and programs see it, and the table that keeps commands over restarts.

A command is everything from the words to the end of the errand. Until its plan is submitted its state lies here; from
then on the executor's tables say how it stands, under the same id.
"""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, Boolean, Column, Float, String, Table, Text

from assistant.execution.errand import FINISHED, ErrandState, StepState
from assistant.execution.store import Store, add_event, errands, events
from assistant.planning.planned import Planned, Question
from assistant.plugin.plan import Plan
from assistant.plugin.signature import Type

SUBMITTED = "submitted"  # the executor has it
ENDED = ("planned", "refused", *FINISHED)  # nothing more happens
ASKING = ("needs_answer", "needs_confirmation")
STAGES = ("speech_ms", "plan_ms", "run_ms", "total_ms")

meta = sa.MetaData()
commands = Table(
    "commands", meta,
    Column("id", String, primary_key=True), Column("executor", String, nullable=False),
    Column("session", String, index=True, nullable=False),
    Column("key", String, unique=True), Column("fingerprint", String, nullable=False),
    Column("text", Text), Column("transcript", JSON(none_as_null=True)),
    Column("approve", Boolean, nullable=False), Column("plan_only", Boolean, nullable=False),
    Column("status", String, index=True, nullable=False), Column("planned", JSON(none_as_null=True)),
    Column("continues", String),  # the command whose question this one answered
    Column("previous", String),  # the command whose results `^n` refers to
    Column("reply", Text, nullable=False, default=""), Column("problem", JSON(none_as_null=True)),
    Column("timings", JSON, nullable=False), Column("created", Float, nullable=False), Column("ended", Float),
)  # fmt: skip


class CommandError(ValueError):
    """A command that cannot be taken. `status` is the HTTP status that fits, `title` its short name."""

    status, title = 422, "This command cannot be taken"


class UnknownCommand(CommandError):
    """There is no command of this id."""

    status, title = 404, "No such command"


class KeyReused(CommandError):
    """An idempotency key came again with another request."""

    title = "Idempotency key used for another request"


class Busy(CommandError):
    """Too much is waiting; try again after `retry_after` seconds."""

    status, title = 429, "Busy"

    def __init__(self, message: str, retry_after: int) -> None:
        super().__init__(message)
        self.retry_after = retry_after


@dataclass(frozen=True)
class Command:
    """A command as it stands; `to_json` is the HTTP answer.

    status: planned, running, needs_confirmation, needs_answer, done, failed, refused or cancelled. transcript: text,
    language, confidence, engine (None until the recording is understood). question: kind ("confirm", "choose",
    "missing"), text and choices, or None. timings: milliseconds, None for a stage that has not been. problem: why a
    command failed before it could be planned (status, title, detail). created: when it was taken, with time zone.
    """

    id: str
    session: str
    status: str
    created: dt.datetime
    transcript: dict[str, Any] | None = None
    plan: Plan = field(default_factory=Plan)
    steps: tuple[dict[str, Any], ...] = ()
    artifacts: tuple[dict[str, Any], ...] = ()
    question: dict[str, Any] | None = None
    reply: str = ""
    timings: dict[str, float | None] = field(default_factory=dict)
    problem: dict[str, Any] | None = None

    @property
    def text(self) -> str:
        """What was said; empty while it is not known."""
        return str(self.transcript["text"]) if self.transcript else ""

    def to_json(self) -> dict[str, Any]:
        return {
            "id": self.id, "status": self.status, "transcript": self.transcript,
            "plan": {**self.plan.to_json(), "hash": self.plan.hash}, "steps": list(self.steps),
            "artifacts": list(self.artifacts), "question": self.question, "reply": self.reply,
            "timings": {name: self.timings.get(name) for name in STAGES},
            "created": self.created.isoformat(timespec="milliseconds"),
        }  # fmt: skip


def command(row: dict[str, Any], errand: ErrandState | None = None) -> Command:
    """The command of a row, and of its errand once there is one."""
    planned = planned_of(row)
    timings = dict(row["timings"])
    end = row["ended"]
    if errand is not None:
        timings["run_ms"] = round(errand.run_ms, 1)
        end = errand.finished.timestamp() if errand.finished else None
    timings["total_ms"] = round(((end or time.time()) - row["created"]) * 1000, 1)
    shared = {"id": row["id"], "session": row["session"], "transcript": row["transcript"], "timings": timings,
              "problem": row["problem"], "created": dt.datetime.fromtimestamp(row["created"], dt.UTC)}  # fmt: skip
    if errand is not None:
        state = errand.to_json()
        return Command(
            status=errand.status, plan=errand.plan, steps=tuple(_linked(s) for s in state["steps"]),
            artifacts=tuple(_link(a) for a in state["artifacts"]), question=state["question"], reply=errand.reply,
            **shared,
        )  # fmt: skip
    plan = planned.plan if planned else Plan()
    asked = planned.question if planned and row["status"] in ASKING else None
    question = {"kind": asked.kind, "text": asked.text, "choices": list(asked.choices)} if asked else None
    steps = tuple(StepState(n, s.tool).to_json() for n, s in enumerate(plan.steps, 1))
    status = "running" if row["status"] == SUBMITTED else row["status"]
    return Command(status=status, plan=plan, steps=steps, question=question, reply=row["reply"], **shared)


def _link(artifact: dict[str, Any]) -> dict[str, Any]:
    return {**artifact, "url": f"/artifacts/{artifact['id']}"}


def _linked(step: dict[str, Any]) -> dict[str, Any]:
    return {**step, "artifacts": [_link(a) for a in step["artifacts"]]}


def planned_json(planned: Planned, answers: Sequence[str] = ()) -> dict[str, Any]:
    """A planner's answer as it is kept, with what the user said to its questions."""
    question = planned.question
    return {
        "plan": planned.plan.to_json(), "gaps": [list(g) for g in planned.gaps], "refused": planned.refused,
        "confidence": planned.confidence, "said": list(planned.said), "previous": [str(t) for t in planned.previous],
        "question": [question.kind, question.text, list(question.choices)] if question else None,
        "answers": list(answers),
    }  # fmt: skip


def planned_of(row: dict[str, Any]) -> Planned | None:
    """The planner's answer of a row."""
    kept = row["planned"]
    if kept is None:
        return None
    kind, text, choices = kept["question"] or ("", "", ())
    return Planned(
        row["text"] or "", Plan.from_json(kept["plan"]), tuple((n, name) for n, name in kept["gaps"]), kept["refused"],
        kept["confidence"], question=Question(kind, text, tuple(choices)) if kind else None, said=tuple(kept["said"]),
        previous=tuple(Type.parse(t) for t in kept["previous"]),
    )  # fmt: skip


class Commands:
    """The table, in the executor's database. All methods block. owner: the executor whose commands go on here."""

    def __init__(self, store: Store, owner: str) -> None:
        self._store, self._owner = store, owner
        with store.write() as c:
            meta.create_all(c)

    def add(self, row: dict[str, Any]) -> dict[str, Any]:
        """Insert a command; the one that has its idempotency key already, if any."""
        full = {"transcript": None, "planned": None, "continues": None, "previous": None, "reply": "", "problem": None,
                "timings": {}, "ended": None, "created": time.time(), "executor": self._owner, **row}  # fmt: skip
        try:
            with self._store.write() as c:
                c.execute(sa.insert(commands).values(**full))
                add_event(c, row["id"], "status", {"status": "running"})
        except sa.exc.IntegrityError:  # the key is taken: the only thing that is unique beside the random id
            found = self.by_key(row["key"]) if row["key"] is not None else None
            if found is None:
                raise
            return found
        return full

    def get(self, id: str) -> dict[str, Any]:
        """Raises UnknownCommand."""
        with self._store.read() as c:
            row = c.execute(sa.select(commands).where(commands.c.id == id)).mappings().first()
        if row is None:
            raise UnknownCommand(f"there is no command {id!r}; it may be older than the assistant remembers")
        return dict(row)

    def by_key(self, key: str) -> dict[str, Any] | None:
        with self._store.read() as c:
            row = c.execute(sa.select(commands).where(commands.c.key == key)).mappings().first()
        return dict(row) if row else None

    def last(self, session: str, before: float, planned: bool) -> dict[str, Any] | None:
        """The session's newest command before a time that has a plan with steps; `planned`: also one that was only
        planned."""
        statuses = (SUBMITTED, *ASKING, *(("planned",) if planned else ()))
        query = (
            sa.select(commands)
            .where(commands.c.session == session, commands.c.created < before, commands.c.continues.is_(None))
            .where(commands.c.status.in_(statuses))
            .order_by(commands.c.created.desc())
        )
        with self._store.read() as c:
            row = c.execute(query.limit(1)).mappings().first()
        return dict(row) if row else None

    def recent(self, limit: int, session: str | None) -> list[dict[str, Any]]:
        """Newest first; answers spoken as commands are not listed."""
        query = sa.select(commands).where(commands.c.continues.is_(None)).order_by(commands.c.created.desc())
        if session is not None:
            query = query.where(commands.c.session == session)
        with self._store.read() as c:
            return [dict(r) for r in c.execute(query.limit(limit)).mappings()]

    def unfinished(self) -> list[dict[str, Any]]:
        """Commands that are not known to have ended, and ask nothing before their errand."""
        going = commands.c.status.in_(("running", SUBMITTED)) & commands.c.ended.is_(None)
        query = sa.select(commands).where(going, commands.c.executor == self._owner)
        with self._store.read() as c:
            return [dict(r) for r in c.execute(query.order_by(commands.c.created)).mappings()]

    def update(self, id: str, *events: tuple[str, dict[str, Any]], expect: tuple[str, ...] = (), **values: Any) -> bool:
        """Change a command and tell it, in one transaction; False if its status was none of `expect`."""
        if values.get("status") in ENDED:
            values.setdefault("ended", time.time())
        with self._store.write() as c:
            where = commands.c.id == id
            if expect:
                where &= commands.c.status.in_(expect)
            if values and not c.execute(sa.update(commands).where(where).values(**values)).rowcount:
                return False
            for type_, data in events:
                add_event(c, id, type_, data)
            return True

    def purge(self, before: float) -> None:
        """Forget commands older than a time whose errand is forgotten too, and what was told of them."""
        with self._store.write() as c:
            old = sa.select(commands.c.id).where(
                commands.c.created < before, ~sa.exists().where(errands.c.id == commands.c.id)
            )
            ids = list(c.execute(old).scalars())
            c.execute(sa.delete(events).where(events.c.errand.in_(ids)))
            c.execute(sa.delete(commands).where(commands.c.id.in_(ids)))
