"""The zygote: a process with one thread that has imported what tools need and forks one confined child per call.

It holds no secret and no descriptor of the service but the control socket. It is started with a clean environment,
gives up root before it forks anything, and ends when the service does.

    python -m assistant.execution.sandbox.zygote FD
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import resource
import select
import signal
import socket
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from . import child, landlock, libc, seccomp

MAX_FDS = 8
# What libraries do at their first use, done once here instead of in every child.
WARM_UP: dict[str, Callable[[Any], object]] = {
    "PIL.Image": lambda module: module.init(),
    "pillow_heif": lambda module: module.register_heif_opener(),
    "dateparser.date": lambda module: module.DateDataParser(languages=["en"]).get_date_data("tomorrow"),
}


@dataclass(frozen=True)
class Spare:
    """A child forked ahead of its request: the next call need not wait for the fork."""

    pid: int
    pidfd: int
    handover: socket.socket


@dataclass
class Zygote:
    """State of the loop. children: pidfd → (pid, descriptor to report its end on). spare: forked while idle."""

    control: socket.socket
    setup: child.Setup
    children: dict[int, tuple[int, int]] = field(default_factory=dict)
    spare: Spare | None = None

    def serve(self) -> None:
        """Fork on request until the service closes its end, then kill what still runs."""
        poll = select.poll()
        poll.register(self.control, select.POLLIN)
        while True:
            self.spare = self.spare or self._fork()
            for fd, _ in poll.poll():
                if fd in self.children:
                    poll.unregister(fd)
                    self._report_end(fd)
                elif (pidfd := self._serve_one()) is not None:
                    poll.register(pidfd, select.POLLIN)
                else:
                    return self._end()

    def _fork(self) -> Spare:
        """A child that waits for its descriptors."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        parent = os.getpid()
        pid = os.fork()
        if pid == 0:
            self.control.detach()
            ours.detach()
            child.main(self.setup, parent, theirs.detach())
        theirs.close()
        return Spare(pid, os.pidfd_open(pid), ours)

    def _serve_one(self) -> int | None:
        """One request: a message with the descriptors (status, channel, output, workspace[, broker])."""
        message, fds, _, _ = socket.recv_fds(self.control, 64, MAX_FDS)
        if not message:
            return None
        status, *handed = fds
        used = self._hand_over(handed)
        self.children[used.pidfd] = (used.pid, status)
        with socket.socket(fileno=os.dup(status)) as reply, contextlib.suppress(OSError):
            socket.send_fds(reply, [json.dumps({"pid": used.pid}).encode()], [used.pidfd])
        for fd in handed:
            os.close(fd)
        return used.pidfd

    def _hand_over(self, fds: list[int]) -> Spare:
        """Give the descriptors to the spare child, or to a new one when that has been killed meanwhile."""
        while True:
            used, self.spare = self.spare or self._fork(), None
            try:
                with used.handover:
                    socket.send_fds(used.handover, [b"run"], fds)
                return used
            except OSError:
                os.waitpid(used.pid, 0)
                os.close(used.pidfd)

    def _report_end(self, pidfd: int) -> None:
        pid, status = self.children.pop(pidfd)
        _, code, usage = os.wait4(pid, 0)
        report = {"status": code, "cpu_s": usage.ru_utime + usage.ru_stime}
        with contextlib.suppress(OSError):  # nobody may be waiting any more
            os.write(status, json.dumps(report).encode())
        os.close(status)
        os.close(pidfd)

    def _end(self) -> None:
        spare = {self.spare.pidfd: (self.spare.pid, -1)} if self.spare else {}
        for pidfd, (pid, _) in {**self.children, **spare}.items():
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.waitpid(pid, 0)


def preload(modules: list[str]) -> list[str]:
    """Import what can be imported; names and reasons of what cannot. A child then imports that itself, or fails."""
    missing = []
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:
            missing.append(f"{name}: {error}")
    for name, warm_up in WARM_UP.items():
        if name in sys.modules:
            warm_up(sys.modules[name])
    return missing


def drop_privileges(uid: int, gid: int, keep: bool) -> int:
    """Become an ordinary user without capabilities for good.

    keep: hold back the two capabilities that ignore file modes; a child takes them up only for granted paths, where
    Landlock then decides alone (an interpreter or photos that root alone may read). Returns what was held back.
    """
    wanted = 1 << libc.CAP_DAC_OVERRIDE | 1 << libc.CAP_DAC_READ_SEARCH
    kept = libc.permitted_capabilities() & wanted if keep else 0
    if os.geteuid() == 0:
        libc.prctl(libc.PR_SET_KEEPCAPS, 1 if kept else 0)
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    libc.set_capabilities(0, kept)
    return kept


def main() -> None:
    """Read the configuration from the control socket, get ready, say so, serve."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which then closes the socket
    resource.setrlimit(resource.RLIMIT_CORE, (1, 1))  # 1 also stops dumps that are piped to a program; 0 does not
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("900")  # when memory is short, tools go before the service
    control = socket.socket(fileno=int(sys.argv[1]))
    config: dict[str, Any] = json.loads(control.recv(1 << 18))
    sys.path[:] = config["path"]
    missing = preload(config["preload"])
    machine = os.uname().machine
    if machine in seccomp.ARCHITECTURES:
        seccomp.build(machine, 0, network=False)  # its parts are kept
    with_landlock = config["landlock"] and landlock.abi() > 0
    no_seccomp = seccomp.available()
    with_seccomp = config["seccomp"] and no_seccomp is None
    try:
        kept = drop_privileges(config["uid"], config["gid"], with_landlock and with_seccomp)
    except OSError as error:
        control.send(json.dumps({"error": f"cannot give up root ({error}); start it as an ordinary user"}).encode())
        return
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208
    ready = {"landlock": landlock.abi(), "no_seccomp": no_seccomp, "missing": missing, "threads": threads}
    setup = child.Setup(with_landlock, with_seccomp, kept, config["readable"])
    gc.collect()
    gc.disable()
    gc.freeze()  # the collector must not touch, and so copy, the shared pages in every child
    control.send(json.dumps({**ready, "uid": os.geteuid()}).encode())
    Zygote(control, setup).serve()


if __name__ == "__main__":
    main()
