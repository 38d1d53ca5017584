"""Errand processes that are killed, and what must hold afterwards.

`Campaign.round` runs a process of its own (forked from a server that has everything imported) with a sandbox and an
executor, lets it work on errands, and kills it with SIGKILL: after a time, or exactly before or after its k-th commit.
`Campaign.check` then counts what really left against the journal and the replies.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import multiprocessing
import os
import random
import shutil
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from assistant.execution.errand import ErrandRequest
from assistant.execution.journal import Journal
from assistant.execution.store import Store, database_url, effects, errands, events, notes, reminders

from . import kit
from .post_office import PostOffice

context = multiprocessing.get_context("forkserver")
context.set_forkserver_preload([__name__])


@dataclass(frozen=True)
class Kill:
    """Die before or after the n-th commit: of the journal alone, or of every database of the process."""

    n: int
    when: str = "before"
    of: str = "journal"


@dataclass
class Report:
    """What a campaign found."""

    errands: int = 0
    kills: int = 0
    sent: int = 0
    unknown: int = 0
    problems: list[str] = field(default_factory=list)

    def add(self, other: Report) -> None:
        for name in ("errands", "kills", "sent", "unknown", "problems"):
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Campaign:
    """Errands in one data folder that go through any number of kills. office: SMTP server; None for the outbox."""

    def __init__(self, office: PostOffice | None = None, database_url: str | None = None):
        self.folder = kit.public_folder(fast=True)
        self.office, self.kills = office, 0
        self.more: dict[str, Any] = {"database_url": database_url}
        if office is not None:
            self.more |= {"smtp_url": f"smtp://127.0.0.1:{office.port}", "smtp_from": "me@example.org"}
        self.ids: list[str] = []
        kit.copy_plugins(self.folder / "plugins")
        kit.settings_in(self.folder)

    def close(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def round(
        self, ids: list[str], kill: Kill | None = None, seconds: float | None = None, timeout: float = 60
    ) -> bool:
        """Work on errands in a process until it is killed (True) or they are finished (False)."""
        self.ids = list(dict.fromkeys(self.ids + ids))
        theirs, ours = context.Pipe()
        process = context.Process(target=_serve, args=(self.folder, self.ids, self.more, kill, theirs))
        process.start()
        theirs.close()
        with contextlib.suppress(EOFError):
            if ours.poll(timeout):
                ours.recv()  # the executor is about to start
            if seconds is not None and not ours.poll(seconds):
                process.kill()
        process.join(timeout)
        ours.close()
        if process.exitcode is None:
            process.kill()
            raise TimeoutError("the errands did not finish")
        # 255: the fork server could not tell the status of a process that ended early (see multiprocessing)
        if process.exitcode not in (0, -signal.SIGKILL, 255):
            raise RuntimeError(f"the process ended with {process.exitcode}")
        killed = process.exitcode != 0 and (kill is not None or seconds is not None)
        self.kills += killed
        return killed

    def check(self) -> Report:
        """Compare the journal, the replies and what was delivered."""
        report = Report(errands=len(self.ids), kills=self.kills)
        delivered = self._delivered()
        url = database_url(self.more["database_url"], self.folder / "home", "errands.db")
        with contextlib.closing(Store(url)) as store, store.read() as connection:
            for id in self.ids:
                self._check_errand(connection, id, delivered, report)
        return report

    def _check_errand(
        self, connection: sa.Connection, id: str, delivered: Counter[tuple[str, str]], report: Report
    ) -> None:
        errand = connection.execute(sa.select(errands).where(errands.c.id == id)).first()
        if errand is None or errand.status not in ("done", "failed"):
            report.problems.append(f"{id}: lost: {errand and errand.status}")
            return
        found = connection.execute(sa.select(effects).where(effects.c.errand == id)).all()
        if len(found) != 2:
            report.problems.append(f"{id}: {len(found)} effects")
        for effect in found:
            count, state = delivered[id, effect.recipient.partition(":")[2]], effect.state
            report.sent += state == "sent"
            report.unknown += state == "unknown"
            if count > 1:
                report.problems.append(f"{id}: {count} messages to {effect.name}, {state}")
            if state == "sent" and count == 0:
                report.problems.append(f"{id}: lost, though said to be sent to {effect.name}")
            if state == "failed" and count:
                report.problems.append(f"{id}: sent, though said to have failed")
            if state not in ("sent", "failed", "unknown"):
                report.problems.append(f"{id}: still {state}")
            told = f"I do not know whether the message to {effect.name}"
            if (state == "unknown") != (told in errand.reply):
                report.problems.append(f"{id}: {state}, but the reply is {errand.reply!r}")
        for table in (notes, reminders):
            count = len(connection.execute(sa.select(table.c.id).where(table.c.errand == id)).all())
            if count != 1:
                report.problems.append(f"{id}: {count} {table.name}")
        done: set[int] = set()
        steps = sa.select(events.c.data).where(events.c.errand == id, events.c.type == "step").order_by(events.c.id)
        for step in connection.execute(steps).scalars():
            if step.get("status") == "running" and step["id"] in done:
                report.problems.append(f"{id}: step {step['id']} was run again after it was done")
            if step.get("status") == "done":
                done.add(step["id"])

    def _delivered(self) -> Counter[tuple[str, str]]:
        """How many messages there are of each errand to each address."""
        if self.office is not None:
            raw = [(content, rcpt) for to, content in self.office.mails for rcpt in to]
        else:
            raw = [(path.read_bytes(), "") for path in kit.mails(self.folder)]
        count: Counter[tuple[str, str]] = Counter()
        for content, rcpt in raw:
            mail = email.message_from_bytes(content, policy=email.policy.default)
            body = mail.get_body()
            assert body is not None
            count[body.get_content().split()[-1], rcpt or mail["To"].addresses[0].addr_spec] += 1
        return count


def errand(id: str) -> ErrandRequest:
    """A picture to two people, a note and a reminder; the message's last word is the errand's id."""
    return kit.request(
        ("kit.picture", {"name": "cat"}),
        ("messages.send", {"to": ["Alice", "Benny"], "text": f"this is {id}", "attachments": ["$1"]}),
        ("notes.add", {"text": "remember"}),
        ("reminders.add", {"text": "call Ben", "when": "tomorrow at 9"}),
        approve=True,
        id=id,
        session=id,
    )


def _serve(folder: Path, ids: list[str], more: dict[str, Any], kill: Kill | None, pipe: Any) -> None:
    """The process: works until all errands are finished."""
    if kill is not None:
        _die_at(kill)

    async def work() -> None:
        with kit.sandbox_in(folder, preload=()) as sandbox:
            pipe.send("ready")
            async with kit.executor_in(folder, sandbox, **more) as executor:
                for id in ids:
                    await executor.submit(errand(id))
                for id in ids:
                    while (await executor.wait(id, 60)).status not in ("done", "failed"):
                        pass
                os._exit(0)  # an orderly end takes a second and is tested elsewhere

    asyncio.run(work())


def _die_at(kill: Kill) -> None:
    """Count commits, and die at the wanted one."""
    count, lock, local = [0], threading.Lock(), threading.local()

    def die() -> None:
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)

    def reached() -> bool:
        with lock:
            count[0] += 1
            return count[0] == kill.n

    def marked(method: Any) -> Any:
        @wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            local.inside = True
            try:
                return method(*args, **kwargs)
            finally:
                local.inside = False

        return wrapper

    write = Store.write

    @contextlib.contextmanager
    def dying_write(self: Store, durable: bool = True) -> Iterator[Any]:
        mine = False
        with write(self, durable) as connection:
            yield connection
            mine = (kill.of == "all" or getattr(local, "inside", False)) and reached()
            if mine and kill.when == "before":
                die()
        if mine:
            die()

    Store.write = dying_write  # type: ignore[method-assign]
    for name in ("plan", "approve", "_move"):
        setattr(Journal, name, marked(getattr(Journal, name)))
    if kill.of == "dbos":
        sa.event.listen(sa.engine.Engine, "commit", lambda c: die() if _of_dbos(c) and reached() else None)


def _of_dbos(connection: Any) -> bool:
    return "dbos.db" in str(connection.engine.url)


def boundary_campaign(office: PostOffice | None, of: str = "journal", first: int = 1, last: int = 200,
                      whens: tuple[str, ...] = ("before", "after")) -> Report:  # fmt: skip
    """Kill at every commit from the first-th to the last-th, or until an errand gets through unharmed."""
    total = Report()
    for n in range(first, last + 1):
        for when in whens:
            campaign = Campaign(office)
            try:
                id = f"{of}{n}{when}{random.randrange(16**6):06x}"
                if not campaign.round([id], Kill(n, when, of)):
                    return total
                campaign.round([id])
                total.add(campaign.check())
            finally:
                campaign.close()
    return total


def random_campaign(office: PostOffice | None, kills: int, batch: int, generator: random.Random) -> Report:
    """Kill processes at random moments while errands run, until so many kills have hit.

    The moments are spread evenly over the time that a process takes here and now for as many errands.
    """
    total = Report()
    while total.kills < kills:
        campaign = Campaign(office)
        try:
            began = time.monotonic()
            campaign.round([_name(generator) for _ in range(batch)])
            longest = time.monotonic() - began
            ids = [_name(generator) for _ in range(batch)]
            for _ in range(6):
                if not campaign.round(ids, seconds=generator.uniform(0, longest)):
                    break
            else:
                campaign.round(ids)
            total.add(campaign.check())
        finally:
            campaign.close()
    return total


def _name(generator: random.Random) -> str:
    return f"e{generator.randrange(16**8):08x}"
