"""What the attacks share: their list, the world they aim at, raw system calls and machine code."""

import ctypes
import mmap
import os
import platform
from dataclasses import dataclass
from pathlib import Path

libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
NUMBERS = {
    "x86_64": dict(fork=57, vfork=58, execve=59, ptrace=101, personality=135, mount=165, reboot=169, sethostname=170,
                   init_module=175, settimeofday=164, keyctl=250, unshare=272, memfd_create=319, bpf=321,
                   userfaultfd=323, pkey_alloc=330, io_uring_setup=425, pidfd_open=434, process_vm_readv=310,
                   setns=308, perf_event_open=298, open_by_handle_at=304, name_to_handle_at=303, shmget=29,
                   landlock_create_ruleset=444, seccomp=317, chroot=161, capset=126, ioprio_set=251, kcmp=312,
                   clone=56, clone3=435, socket=41, openat2=437, linkat=265, symlinkat=266, mknodat=259, mq_open=240,
                   add_key=248, acct=163, swapon=167, quotactl=179, fanotify_init=300, inotify_init1=294, semget=64,
                   sched_setaffinity=203, rt_sigqueueinfo=129, process_madvise=440, move_pages=279,
                   vmsplice=278, pivot_root=155, fsopen=430, move_mount=429, open_tree=428, cachestat=451),
    "aarch64": dict(execve=221, ptrace=117, personality=92, mount=40, reboot=142, sethostname=161, init_module=105,
                    settimeofday=170, keyctl=219, unshare=97, memfd_create=279, bpf=280, userfaultfd=282,
                    pkey_alloc=289, io_uring_setup=425, pidfd_open=434, process_vm_readv=270, setns=268,
                    perf_event_open=241, open_by_handle_at=265, name_to_handle_at=264, shmget=194, seccomp=277,
                    landlock_create_ruleset=444, chroot=51, capset=91, ioprio_set=30, kcmp=272, clone=220,
                    clone3=435, socket=198, openat2=437, linkat=37, symlinkat=36, mknodat=33, mq_open=180,
                    add_key=217, acct=89, swapon=224, quotactl=60, fanotify_init=262, inotify_init1=26, semget=190,
                    sched_setaffinity=122, rt_sigqueueinfo=138, process_madvise=440, move_pages=239,
                    vmsplice=75, pivot_root=41, fsopen=430, move_mount=429, open_tree=428, cachestat=451),
}[platform.machine()]  # fmt: skip
ATTACKS = {}


@dataclass(frozen=True)
class World:
    """What an attack may aim at: a folder outside, a readable one inside, a process and ports of this machine."""

    outside: Path
    granted: Path
    victim: int
    service: int
    tcp: int
    unix: str
    abstract: str


def attack(f):
    ATTACKS[f.__name__] = f
    return f


def call(name, *args):
    """A raw system call; raises OSError."""
    result = libc.syscall(ctypes.c_long(NUMBERS[name]), *[ctypes.c_long(a) if isinstance(a, int) else a for a in args])
    if result < 0:
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
    return result


def machine_code(code):
    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    machine_code.keep = page
    return ctypes.CFUNCTYPE(ctypes.c_long)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
