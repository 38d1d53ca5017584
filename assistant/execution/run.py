"""One errand while it runs: its steps, each as soon as what it needs is there, and its questions, one at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from assistant.plugin.plan import Plan, Reference, Step
from assistant.plugin.registry import Registry
from assistant.plugin.signature import ToolSpec, Type
from assistant.plugin.types import DATACLASSES
from assistant.plugin.values import ValueTypeError, decode_dataclass
from assistant.telemetry import span

from .bell import Listener
from .effects import WISHES, Declined, Dispatcher, Failed, JournalError, Refused, StepCall
from .errand import FINISHED
from .plugins import Grants, NotApproved
from .policy import acts_itself
from .references import NothingThere, arguments
from .reply import doing, summary
from .sandbox import (
    Call,
    CallResult,
    SandboxError,
    SandboxInterrupted,
    SandboxUnavailable,
    ToolFailed,
    ToolLimit,
    ToolTimedOut,
)
from .store import Store

log = logging.getLogger(__name__)
SETTLED = ("done", "failed", "skipped", "cancelled")
RESULT_OF = {"Send": "Receipt", "AddReminder": "Reminder", "AddNote": "Note", "FindContact": "Contact"}
POLL_S = 2.0  # another process may answer
Run = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Services:
    """What an errand works with. db(function, …): run it in a thread; tell(id, function, …): the same, then wake those
    who wait for the errand; listen(id): hear that."""

    store: Store
    dispatcher: Dispatcher
    registry: Registry
    sandbox: Any  # with `await call(Call, progress)`
    grants: Grants
    db: Run
    tell: Run
    listen: Callable[[str], AbstractContextManager[Listener]]
    finish: Callable[[str, str], Awaitable[None]]


class ErrandRun:
    """An errand in this process. `run` returns when it is finished; `cancel` stops it."""

    def __init__(self, services: Services, id: str):
        self.id = id
        self.finished = asyncio.Event()
        self.asking = False
        self.task = asyncio.current_task()
        self._s = services
        self._cancelled = False
        self._work: set[asyncio.Task[Any]] = set()
        self._asking = asyncio.Lock()
        self._settled: list[asyncio.Future[str]] = []
        self._plan = Plan()
        self._row: dict[str, Any] = {}
        self._before: list[dict[str, Any]] = []  # the steps as this process found them

    async def run(self, step: Callable[[str, int], Awaitable[str]]) -> str:
        """Carry the errand out; `step` runs one step durably (and calls `self.step`). The final status."""
        try:
            return await self._run(step)
        finally:
            self.finished.set()

    def cancel(self) -> None:
        """Stop what runs. What has begun to be sent is still brought to its end in the journal."""
        if self._cancelled:
            return  # a second time would reach what the first lets come to its end
        self._cancelled = True
        for task in self._work:
            task.cancel()

    async def _run(self, step: Callable[[str, int], Awaitable[str]]) -> str:
        self._row = await self._s.db(self._s.store.errand, self.id)
        if self._row["status"] in FINISHED:
            if not self._row["reply"]:  # cancelled, and stopped before that was told
                await self._s.finish(self.id, self._row["status"])
            return str(self._row["status"])
        self._plan = Plan.from_json(self._row["plan"])
        self._before = (await self._s.db(self._s.store.full, self.id))["steps"]
        loop = asyncio.get_running_loop()
        self._settled = [loop.create_future() for _ in self._plan.steps]
        # All are called now, in the plan's order: DBOS numbers them by that, and each waits for what it needs.
        durable = [self._one(n, step(self.id, n)) for n in range(1, len(self._plan.steps) + 1)]
        return await self._end(await asyncio.gather(*durable))

    async def _end(self, statuses: list[str]) -> str:
        status = next((s for s in ("failed", "cancelled", "skipped") if s in statuses), "done")
        status = "cancelled" if self._cancelled or status == "skipped" else status
        await self._s.finish(self.id, status)
        return status

    async def _one(self, n: int, step: Awaitable[str]) -> str:
        try:
            status = await step
        except Exception as error:
            log.exception("errand %s, step %d", self.id, n)
            status = await self._mark(n, "failed", error=f"internal error ({type(error).__name__})")
        self._settled[n - 1].set_result(status)
        return status

    async def step(self, n: int) -> str:
        """Step n, from its state in the tables to the end. Its status."""
        row = self._before[n - 1]
        if row["status"] in SETTLED:
            return str(row["status"])
        step, spec = self._plan.steps[n - 1], self._s.registry.get(row["tool"])
        if spec is None:
            return await self._mark(n, "failed", error=f"the tool {row['tool']} is no longer installed")
        for reference in step.references(spec):
            if not reference.previous and await self._settled[reference.step - 1] != "done":
                why = f"step {reference.step}, {doing(self._plan.steps[reference.step - 1].tool)}, was not done"
                return await self._mark(n, "cancelled" if self._cancelled else "skipped", error=why)
        try:
            return await self._stoppable(self._carry_out(n, step, spec, row["wish"]))
        except asyncio.CancelledError:
            if not self._cancelled:
                raise  # the service stops; the errand goes on after its next start
            return await self._mark(n, "cancelled", error="cancelled")

    async def _carry_out(self, n: int, step: Step, spec: ToolSpec, wish: dict[str, Any] | None) -> str:
        started, waited = time.monotonic(), [0.0]
        await self._mark(n, "running")
        artifacts: list[dict[str, Any]] = []
        try:
            args = arguments(step, spec, await self._results(step.references(spec)))
            call = self._call(n, spec, args, waited)
            if wish is None:
                with span("tool", errand=self.id, step=n, tool=spec.name):
                    answer = await self._execute(n, spec, args, call)
                value, artifacts = answer["value"], answer["artifacts"]
                check_result(value, spec)
                if isinstance(value, dict) and value.get("$type") in WISHES:
                    # Kept, so that a crash from here on repeats the wish and not the tool.
                    wish = {"value": value, "artifacts": artifacts}
                    await self._s.db(lambda: self._s.store.set_step(self.id, n, event=False, wish=wish))
            if wish is not None:
                artifacts = wish["artifacts"]
                with span("effect", errand=self.id, step=n, kind=str(wish["value"]["$type"])):
                    value = await self._s.dispatcher.carry_out(call, wish["value"])
        except (NothingThere, Refused, NotApproved, SandboxError, ValueTypeError, Failed, JournalError) as error:
            status, result = "cancelled" if isinstance(error, Declined) else "failed", getattr(error, "result", None)
            return await self._mark(n, status, error=_say(error, spec), result=result)
        ms = (time.monotonic() - started - waited[0]) * 1000
        return await self._mark(n, "done", result=value, artifacts=artifacts, summary=summary(value, artifacts), ms=ms)

    async def _execute(self, n: int, spec: ToolSpec, args: dict[str, Any], call: StepCall) -> dict[str, Any]:
        """Run the tool: {"value": its typed answer, "artifacts": the files it made}."""
        plugin = self._s.registry.plugin(spec.name)
        granted: Call = self._s.grants.call(spec.name, plugin, args)
        last = [0.0]

        def progress(fraction: float, text: str) -> None:
            if time.monotonic() - last[0] >= 0.2:
                last[0] = time.monotonic()
                told = {"id": n, "fraction": round(fraction, 3), "text": text[:200]}
                task = asyncio.ensure_future(self._s.tell(self.id, self._s.store.add_event, self.id, "progress", told))
                self._work.add(task)
                task.add_done_callback(self._work.discard)

        async def run() -> dict[str, Any]:
            try:
                result: CallResult = await self._s.sandbox.call(granted, progress)
                return {"value": result.value, "artifacts": [_artifact(a) for a in result.artifacts]}
            except SandboxInterrupted as error:
                raise ToolFailed(str(error)) from error
            except ToolFailed as error:
                if error.kind and not isinstance(error, (ToolLimit, ToolTimedOut)):
                    raise _Raised(str(error), error.kind) from error
                raise

        if acts_itself(spec, plugin.manifest):
            # A tool that raises may have acted before; only one that reaches nothing surely has not.
            reaches = plugin.manifest.hosts or plugin.manifest.write
            surely = (SandboxUnavailable,) if reaches else (SandboxUnavailable, _Raised)
            return await self._s.dispatcher.around(call, run, surely)
        return await run()

    def _call(self, n: int, spec: ToolSpec, args: dict[str, Any], waited: list[float]) -> StepCall:
        async def ask(key: str, kind: str, text: str, choices: list[str]) -> dict[str, Any]:
            began = time.monotonic()
            try:
                return await self._ask(f"{n}:{key}", kind, text, choices)
            finally:
                waited[0] += time.monotonic() - began

        plugin = self._s.registry.plugin(spec.name)
        return StepCall(
            errand=self.id, n=n, spec=spec, args=args, plan_hash=self._plan.hash, approve=self._row["approve"],
            said=tuple(self._row["said"]), may_send="send" in plugin.manifest.effects, ask=ask,
        )  # fmt: skip

    async def _ask(self, key: str, kind: str, text: str, choices: list[str]) -> dict[str, Any]:
        async with self._asking:
            self.asking = True
            try:
                with self._s.listen(self.id) as listener:
                    answer = await self._s.tell(self.id, self._s.store.ask, self.id, key, kind, text, choices)
                    while answer is None:
                        await listener.wait(POLL_S)
                        answer = await self._s.db(self._s.store.answered, self.id, key)
                        if answer is None and (await self._s.db(self._s.store.errand, self.id))["status"] in FINISHED:
                            self.cancel()  # another process has cancelled it; this one ends at its next wait
                return dict(answer)
            finally:
                self.asking = False

    async def _results(self, wanted: list[Reference]) -> Callable[[Reference], Any]:
        """The results that references stand for, from the tables."""
        found: dict[tuple[bool, int], Any] = {}
        for reference in wanted:
            errand = self._row["previous"] if reference.previous else self.id
            found[reference.previous, reference.step] = await self._s.db(self._s.store.result, errand, reference.step)
        return lambda reference: found[reference.previous, reference.step]

    async def _mark(self, n: int, status: str, **values: Any) -> str:
        await self._s.tell(self.id, lambda: self._s.store.set_step(self.id, n, status=status, **values))
        return status

    async def _stoppable(self, work: Any) -> Any:
        """Await work as a task of its own that `cancel` can reach."""
        task = asyncio.ensure_future(work)
        self._work.add(task)
        try:
            if self._cancelled:
                task.cancel()
            return await task
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            raise
        finally:
            self._work.discard(task)


class _Raised(ToolFailed):
    """The tool itself reported an error."""


def check_result(value: Any, spec: ToolSpec) -> None:
    """Raise ValueTypeError unless a tool's answer is of its return type, or the wish for one."""
    kind = value.get("$type") if isinstance(value, dict) else None
    if kind in WISHES:
        if RESULT_OF[str(kind)] != spec.returns.name:
            raise ValueTypeError(f"{spec.name} answered with a {kind}, but its type is {spec.returns}")
        decode_dataclass(value)
    elif not _fits(value, spec.returns):
        raise ValueTypeError(f"{spec.name} answered with something that is no {spec.returns}")


def _fits(value: Any, type_: Type) -> bool:
    if type_.item:
        return isinstance(value, list) and all(_fits(v, type_.item) for v in value)
    if type_.choices:
        return value in type_.choices
    scalar = {"int": int, "float": (int, float), "bool": bool, "str": str, "Spoken": str}.get(type_.name)
    if scalar is not None:
        return isinstance(value, scalar) and (isinstance(value, bool) == (type_.name == "bool"))  # type: ignore[arg-type]
    if not isinstance(value, dict):
        return False
    name = str(value.get("$type"))
    known = DATACLASSES.get(name)
    if known is None:
        return name == type_.name
    decode_dataclass(value)
    return type_.name in {c.__name__ for c in known.__mro__}


def _artifact(artifact: Any) -> dict[str, Any]:
    return {"id": artifact.id, "name": artifact.name, "media_type": artifact.media_type, "bytes": artifact.bytes}


def _say(error: Exception, spec: ToolSpec) -> str:
    """An error for people; a tool's own words are marked as such for third parties."""
    text = " ".join(str(error).removeprefix(f"{spec.name}: ").split())[:300] or type(error).__name__
    return f"{spec.name} says: {text}" if isinstance(error, ToolFailed) and spec.third_party else text
