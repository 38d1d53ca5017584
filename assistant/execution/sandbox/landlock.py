"""Landlock: what files a process may touch, decided by the kernel, without privileges.

Raw system calls (their numbers are the same on every architecture). Rights that the running kernel does not know are
left out; what older versions lack (truncation, signals, abstract sockets) is closed by the seccomp filter as well, so
version 1 is enough for the full sandbox. Source: Documentation/userspace-api/landlock.rst of Linux.
"""

from __future__ import annotations

import ctypes
import os
import stat
from collections.abc import Iterable
from pathlib import Path

from .libc import PR_SET_NO_NEW_PRIVS, prctl, syscall

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_VERSION_FLAG, _PATH_BENEATH = 1, 1
_NO_LOG = 1  # refusals are not audited: hostile code could fill the log with them

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR, REMOVE_DIR, REMOVE_FILE = (1 << n for n in range(6))
MAKE_DIR, MAKE_REG, REFER, TRUNCATE = 1 << 7, 1 << 8, 1 << 13, 1 << 14
_FILE_RIGHTS = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | 1 << 15
_NEWEST_RIGHT = {1: 13, 2: 14, 3: 15, 4: 15}  # ABI version → number of file rights; 16 from version 5

READ = READ_FILE | READ_DIR
# No sockets, FIFOs, devices or symbolic links: what a tool leaves behind is plain files and folders.
WRITE = READ | WRITE_FILE | REMOVE_DIR | REMOVE_FILE | MAKE_DIR | MAKE_REG | REFER | TRUNCATE


class _Ruleset(ctypes.Structure):
    _fields_ = [("fs", ctypes.c_uint64), ("net", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class _Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("access", ctypes.c_uint64), ("parent", ctypes.c_int32)]


def abi() -> int:
    """The kernel's Landlock version; 0 where there is none."""
    try:
        return syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG)
    except OSError:
        return 0


def restrict(read: Iterable[Path | str | int], write: Iterable[Path | str | int]) -> None:
    """Take every right to files from this process but those beneath the given paths (or open descriptors).

    Also TCP and, where the kernel has it, signals to others and abstract sockets. A path that does not exist,
    or that this user cannot reach, grants nothing. Irrevocable. Raises OSError.
    """
    version = abi()
    handled = (1 << _NEWEST_RIGHT.get(version, 16)) - 1
    attributes = _Ruleset(handled, 3 if version >= 4 else 0, 3 if version >= 6 else 0)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscall(_CREATE_RULESET, ctypes.byref(attributes), size, 0)
    try:
        for path in read:
            _allow(ruleset, path, READ & handled)
        for path in write:
            _allow(ruleset, path, WRITE & handled)
        prctl(PR_SET_NO_NEW_PRIVS, 1)
        syscall(_RESTRICT_SELF, ruleset, _NO_LOG if version >= 7 else 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path | str | int, rights: int) -> None:
    try:
        fd = path if isinstance(path, int) else os.open(path, os.O_PATH | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return
    try:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            rights &= _FILE_RIGHTS
        rule = _Beneath(rights, fd)
        syscall(_ADD_RULE, ruleset, _PATH_BENEATH, ctypes.byref(rule), 0)
    finally:
        if fd is not path:
            os.close(fd)
