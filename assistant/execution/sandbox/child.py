"""The life of a confined process, from the fork to its one answer.

It takes its request from the channel, gives up everything that the request does not grant, and only then imports and
runs the tool. Order matters: limits and file grants first (they need paths), the system call filter last.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import fcntl
import gc
import importlib
import importlib.util
import os
import resource
import shutil
import signal
import socket
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any, NoReturn

from . import landlock, libc, network, protocol, seccomp

CHANNEL, BROKER = 3, 4
ENVIRONMENT = {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
PROGRESS_INTERVAL_S = 0.05


@dataclass(frozen=True)
class Setup:
    """What the zygote knows for all its children. capabilities: held back by `zygote.drop_privileges`."""

    landlock: bool
    seccomp: bool
    capabilities: int
    readable: list[str]


def main(setup: Setup, parent: int, handover: int) -> NoReturn:
    """Wait for the descriptors of one request on the socket `handover`, run it, and end the process."""
    try:
        libc.prctl(libc.PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)
        os.setsid()
        _arrange_descriptors(handover)
        request, payload = _read_request()
        _surroundings(request)
        _confine(setup, request)
        answer = _run_tool(request) if request["kind"] == "tool" else _run_function(request["target"], payload)
    except BaseException as error:
        answer = protocol.frame(protocol.FAILURE, _failure(error))
    with contextlib.suppress(BaseException):
        sys.stdout.flush()
        sys.stderr.flush()
    with contextlib.suppress(BaseException):
        _write(answer)
    os._exit(0)


def _arrange_descriptors(handover: int) -> None:
    """0 is /dev/null, 1 and 2 the output, 3 the channel, 4 the broker; all others are closed."""
    os.dup2(handover, 3)
    libc.close_from(4)
    message, fds, _, _ = socket.recv_fds(socket.socket(fileno=3), 64, 4)
    if not message:
        os._exit(0)  # the zygote has ended
    channel, output, workspace, *broker = fds
    os.fchdir(workspace)
    null = os.open("/dev/null", os.O_RDONLY)
    places = [null, output, output, channel, *broker]
    for number, fd in enumerate([_high(fd) for fd in places]):
        os.dup2(fd, number)
    libc.close_from(len(places))
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(line_buffering=True)  # type: ignore[union-attr]


def _high(fd: int) -> int:
    return fcntl.fcntl(fd, fcntl.F_DUPFD, 64)


def _read_request() -> tuple[dict[str, Any], bytes]:
    frames = protocol.Frames({protocol.REQUEST: 1 << 30, protocol.DATA: 1 << 30})
    found: list[tuple[bytes, bytes]] = []
    while len(found) < 2:
        data = os.read(CHANNEL, 1 << 20)
        if not data:
            os._exit(1)
        found.extend(frames.feed(data))
    return protocol.parse(found[0][1]), found[1][1]


def _surroundings(request: dict[str, Any]) -> None:
    """A clean environment whose home and temporary folder are the workspace, in the user's time zone."""
    here = str(Path.cwd())
    zone = request.get("context", {}).get("timezone", "UTC")
    os.environ.clear()
    os.environ.update(ENVIRONMENT, HOME=here, TMPDIR=here, TZ=zone)
    time.tzset()
    tempfile.tempdir = None
    os.umask(0o077)
    shutil.copystat = shutil.copymode = _keep_modes  # so that shutil.copy, copy2 and copytree work
    if "numpy.random" in sys.modules:
        sys.modules["numpy.random"].seed()  # otherwise every child would draw the same numbers
    gc.enable()


def _keep_modes(src: Any, dst: Any, *, follow_symlinks: bool = True) -> None:
    """Modes and times cannot be changed in here; a copy has its contents."""


def _confine(setup: Setup, request: dict[str, Any]) -> None:
    """Give up everything but the grants. Raises OSError when a part does not work: then nothing is run."""
    _limit(request["limits"])
    wanted = _capabilities(setup, request)
    if setup.capabilities:
        libc.set_capabilities(setup.capabilities, setup.capabilities)  # to open what is granted
    read = [*setup.readable, *request["read"], *_locate(request)]
    if setup.landlock:
        landlock.restrict(read, [".", "/dev/null", *request["write"]])
    libc.prctl(libc.PR_SET_NO_NEW_PRIVS, 1)
    if setup.capabilities:
        libc.set_capabilities(wanted, wanted)
    if setup.seccomp:
        seccomp.install(network=bool(request["hosts"]))


def _limit(limits: dict[str, Any]) -> None:
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    hard = {
        resource.RLIMIT_AS: pages * resource.getpagesize() + limits["memory_bytes"],
        resource.RLIMIT_FSIZE: limits["file_bytes"],
        resource.RLIMIT_NOFILE: 128,
        resource.RLIMIT_MEMLOCK: 0,
        resource.RLIMIT_MSGQUEUE: 0,
        resource.RLIMIT_SIGPENDING: 64,
    }
    for which, value in hard.items():
        resource.setrlimit(which, (value, value))
    resource.setrlimit(resource.RLIMIT_CPU, (limits["cpu_s"], limits["cpu_s"] + 1))


