"""The tables of the executor, and the transactions on errands, steps, questions and events.

SQLite (WAL; what must survive a power cut is synced) in the data folder, or PostgreSQL. Beside DBOS's own tables,
because the state that people and programs see (and the results of steps) must be readable without running a workflow.
All methods block; the executor calls them in threads.
"""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import JSON, Boolean, Column, Float, Integer, String, Table, Text, UniqueConstraint

from .errand import FINISHED, OPEN, Event, asking
from .private import private_file

meta = sa.MetaData()
Key = sa.BigInteger().with_variant(Integer, "sqlite")  # SQLite increments only INTEGER keys

errands = Table(
    "errands", meta,
    Column("id", String, primary_key=True), Column("executor", String, index=True, nullable=False),
    Column("session", String, index=True, nullable=False), Column("text", Text, nullable=False),
    Column("said", JSON, nullable=False), Column("plan", JSON, nullable=False),
    Column("approve", Boolean, nullable=False), Column("previous", String),
    Column("status", String, index=True, nullable=False),
    Column("reply", Text, nullable=False, default=""),
    Column("created", Float, nullable=False), Column("finished", Float),
)  # fmt: skip
steps = Table(
    "steps", meta,
    Column("errand", String, primary_key=True), Column("n", Integer, primary_key=True),
    Column("tool", String, nullable=False), Column("status", String, nullable=False, default="waiting"),
    Column("summary", Text, nullable=False, default=""), Column("error", Text, nullable=False, default=""),
    Column("wish", JSON(none_as_null=True)), Column("result", JSON(none_as_null=True)),
    Column("artifacts", JSON), Column("ms", Float),
)  # fmt: skip
questions = Table(
    "questions", meta,
    Column("id", Key, primary_key=True), Column("errand", String, nullable=False),
    Column("key", String, nullable=False), Column("kind", String, nullable=False),
    Column("text", Text, nullable=False), Column("choices", JSON, nullable=False),
    Column("answer", JSON(none_as_null=True)), Column("asked", Float, nullable=False), Column("answered", Float),
    UniqueConstraint("errand", "key"),
)  # fmt: skip
effects = Table(
    "effects", meta,
    Column("id", String, primary_key=True), Column("errand", String, nullable=False),
    Column("step", Integer, nullable=False), Column("recipient", String, nullable=False),
    Column("name", String, nullable=False), Column("kind", String, nullable=False),
    Column("channel", String, nullable=False), Column("state", String, nullable=False),
    Column("binding", String, nullable=False), Column("payload", JSON, nullable=False),
    Column("attempts", Integer, nullable=False, default=0), Column("detail", Text, nullable=False, default=""),
    Column("planned", Float, nullable=False), Column("changed", Float, nullable=False),
    UniqueConstraint("errand", "step", "recipient"),
)  # fmt: skip
events = Table(
    "events", meta,
    Column("id", Key, primary_key=True), Column("errand", String, nullable=False, index=True),
    Column("type", String, nullable=False), Column("data", JSON, nullable=False), Column("at", Float, nullable=False),
    sqlite_autoincrement=True,
)  # fmt: skip
reminders = Table(
    "reminders", meta,
    Column("id", String, primary_key=True), Column("errand", String, nullable=False),
    Column("step", Integer, nullable=False), Column("text", Text, nullable=False),
    Column("due", Float, nullable=False, index=True), Column("when", String, nullable=False),
    Column("raised", Float), UniqueConstraint("errand", "step"),
)  # fmt: skip
notes = Table(
    "notes", meta,
    Column("id", Key, primary_key=True), Column("errand", String, nullable=False),
    Column("step", Integer, nullable=False), Column("text", Text, nullable=False),
    Column("created", Float, nullable=False), UniqueConstraint("errand", "step"),
)  # fmt: skip

# Made once: building a statement costs more than carrying it out.
_ADD_EVENT = sa.insert(events)
_SET_STEP = sa.update(steps).where(steps.c.errand == sa.bindparam("of_errand"), steps.c.n == sa.bindparam("of_n"))


