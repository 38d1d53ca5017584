"""What goes into a sandboxed call and what comes out: small dataclasses and the errors."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from ..artifacts import StoredArtifact

MIB = 1 << 20


class SandboxError(Exception):
    """Something about a confined call did not work; the text is fit for the user."""


class SandboxUnavailable(SandboxError):
    """The sandbox cannot do this here: it is not running, or too weak for third-party code."""


class SandboxInterrupted(SandboxUnavailable):
    """It broke off while a tool ran, which may have acted already."""


class ToolFailed(SandboxError):
    """The tool raised, crashed or answered nonsense.

    kind: the class of the exception that it raised, empty when it ended in another way. stderr_tail: what it printed.
    """

    def __init__(self, message: str, kind: str = "", traceback: str = "", stderr_tail: str = "") -> None:
        super().__init__(message)
        self.kind, self.traceback, self.stderr_tail = kind, traceback, stderr_tail


class ToolTimedOut(ToolFailed):
    """The wall clock ran out."""


class ToolLimit(ToolFailed):
    """A limit was exceeded; the text says which, and how to raise it."""


@dataclass(frozen=True)
class Limits:
    """What one call may use.

    memory_bytes: address space beyond what the bare process has. file_bytes: of one file. written_bytes: of all
    writing together. output_bytes: of the JSON result, and of what is printed. data_bytes: of what `Sandbox.run`
    returns. files: files and folders in the workspace. sockets: connections through the broker.
    """

    wall_s: float = 60.0
    cpu_s: int = 60
    memory_bytes: int = 2048 * MIB
    file_bytes: int = 256 * MIB
    written_bytes: int = 1024 * MIB
    output_bytes: int = 1 * MIB
    data_bytes: int = 64 * MIB
    files: int = 256
    threads: int = 64
    sockets: int = 32


@dataclass(frozen=True)
class Call:
    """One call of a tool.

    tool: full name ("gif.create"); module and function: where it is. args: JSON as `assistant.plugin.values` writes
    it; files named in it become readable. read, write: folders or files granted beyond the call's own workspace.
    hosts: "name:port". context: `now`, `timezone`, `photos`, `data` for the tool (see assistant.plugin.context).
    """

    tool: str
    module: str
    function: str
    args: Mapping[str, Any] = field(default_factory=dict)
    third_party: bool = True
    read: tuple[Path, ...] = ()
    write: tuple[Path, ...] = ()
    hosts: tuple[str, ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    context: Mapping[str, Any] = field(default_factory=dict)
    limits: Limits = Limits()


@dataclass(frozen=True)
class CallResult:
    """value: JSON whose file paths now point into the artifact store or to granted files. ms: wall clock."""

    value: Any
    artifacts: tuple[StoredArtifact, ...]
    ms: float
    stderr_tail: str = ""


@dataclass(frozen=True)
class SandboxState:
    """full: Landlock and seccomp both confine. reduced: `reasons` says what is missing; third-party code is refused."""

    mode: Literal["full", "reduced"]
    reasons: tuple[str, ...] = ()
    landlock_abi: int = 0
    seccomp: bool = False
    uid: int = -1


PRELOAD = (
    *("numpy", "PIL.Image", "PIL.ImageOps", "PIL.ImageFilter", "PIL.ImageDraw", "PIL.ImageFont", "PIL.ImageEnhance"),
    *("PIL.ExifTags", "PIL.GifImagePlugin", "PIL.JpegImagePlugin", "PIL.PngImagePlugin", "PIL.WebPImagePlugin"),
    *("pillow_heif", "imageio.v3", "imageio.plugins.pyav", "av", "sqlite3", "zoneinfo", "asyncio", "ssl"),
    *("dateparser.date", "rapidfuzz.fuzz", "rapidfuzz.process", "defusedxml.ElementTree", "PIL.IptcImagePlugin"),
    *("assistant.plugin", "assistant.plugin.values", "assistant.plugin.tool"),
    *("assistant.speech.decode", "tools.photos", "tools.gif", "tools.video", "tools.collage", "tools.messages"),
    *("tools.contacts", "tools.reminders", "tools.notes"),
)


@dataclass(frozen=True)
class SandboxOptions:
    """How the sandbox works.

    artifacts: folder of the artifact store. workspaces: where the calls' folders are made (default: the system's
    temporary folder). user: whom tools run as when the service is root (name or number). preload: modules of ours or
    vetted ones that the zygote imports once. module_paths: further folders in which plugin modules are looked for.
    workers: calls at the same time. without: parts left off on purpose ("landlock", "seccomp"), to see how that is.
    """

    artifacts: Path
    workspaces: Path | None = None
    user: str | int = 65534
    preload: tuple[str, ...] = PRELOAD
    module_paths: tuple[Path, ...] = ()
    workers: int = max(2, os.cpu_count() or 2)
    without: frozenset[str] = frozenset()
    python: str = sys.executable
