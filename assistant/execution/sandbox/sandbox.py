"""The sandbox as the rest of the program sees it: start, call a tool, run one of our functions, close.

One zygote serves all calls; it is started again when it has died. The synchronous methods are the core, the
asynchronous ones run them in threads and stop the confined process when their task is cancelled.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from ..artifacts import ArtifactStore
from . import protocol
from .broker import Broker
from .link import Link, owner, start_zygote
from .model import (
    Call,
    CallResult,
    Limits,
    SandboxOptions,
    SandboxState,
    SandboxUnavailable,
    ToolFailed,
)
from .results import Results, files_in
from .supervisor import Progress, Supervisor
from .workspace import Workspace, Workspaces

T = TypeVar("T")
PROBE = "assistant.execution.sandbox.probe:probe"
SECRET = 6  # characters; what is shorter would take harmless words with it


class Sandbox:
    """Runs tools in confined processes. `start` before use, `close` once after; also a context manager."""

    def __init__(self, options: SandboxOptions) -> None:
        self.options = options
        self.artifacts = ArtifactStore(options.artifacts)
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._state: SandboxState | None = None
        self._closed = False
        self._workspaces: Workspaces | None = None
        self._free = threading.BoundedSemaphore(options.workers)
        self._pool = ThreadPoolExecutor(options.workers, thread_name_prefix="sandbox")

    def start(self) -> SandboxState:
        """Start the zygote and really run a confined process. Raises SandboxUnavailable when none can run."""
        self._zygote()
        return self.probe()

    def state(self) -> SandboxState:
        """What confinement the calls have, as the last probe found it."""
        if self._state is None:
            raise SandboxUnavailable("the sandbox has not been started")
        return self._state

    def probe(self) -> SandboxState:
        """Run a confined process that tries to break out; `reduced` with reasons when any attempt succeeds.

        Raises SandboxUnavailable when none can run.
        """
        link = self._zygote()
        try:
            answer = self._run(PROBE, b"[]", Limits(wall_s=20, cpu_s=10), ())
        except ToolFailed as error:
            raise SandboxUnavailable(f"no confined process can run here: {error}") from error
        found = protocol.parse(answer)
        reasons = tuple(dict.fromkeys([*link.reasons, *found["escapes"]]))
        self._state = SandboxState(
            "reduced" if reasons else "full", reasons, link.landlock_abi, link.seccomp, int(found["uid"])
        )
        return self._state

    def close(self) -> None:
        """End the zygote and with it every confined process."""
        self._closed = True
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            if self._link is not None:
                self._link.close()
                self._link = None
            if self._workspaces is not None:
                self._workspaces.remove()
        self.artifacts.close()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def call(self, call: Call, progress: Progress | None = None) -> CallResult:
        """Run a tool; see `call_sync`. Cancelling the task kills the process."""
        loop = asyncio.get_running_loop()

        def relay(fraction: float, text: str) -> None:
            if progress is not None:
                loop.call_soon_threadsafe(progress, fraction, text)

        return await self._in_thread(lambda stop: self.call_sync(call, relay, stop))

    def call_sync(
        self, call: Call, progress: Progress | None = None, cancelled: threading.Event | None = None
    ) -> CallResult:
        """Run a tool and take what it made into the artifact store.

        progress(fraction, text) is called from this thread. What the tool says, in whatever way, is rid of the secrets
        that it was given: results and errors are shown and kept. Raises ToolFailed, ToolTimedOut, ToolLimit, or
        SandboxUnavailable when the sandbox is not good enough for a third party's code.
        """
        if call.third_party and self.state().mode != "full":
            why = "; ".join(self.state().reasons)
            raise SandboxUnavailable(f"{call.tool} is third-party code and needs the full sandbox, but {why}")
        started = time.monotonic()
        read = [*map(str, call.read), *files_in(call.args)]
        header = {
            "kind": "tool", "tool": call.tool, "module": call.module, "function": call.function,
            "args": dict(call.args), "read": read, "write": [*map(str, call.write)], "hosts": list(call.hosts),
            "secrets": dict(call.secrets), "context": dict(call.context), "limits": asdict(call.limits),
        }  # fmt: skip
        told = [secret for secret in call.secrets.values() if len(secret) >= SECRET]
        hide = partial(_hidden, secrets=sorted(told, key=len, reverse=True))

        def relay(fraction: float, text: str) -> None:
            if progress is not None:
                progress(fraction, hide(text))

        with self._workspace() as workspace:
            try:
                body, tail = self._execute(call.tool, header, b"", call.limits, workspace, call.hosts, relay, cancelled)
            except ToolFailed as error:
                said = (str(error), error.kind, error.traceback, error.stderr_tail)
                raise type(error)(*map(hide, said)) from None
            try:
                value = protocol.parse(body)
            except protocol.ProtocolError as error:
                raise ToolFailed(hide(f"{call.tool}: {error}")) from None
            results = Results(workspace, self.artifacts, [*read, *map(str, call.write)], call.limits)
            value = results.take(hide(value))
        return CallResult(value, tuple(results.artifacts.values()), (time.monotonic() - started) * 1000, hide(tail))

    async def run(self, target: str, payload: bytes, limits: Limits | None = None, read: Sequence[Path] = ()) -> bytes:
        """Run one of our own functions confined; see `run_sync`."""
        return await self._in_thread(lambda stop: self.run_sync(target, payload, limits, read, stop))

    def run_sync(
        self,
        target: str,
        payload: bytes,
        limits: Limits | None = None,
        read: Sequence[Path] = (),
        cancelled: threading.Event | None = None,
    ) -> bytes:
        """Run "module:function" (bytes → bytes) of our own, to handle hostile data. read: what it may read.

        Raises as `call_sync`.
        """
        self.state()
        return self._run(target, payload, limits or Limits(), read, cancelled)

    def describe(self, module: str, plugin: str) -> list[dict[str, Any]]:
        """The tools of a third party's plugin, as ToolSpec JSON, found by importing it in a confined process."""
        if self.state().mode != "full":
            raise SandboxUnavailable("third-party plugins need the full sandbox: " + "; ".join(self.state().reasons))
        limits = Limits(wall_s=20, cpu_s=20, data_bytes=1 << 20)
        header = self._header("assistant.execution.sandbox.child:describe", module, limits, ())
        body = self._data(f"plugin {plugin}", header, protocol.dump([module, plugin]), limits)
        found = protocol.parse(body)
        if not isinstance(found, list):
            raise ToolFailed(f"plugin {plugin} answered nonsense")
        return found

    def _run(
        self,
        target: str,
        payload: bytes,
        limits: Limits,
        read: Sequence[Path],
        cancelled: threading.Event | None = None,
    ) -> bytes:
        header = self._header(target, target.partition(":")[0], limits, read)
        return self._data(target, header, payload, limits, cancelled)

    def _header(self, target: str, module: str, limits: Limits, read: Sequence[Path]) -> dict[str, Any]:
        return {
            "kind": "function", "target": target, "module": module, "read": [*map(str, read)], "write": [],
            "hosts": [], "limits": asdict(limits),
        }  # fmt: skip

    def _data(
        self, name: str, header: dict, payload: bytes, limits: Limits, cancelled: threading.Event | None = None
    ) -> bytes:
        with self._workspace() as workspace:
            return self._execute(name, header, payload, limits, workspace, (), None, cancelled)[0]

    def _execute(
        self,
        name: str,
        header: dict[str, Any],
        payload: bytes,
        limits: Limits,
        workspace: Workspace,
        hosts: tuple[str, ...],
        progress: Progress | None,
        cancelled: threading.Event | None,
    ) -> tuple[bytes, str]:
        """One confined process: its answer, and the last of what it printed."""
        request = protocol.frame(protocol.REQUEST, protocol.dump(header)) + protocol.frame(protocol.DATA, payload)
        broker = Broker(hosts, limits.sockets) if hosts else None
        try:
            with self._free:
                link = self._zygote()
                try:
                    ends = link.fork(workspace.fd, broker.theirs.fileno() if broker else None)
                except OSError:  # it has died since the last call
                    ends = self._zygote(dead=link).fork(workspace.fd, broker.theirs.fileno() if broker else None)
                expected = protocol.RESULT if header["kind"] == "tool" else protocol.DATA
                stop = cancelled or threading.Event()
                supervisor = Supervisor(name, limits, workspace, *ends, expected, progress, stop)
                return supervisor.run(request), supervisor.tail.decode("utf-8", "replace")
        finally:
            if broker is not None:
                broker.close()

    def _zygote(self, dead: Link | None = None) -> Link:
        """The running zygote, started when there is none. dead: one that is known not to answer."""
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("the sandbox is closed")
            if self._link is not None and (self._link is dead or not self._link.alive()):
                self._link.close()
                self._link = None
            if self._link is None:
                self._link = start_zygote(self.options)
            return self._link

    @contextlib.contextmanager
    def _workspace(self) -> Iterator[Workspace]:
        with self._lock:
            if self._closed:
                raise SandboxUnavailable("the sandbox is closed")
            if self._workspaces is None:
                root = os.geteuid() == 0
                self._workspaces = Workspaces(self.options.workspaces, owner(self.options.user) if root else None)
            workspace = self._workspaces.new()
        try:
            yield workspace
        finally:
            workspace.remove()

    async def _in_thread(self, work: Callable[[threading.Event], T]) -> T:
        stop = threading.Event()
        future = asyncio.get_running_loop().run_in_executor(self._pool, work, stop)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            stop.set()
            with contextlib.suppress(Exception):
                await future
            raise


def _hidden(value: Any, secrets: Sequence[str]) -> Any:
    """A value of JSON without the secrets in it."""
    if isinstance(value, str):
        for secret in secrets:
            value = value.replace(secret, "[secret]")
        return value
    if isinstance(value, dict):
        return {_hidden(k, secrets): _hidden(v, secrets) for k, v in value.items()}
    return [_hidden(v, secrets) for v in value] if isinstance(value, list) else value
