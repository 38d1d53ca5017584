"""The few calls of the C library and the kernel that Python does not offer."""

from __future__ import annotations

import ctypes
import os
from typing import Any

PR_SET_PDEATHSIG, PR_SET_KEEPCAPS, PR_SET_NO_NEW_PRIVS = 1, 8, 38
CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH = 1, 2
_CLOSE_RANGE = 436
_CAPSET = {"x86_64": 126, "aarch64": 91}

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def syscall(number: int, *args: Any) -> int:
    """A raw system call. Integers are passed as 64 bits, None as a null pointer. Raises OSError."""
    wide = [ctypes.c_long(a) if isinstance(a, int) else a for a in args]
    result = int(_libc.syscall(ctypes.c_long(number), *wide))
    if result < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))
    return result


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument. Raises OSError."""
    if _libc.prctl(option, ctypes.c_ulong(value), *[ctypes.c_ulong(0)] * 3) < 0:
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error))


def close_from(first: int) -> None:
    """Close every descriptor from `first` on."""
    try:
        syscall(_CLOSE_RANGE, first, 0xFFFFFFFF, 0)
    except OSError:
        os.closerange(first, os.sysconf("SC_OPEN_MAX"))


class _CapHeader(ctypes.Structure):
    _fields_ = [("version", ctypes.c_uint32), ("pid", ctypes.c_int)]


class _CapData(ctypes.Structure):
    _fields_ = [("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32)]


def permitted_capabilities() -> int:
    """The capabilities that this process may use, as a bit mask."""
    with open("/proc/self/status", encoding="ascii") as status:  # noqa: PTH123 - before pathlib is worth importing
        return next((int(line.split()[1], 16) for line in status if line.startswith("CapPrm:")), 0)


def set_capabilities(effective: int, permitted: int) -> None:
    """Keep only these capabilities (bits below 32). Raises OSError."""
    header = _CapHeader(0x20080522, 0)
    data = (_CapData * 2)()
    data[0] = _CapData(effective, permitted, 0)
    syscall(_CAPSET[os.uname().machine], ctypes.byref(header), ctypes.byref(data))
