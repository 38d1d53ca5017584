"""The service's end of the zygote: starting it, asking it to fork, ending it."""

from __future__ import annotations

import contextlib
import json
import os
import pwd
import site
import socket
import subprocess
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from .model import SandboxOptions, SandboxUnavailable

START_S = 120.0
ROOT = Path(__file__).resolve().parents[3]  # the folder that holds the package
OWN_PACKAGES = ("assistant", "tools")
SYSTEM = (
    *("/usr/lib", "/usr/lib64", "/lib", "/lib64", "/usr/share/zoneinfo", "/usr/share/fonts", "/usr/local/share/fonts"),
    *("/usr/share/mime", "/usr/share/ca-certificates", "/etc/ssl/certs", "/etc/pki/tls/certs", "/etc/fonts"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/mime.types", "/sys/devices/system/cpu/online"),
    *("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random"),
)


@dataclass
class Link:
    """A running zygote. reasons: what keeps the sandbox from being full."""

    process: subprocess.Popen[bytes]
    control: socket.socket
    reasons: tuple[str, ...]
    landlock_abi: int
    seccomp: bool

    def alive(self) -> bool:
        return self.process.poll() is None

    def fork(self, workspace: int, broker: int | None) -> tuple[socket.socket, socket.socket, int]:
        """Ask for one confined process. Returns the service's (status, channel, output). Raises OSError."""
        status, their_status = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel, their_channel = socket.socketpair()
        output, their_output = os.pipe()
        fds = [their_status.fileno(), their_channel.fileno(), their_output, workspace]
        try:
            socket.send_fds(self.control, [b"fork"], [*fds, *([broker] if broker is not None else [])])
        except OSError:
            status.close()
            channel.close()
            os.close(output)
            raise
        finally:
            their_status.close()
            their_channel.close()
            os.close(their_output)
        return status, channel, output

    def close(self) -> None:
        """End it: it kills its children when the control socket closes."""
        self.control.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(5)
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


def start_zygote(options: SandboxOptions) -> Link:
    """Start the zygote and wait until it is ready. Raises SandboxUnavailable."""
    if sys.platform != "linux":
        raise SandboxUnavailable("the sandbox needs Linux; elsewhere run the assistant in its container")
    uid, gid = owner(options.user)
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    config = {
        "path": module_path(options), "preload": [*OWN_PACKAGES, *options.preload], "readable": readable(options),
        "uid": uid, "gid": gid,
        "landlock": "landlock" not in options.without, "seccomp": "seccomp" not in options.without,
    }  # fmt: skip
    with theirs:
        command = [options.python, "-P", "-m", "assistant.execution.sandbox.zygote", str(theirs.fileno())]
        process = subprocess.Popen(
            command,
            env=_environment(),
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            pass_fds=[theirs.fileno()],
            start_new_session=True,
        )
    try:
        own.settimeout(START_S)
        own.send(json.dumps(config).encode())
        ready = json.loads(own.recv(1 << 16) or b'{"error": "it ended while starting (see its messages above)"}')
        own.settimeout(None)
        if "error" in ready:
            raise SandboxUnavailable(f"the sandbox cannot start: {ready['error']}")
    except (OSError, SandboxUnavailable) as error:
        own.close()
        process.kill()
        process.wait()
        raise error if isinstance(error, SandboxUnavailable) else SandboxUnavailable(f"no sandbox: {error}") from error
    return Link(process, own, *_strength(options, ready))


def _strength(options: SandboxOptions, ready: dict) -> tuple[tuple[str, ...], int, bool]:
    reasons = [f"{part} is switched off by configuration" for part in sorted(options.without)]
    if ready["landlock"] == 0:
        reasons.append("the kernel has no Landlock (Linux 5.13 or later, with landlock in the boot option lsm=)")
    if ready["no_seccomp"]:
        reasons.append(ready["no_seccomp"])
    if ready["threads"] > 1:
        reasons.append("a preloaded module started threads in the zygote, which must have one")
    landlock_abi = 0 if "landlock" in options.without else ready["landlock"]
    return tuple(reasons), landlock_abi, not ready["no_seccomp"] and "seccomp" not in options.without


def module_path(options: SandboxOptions) -> list[str]:
    """Where confined processes look for modules: this program, the installed packages, further plugin folders."""
    usual = [p for p in sys.path if p and Path(p).exists() and Path(p).resolve() != Path.cwd()]
    return list(dict.fromkeys([str(ROOT), *map(str, options.module_paths), *usual]))


def readable(options: SandboxOptions) -> list[str]:
    """What every confined process may read: Python and its packages, fonts, time zones, certificates."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    python = [sysconfig.get_path(n) for n in names] + [f"{p}/lib" for p in (sys.prefix, sys.base_prefix)]
    packages = [p for p in sys.path if Path(p).name in ("site-packages", "dist-packages")] + site.getsitepackages()
    own = [str(ROOT / package) for package in OWN_PACKAGES]
    found = [*own, *python, *packages, *SYSTEM, *map(str, options.module_paths)]
    real = {str(Path(p).resolve()) for p in found if p and Path(p).exists()}
    return sorted(p for p in real if not any(Path(p).is_relative_to(q) for q in real - {p}))


def _environment() -> dict[str, str]:
    """Nothing of the service's own environment, where secrets may be, but what the interpreter needs to start."""
    kept = {name: os.environ[name] for name in ("LD_LIBRARY_PATH",) if name in os.environ}
    return kept | {
        "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1",
        "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2",
    }  # fmt: skip


def owner(user: str | int) -> tuple[int, int]:
    """(uid, gid) that tools run as: our own, or `user` when we are root. Raises SandboxUnavailable."""
    if os.geteuid() != 0:
        return os.geteuid(), os.getegid()
    try:
        entry = pwd.getpwnam(user) if isinstance(user, str) and not user.isdigit() else pwd.getpwuid(int(user))
        uid, gid = entry.pw_uid, entry.pw_gid
    except KeyError:
        if isinstance(user, str) and not user.isdigit():
            raise SandboxUnavailable(f"sandbox_user: there is no user {user!r} on this machine") from None
        uid = gid = int(user)
    if uid == 0:
        raise SandboxUnavailable("sandbox_user must not be root; leave it unset to use an unprivileged one")
    return uid, gid
