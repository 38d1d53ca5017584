"""The dispatcher: carries out what tools only wish for. It alone holds addresses, passwords and tokens.

Every message goes through the journal: planned with its resolved values, approved (by the user, or beforehand),
`sending` committed before the network is touched, and settled as sent, failed or unknown. Called again for the same
step after a crash, it goes on from the journal's state and repeats nothing.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import logging
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from typing import Any

from assistant.plugin.signature import ToolSpec

from .attachments import AttachmentError, Attachments
from .channels import Message, NotSent, Unsure
from .channels.mail import message_id
from .channels.routes import NoRoute, Route, Routes
from .contacts import AddressBook, Person, literal, simple, stranger
from .journal import DECLINED, Effect, Journal, JournalError, Planned, binding
from .policy import ask_to_run, ask_to_send
from .recipients import Ask, Refused, find_people
from .reminders import Reminders
from .words import join

log = logging.getLogger(__name__)
TRIES = 3
WISHES = ("Send", "AddReminder", "AddNote", "FindContact")


@dataclass(frozen=True)
class StepCall:
    """The step for which something is done. said: the user's texts, empty for a plan written by a person."""

    errand: str
    n: int
    spec: ToolSpec
    args: dict[str, Any]
    plan_hash: str
    approve: bool
    said: tuple[str, ...]
    may_send: bool
    ask: Ask

    @property
    def spoken(self) -> set[str]:
        """The Spoken arguments, as compared."""
        values = [self.args.get(p.name) for p in self.spec.parameters if str(p.type) in ("Spoken", "list[Spoken]")]
        return {simple(v) for value in values for v in (value if isinstance(value, list) else [value]) if v}


class Failed(Exception):
    """The step did not do all it should; `result` is what there is nevertheless."""

    def __init__(self, reason: str, result: Any = None):
        super().__init__(reason)
        self.result = result


class Declined(Failed):
    """The user said no."""


