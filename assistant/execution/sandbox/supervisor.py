"""Watches one confined process from outside: feeds it its request, takes its answer, enforces what rlimits cannot."""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import protocol
from .model import Limits, SandboxInterrupted, SandboxUnavailable, ToolFailed, ToolLimit, ToolTimedOut
from .workspace import Workspace

TICK_S = 0.05
END_S = 10.0  # how long a killed process may take to be gone
STDERR_TAIL = 16 << 10

Progress = Callable[[float, str], None]


@dataclass
class Supervisor:
    """One call. `status`, `channel` and `output` are the service's ends; `run` closes them.

    expected: the kind of answer, RESULT or DATA.
    """

    tool: str
    limits: Limits
    workspace: Workspace
    status: socket.socket
    channel: socket.socket
    output: int
    expected: bytes = protocol.RESULT
    progress: Progress | None = None
    cancelled: threading.Event = field(default_factory=threading.Event)

    tail: bytearray = field(default_factory=bytearray)
    _answer: tuple[bytes, bytes] | None = None
    _problem: ToolFailed | None = None
    _pid: int = 0
    _pidfd: int = -1
    _end: dict | None = None
    _killed: bool = False
    _printed: int = 0
    _shown: int = 0

    def run(self, request: bytes) -> bytes:
        """Send the request and wait for the process to answer and be gone. Returns the answer.

        Raises ToolTimedOut, ToolLimit, ToolFailed, or SandboxUnavailable when the zygote has died.
        """
        largest = self.limits.output_bytes if self.expected == protocol.RESULT else self.limits.data_bytes
        self._frames = protocol.Frames(
            {
                protocol.PROGRESS: protocol.MAX_PROGRESS_BYTES,
                protocol.FAILURE: protocol.MAX_FAILURE_BYTES,
                self.expected: largest,
            }
        )
        self._unsent = memoryview(request)
        self.channel.setblocking(False)
        try:
            self._loop()
        finally:
            if self._end is None:
                self._kill()
            self.channel.close()
            self.status.close()
            os.close(self.output)
            if self._pidfd >= 0:
                os.close(self._pidfd)
        return self._verdict()

    def _loop(self) -> None:
        poll = select.poll()
        poll.register(self.status, select.POLLIN)
        poll.register(self.channel, select.POLLIN | select.POLLOUT)
        poll.register(self.output, select.POLLIN)
        handlers = {self.status.fileno(): self._on_status, self.output: self._on_output}
        started = time.monotonic()
        deadline, next_look = started + self.limits.wall_s, started + TICK_S
        gone_by = float("inf")
        while self._end is None:
            now = time.monotonic()
            if now >= gone_by:
                raise SandboxInterrupted(f"{self.tool}: the process cannot be stopped")
            wait = max(0.0, min(deadline, next_look, gone_by) - now)
            for fd, events in poll.poll(wait * 1000 + 1):
                if fd in handlers:
                    if not handlers[fd]():
                        poll.unregister(fd)
                elif not self._on_channel(events):
                    poll.unregister(fd)
                elif not self._unsent:
                    poll.modify(fd, select.POLLIN)
            now = time.monotonic()
            if now >= deadline and not self._killed:
                self._stop(ToolTimedOut(f"{self.tool} took longer than {self.limits.wall_s:g} s and was stopped"))
            elif now >= next_look and not self._killed:
                next_look = now + TICK_S
                self._look()
            if self._killed:
                deadline = next_look = float("inf")
                gone_by = min(gone_by, now + END_S)
                self._kill()
        while self._on_output():  # what was printed last
            pass

    def _on_status(self) -> bool:
        message, fds, _, _ = socket.recv_fds(self.status, 1024, 1)
        if not message:
            kind = SandboxInterrupted if self._pid else SandboxUnavailable
            raise kind("the sandbox's zygote process has ended unexpectedly; it is started again")
        report = json.loads(message)
        if fds:
            self._pid, self._pidfd = report["pid"], fds[0]
            self._kill() if self._killed else None
        else:
            self._end = report
        return True

    def _on_output(self) -> bool:
        if not select.select([self.output], [], [], 0)[0]:
            return False
        data = os.read(self.output, 1 << 16)
        self._printed += len(data)
        self.tail += data
        del self.tail[:-STDERR_TAIL]
        if self._printed > self.limits.output_bytes:
            self._stop(ToolLimit(f"{self.tool} printed more than {self.limits.output_bytes:,} bytes"))
            return False
        return bool(data)

    def _on_channel(self, events: int) -> bool:
        try:
            if self._unsent and events & select.POLLOUT:
                self._unsent = self._unsent[self.channel.send(self._unsent[: 1 << 20]) :]
            if not events & (select.POLLIN | select.POLLHUP | select.POLLERR):
                return True
            data = self.channel.recv(1 << 18)
            for kind, body in self._frames.feed(data):
                if kind == protocol.PROGRESS:
                    self._show(body)
                elif self._answer is None:
                    self._answer = (kind, body)
                    self._stop(None)  # nothing of the call outlives its answer
            return bool(data) and self._answer is None
        except protocol.ProtocolError as error:
            self._stop(ToolLimit(f"{self.tool}: {error}"))
        except BlockingIOError:
            return True
        except OSError:
            pass
        return False

    def _show(self, body: bytes) -> None:
        self._shown += len(body)
        if self._shown > self.limits.output_bytes:
            return self._stop(ToolLimit(f"{self.tool} reported more progress than {self.limits.output_bytes:,} bytes"))
        match protocol.parse(body):
            case [int() | float() as fraction, str() as text] if self.progress:
                shown = "".join(c for c in text if c.isprintable())[:200]
                self.progress(float(min(1.0, max(0.0, fraction))), shown)

    def _look(self) -> None:
        """What no rlimit covers: threads, bytes written in all, number of files, and the caller's change of mind."""
        if self.cancelled.is_set():
            return self._stop(ToolFailed(f"{self.tool} was cancelled"))
        threads, written = _usage(self._pid) if self._pid else (0, 0)
        if threads > self.limits.threads:
            self._stop(ToolLimit(f"{self.tool} started more than {self.limits.threads} threads"))
        elif written > self.limits.written_bytes:
            self._stop(ToolLimit(f"{self.tool} wrote more than {self.limits.written_bytes:,} bytes"))
        else:
            try:
                self.workspace.check(self.limits.files, self.limits.written_bytes)
            except ToolLimit as error:
                self._stop(error)

    def _stop(self, problem: ToolFailed | None) -> None:
        if not self._killed:
            self._problem, self._killed = problem, True
            self._kill()

    def _kill(self) -> None:
        if self._pidfd >= 0:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def _verdict(self) -> bytes:
        tail = self.tail.decode("utf-8", "replace")
        if self._problem is not None:
            self._problem.stderr_tail = tail
            raise self._problem
        if self._answer is None:
            raise self._explain_end(tail)
        kind, body = self._answer
        if kind == protocol.FAILURE:
            raise self._explain_failure(body, tail)
        self.workspace.check(self.limits.files, self.limits.written_bytes)
        return body

    def _explain_end(self, tail: str) -> ToolFailed:
        status = (self._end or {}).get("status", 0)
        if os.WIFSIGNALED(status):
            number = os.WTERMSIG(status)
            if number == signal.SIGXCPU or (self._end or {}).get("cpu_s", 0) >= self.limits.cpu_s:
                return ToolLimit(f"{self.tool} used more than {self.limits.cpu_s} s of processor time", "", "", tail)
            name = signal.Signals(number).name if number in signal.Signals.__members__.values() else str(number)
            return ToolFailed(f"{self.tool} crashed ({name})", "", "", tail)
        return ToolFailed(f"{self.tool} ended without an answer", "", "", tail)

    def _explain_failure(self, body: bytes, tail: str) -> ToolFailed:
        try:
            report = protocol.parse(body)
        except protocol.ProtocolError as error:
            return ToolFailed(f"{self.tool}: {error}", "", "", tail)
        parts = report if isinstance(report, dict) else {}
        kind, message, trace = (str(parts.get(k, "")) for k in ("kind", "message", "traceback"))
        message = "".join(c for c in message if c.isprintable() or c == "\n")[:1000]
        if kind == "MemoryError":
            limit = self.limits.memory_bytes >> 20
            return ToolLimit(f"{self.tool} needed more than {limit:,} MB of memory", kind, trace, tail)
        return ToolFailed(f"{self.tool}: {message or kind}", kind, trace, tail)


def _usage(pid: int) -> tuple[int, int]:
    """(threads, bytes written) of a process; 0 where the kernel does not tell."""
    threads = written = 0
    with contextlib.suppress(OSError):
        status = Path(f"/proc/{pid}/status").read_text()
        threads = int(status.partition("Threads:")[2].split(None, 1)[0])
    with contextlib.suppress(OSError):
        counts = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
        written = max(int(counts["wchar"]), int(counts["write_bytes"]) - int(counts["cancelled_write_bytes"]))
    return threads, written
