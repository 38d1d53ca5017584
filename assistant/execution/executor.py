"""The executor: errands as durable workflows.

An errand is one DBOS workflow, each of its steps one DBOS step; DBOS brings back what a crash or restart interrupted.
What people and programs see (states, results, questions, events, effects) lies in our own tables (store.py), written
before DBOS notes a step as done, so nothing that is noted can be missing. One process per data folder.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import logging
import os
import sqlite3
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar
from zoneinfo import ZoneInfo

from dbos import DBOS, DBOSConfig, SetWorkflowID

from assistant.config import Settings
from assistant.plugin.plan import check
from assistant.plugin.registry import Registry
from assistant.plugin.signature import Type

from . import answers
from .attachments import Attachments
from .bell import Bell
from .channels.routes import Routes
from .contacts import AddressBook
from .effects import Dispatcher
from .errand import FINISHED, ErrandRequest, ErrandState, Event, ExecutorError, NotAsked, UnknownErrand
from .home import identity, local_zone, lock
from .journal import Journal
from .plugins import Grants
from .private import private_file
from .reminders import Reminders, ReminderState
from .reply import reply
from .run import POLL_S, ErrandRun, Services
from .state import errand_state
from .store import Store, database_url

log = logging.getLogger(__name__)
T = TypeVar("T")
# Errands of an older release go on under a newer one as long as this stays; raise it when `run` changes its steps.
APPLICATION_VERSION = "errands-1"
RECOVERIES = 100  # an errand that takes the service down with it is given up after so many starts
REMIND_S = 1.0
REMINDERS = "reminders"  # what is rung when one is raised
FORGET_QUESTION_S = 7 * 86400.0
_current: Executor | None = None


class Executor:
    """Carries out plans. Use from one event loop; `start` first, `aclose` last."""

    def __init__(self, settings: Settings, registry: Registry, sandbox: Any, *, retry_s: float = 2.0):
        """sandbox: a started `Sandbox`, or anything with its `call` and `state`. retry_s: first pause between tries."""
        self.settings, self.registry, self.sandbox = settings, registry, sandbox
        self.zone = ZoneInfo(settings.timezone) if settings.timezone else local_zone()
        self._retry_s = retry_s
        self._runs: dict[str, ErrandRun] = {}
        self._bell = Bell()
        self._tasks: list[asyncio.Task[None]] = []
        self._started = False
        self._pool = ThreadPoolExecutor(4, thread_name_prefix="store")

    # life

    async def start(self) -> None:
        """Open the databases and go on with what was interrupted. Raises ExecutorError."""
        global _current
        if _current is not None:
            raise ExecutorError("an executor is running in this process already; close it first")
        self.settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._lock = lock(self.settings.home)
        try:
            self._open(self.settings.home)
            await self._db(self._dispatcher.recover, self._id)
            _current = self
            self._launch()
            self._started = True
            await self._resume()
        except BaseException:
            self._started = True  # far enough to be closed
            await self.aclose()
            raise
        self._tasks = [asyncio.create_task(work()) for work in (self._remind, self._deliver_reminders, self._clean)]

    def _open(self, home: Path) -> None:
        self._id = identity(home)
        self.store = Store(database_url(self.settings.database_url, home, "errands.db"))
        self.book = AddressBook(self.settings.contacts)
        self._attachments = Attachments(
            home / "attachments", [home / "artifacts", *self.settings.photos], self.settings.send_location
        )
        self.reminders = Reminders(self.store)
        self._dispatcher = Dispatcher(
            Journal(self.store), Routes(self.settings), self.book, self._attachments, self.reminders, self._retry_s
        )
        self._services = Services(
            self.store, self._dispatcher, self.registry, self.sandbox, Grants(self.settings, self.zone, self._owner()),
            self._db, self._tell, self._bell.listen, self._finish,
        )  # fmt: skip

    async def aclose(self) -> None:
        """Stop; what is unfinished goes on after the next start. What is being sent is brought to its end."""
        global _current
        if not self._started:
            return
        self._started = False
        running = [run.task for run in self._runs.values() if run.task] + self._tasks
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        if hasattr(self, "_dispatcher"):
            await asyncio.to_thread(self._dispatcher.close)
        await asyncio.to_thread(DBOS.destroy)
        # DBOS has made its own thread pool the loop's default, and has just shut it down.
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(thread_name_prefix="asyncio"))
        if _current is self:
            _current = None
        self._pool.shutdown(wait=True)
        if hasattr(self, "store"):
            self.store.close()
        self._lock.close()

    def _launch(self) -> None:
        url = database_url(self.settings.database_url, self.settings.home, "dbos.db")
        if url.startswith("sqlite"):
            private_file(self.settings.home / "dbos.db")
            with contextlib.closing(sqlite3.connect(self.settings.home / "dbos.db")) as connection:
                connection.execute("PRAGMA journal_mode=WAL")  # stays with the file
        config: DBOSConfig = {
            "name": "voice-errands", "system_database_url": url, "application_version": APPLICATION_VERSION,
            "executor_id": self._id, "log_level": "ERROR", "use_listen_notify": False,
            "db_engine_kwargs": {"connect_args": {"factory": _Relaxed}} if url.startswith("sqlite") else None,
            "notification_listener_polling_interval_sec": 0.2,  # we wait for none; a close waits for the poller
        }  # fmt: skip
        DBOS(config=config)
        DBOS.launch()

    async def _resume(self) -> None:
        """Start what was submitted but never reached DBOS, and end what DBOS has given up."""
        for id in await self._db(self.store.unfinished, self._id):
            status = await DBOS.get_workflow_status_async(id)
            if status is None:
                await self._begin(id)
            elif status.status not in ("PENDING", "ENQUEUED", "DELAYED"):
                await self._finish(id, "failed")

    # errands

    async def submit(self, request: ErrandRequest) -> ErrandState:
        """Check and start an errand; its state. A known id gives that errand. Raises PlanError."""
        if request.previous is None:
            earlier = await self._db(self.store.recent, 1, request.session, ("done", "failed"))
        else:
            earlier = [request.previous] if request.previous else []
        said = list(request.said or ([request.text] if request.text else []))
        check(request.plan, self.registry, previous=await self._types(earlier), said=said or None)
        row = {
            "id": request.id, "executor": self._id, "session": request.session, "text": request.text, "said": said,
            "plan": request.plan.to_json(), "approve": request.approve, "previous": earlier[0] if earlier else None,
        }  # fmt: skip
        if await self._tell(request.id, self.store.add_errand, row, [s.tool for s in request.plan.steps]):
            await self._begin(request.id)
        return await self.state(request.id)

    async def state(self, id: str) -> ErrandState:
        """An errand as it stands. Raises UnknownErrand."""
        if (state := await self._db(self.look, id)) is None:
            raise UnknownErrand(id)
        return state

    def look(self, id: str) -> ErrandState | None:
        """As `state`, without a thread: it blocks. None for an unknown errand."""
        row = self.store.errand(id)
        return None if row is None else errand_state(row, self.store.full(id))

    async def wait(self, id: str, seconds: float = 30.0) -> ErrandState:
        """The state once the errand is finished or asks something, or after `seconds`."""
        end = time.monotonic() + seconds
        with self._bell.listen(id) as listener:
            while (left := end - time.monotonic()) > 0:
                run = self._runs.get(id)
                if (run is None or run.asking) and await self._db(self.store.resting, id):
                    state = await self.state(id)
                    if state.question or state.status in FINISHED:
                        return state
                await listener.wait(min(left, POLL_S))
        return await self.state(id)

    async def events(self, id: str, after: int = 0) -> AsyncIterator[Event]:
        """What happened after event `after`, and what happens until the errand is finished."""
        with self._bell.listen(id) as listener:
            while True:
                over = (await self.state(id)).status in FINISHED and id not in self._runs
                for event in await self._db(self.store.events, id, after):
                    after = event.id
                    yield event
                if over:
                    return
                await listener.wait(POLL_S)

    async def answer(self, id: str, *, confirm: bool | None = None, choice: int | None = None,
                     text: str | None = None, asked: str | None = None) -> ErrandState:  # fmt: skip
        """Answer the open question. asked: its text, so that the answer cannot meet another one. Raises UnknownErrand,
        AnswerError."""
        await self.state(id)
        open_ = (await self._db(self.store.full, id))["questions"]
        if not open_ or (await self.state(id)).status in FINISHED:
            raise NotAsked("nothing is asked about this errand")
        question = open_[0]
        answers.same(asked, question["text"])
        given = answers.understand(question["kind"], question["choices"], confirm=confirm, choice=choice, text=text)
        if not await self._tell(id, self.store.answer, question["id"], id, given):
            raise NotAsked("the question was answered already")
        return await self.state(id)

    async def cancel(self, id: str) -> ErrandState:
        """Cancel an errand; one that is finished stays as it is. Raises UnknownErrand."""
        await self.state(id)
        if await self._tell(id, self.store.set_status, id, "cancelled"):
            run = self._runs.get(id)
            if run is not None:
                run.cancel()
                await run.finished.wait()
            else:
                await self._finish(id, "cancelled")
        return await self.state(id)

    async def history(self, limit: int = 50, session: str | None = None) -> list[ErrandState]:
        """Errands, newest first."""
        return [await self.state(id) for id in await self._db(self.store.recent, limit, session)]

    async def purge(self, before: dt.datetime) -> int:
        """Forget errands that finished before a time, their files and copies; how many errands."""
        ids = await self._db(self.store.purge, before.timestamp())
        if ids:
            await DBOS.delete_workflows_async(ids)
        await self._db(self._attachments.purge, await self._db(self.store.kept_files))
        if hasattr(self.sandbox, "artifacts"):
            await self._db(self.sandbox.artifacts.prune, time.time() - before.timestamp())
        return len(ids)

    # within

    async def _types(self, errands: list[str]) -> list[Type]:
        if not errands:
            return []
        plan = (await self.state(errands[0])).plan
        return [self.registry[s.tool].returns for s in plan.steps if s.tool in self.registry]

    async def _begin(self, id: str) -> None:
        with SetWorkflowID(id):
            await DBOS.start_workflow_async(_errand, id)

    async def _finish(self, id: str, status: str) -> None:
        """Compose the reply from what the tables show and close the errand."""
        row = await self._db(self.store.errand, id)
        assert row is not None
        state = errand_state({**row, "status": status}, await self._db(self.store.full, id))
        try:
            text = reply(state, dt.datetime.now(self.zone), self._reduced())
        except Exception:  # an odd value of a tool must not keep the errand open, and the service from starting
            log.exception("the reply of errand %s", id)
            text = "What came of it cannot be put into words; the steps show what was done."
        if not await self._tell(id, self.store.set_status, id, status, text):
            await self._tell(id, self.store.set_reply, id, text)

    def _reduced(self) -> bool:
        return bool(self.sandbox.state().mode == "reduced")

    def _owner(self) -> tuple[int, int] | None:
        uid = self.sandbox.state().uid
        return (uid, uid) if os.geteuid() == 0 and uid > 0 else None

    async def _remind(self) -> None:
        """Raise reminders when they are due."""
        while True:
            now = dt.datetime.now(dt.UTC)
            try:
                await self.raise_reminders(now)
            except Exception:
                log.exception("raising reminders")
            await asyncio.sleep(REMIND_S)

    async def raise_reminders(self, now: dt.datetime) -> list[ReminderState]:
        """Raise those that are due, each once: as an event of its errand, and through the channel `self`, for which it
        does not wait."""
        raised = []
        for reminder in await self._db(self.reminders.due, now, self._id):
            # Planned first: after a crash in between it is raised again, but can be delivered only once.
            await self._db(self._dispatcher.plan_reminder, reminder.errand, reminder.step, reminder.text)
            if await self._tell(reminder.errand, self.reminders.raise_, reminder, now):
                raised.append(reminder)
                self._bell.ring(REMINDERS)
        return raised

    async def _deliver_reminders(self) -> None:
        """Deliver what is raised, and first what a crash has left. Beside `_remind`: a channel that does not answer
        must not hold up the reminders on the page."""
        with self._bell.listen(REMINDERS) as listener:
            while True:
                try:
                    await self._dispatcher.deliver_reminders(self._id)
                except Exception:
                    log.exception("delivering reminders")
                await listener.wait(60.0)

    async def raised(self, since: dt.datetime) -> AsyncIterator[ReminderState]:
        """The reminders that were raised after a moment, and then each as it is raised; ends with `aclose`."""
        with self._bell.listen(REMINDERS) as listener:
            while self._started:
                for reminder in await self._db(self.reminders.raised_after, since):
                    assert reminder.raised is not None
                    since = reminder.raised
                    yield reminder
                await listener.wait(5.0)

    async def _clean(self) -> None:
        """Once a day: forget old errands, and cancel those whose question nobody answered for a week."""
        while True:
            try:
                await self.purge(dt.datetime.now(dt.UTC) - dt.timedelta(days=self.settings.keep_days))
                for id in await self._db(self.store.waiting_since, time.time() - FORGET_QUESTION_S, self._id):
                    await self.cancel(id)
            except Exception:
                log.exception("cleaning up")
            await asyncio.sleep(86400)

    async def _db(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, lambda: function(*args))

    async def _tell(self, about: str, function: Callable[..., T], *args: Any) -> T:
        """A change to an errand that others may wait for."""
        result = await self._db(function, *args)
        self._bell.ring(about)
        return result

    async def run_errand(self, id: str) -> str:
        """The body of the workflow."""
        run = self._runs[id] = ErrandRun(self._services, id)
        try:
            return await run.run(_step)
        except Exception:  # a database that cannot be written, say: not left running until the next start
            log.exception("errand %s", id)
            await self._finish(id, "failed")
            return "failed"
        finally:
            del self._runs[id]
            self._bell.ring(id)

    async def run_step(self, id: str, n: int) -> str:
        """The body of a step of the workflow."""
        return await self._runs[id].step(n)


class _Relaxed(sqlite3.Connection):
    """DBOS's own notes need not survive a power cut: our tables do, and what DBOS has forgotten is found in them."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.execute("PRAGMA synchronous=NORMAL")


@DBOS.workflow(name="errand", max_recovery_attempts=RECOVERIES)
async def _errand(id: str) -> str:
    assert _current is not None
    return await _current.run_errand(id)


@DBOS.step(name="step")
async def _step(id: str, n: int) -> str:
    assert _current is not None
    return await _current.run_step(id, n)
