"""Run inside a confined process to see that it is one: every attempt must fail."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path

from . import protocol


def probe(payload: bytes) -> bytes:
    """JSON {"escapes": what should have been refused but was not, "uid": the user this ran as}."""
    attempts: dict[str, Callable[[], object]] = {
        "files outside can be read": lambda: Path("/etc/passwd").read_bytes(),
        "files outside can be made": lambda: Path(f"/tmp/assistant-probe-{os.getpid()}").touch(),
        "sockets can be made": lambda: socket.socket().close(),
        "processes can be started": _fork,
    }
    escapes = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            continue
        escapes.append(name)
    if os.geteuid() == 0:
        escapes.append("it runs as root")
    Path("probe").write_bytes(b"the workspace can be written")
    return protocol.dump({"escapes": escapes, "uid": os.geteuid()})


def echo(payload: bytes) -> bytes:
    """The shortest call."""
    return payload


def count(payload: bytes) -> bytes:
    """How many entries a folder has, when it was granted and can be read."""
    return str(sum(1 for _ in os.scandir(payload.decode()))).encode()


def _fork() -> None:
    if os.fork() == 0:
        os._exit(0)
    os.wait()
