"""Attacks that use up the machine."""

# ruff: noqa: PTH102, PTH123

import contextlib
import ctypes
import mmap
import os
import platform
import signal
import struct
import sys
import threading
import time
from pathlib import Path

from .common import attack, machine_code


@attack
def allocate_10_gb(w):
    return len(bytearray(10 << 30))


@attack
def allocate_in_shared_pieces(w):
    return [mmap.mmap(-1, 256 << 20) for _ in range(64)]


@attack
def loop_forever(w):
    while True:
        pass


@attack
def sleep_forever(w):
    while True:
        time.sleep(3600)


@attack
def ignore_signals_and_loop(w):
    for number in set(signal.Signals) - {signal.SIGKILL, signal.SIGSTOP}:
        signal.signal(number, signal.SIG_IGN)
    while True:
        pass


@attack
def stop_self(w):
    os.kill(os.getpid(), signal.SIGSTOP)
    return "went on"


@attack
def thread_bomb(w):
    threading.stack_size(65536)
    while True:
        threading.Thread(target=time.sleep, args=(60,), daemon=True).start()


@attack
def raw_thread_bomb(w):
    """clone(2) in machine code, on tiny stacks: no limit of Python's or of address space is in the way."""
    if platform.machine() != "x86_64":
        return thread_bomb(w)
    stack = mmap.mmap(-1, 65536)
    top = ctypes.addressof(ctypes.c_char.from_buffer(stack)) + 32768
    code = b"\x48\xbb" + struct.pack("Q", top)  # mov rbx, stack
    code += bytes.fromhex("b838000000bf000f05004889de31d24d31d24d31c00f0585c075e5b8180000000f05ebf7")
    return machine_code(code)()


@attack
def fork_bomb(w):
    while True:
        with contextlib.suppress(BlockingIOError):
            os.fork()


@attack
def huge_file(w):
    chunk = bytes(1 << 20)
    with open("huge", "wb") as f:
        for _ in range(1 << 14):
            f.write(chunk)


@attack
def many_large_files(w):
    chunk = bytes(1 << 20)
    for i in range(1 << 14):
        with open(f"file{i % 4}", "wb") as f:
            for _ in range(8):
                f.write(chunk)


@attack
def allocate_without_writing(w):
    for _ in range(20):
        fd = os.open("file", os.O_RDWR | os.O_CREAT)  # stays open
        Path("file").unlink()
        os.posix_fallocate(fd, 0, 8 << 20)


@attack
def many_files(w):
    for i in range(1 << 20):
        Path(f"f{i}").touch()


@attack
def few_too_many_files(w):
    for i in range(40):
        Path(f"f{i}").touch()


@attack
def deep_folders(w):
    for _ in range(3000):
        os.mkdir("d")
        os.chdir("d")


@attack
def locked_folders(w):
    os.mkdir("locked")
    os.mkdir("locked/inner", 0)
    os.umask(0)
    os.mkdir("none", 0)


@attack
def output_flood(w):
    while True:
        os.write(1, b"x" * 65536)


@attack
def many_descriptors(w):
    return [os.open("/dev/null", os.O_RDONLY) for _ in range(4096)]


@attack
def endless_recursion(w):
    sys.setrecursionlimit(1 << 30)

    def down():
        return down()

    return down()


@attack
def crash(w):
    return ctypes.string_at(0)


@attack
def exit_quietly(w):
    os._exit(0)


@attack
def raise_system_exit(w):
    sys.exit(0)


@attack
def dump_core(w):
    os.abort()
