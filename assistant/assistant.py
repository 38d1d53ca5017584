"""The assistant as one object: what the service, the command line and the tests talk to.

    assistant = Assistant(load_settings())
    await assistant.start()                                   # goes on with what a crash or restart interrupted
    command = await assistant.command(text="make a gif of my last five photos and send it to Alice", session="desk")
    if command.question: command = await assistant.answer(command.id, confirm=True)
    print(command.reply, command.to_json())                   # the keys of the HTTP answer, always all of them
    await assistant.aclose()

Sessions: commands of one session are taken in turn, and each may refer to the one before ("now send it to Bob too").
Without a session a command stands alone. A command that only answers the question of the one before ("yes", "the second
one", "Alice") is that answer, and gives back the command that it continues.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import secrets
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol
from weakref import WeakValueDictionary

from . import metrics
from .command import ASKING, ENDED, SUBMITTED, Busy, Command, CommandError, Commands, KeyReused, command
from .config import Settings
from .execution.artifacts import StoredArtifact
from .execution.bell import Bell
from .execution.errand import FINISHED, AnswerError, ErrandState, Event, NotAsked
from .execution.executor import Executor
from .execution.home import identity
from .execution.sandbox import Sandbox, SandboxOptions
from .hearing import Hearing
from .planning.planned import Planned
from .plugin.registry import Registry, load_registry
from .telemetry import span
from .understanding import Understanding

log = logging.getLogger(__name__)
TEXT_LIMIT = 4000  # characters
AUDIO_LIMIT = 25 << 20  # bytes
WAITING_LIMIT = 32  # commands that are being understood or wait for it
SLOTS = 2  # plans made at the same time
LONGEST_WAIT = 600.0
EVENT_PAUSE = 0.5
LOOK_S = 2.0  # how often one who waits looks around


class Plans(Protocol):
    """What the assistant needs of a planner; `planning.Planner` is one."""

    def plan(self, text: str, history: Any = ()) -> Planned: ...
    def complete(self, planned: Planned, answer: str) -> Planned: ...


class Assistant:
    """Joins plugins, speech, planning and execution. Use from one event loop; `start` first, `aclose` last."""

    registry: Registry
    executor: Executor
    sandbox: Sandbox
    planner: Plans
    hearing: Hearing
    commands: Commands

    def __init__(self, settings: Settings, *, planner: Plans | None = None) -> None:
        """planner: instead of the one over the configured checkpoint, which is then not loaded."""
        self.settings = settings
        self.engine: Any = None  # assistant.llm.Engine, once started
        self._given = planner
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._entering = 0  # commands that are being kept and have no task yet
        self._handover = asyncio.Lock()  # a plan is either handed to the executor or cancelled
        self._sessions: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._bell = Bell()
        self._pool = ThreadPoolExecutor(SLOTS, thread_name_prefix="planner")
        self._cleaner: asyncio.Task[None] | None = None
        self.ready = False
        self.leaving = asyncio.Event()  # set before `aclose`: who waits or listens is told how it stands

    # life

    async def start(self) -> None:
        """Open everything and go on with what was interrupted. Raises what stands in the way, in clear words."""
        home = self.settings.home
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        options = SandboxOptions(artifacts=home / "artifacts", user=self.settings.sandbox_user or 65534)
        self.sandbox = Sandbox(options)
        try:
            await asyncio.to_thread(self.sandbox.start)
            self.registry = await asyncio.to_thread(load_registry, lambda p: self.sandbox.describe(p.module, p.name))
            self.planner = self._given if self._given else await asyncio.to_thread(self._load_planner)
            self.executor = Executor(self.settings, self.registry, self.sandbox)
            await self.executor.start()
        except BaseException:
            await asyncio.to_thread(self.sandbox.close)
            raise
        self.commands = Commands(self.executor.store, identity(self.settings.home))
        self.hearing = Hearing(self.settings, self.sandbox, self.registry, self.executor.book)
        self._understanding = Understanding(self)
        self.hearing.start()
        await self._resume()
        self._cleaner = asyncio.create_task(self._clean())
        self.ready = True

    async def aclose(self) -> None:
        """Stop; what is unfinished goes on after the next start."""
        self.ready = False
        tasks = [*self._tasks.values(), *([self._cleaner] if self._cleaner else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self.hearing.aclose()
        await self.executor.aclose()
        self._pool.shutdown(wait=True)
        if self.engine is not None:
            await asyncio.to_thread(self.engine.close)
        await asyncio.to_thread(self.sandbox.close)

    def _load_planner(self) -> Plans:
        from .llm import Engine, kernels, load
        from .llm.mesh import make_mesh
        from .planning import Planner
        from .shipped import planner_checkpoint

        kernels.use_compilation_cache(
            self.settings.home / "compiled"
        )  # trusted code, so it lies in the user's own folder
        devices = self.settings.model_devices
        try:
            mesh = make_mesh(1, devices) if devices > 1 else None
            model = load(self.settings.model or planner_checkpoint(), mesh=mesh, dtype=self.settings.model_weights)
        except (OSError, ValueError) as error:
            raise ValueError(f"the planner's checkpoint cannot be opened (ASSISTANT_MODEL): {error}") from error
        self.engine = Engine(model, slots=SLOTS, length=2048, sizes=(1, 8, 32, 128), short=32)
        planner = Planner(self.engine, self.registry, threshold=self.settings.plan_confidence or None)
        planner.warm_up()
        return planner

    async def _resume(self) -> None:
        rows = await self._db(self.commands.unfinished)
        self.hearing.sweep({row["id"] for row in rows})
        for row in rows:
            if not await self._unsubmitted(row):
                self._follow(row["id"])
            elif row["created"] > self._forgotten():  # else its errand may have been, and is forgotten
                self._begin(row)

    async def _unsubmitted(self, row: dict[str, Any]) -> bool:
        """Whether a crash came before the errand's start."""
        return await self._db(self.executor.store.errand, row["id"]) is None

    async def _clean(self) -> None:
        while True:
            try:
                await self._db(self.commands.purge, self._forgotten())
            except Exception:
                log.exception("cleaning up")
            await asyncio.sleep(86400)

    def _forgotten(self) -> float:
        """Before this moment nothing is remembered."""
        return time.time() - self.settings.keep_days * 86400

    # commands

    async def command(self, *, text: str | None = None, audio: bytes | None = None, session: str | None = None,
                      approve: bool = False, plan_only: bool = False, wait: float = 30.0,
                      idempotency_key: str | None = None) -> Command:  # fmt: skip
        """Take a command; how it stands once it is finished or asks something, or after `wait` seconds.

        approve: messages leave without a further question. plan_only: the plan is made and not carried out. The same
        key with the same request gives the same command. Raises CommandError (Busy, KeyReused).
        """
        self._check(text, audio, wait)
        row = self._row(text, audio, session, approve, plan_only, idempotency_key)
        if (known := await self._known(row)) is None:
            known = await self._take(row, audio)
        return await self.rest(known["id"], wait)

    async def _take(self, row: dict[str, Any], audio: bytes | None) -> dict[str, Any]:
        """Keep a new command and begin it; the row that had its key first, if another request was quicker."""
        if len(self._tasks) + self._entering >= WAITING_LIMIT:
            raise Busy("too many commands are waiting; try again in a few seconds", 5)
        self._entering += 1
        kept = None
        try:
            if audio is not None:
                await asyncio.to_thread(self.hearing.keep, row["id"], audio)
            kept = await self._db(self.commands.add, row)
            if kept["id"] == row["id"]:
                metrics.COMMANDS.labels("speech" if audio is not None else "text").inc()
                self._begin(kept)
            return _same_request(kept, row)
        finally:
            self._entering -= 1
            if audio is not None and (kept is None or kept["id"] != row["id"]):
                self.hearing.forget(row["id"])

    def _check(self, text: str | None, audio: bytes | None, wait: float) -> None:
        if (text is None) == (audio is None):
            raise CommandError("a command is either a text or a recording: give exactly one of `text` and `audio`")
        if text is not None and not text.strip():
            raise CommandError("the text is empty; say what to do")
        if text is not None and len(text) > TEXT_LIMIT:
            raise CommandError(f"the text has {len(text)} characters; at most {TEXT_LIMIT} are taken")
        if audio is not None and len(audio) > AUDIO_LIMIT:
            raise CommandError(f"the recording has {len(audio)} bytes; at most {AUDIO_LIMIT} are taken")
        if not 0 <= wait <= LONGEST_WAIT:
            raise CommandError(f"wait must lie between 0 and {LONGEST_WAIT:.0f} seconds")

    def _row(self, text: str | None, audio: bytes | None, session: str | None, approve: bool, plan_only: bool,
             key: str | None) -> dict[str, Any]:  # fmt: skip
        id = secrets.token_urlsafe(12)
        content = audio if audio is not None else (text or "").encode("utf-8", "surrogatepass")
        about = repr((audio is None, session, approve, plan_only)).encode()
        transcript = {"text": text, "language": "en", "confidence": 1.0, "engine": "text"} if text is not None else None
        return {
            "id": id, "session": session or id, "key": key, "text": text, "transcript": transcript,
            "fingerprint": hashlib.sha256(about + b"\n" + content).hexdigest(), "approve": approve,
            "plan_only": plan_only, "status": "running",
        }  # fmt: skip

    async def _known(self, row: dict[str, Any]) -> dict[str, Any] | None:
        found = await self._db(self.commands.by_key, row["key"]) if row["key"] is not None else None
        return None if found is None else _same_request(found, row)

    async def get(self, id: str) -> Command:
        """A command as it stands. Raises UnknownCommand."""
        row, errand = await self._db(self._look, id)
        return command(row, errand)

    async def rest(self, id: str, seconds: float) -> Command:
        """The command once it is finished or asks something, or as it stands after `seconds`."""
        end = time.monotonic() + seconds
        with self._bell.listen(id) as listener:
            while True:
                row, errand = await self._db(self._look, id)
                left = end - time.monotonic()
                if left <= 0 or self.leaving.is_set() or row["status"] in (*ENDED, *ASKING):
                    return command(row, errand)
                if errand is None:
                    await listener.wait(min(left, LOOK_S))
                    continue
                state = await self.executor.wait(row["id"], min(left, LOOK_S))
                if state.question or state.status in FINISHED:
                    return await self.get(id)

    async def events(self, id: str, after: int = 0) -> AsyncIterator[Event]:
        """What happened to a command after event `after`, and what happens until it is finished."""
        with self._bell.listen(id) as listener:
            row = await self._row_of(id)
            while row["status"] != SUBMITTED or await self._unsubmitted(row):
                over = row["status"] in ENDED
                for event in await self._db(self.executor.store.events, row["id"], after):
                    after = event.id
                    yield event
                if over:
                    return
                await listener.wait(EVENT_PAUSE)
                row = await self._row_of(id)
        async for event in self.executor.events(row["id"], after):
            yield event

    async def answer(self, id: str, *, confirm: bool | None = None, choice: int | None = None, text: str | None = None,
                     asked: str | None = None, wait: float = 30.0) -> Command:  # fmt: skip
        """Answer a command's open question. asked: its text, so that a late or repeated answer cannot meet another
        question. Raises UnknownCommand, AnswerError."""
        row = await self._row_of(id)
        if text is not None and len(text) > TEXT_LIMIT:
            raise AnswerError(f"the answer has {len(text)} characters; at most {TEXT_LIMIT} are taken")
        if row["status"] == SUBMITTED:
            await self.executor.answer(row["id"], confirm=confirm, choice=choice, text=text, asked=asked)
            self._follow(row["id"])
        elif row["status"] in ASKING:
            await self._understanding.answer(row, confirm=confirm, choice=choice, text=text, asked=asked)
        else:
            raise NotAsked("nothing is asked about this command")
        return await self.rest(row["id"], wait)

    async def cancel(self, id: str) -> Command:
        """Cancel a command; one that is finished stays as it is. Raises UnknownCommand."""
        row = await self._row_of(id)
        told = ("status", {"status": "cancelled"})
        over = {"status": "cancelled", "reply": "Cancelled."}
        done = await self._update(row["id"], told, expect=("running", *ASKING), **over)
        async with self._handover:
            row = await self._row_of(id)
            begun = row["status"] == SUBMITTED and not await self._unsubmitted(row)
            if row["status"] == SUBMITTED and not begun:
                done = await self._update(row["id"], told, expect=(SUBMITTED,), **over)
        if done:
            metrics.ENDED.labels("cancelled").inc()
        if begun:
            await self.executor.cancel(row["id"])
            self._follow(row["id"])
        return await self.get(row["id"])

    async def history(self, limit: int = 50, session: str | None = None) -> list[Command]:
        """Commands, newest first."""
        rows = await self._db(self.commands.recent, limit, session)
        return [command(row, await self._db(self._errand, row)) for row in rows]

    @property
    def waiting(self) -> int:
        """How many commands are being understood or carried out."""
        return len(self._tasks)

    def artifact(self, id: str) -> StoredArtifact:
        """A file that a step has made. Raises KeyError."""
        return self.sandbox.artifacts.get(id)

    # within

    def _begin(self, row: dict[str, Any]) -> None:
        self._spawn(row["id"], self._run(row))

    def _follow(self, id: str) -> None:
        """Watch an errand that goes on, so that what waits for it and what counts it learns of its end."""
        self._spawn(f"{id}/follow", self._watch(id))

    def _spawn(self, name: str, work: Any) -> None:
        task = asyncio.create_task(work, name=name)
        self._tasks[name] = task
        task.add_done_callback(lambda _: self._tasks.pop(name, None) if self._tasks.get(name) is task else None)

    async def _run(self, row: dict[str, Any]) -> None:
        """One command from its words to the errand's end or first question; the session's next waits as long."""
        lock = self._sessions.setdefault(row["session"], asyncio.Lock())  # lives as long as somebody holds it
        try:
            if row["status"] == SUBMITTED:  # answered, or resumed; the next one may hold the lock and wait for this one
                return await self._carry_out(row["id"])
            async with lock:
                if row["text"] is None:
                    row = await self._understanding.hear(row)
                if await self._understanding.plan(row):
                    await self._carry_out(row["id"])
        except asyncio.CancelledError:
            raise
        except CommandError as error:
            await self._fail(row["id"], error.status, error.title, str(error))
        except Exception as error:
            log.exception("command %s", row["id"])
            if not await self._unsubmitted(row):
                return self._follow(row["id"])  # the errand goes on, whatever became of watching it
            await self._fail(row["id"], 500, "Internal error", f"something went wrong ({type(error).__name__})")
        finally:
            self._bell.ring(row["id"])

    async def _carry_out(self, id: str) -> None:
        with span("run", command=id):
            if await self._submit(id):
                await self._watch(id)

    async def _submit(self, id: str) -> bool:
        """Give the plan to the executor, unless it was cancelled meanwhile. The row says so before, so that a crash in
        between is made good."""
        async with self._handover:
            row = await self._db(self.commands.get, id)
            if row["status"] != SUBMITTED:
                return False
            await self._understanding.submit(row)
        self._bell.ring(id)
        return True

    async def _watch(self, id: str) -> None:
        state = await self.executor.wait(id, 3600.0)
        if state.status in FINISHED and (await self._db(self.commands.get, id))["ended"] is None:
            await self._update(id, ended=time.time())
            metrics.ENDED.labels(state.status).inc()
            metrics.STAGE.labels("run").observe(state.run_ms / 1000)

    async def _fail(self, id: str, status: int, title: str, detail: str) -> None:
        problem = {"status": status, "title": title, "detail": detail}
        events = (("reply", {"text": detail}), ("status", {"status": "failed"}))
        self.hearing.forget(id)  # nobody could use it any more
        failed = {"status": "failed", "reply": detail, "problem": problem}
        if await self._update(id, *events, expect=("running", SUBMITTED), **failed):
            metrics.ENDED.labels("failed").inc()

    async def _update(self, id: str, *events: tuple[str, dict[str, Any]], **values: Any) -> bool:
        changed = await self._db(lambda: self.commands.update(id, *events, **values))
        self._bell.ring(id)
        return bool(changed)

    async def _row_of(self, id: str) -> dict[str, Any]:
        """The row of a command; of an answer spoken as a command, that of the command which it answered."""
        row = await self._db(self.commands.get, id)
        return await self._row_of(row["continues"]) if row["continues"] else row

    def _look(self, id: str) -> tuple[dict[str, Any], ErrandState | None]:
        """A command's row as `_row_of` finds it, and its errand once there is one; blocks."""
        row = self.commands.get(id)
        return self._look(row["continues"]) if row["continues"] else (row, self._errand(row))

    def _errand(self, row: dict[str, Any]) -> ErrandState | None:
        return self.executor.look(row["id"]) if row["status"] == SUBMITTED else None

    async def _db(self, function: Any, *args: Any) -> Any:
        return await asyncio.to_thread(function, *args)

    async def _in_planner(self, function: Any, *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _same_request(found: dict[str, Any], row: dict[str, Any]) -> dict[str, Any]:
    """The row that has the idempotency key. Raises KeyReused when it is of another request."""
    if found["fingerprint"] != row["fingerprint"]:
        raise KeyReused(f"the Idempotency-Key {row['key']!r} was used for another request; choose a new one")
    return found
