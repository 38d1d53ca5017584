"""Attacks through rarely used system calls."""

import ctypes
import os
import platform
import struct

from .common import ATTACKS, attack, call, libc, machine_code


def _door(name, *args):
    def knock(w):
        return call(name, *args)

    ATTACKS[f"call_{name}"] = knock


_door("unshare", 0x10000000)
_door("setns", 0, 0)
_door("mount", b"none", b"/tmp", b"tmpfs", 0, 0)
_door("fsopen", b"tmpfs", 0)
_door("open_tree", -100, b"/", 1)
_door("chroot", b".")
_door("pivot_root", b".", b".")
_door("io_uring_setup", 4, ctypes.create_string_buffer(120))
_door("keyctl", 0, -3, 1)
_door("add_key", b"user", b"x", b"x", 1, -3)
_door("bpf", 0, ctypes.create_string_buffer(72), 72)
_door("perf_event_open", ctypes.create_string_buffer(struct.pack("II", 1, 112), 112), 0, -1, -1, 0)
_door("userfaultfd", 1)
_door("personality", 0x0040000)
_door("shmget", 0, 4096, 0o1600)
_door("semget", 0, 1, 0o1600)
_door("mq_open", b"hostile", 0o102, 0o600, 0)
_door("seccomp", 2, 0, ctypes.create_string_buffer(struct.pack("I", 0x7FFF0000)))
_door("kcmp", os.getpid(), os.getpid(), 1, 0, 0)
_door("inotify_init1", 0)
_door("init_module", 0, 0, b"")
_door("sethostname", b"x", 1)
_door("settimeofday", 0, 0)


@attack
def machine_code_of_another_abi(w):
    """int 0x80: the 32-bit calls, whose numbers mean other things."""
    if platform.machine() != "x86_64":
        raise PermissionError("only on x86-64")
    return machine_code(bytes.fromhex("b814000000cd80c3"))()  # getpid


@attack
def call_of_x32(w):
    if platform.machine() != "x86_64":
        raise PermissionError("only on x86-64")
    return libc.syscall(ctypes.c_long(0x40000000 + 39))
