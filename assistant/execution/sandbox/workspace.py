"""A call's own folder, and how the service takes things out of it that hostile code may have put there."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import shutil
import stat
import struct
import tempfile
import time
from ctypes import create_string_buffer
from pathlib import Path

from .libc import syscall
from .model import ToolFailed, ToolLimit

_OPENAT2 = 437
_BENEATH, _NO_SYMLINKS, _NO_MAGICLINKS, _NO_XDEV = 0x08, 0x04, 0x02, 0x01
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
MAX_DEPTH = 16


class Workspaces:
    """The folder of one sandbox's workspaces, locked while that lives. Those of sandboxes that were killed are removed.

    folder: where to make it, None takes the system's place for temporary files.
    """

    PREFIX = "assistant-calls-"
    YOUNG_S = 60.0  # a folder may be made but not locked yet

    def __init__(self, folder: Path | None, owner: tuple[int, int] | None) -> None:
        self._owner = owner
        for old in Path(folder or tempfile.gettempdir()).glob(f"{self.PREFIX}*"):
            with contextlib.suppress(OSError):  # it is another user's, in use, or gone
                self._remove_abandoned(old)
        self.path = Path(tempfile.mkdtemp(prefix=self.PREFIX, dir=folder))
        if owner is not None:
            self.path.chmod(0o711)  # the tools' user passes through, but cannot list it
        self._lock = os.open(self.path, _FLAGS | os.O_DIRECTORY)
        fcntl.flock(self._lock, fcntl.LOCK_EX)

    def new(self) -> Workspace:
        """A workspace for one call."""
        return Workspace(self.path, self._owner)

    def remove(self) -> None:
        """Delete the folder with all that is left in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)

    def _remove_abandoned(self, path: Path) -> None:
        fd = os.open(path, _FLAGS | os.O_DIRECTORY)
        try:
            status = os.fstat(fd)
            if status.st_uid == os.geteuid() and status.st_mtime < time.time() - self.YOUNG_S:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                flatten(path)
                shutil.rmtree(path, ignore_errors=True)
        finally:
            os.close(fd)


class Workspace:
    """A new, empty, private folder below `root` that `owner` (uid, gid) may write when the service is root."""

    def __init__(self, root: Path, owner: tuple[int, int] | None) -> None:
        self.path = Path(tempfile.mkdtemp(dir=root))
        if owner is not None:
            os.chown(self.path, *owner)
        self.fd = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def open(self, name: str, max_bytes: int) -> int:
        """A descriptor of the regular file `name`. Raises ToolFailed or ToolLimit."""
        try:
            fd = open_beneath(self.fd, name)
        except (OSError, ValueError) as error:
            why = "is a link or leads out of the workspace" if _escapes(error) else _reason(error)
            raise ToolFailed(f"the tool's file {name[:200]!r} {why}") from error
        status = os.fstat(fd)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            os.close(fd)
            raise ToolFailed(f"the tool's file {name[:200]!r} is not a plain file")
        if status.st_size > max_bytes:
            os.close(fd)
            raise ToolLimit(f"the tool's file {name[:200]!r} has {status.st_size:,} bytes; at most {max_bytes:,}")
        return fd

    def check(self, max_entries: int, max_bytes: int) -> None:
        """Raises ToolLimit when there are more files, folders, bytes on disk or levels of folders than allowed."""
        if self._measure(self.fd, max_entries, 0)[1] > max_bytes:
            raise ToolLimit(f"the tool's files take more than {max_bytes:,} bytes")

    def _measure(self, fd: int, left: int, depth: int) -> tuple[int, int]:
        """(how many entries are still allowed, bytes on disk) of a folder."""
        if depth > MAX_DEPTH:
            raise ToolLimit(f"the tool made folders more than {MAX_DEPTH} deep")
        folders, size = [], 0
        with os.scandir(fd) as entries:
            for entry in entries:
                left -= 1
                if left < 0:
                    raise ToolLimit("the tool made more files than one call may (limit `files`)")
                if entry.is_dir(follow_symlinks=False):
                    folders.append(entry.name)
                else:
                    with contextlib.suppress(FileNotFoundError):
                        size += entry.stat(follow_symlinks=False).st_blocks * 512
        for name in folders:
            try:
                inner = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=fd)
            except PermissionError as error:
                raise ToolLimit("the tool made a folder that cannot be looked into") from error
            except OSError:  # it is gone again
                continue
            try:
                left, more = self._measure(inner, left, depth + 1)
                size += more
            finally:
                os.close(inner)
        return left, size

    def remove(self) -> None:
        """Delete the folder with whatever is in it; the process must have ended."""
        os.close(self.fd)
        flatten(self.path)
        shutil.rmtree(self.path, ignore_errors=True)


def open_beneath(folder: int, name: str) -> int:
    """Open a file for reading without leaving the folder and without following links. Raises OSError, ValueError."""
    how = struct.pack("QQQ", _FLAGS, 0, _BENEATH | _NO_SYMLINKS | _NO_MAGICLINKS | _NO_XDEV)
    path = os.fsencode(name)
    if b"\0" in path:
        raise ValueError("the name holds a zero byte")
    try:
        return syscall(_OPENAT2, folder, create_string_buffer(path), create_string_buffer(how, len(how)), len(how))
    except OSError as error:
        if error.errno not in (errno.ENOSYS, errno.EPERM):  # old kernels and container profiles
            raise
    return _open_stepwise(folder, path)


def _open_stepwise(folder: int, path: bytes) -> int:
    """As openat2, one component at a time; safe because nobody writes to the folder any more."""
    *parents, last = path.split(b"/")
    if not last or any(p in (b"", b".", b"..") for p in (*parents, last)):
        raise OSError(errno.EXDEV, "leads out of the folder")
    here = os.dup(folder)
    try:
        for part in parents:
            inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=here)
            os.close(here)
            here = inner
        return os.open(last, _FLAGS, dir_fd=here)
    finally:
        os.close(here)


def flatten(path: Path) -> None:
    """Make a folder tree of any depth deletable: every folder beneath becomes an unlocked child of `path` itself."""
    top = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    number = 0
    try:
        waiting = [name for name, folder in _entries(top) if folder]
        while waiting:
            name = waiting.pop()
            os.chmod(name, 0o700, dir_fd=top)
            inner = os.open(name, _FLAGS | os.O_DIRECTORY, dir_fd=top)
            try:
                for deeper in [n for n, folder in _entries(inner) if folder]:
                    number += 1
                    moved = f".flat-{os.getpid()}-{number}"
                    os.chmod(deeper, 0o700, dir_fd=inner)
                    os.rename(deeper, moved, src_dir_fd=inner, dst_dir_fd=top)
                    waiting.append(moved)
            finally:
                os.close(inner)
    finally:
        os.close(top)


def _entries(fd: int) -> list[tuple[str, bool]]:
    with os.scandir(fd) as entries:
        return [(e.name, e.is_dir(follow_symlinks=False)) for e in entries]


def _escapes(error: Exception) -> bool:
    return isinstance(error, OSError) and error.errno in (errno.ELOOP, errno.EXDEV)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "does not exist"
    return f"cannot be opened: {error.strerror if isinstance(error, OSError) else error}"