class Store:
    """One database. Use `read()` and `write()` for transactions."""

    def __init__(self, url: str):
        """url: `sqlite:///file` or `postgresql+psycopg://…`. Creates the tables that are absent."""
        self.sqlite = url.startswith("sqlite")
        if self.sqlite:
            file = Path(url.removeprefix("sqlite:///"))
            private_file(file)
            self._log = file.with_name(f"{file.name}-wal")
            options = {"check_same_thread": False, "timeout": 30}
            self._engine = sa.create_engine(url, connect_args=options, hide_parameters=True)  # errors are logged
            sa.event.listen(self._engine, "connect", _prepare_sqlite)
            sa.event.listen(self._engine, "begin", _begin_sqlite)
        else:
            self._engine = sa.create_engine(url, pool_pre_ping=True, hide_parameters=True)
        self._writer = self._engine.execution_options(write=True)
        # Writers of one process queue here instead of in SQLite's busy loop, which sleeps.
        self._lock = threading.Lock()
        self._commits = 0
        self._synced = 0  # so many of them are on the disk
        self._syncing = threading.Lock()
        meta.create_all(self._writer)

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        with self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self, durable: bool = True) -> Iterator[sa.Connection]:
        """A transaction that changes something. Not durable: a power cut (never a kill) may take it back."""
        if not self.sqlite:
            with self._writer.begin() as connection:
                yield connection
            return
        with self._lock:
            with self._writer.begin() as connection:
                yield connection
            self._commits = mine = self._commits + 1
        if durable:
            self._sync(mine)

    def _sync(self, commit: int) -> None:
        """Bring a commit to the disk. Those that come while a sync is under way share the next one.

        SQLite itself would sync while it holds the database's lock, so that all writers wait for the disk in turn. It
        runs with synchronous=NORMAL, in which it syncs only where it moves its log into the database.
        """
        with self._syncing:
            if self._synced >= commit:
                return
            latest = self._commits
            with contextlib.suppress(FileNotFoundError):  # all of the log is in the database already
                descriptor = os.open(self._log, os.O_RDONLY | os.O_CLOEXEC)
                try:
                    os.fdatasync(descriptor)
                finally:
                    os.close(descriptor)
            self._synced = latest

    def close(self) -> None:
        self._engine.dispose()

    # errands

    def add_errand(self, row: dict[str, Any], tools: list[str]) -> bool:
        """Insert an errand with its steps. False if its id is known already."""
        with self.write() as c:
            if c.execute(sa.select(errands.c.id).where(errands.c.id == row["id"])).first():
                return False
            c.execute(sa.insert(errands).values(**row, created=time.time(), status="running"))
            if tools:
                c.execute(sa.insert(steps), [{"errand": row["id"], "n": n, "tool": t} for n, t in enumerate(tools, 1)])
            add_event(c, row["id"], "status", {"status": "running"})
            return True

    def errand(self, id: str) -> dict[str, Any] | None:
        with self.read() as c:
            row = c.execute(sa.select(errands).where(errands.c.id == id)).mappings().first()
            return dict(row) if row else None

    def resting(self, id: str) -> bool:
        """Whether an errand is finished or waits for an answer."""
        open_ = sa.exists().where(questions.c.errand == id, questions.c.answer.is_(None))
        query = sa.select(errands.c.id).where(errands.c.id == id, errands.c.status.in_(FINISHED) | open_)
        with self.read() as c:
            return c.execute(query).first() is not None

    def full(self, id: str) -> dict[str, list[dict[str, Any]]]:
        """The rows of an errand: "steps", "effects" and the open "questions"."""
        with self.read() as c:
            waiting = (questions.c.errand == id) & questions.c.answer.is_(None)
            found = {
                "steps": sa.select(steps).where(steps.c.errand == id).order_by(steps.c.n),
                "effects": sa.select(effects).where(effects.c.errand == id).order_by(effects.c.step, effects.c.planned),
                "questions": sa.select(questions).where(waiting).order_by(questions.c.id),
            }
            return {name: [dict(r) for r in c.execute(query).mappings()] for name, query in found.items()}

    def unfinished(self, executor: str) -> list[str]:
        with self.read() as c:
            query = sa.select(errands.c.id).where(errands.c.executor == executor, errands.c.status.in_(OPEN))
            return list(c.execute(query.order_by(errands.c.created)).scalars())

    def recent(self, limit: int, session: str | None = None, statuses: tuple[str, ...] = ()) -> list[str]:
        """Ids of errands, newest first."""
        query = sa.select(errands.c.id).order_by(errands.c.created.desc()).limit(limit)
        if session is not None:
            query = query.where(errands.c.session == session)
        if statuses:
            query = query.where(errands.c.status.in_(statuses))
        with self.read() as c:
            return list(c.execute(query).scalars())

    def set_status(self, id: str, status: str, reply: str | None = None) -> bool:
        """Change the status of an errand that is not finished; a finish also keeps its reply. False if it was."""
        values: dict[str, Any] = {"status": status}
        if status in FINISHED:
            values.update(finished=time.time(), reply=reply or "")
        with self.write() as c:
            open_ = (errands.c.id == id) & errands.c.status.in_(OPEN)
            if not c.execute(sa.update(errands).where(open_).values(**values)).rowcount:
                return False
            if reply:
                add_event(c, id, "reply", {"text": reply})
            add_event(c, id, "status", {"status": status})
            return True

    def set_reply(self, id: str, reply: str) -> None:
        """The reply of an errand that was finished from outside (cancelled)."""
        with self.write() as c:
            c.execute(sa.update(errands).where(errands.c.id == id).values(reply=reply))
            add_event(c, id, "reply", {"text": reply})

    # steps

    def result(self, errand: str, n: int) -> Any:
        """The result of a step as JSON; None when there is none."""
        with self.read() as c:
            return c.execute(sa.select(steps.c.result).where(steps.c.errand == errand, steps.c.n == n)).scalar()

    def set_step(self, errand: str, n: int, event: bool = True, **values: Any) -> None:
        """Change a step and tell it; `values` are columns."""
        with self.write(durable=values.get("status") != "running") as c:
            c.execute(_SET_STEP, {"of_errand": errand, "of_n": n, **values})
            if event:
                told = {k: v for k, v in values.items() if k in ("status", "summary", "error", "artifacts", "ms")}
                add_event(c, errand, "step", {"id": n, **told})

    # questions

    def ask(self, errand: str, key: str, kind: str, text: str, choices: list[str]) -> dict[str, Any] | None:
        """Ask once; the answer if there is one already."""
        with self.write() as c:
            mine = (questions.c.errand == errand) & (questions.c.key == key)
            row = c.execute(sa.select(questions.c.answer).where(mine)).first()
            if row and row.answer is not None:
                return dict(row.answer)
            if not row:
                # What the same step asked before a restart is out of date: the contact, say, has changed since.
                step = questions.c.key.like(key.partition(":")[0] + ":%") & questions.c.answer.is_(None)
                c.execute(sa.delete(questions).where(questions.c.errand == errand, step))
                new = {"errand": errand, "key": key, "kind": kind, "text": text, "choices": choices}
                c.execute(sa.insert(questions).values(**new, asked=time.time()))
            open_ = (errands.c.id == errand) & errands.c.status.in_(OPEN)
            c.execute(sa.update(errands).where(open_).values(status=asking(kind)))
            if not row:
                add_event(c, errand, "question", {"kind": kind, "text": text, "choices": choices})
                add_event(c, errand, "status", {"status": asking(kind)})
            return None

    def asked(self, errand: str) -> float:
        """When the newest question was asked; 0 if none was."""
        query = sa.select(sa.func.max(events.c.at)).where(events.c.errand == errand, events.c.type == "question")
        with self.read() as c:
            return c.execute(query).scalar() or 0.0

    def answered(self, errand: str, key: str) -> dict[str, Any] | None:
        with self.read() as c:
            mine = (questions.c.errand == errand) & (questions.c.key == key)
            return c.execute(sa.select(questions.c.answer).where(mine)).scalar()

    def answer(self, question: int, errand: str, answer: dict[str, Any]) -> bool:
        """Keep an answer, once. False if somebody was quicker."""
        with self.write() as c:
            open_ = (questions.c.id == question) & questions.c.answer.is_(None)
            changed = c.execute(sa.update(questions).where(open_).values(answer=answer, answered=time.time())).rowcount
            if changed:
                others = sa.select(questions.c.kind).where(questions.c.errand == errand, questions.c.answer.is_(None))
                kind = c.execute(others.order_by(questions.c.id).limit(1)).scalar()
                status = "running" if kind is None else asking(kind)
                running = (errands.c.id == errand) & errands.c.status.in_(OPEN)
                c.execute(sa.update(errands).where(running).values(status=status))
                add_event(c, errand, "status", {"status": status})
            return bool(changed)

    # events

    def add_event(self, errand: str, type_: str, data: dict[str, Any]) -> None:
        with self.write(durable=False) as c:
            add_event(c, errand, type_, data)

    def events(self, errand: str, after: int) -> list[Event]:
        query = sa.select(events).where(events.c.errand == errand, events.c.id > after).order_by(events.c.id)
        with self.read() as c:
            return [Event(r.id, r.type, r.data) for r in c.execute(query)]

    # clean-up

    def waiting_since(self, before: float, executor: str) -> list[str]:
        """An executor's unfinished errands with a question asked before a time and not answered."""
        query = sa.select(questions.c.errand).join(errands, errands.c.id == questions.c.errand)
        query = query.where(questions.c.asked < before, questions.c.answer.is_(None), errands.c.status.in_(OPEN))
        query = query.where(errands.c.executor == executor)
        with self.read() as c:
            return list(c.execute(query.distinct()).scalars())

    def kept_files(self) -> set[str]:
        """The hashes of the attachments that the journal still names."""
        with self.read() as c:
            payloads = c.execute(sa.select(effects.c.payload)).scalars()
            return {f["sha256"] for p in payloads for f in p.get("attachments", [])}

    def purge(self, before: float) -> list[str]:
        """Forget the errands that finished before a time, but not those with an effect whose outcome is open to doubt,
        or with a reminder that is still to come. Their ids."""
        with self.write() as c:
            unsure = sa.select(effects.c.errand).where(effects.c.state == "unknown", effects.c.changed >= before)
            waiting = sa.select(reminders.c.errand).where(reminders.c.raised.is_(None))
            old = sa.select(errands.c.id).where(
                errands.c.finished < before, errands.c.status.in_(FINISHED),
                errands.c.id.not_in(unsure), errands.c.id.not_in(waiting),
            )  # fmt: skip
            ids = list(c.execute(old).scalars())
            for table, column in ((steps, steps.c.errand), (questions, questions.c.errand), (effects, effects.c.errand),
                                  (events, events.c.errand), (errands, errands.c.id)):  # fmt: skip
                c.execute(sa.delete(table).where(column.in_(ids)))
            return ids


def add_event(connection: sa.Connection, errand: str, type_: str, data: dict[str, Any]) -> None:
    """Tell something within the transaction that makes it true, as the last thing in it."""
    if connection.dialect.name == "postgresql":
        # In the order of their ids, or a reader that has seen a later one would never see this.
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(errand))))
    connection.execute(_ADD_EVENT, {"errand": errand, "type": type_, "data": data, "at": time.time()})


def database_url(url: str | None, home: Path, name: str) -> str:
    """The SQLAlchemy URL of a database: the configured PostgreSQL, or a SQLite file in the data folder."""
    if not url:
        return f"sqlite:///{home / name}"
    return str(url).replace("postgres://", "postgresql://", 1).replace("postgresql://", "postgresql+psycopg://", 1)


def _prepare_sqlite(connection: Any, _record: Any) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")  # see Store._sync
    connection.execute("PRAGMA busy_timeout=30000")


def _begin_sqlite(connection: sa.Connection) -> None:
    connection.exec_driver_sql("BEGIN IMMEDIATE" if connection.get_execution_options().get("write") else "BEGIN")
