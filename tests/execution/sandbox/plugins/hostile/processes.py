"""Attacks that start or touch processes."""

import ctypes
import fcntl
import os
import resource
import signal
import struct
import subprocess
import time

from .common import attack, call, libc


@attack
def fork(w):
    if os.fork() == 0:
        os._exit(0)


@attack
def fork_by_clone(w):
    if call("clone", signal.SIGCHLD, 0, 0, 0, 0) == 0:
        os._exit(0)


@attack
def fork_by_clone3(w):
    arguments = struct.pack("8Q", 0, 0, 0, 0, signal.SIGCHLD, 0, 0, 0)
    if call("clone3", ctypes.create_string_buffer(arguments), 64) == 0:
        os._exit(0)


@attack
def run_shell(w):
    return subprocess.run(["/bin/sh", "-c", "id"], capture_output=True, check=True).stdout


@attack
def run_system(w):
    code = os.system("true")
    if code != 0:
        raise PermissionError(f"code {code}")


@attack
def replace_self(w):
    os.execv("/bin/true", ["true"])


@attack
def execute_from_memory(w):
    call("memfd_create", b"x", 0)


@attack
def daemonise(w):
    if os.fork() == 0:
        os.setsid()
        time.sleep(60)


@attack
def kill_parent(w):
    os.kill(os.getppid(), signal.SIGKILL)


@attack
def kill_victim(w):
    os.kill(w.victim, signal.SIGTERM)


@attack
def kill_all(w):
    os.kill(-1, signal.SIGCONT)  # harmless, should it ever be allowed


@attack
def kill_group(w):
    os.killpg(os.getpgid(w.victim), signal.SIGCONT)


@attack
def kill_by_pidfd(w):
    signal.pidfd_send_signal(os.pidfd_open(w.victim), signal.SIGTERM)


@attack
def kill_by_queue(w):
    info = ctypes.create_string_buffer(struct.pack("iii", 15, 0, -1), 128)
    call("rt_sigqueueinfo", w.victim, 15, info)


@attack
def signal_by_descriptor_owner(w):
    fcntl.fcntl(0, fcntl.F_SETOWN, w.victim)


@attack
def trace_victim(w):
    call("ptrace", 16, w.victim, 0, 0)
    call("ptrace", 17, w.victim, 0, 0)


@attack
def read_memory_of_victim(w):
    buffer = ctypes.create_string_buffer(8)
    local = struct.pack("PN", ctypes.addressof(buffer), 8)
    call("process_vm_readv", w.victim, local, 1, local, 1, 0)


@attack
def limit_victim(w):
    resource.prlimit(w.victim, resource.RLIMIT_NOFILE, (8, 8))


@attack
def pin_victim(w):
    os.sched_setaffinity(w.victim, os.sched_getaffinity(0))


@attack
def slow_victim(w):
    os.setpriority(os.PRIO_PROCESS, w.victim, 19)


@attack
def raise_own_limits(w):
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (soft * 2, soft * 2))


@attack
def survive_the_parent(w):
    if libc.prctl(1, 0, 0, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), "prctl")


@attack
def leave_the_session(w):
    os.setpgid(0, 0)
    os.setsid()


@attack
def become_root(w):
    os.setuid(0)


@attack
def raise_capabilities(w):
    header = struct.pack("Ii", 0x20080522, 0)
    call("capset", header, struct.pack("6I", *[0xFFFFFFFF] * 6))
