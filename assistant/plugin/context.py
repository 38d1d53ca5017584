"""What a running tool may know of its surroundings: the time, its folders, its declared secrets and hosts."""

from __future__ import annotations

import datetime as dt
import socket
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo


def _no_network(host: str, port: int) -> socket.socket:
    raise PermissionError(f"{host}:{port} is not declared in the plugin's manifest; add it to `hosts`")


def _no_progress(fraction: float, text: str) -> None:
    return None


@dataclass(frozen=True)
class Context:
    """The surroundings of one call.

    photos: the user's photo folders, readable when the manifest says `read = ["photos"]`. data: the plugin's own
    folder, writable when it says `write = ["data"]`. secrets: the declared ones. connect(host, port): a connected
    TCP socket to a declared host. progress(fraction, text): shown to the user while the call runs.
    """

    now: dt.datetime
    timezone: str = "UTC"
    photos: tuple[Path, ...] = ()
    data: Path | None = None
    secrets: Mapping[str, str] = field(default_factory=dict)
    connect: Callable[[str, int], socket.socket] = _no_network
    progress: Callable[[float, str], None] = _no_progress

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.timezone)


_current: ContextVar[Context] = ContextVar("assistant_context")


def context() -> Context:
    """The surroundings of the call that is running. Outside of one: the clock in UTC and nothing else."""
    return _current.get(None) or Context(now=dt.datetime.now(dt.UTC))


def set_context(value: Context) -> None:
    """Called by the executor before a tool runs, and by an author's own tests."""
    _current.set(value)
