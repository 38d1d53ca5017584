"""Reminders and notes: kept once per step, and a reminder is raised once."""

from __future__ import annotations

import datetime as dt
import secrets
import time
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .store import Store, add_event, errands, notes, reminders

TICK = 1e-6  # seconds between two reminders that are raised at once


@dataclass(frozen=True)
class ReminderState:
    """A reminder. `raised`: when the user was told, or None."""

    id: str
    errand: str
    step: int
    text: str
    when: dt.datetime
    raised: dt.datetime | None

    def to_json(self) -> dict[str, Any]:
        told = {"id": self.id, "errand": self.errand, "text": self.text, "when": self.when.isoformat()}
        return {**told, "raised": self.raised.isoformat() if self.raised else None}


class Reminders:
    """The kept reminders and notes. Methods block."""

    def __init__(self, store: Store):
        self._store = store

    def add(self, errand: str, step: int, text: str, when: str) -> dict[str, Any]:
        """Keep a reminder, once per step; when: ISO 8601 with offset. Its value as JSON."""
        due = dt.datetime.fromisoformat(when).timestamp()
        row = {"id": secrets.token_hex(8), "errand": errand, "step": step, "text": text, "due": due, "when": when}
        self._once(reminders, row)
        return {"$type": "Reminder", "text": text, "when": when}

    def note(self, errand: str, step: int, text: str) -> dict[str, Any]:
        """Keep a note, once per step. Its value as JSON."""
        self._once(notes, {"errand": errand, "step": step, "text": text, "created": time.time()})
        return {"$type": "Note", "text": text}

    def due(self, now: dt.datetime, executor: str) -> list[ReminderState]:
        """Those of an executor's errands whose time has come and that were not raised yet, the earliest first."""
        with self._store.read() as c:
            late = (reminders.c.due <= now.timestamp()) & reminders.c.raised.is_(None)
            query = sa.select(reminders).join(errands, errands.c.id == reminders.c.errand)
            query = query.where(late, errands.c.executor == executor).order_by(reminders.c.due)
            return [_state(r) for r in c.execute(query)]

    def raise_(self, reminder: ReminderState, now: dt.datetime) -> bool:
        """Note that a reminder is raised, and tell it as an event of its errand. False when it was raised already.

        Its moment is a reader's place among them, so it is later than all others, even where the clock was set back.
        """
        with self._store.write() as c:
            last = c.execute(sa.select(sa.func.max(reminders.c.raised))).scalar() or 0.0
            moment = max(now.timestamp(), last + TICK)
            here = (reminders.c.id == reminder.id) & reminders.c.raised.is_(None)
            if not c.execute(sa.update(reminders).where(here).values(raised=moment)).rowcount:
                return False
            told = {"id": reminder.id, "text": reminder.text, "when": reminder.when.isoformat()}
            add_event(c, reminder.errand, "reminder", told)
            return True

    def raised_after(self, moment: dt.datetime) -> list[ReminderState]:
        """Those that were raised after a moment, in that order."""
        with self._store.read() as c:
            query = sa.select(reminders).where(reminders.c.raised > moment.timestamp()).order_by(reminders.c.raised)
            return [_state(r) for r in c.execute(query)]

    def all(self, limit: int = 100) -> list[ReminderState]:
        """All of them, those that are due last first."""
        with self._store.read() as c:
            return [_state(r) for r in c.execute(sa.select(reminders).order_by(reminders.c.due.desc()).limit(limit))]

    def notes(self, limit: int = 100) -> list[dict[str, Any]]:
        """The kept notes, newest first, as JSON: errand, text, created."""
        with self._store.read() as c:
            rows = c.execute(sa.select(notes).order_by(notes.c.id.desc()).limit(limit))
            return [
                {
                    "errand": r.errand,
                    "text": r.text,
                    "created": dt.datetime.fromtimestamp(r.created, dt.UTC).isoformat(),
                }
                for r in rows
            ]

    def _once(self, table: sa.Table, row: dict[str, Any]) -> None:
        with self._store.write() as c:
            here = (table.c.errand == row["errand"]) & (table.c.step == row["step"])
            if not c.execute(sa.select(table.c.id).where(here)).first():
                c.execute(sa.insert(table).values(**row))


def _state(row: Any) -> ReminderState:
    raised = None if row.raised is None else dt.datetime.fromtimestamp(row.raised, dt.UTC)
    return ReminderState(row.id, row.errand, row.step, row.text, dt.datetime.fromisoformat(row.when), raised)