class Dispatcher:
    """Carries out wishes. Its own threads do what blocks, so an attempt that has begun ends in the journal."""

    def __init__(self, journal: Journal, routes: Routes, book: AddressBook, attachments: Attachments,
                 reminders: Reminders, retry_s: float = 2.0):  # fmt: skip
        self.journal, self.routes, self.book = journal, routes, book
        self.attachments, self.reminders = attachments, reminders
        self._retry_s = retry_s
        self._pool = ThreadPoolExecutor(8, thread_name_prefix="effects")

    def close(self) -> None:
        """Wait for the attempts that have begun."""
        self._pool.shutdown(wait=True)

    async def carry_out(self, call: StepCall, wish: dict[str, Any]) -> Any:
        """Do what the wish (an Effect as JSON) says; its result as JSON. Raises Refused or Failed."""
        kind = wish["$type"]
        if kind == "Send":
            return await self._send(call, wish)
        if kind == "FindContact":
            if simple(wish["name"]) not in call.spoken:
                raise Refused(f"{call.spec.name} wants to look up {wish['name']}, which is not what was asked for")
            people = await find_people(wish["name"], self.book, call.ask, addresses=False)
            if len(people) > 1:
                names = join([p.name for p in people])
                raise Refused(f"{wish['name']} are {len(people)} people: {names}; ask for one of them")
            return _contact(people[0])
        if kind == "AddReminder":
            return await self._do(self.reminders.add, call.errand, call.n, wish["text"], wish["when"])
        if kind == "AddNote":
            return await self._do(self.reminders.note, call.errand, call.n, wish["text"])
        raise Refused(f"{call.spec.name} wishes for {kind}, which nobody can do")

    async def around(self, call: StepCall, run: Callable[[], Awaitable[dict[str, Any]]],
                     surely: tuple[type[Exception], ...]) -> dict[str, Any]:  # fmt: skip
        """Run a tool that itself sends or deletes: confirmed, journaled, and never twice. Its answer as JSON.

        surely: exceptions after which it surely did nothing. Raises Refused, Failed.
        """
        wish = Planned("tool", call.spec.name, call.spec.effect, "tool", {"args": call.args})
        [row] = await self._approved(call, [wish], ask_to_run(call.spec, call.args))
        if row.state == "sent":
            return dict(row.payload["result"])  # before a crash
        if row.declined:
            raise Declined(row.detail)
        if row.state != "approved":
            raise Failed(row.detail or f"{call.spec.name} was not run")
        row = await self._do(self.journal.sending, row)
        try:
            result = await run()
        except surely as error:
            await self._do(self.journal.settle, row, "failed", str(error))
            raise
        except BaseException as error:
            detail = (
                f"it was interrupted ({str(error) or type(error).__name__}); whether it did anything cannot be known"
            )
            await asyncio.shield(self._do(self.journal.settle, row, "unknown", detail))
            if isinstance(error, Exception):
                raise Failed(detail) from error
            raise
        await self._do(self.journal.settle, row, "sent", "", result)
        return result

    # messages

    async def _send(self, call: StepCall, wish: dict[str, Any]) -> dict[str, Any]:
        rows = [r for r in await self._do(self.journal.effects, call.errand, call.n) if r.channel != "tool"]
        if all(row.state == "planned" for row in rows):
            wishes = await self._resolve(call, wish)
            rows = await self._approved(call, wishes, ask_to_send(wishes))
        for i, row in enumerate(rows):
            if row.state == "approved":
                rows[i] = await self._deliver(row)
        return _receipt(rows)

    async def _resolve(self, call: StepCall, wish: dict[str, Any]) -> list[Planned]:
        """The wish with people, addresses and copies of files in place of words and paths."""
        if not call.may_send:
            raise Refused(f'{call.spec.name} may not send: its manifest does not say `effects = ["send"]`')
        if unsaid := [w for w in wish["to"] if simple(w) not in call.spoken]:
            raise Refused(f"{call.spec.name} wants to send to {join(unsaid)}, which is not what was asked for")
        people = [p for words in wish["to"] for p in await find_people(words, self.book, call.ask, call.said)]
        text = (wish.get("text") or "").strip()
        if not text and not wish.get("attachments"):
            names = join(list(dict.fromkeys(p.name for p in people)))
            text = (await call.ask("text", "missing", f"What should the message to {names} say?", []))["text"]
        try:
            files = await self._do(self.attachments.copy, wish.get("attachments") or [])
            routed = [(p, self.routes.route(p, wish.get("via"))) for p in dict.fromkeys(people)]
        except (AttachmentError, NoRoute) as error:
            raise Refused(str(error)) from error
        payload = {"text": text, "attachments": files}
        wishes = []
        for person, route in routed:
            full = {**payload, "route": asdict(route), "uid": person.uid}
            wishes.append(Planned(f"{route.channel}:{route.address}", person.name, "send", route.channel, full))
        if not wishes:
            raise Refused("nobody to send it to")
        return list({w.recipient: w for w in wishes}.values())

    async def _approved(self, call: StepCall, wishes: list[Planned], question: str) -> list[Effect]:
        """The journal's rows for the wishes, approved if the user says so."""
        bound = binding(call.plan_hash, wishes)
        rows = [r for r in await self._do(self.journal.plan, call.errand, call.n, wishes, bound) if r.binding == bound]
        if not any(row.state == "planned" for row in rows):
            return rows
        if not call.approve:
            answer = await call.ask(f"confirm:{bound}", "confirm", question, [])
            if not answer["confirm"]:
                for row in rows:
                    if row.state == "planned":
                        await self._do(self.journal.settle, row, "failed", DECLINED)
                rows = await self._do(self.journal.effects, call.errand, call.n)
                return [row for row in rows if row.binding == bound]
        return [r for r in await self._do(self.journal.approve, call.errand, call.n, bound) if r.binding == bound]

    async def _deliver(self, row: Effect, errand_open: bool = True) -> Effect:
        """Send one approved message; tries again only after failures that surely delivered nothing."""
        while row.state == "approved":
            attempt = asyncio.get_running_loop().run_in_executor(self._pool, self._attempt, row, errand_open)
            try:
                row = await asyncio.shield(attempt)
            except asyncio.CancelledError:
                await attempt  # it has begun, so it ends in the journal
                raise
            if row.state == "approved":
                await asyncio.sleep(self._retry_s * 3**row.attempts)
        return row

    def _attempt(self, row: Effect, errand_open: bool) -> Effect:
        """One try, from the row in `approved` to its outcome in the journal."""
        route, person = Route(**row.payload["route"]), self._person(row.payload["uid"])
        try:
            channel = self.routes.channel(route, person)
            message = self.message(row)
        except (NoRoute, ValueError) as error:
            return self.journal.settle(row, "failed", str(error))
        row = self.journal.sending(row, errand_open)
        try:
            channel.send(message)
        except NotSent as error:
            again = error.retry and row.attempts < TRIES
            return self.journal.settle(row, "approved" if again else "failed", str(error))
        except Unsure as error:
            return self.journal.settle(row, "unknown", str(error))
        except Exception as error:
            # No traceback: what a library says about an address may hold the address's secrets.
            log.error("channel %s broke off: %s", route.channel, type(error).__name__)
            return self.journal.settle(row, "unknown", f"{route.channel} broke off: {type(error).__name__}")
        return self.journal.settle(row, "sent")

    def message(self, row: Effect) -> Message:
        """What a row sends."""
        files = tuple(self.attachments.attached(entry) for entry in row.payload["attachments"])
        planned = dt.datetime.fromtimestamp(row.planned, dt.UTC)
        return Message(row.id, row.name, row.payload["route"]["address"], row.payload["text"], files, planned)

    def recover(self, executor: str) -> list[Effect]:
        """After a start: what was being sent becomes unknown, or sent where the channel can prove it."""
        out = []
        for row in self.journal.interrupted(executor):
            if row.channel != "tool":
                try:
                    route, person = Route(**row.payload["route"]), self._person(row.payload["uid"])
                    if self.routes.channel(route, person).delivered(self.message(row)):
                        row = self.journal.settle(row, "sent")
                except NoRoute:
                    pass  # without the channel there is no proof
            out.append(row)
        return out

    # reminders that are due

    def plan_reminder(self, errand: str, step: int, text: str) -> None:
        """Put a due reminder into the journal for the user's own channel, if there is one."""
        route = self.routes.own()
        if route is None:
            return
        wish = Planned("self", "you", "remind", "self",
                       {"text": text, "attachments": [], "route": asdict(route), "uid": ""})  # fmt: skip
        bound = hashlib.sha256(text.encode()).hexdigest()
        self.journal.plan(errand, -step, [wish], bound)  # its own place in the journal, beside the step's
        self.journal.approve(errand, -step, bound)

    async def deliver_reminders(self, executor: str) -> None:
        """Deliver what `plan_reminder` has left in the journal."""
        for row in await self._do(self.journal.approved, executor, "remind"):
            await self._deliver(row, errand_open=False)

    def _person(self, uid: str) -> Person | None:
        known = next((p for p in self.book.people if p.uid == uid), None)
        return known or (stranger(uid) if literal(uid) else None)

    async def _do(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _receipt(rows: list[Effect]) -> dict[str, Any]:
    """The result of a message whose rows are all settled. Raises Failed when one of them was not sent."""
    sent = [row for row in rows if row.state == "sent"]
    ids = [message_id_of(row) for row in sent]
    channels = ", ".join(dict.fromkeys(row.channel for row in sent))
    receipt = {"$type": "Receipt", "to": [row.name for row in sent], "channel": channels,
               "message_id": ids[0] if ids else ""}  # fmt: skip
    if len(sent) == len(rows):
        return receipt
    problems = [f"{row.name}: {row.detail or row.state}" for row in rows if row.state != "sent"]
    if all(row.declined for row in rows):
        raise Declined(DECLINED)
    raise Failed("; ".join(problems), receipt if sent else None)


def message_id_of(row: Effect) -> str:
    """The Message-ID of a row's mail."""
    return message_id(Message(row.id, row.name, "", "", (), dt.datetime.fromtimestamp(row.planned, dt.UTC)))


def _contact(person: Person) -> dict[str, Any]:
    return {"$type": "Contact", "name": person.name, "emails": list(person.emails), "phones": list(person.phones)}


__all__ = ["WISHES", "Declined", "Dispatcher", "Failed", "JournalError", "Refused", "StepCall"]