def _capabilities(setup: Setup, request: dict[str, Any]) -> int:
    """Those needed to reach what is granted, when root alone may reach it. Landlock still decides what that is."""
    wanted = 0
    if request["read"] or not all(os.access(p, os.R_OK) for p in setup.readable):
        wanted |= 1 << libc.CAP_DAC_READ_SEARCH | 1 << libc.CAP_DAC_OVERRIDE  # containers often have only the latter
    if request["write"]:
        wanted |= 1 << libc.CAP_DAC_OVERRIDE
    return wanted & setup.capabilities


class _Found:
    """Finds one module where it was found before the folder around it became unreadable."""

    def __init__(self, spec: ModuleSpec) -> None:
        self._spec = spec

    def find_spec(self, name: str, path: Any = None, target: ModuleType | None = None) -> ModuleSpec | None:
        return self._spec if name == self._spec.name else None


def _locate(request: dict[str, Any]) -> list[str]:
    """Where the plugin's own package lies. Only finds it: nothing of it runs before the confinement."""
    top = request["module"].partition(".")[0]
    if top in sys.modules:
        return []
    spec = importlib.util.find_spec(top)
    if spec is None:
        raise ModuleNotFoundError(f"plugin module {top!r} is not installed")
    sys.meta_path.insert(0, _Found(spec))
    places = list(spec.submodule_search_locations or [])
    return places or ([spec.origin] if spec.origin and Path(spec.origin).is_file() else [])


def _run_function(target: str, payload: bytes) -> bytes:
    module, _, name = target.partition(":")
    result = getattr(importlib.import_module(module), name)(payload)
    if not isinstance(result, bytes):
        raise TypeError(f"{target} must return bytes, not {type(result).__name__}")
    return protocol.frame(protocol.DATA, result)


def _run_tool(request: dict[str, Any]) -> bytes:
    from assistant.plugin.context import set_context
    from assistant.plugin.tool import tools_of
    from assistant.plugin.values import decode, encode

    set_context(_context(request))
    if request["hosts"]:
        network.install(BROKER)
    module = importlib.import_module(request["module"])
    plugin = request["tool"].rpartition(".")[0]
    tools = {f.__name__: (spec, f) for spec, f in tools_of(module, plugin, third_party=False).values()}
    if request["function"] not in tools:
        raise LookupError(f"{request['module']} has no tool {request['function']!r}")
    spec, function = tools[request["function"]]
    classes = _dataclasses(module)
    args: dict[str, Any] = {}
    for name, value in request["args"].items():
        if name not in spec.by_name:
            raise TypeError(f"{spec.name} has no argument {name!r}")
        optional = value is None and not spec.by_name[name].required
        args[name] = None if optional else decode(value, spec.by_name[name].type, classes, f"argument {name!r}")
    return protocol.frame(protocol.RESULT, protocol.dump(encode(function(**args))))


def _dataclasses(module: ModuleType) -> dict[str, type]:
    """The plugin's own value classes by the name under which they travel."""
    found = [c for c in vars(module).values() if isinstance(c, type) and dataclasses.is_dataclass(c)]
    return {f"{c.__module__}.{c.__name__}": c for c in found}


def _context(request: dict[str, Any]) -> Any:
    from assistant.plugin.context import Context

    given = request["context"]
    now = dt.datetime.fromisoformat(given["now"]) if "now" in given else dt.datetime.now(dt.UTC)
    connect: dict[str, Any] = {"connect": network.Broker(BROKER).connect} if request["hosts"] else {}
    return Context(
        now=now,
        timezone=given.get("timezone", "UTC"),
        photos=tuple(Path(p) for p in given.get("photos", ())),
        data=Path(given["data"]) if given.get("data") else None,
        secrets=dict(request["secrets"]),
        progress=_progress(),
        **connect,
    )


def _progress() -> Callable[[float, str], None]:
    last = 0.0

    def progress(fraction: float, text: str = "") -> None:
        nonlocal last
        if time.monotonic() - last >= PROGRESS_INTERVAL_S:
            last = time.monotonic()
            _write(protocol.frame(protocol.PROGRESS, protocol.dump([float(fraction), str(text)[:200]])))

    return progress


def describe(payload: bytes) -> bytes:
    """The tools of a plugin, as JSON: what the registry asks about third-party modules. Payload: [module, plugin]."""
    from assistant.plugin.tool import tools_of

    module, plugin = protocol.parse(payload)
    tools = tools_of(importlib.import_module(module), plugin, third_party=True)
    return protocol.dump([spec.to_json() for spec, _ in tools.values()])


def _failure(error: BaseException) -> bytes:
    try:
        trace = "".join(traceback.format_exception(error)[-6:])[-4000:]
        return protocol.dump({"kind": type(error).__name__, "message": str(error)[:2000], "traceback": trace})
    except BaseException:
        return protocol.dump({"kind": "Error", "message": "the tool failed and cannot say why", "traceback": ""})


def _write(data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(CHANNEL, view) :]
