"""The journal of effects: what is to leave the machine, and how far it came.

    planned → approved → sending → sent | failed | unknown

`sending` is committed, and synced to the disk, before the network is touched. A row that is found in `sending` after
a crash becomes `unknown`: whether it left cannot be known, so it is reported and never sent again. There is one row per
errand, step and recipient, whatever is repeated around it. `sending → approved` is a try that surely delivered nothing.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from .errand import OPEN, EffectState
from .store import Store, add_event, effects, errands

MOVES = {
    "planned": ("approved", "failed"),
    "approved": ("sending", "failed"),
    "sending": ("sent", "failed", "unknown", "approved"),
    "unknown": ("sent",),  # proof turned up: the outbox holds the message
}
DECLINED = "you did not want it"


class JournalError(RuntimeError):
    """A move that the journal does not allow: somebody else was there first, or the code is wrong."""


@dataclass(frozen=True)
class Effect:
    """One row. `payload` is what is sent, in JSON; `binding` what a confirmation was asked for."""

    id: str
    errand: str
    step: int
    recipient: str
    name: str
    kind: str
    channel: str
    state: str
    binding: str
    payload: dict[str, Any]
    attempts: int
    detail: str
    planned: float

    @property
    def declined(self) -> bool:
        return self.state == "failed" and self.attempts == 0 and self.detail == DECLINED


@dataclass(frozen=True)
class Planned:
    """An effect that is wished for. recipient: unique within the step; name: for people."""

    recipient: str
    name: str
    kind: str
    channel: str
    payload: dict[str, Any]


def binding(plan_hash: str, wishes: Iterable[Planned]) -> str:
    """What a confirmation is bound to: the plan, and everything that was resolved for it."""
    parts = [[w.recipient, w.name, w.kind, w.channel, w.payload] for w in wishes]
    text = json.dumps([plan_hash, parts], sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


class Journal:
    """All changes of effects' states."""

    def __init__(self, store: Store):
        self._store = store

    def plan(self, errand: str, step: int, wishes: list[Planned], bound: str) -> list[Effect]:
        """Write down what is wished, once. A row that is still only planned takes new values; others stay."""
        now = time.time()
        with self._store.write() as c:
            known = {e.recipient: e for e in _select(c, errand, step)}
            for wish in wishes:
                old = known.pop(wish.recipient, None)
                values = {"name": wish.name, "kind": wish.kind, "channel": wish.channel, "payload": wish.payload,
                          "binding": bound, "changed": now}  # fmt: skip
                if old is None:
                    key = {"id": secrets.token_hex(16), "errand": errand, "step": step, "recipient": wish.recipient}
                    c.execute(sa.insert(effects).values(**key, **values, state="planned", planned=now))
                elif old.state == "planned":
                    c.execute(sa.update(effects).where(effects.c.id == old.id).values(**values))
            for old in known.values():  # no longer wished for, and never approved
                if old.state == "planned":
                    c.execute(sa.delete(effects).where(effects.c.id == old.id))
            return _select(c, errand, step)

    def approve(self, errand: str, step: int, bound: str) -> list[Effect]:
        """Approve what was confirmed, and nothing that was not: only rows with the same binding."""
        with self._store.write() as c:
            same = (effects.c.errand == errand) & (effects.c.step == step) & (effects.c.binding == bound)
            change = {"state": "approved", "changed": time.time()}
            c.execute(sa.update(effects).where(same, effects.c.state == "planned").values(**change))
            return _select(c, errand, step)

    def sending(self, effect: Effect, errand_open: bool = True) -> Effect:
        """The last step before the network. errand_open: refuse when the errand was cancelled in the meantime."""
        return self._move(effect, "sending", running=errand_open)

    def settle(self, effect: Effect, state: str, detail: str = "", result: Any = None) -> Effect:
        """The outcome: sent, failed, unknown; or approved again after a try that surely delivered nothing.

        result: what a tool that acted by itself has answered; kept together with the outcome.
        """
        return self._move(effect, state, detail, result=result)

    def effects(self, errand: str, step: int | None = None) -> list[Effect]:
        with self._store.read() as c:
            return _select(c, errand, step)

    def approved(self, executor: str, kind: str) -> list[Effect]:
        """The approved effects of a kind that are still to be carried out."""
        mine = sa.select(errands.c.id).where(errands.c.executor == executor)
        of_kind = (effects.c.state == "approved") & (effects.c.kind == kind)
        query = sa.select(effects).where(of_kind, effects.c.errand.in_(mine))
        with self._store.read() as c:
            return [_effect(r) for r in c.execute(query).mappings()]

    def interrupted(self, executor: str) -> list[Effect]:
        """After a start: every effect found in `sending` becomes `unknown`. Those effects."""
        mine = sa.select(errands.c.id).where(errands.c.executor == executor)
        query = sa.select(effects).where(effects.c.state == "sending", effects.c.errand.in_(mine))
        with self._store.read() as c:
            found = [_effect(r) for r in c.execute(query).mappings()]
        detail = "the service stopped while this was being sent; whether it arrived cannot be known"
        return [self._move(e, "unknown", detail) for e in found]

    def _move(self, effect: Effect, state: str, detail: str = "", running: bool = False, result: Any = None) -> Effect:
        if state not in MOVES.get(effect.state, ()):
            raise JournalError(f"effect {effect.id}: {effect.state} → {state} is not allowed")
        change: dict[str, Any] = {"state": state, "detail": detail, "changed": time.time()}
        if result is not None:
            change["payload"] = {**effect.payload, "result": result}
        if state == "sending":
            change["attempts"] = effects.c.attempts + 1
        with self._store.write() as c:
            here = (effects.c.id == effect.id) & (effects.c.state == effect.state)
            if running:
                open_ = sa.select(errands.c.id).where(errands.c.id == effect.errand, errands.c.status.in_(OPEN))
                here = here & effects.c.errand.in_(open_)
            if not c.execute(sa.update(effects).where(here).values(**change)).rowcount:
                raise JournalError(f"effect {effect.id} is no longer {effect.state}, or its errand was cancelled")
            told = {"step": effect.step, "id": effect.id, "name": effect.name, "state": state, "detail": detail}
            add_event(c, effect.errand, "effect", told)
            return _effect(c.execute(sa.select(effects).where(effects.c.id == effect.id)).mappings().one())


def state_of(row: dict[str, Any]) -> EffectState:
    """A row as people see it."""
    return EffectState(row["id"], row["step"], row["kind"], row["recipient"], row["name"], row["channel"],
                       row["state"], row["detail"])  # fmt: skip


def _select(connection: sa.Connection, errand: str, step: int | None) -> list[Effect]:
    query = sa.select(effects).where(effects.c.errand == errand).order_by(effects.c.planned, effects.c.id)
    if step is not None:
        query = query.where(effects.c.step == step)
    return [_effect(r) for r in connection.execute(query).mappings()]


def _effect(row: Any) -> Effect:
    return Effect(**{name: row[name] for name in Effect.__dataclass_fields__})
