"""A seccomp filter that lets through only the system calls listed here; written as plain BPF, without libseccomp.

Everything else answers EPERM, so that a library which merely tries something gets an ordinary error. Notable absences:
exec, fork, `socket`, `connect`, `bind`, ptrace, keyctl, io_uring, namespaces, mount, memfd, `chmod`/`chown`/`utime` and
extended attributes (Landlock does not govern these), links of both kinds, and every way to name another process.
Sources: Documentation/userspace-api/seccomp_filter.rst and include/uapi/linux/{filter,seccomp,audit}.h of Linux.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from dataclasses import dataclass
from functools import cache

from .libc import PR_SET_NO_NEW_PRIVS, prctl, syscall
from .syscalls import ALLOWED, NUMBERS

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_SECCOMP = {"x86_64": 317, "aarch64": 277}

_LOAD, _AND, _EQUAL, _LESS_NOT, _RETURN = 0x20, 0x54, 0x15, 0x35, 0x06
_KILL, _ERROR, _ALLOW = 0x80000000, 0x00050000, 0x7FFF0000
_ANY = 0xFFFFFFFF

# clone: threads of this process only.
_THREAD, _THREAD_MASK = 0x10000 | 0x100 | 0x800, 0x10000 | 0x100 | 0x800 | 0x7E020000 | 0x80 | 0x4000 | 0x2000
_FASTOPEN = 0x20000000  # would let a closed TCP socket connect to anywhere
_FCNTL = (0, 1, 2, 3, 4, 5, 6, 7, 1030, 1032, 36, 37, 38)  # no F_SETOWN/F_SETSIG: they send signals to others
_IOCTL = (0x5401, 0x5413, 0x541B, 0x5421, 0x5450, 0x5451)  # terminal?, window size, FIONREAD, FIONBIO, close-on-exec
_PRCTL = (15, 16, 3, 23, 39)  # thread name, and some that only look
_SOCKET_OPTIONS = (2, 7, 8, 9, 13, 20, 21)  # address reuse, buffers, keep-alive, linger, timeouts
_TCP_OPTIONS = (1, 4, 5, 6, 18)  # no delay, keep-alive times, user timeout


@dataclass(frozen=True)
class Check:
    """Argument `index`, masked, equals `value`. wide: compare all 64 bits (pointers)."""

    index: int
    value: int
    mask: int = _ANY
    wide: bool = False


Rule = tuple[tuple[Check, ...], ...]  # alternatives, each a conjunction


def rules(pid: int, network: bool) -> dict[str, Rule]:
    """The system calls that depend on their arguments. network: brokered sockets may be tuned."""
    return {**_own_rules(pid), **_rules(network)}


def _own_rules(pid: int) -> dict[str, Rule]:
    own, only_look = Check(0, pid), Check(2, 0, wide=True)
    return {"kill": ((own,),), "tgkill": ((own,),), "prlimit64": ((Check(0, 0), only_look), (own, only_look))}


def _rules(network: bool) -> dict[str, Rule]:
    options = [(Check(1, 1), Check(2, n)) for n in _SOCKET_OPTIONS] + [(Check(1, 6), Check(2, n)) for n in _TCP_OPTIONS]
    return {
        "clone": ((Check(0, _THREAD, _THREAD_MASK),),),
        "fcntl": tuple((Check(1, n),) for n in _FCNTL),
        "ioctl": tuple((Check(1, n),) for n in _IOCTL),
        # O_TRUNC without write access: kernels before Landlock 3 would truncate what may only be read.
        "openat": ((Check(2, 1, 0o3),), (Check(2, 2, 0o3),), (Check(2, 0, 0o1003),)),
        "prctl": tuple((Check(0, n),) for n in _PRCTL),
        "sendmsg": ((Check(2, 0, _FASTOPEN),),),
        "sendto": ((Check(3, 0, _FASTOPEN), Check(4, 0, wide=True)),),
        "setsockopt": tuple(options) if network else (),
        "socketpair": ((Check(0, 1), Check(1, 1, 0xF)),),  # unix streams: a datagram one could be sent to any path
    }


def build(machine: str, pid: int, network: bool) -> bytes:
    """The BPF program for `machine` ("x86_64" or "aarch64"), 8 bytes per instruction."""
    own = [_rule(machine, name, rule) for name, rule in _own_rules(pid).items()]
    return b"".join([_head(machine), *own, _tail(machine, network)])


@cache
def _head(machine: str) -> bytes:
    numbers = NUMBERS[machine]
    program = [_ins(_LOAD, 4), _ins(_EQUAL, ARCHITECTURES[machine], 1, 0), _ins(_RETURN, _KILL), _ins(_LOAD, 0)]
    if machine == "x86_64":  # the x32 variants of the calls
        program += [_ins(_LESS_NOT, 0x40000000, 0, 1), _ins(_RETURN, _KILL)]
    for name in ALLOWED:
        if name in numbers:
            program += [_ins(_EQUAL, numbers[name], 0, 1), _ins(_RETURN, _ALLOW)]
    return b"".join(program)


@cache
def _tail(machine: str, network: bool) -> bytes:
    numbers = NUMBERS[machine]
    program = [_rule(machine, name, rule) for name, rule in _rules(network).items()]
    for name in ("clone3", "openat2"):  # glibc and Python then use clone and openat, whose arguments can be seen
        program += [_ins(_EQUAL, numbers[name], 0, 1), _ins(_RETURN, _ERROR | errno.ENOSYS)]
    program.append(_ins(_RETURN, _ERROR | errno.EPERM))
    return b"".join(program)


def _rule(machine: str, name: str, alternatives: Rule) -> bytes:
    body = [ins for checks in alternatives for ins in _alternative(checks)] + [_ins(_RETURN, _ERROR | errno.EPERM)]
    return b"".join([_ins(_EQUAL, NUMBERS[machine][name], 0, len(body)), *body])


def _alternative(checks: tuple[Check, ...]) -> list[bytes]:
    tests = []
    for check in checks:
        tests.append((16 + 8 * check.index, check.mask, check.value))
        if check.wide:
            tests.append((20 + 8 * check.index, _ANY, check.value >> 32))
    out = []
    for position, (offset, mask, value) in enumerate(tests):
        left = 3 * (len(tests) - position - 1) + 1  # to the next alternative
        out += [_ins(_LOAD, offset), _ins(_AND, mask), _ins(_EQUAL, value & _ANY, 0, left)]
    return [*out, _ins(_RETURN, _ALLOW)]


def _ins(code: int, k: int, jump_true: int = 0, jump_false: int = 0) -> bytes:
    return struct.pack("=HBBI", code, jump_true, jump_false, k)


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def available() -> str | None:
    """Why there can be no filter here; None when there can."""
    machine = os.uname().machine
    if machine not in ARCHITECTURES:
        return f"no seccomp table for {machine} (there are {', '.join(ARCHITECTURES)})"
    try:
        action = ctypes.c_uint32(_ERROR)
        syscall(_SECCOMP[machine], 2, 0, ctypes.byref(action))  # SECCOMP_GET_ACTION_AVAIL
    except OSError as error:
        return f"the kernel has no seccomp filters ({error.strerror})"
    return None


def install(network: bool = False) -> None:
    """Put the filter on this (single-threaded) process. Irrevocable. Raises OSError."""
    machine = os.uname().machine
    code = build(machine, os.getpid(), network)
    prctl(PR_SET_NO_NEW_PRIVS, 1)
    syscall(_SECCOMP[machine], 1, 0, ctypes.byref(_Program(len(code) // 8, code)))
