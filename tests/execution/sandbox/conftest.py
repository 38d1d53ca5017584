"""A world for plugins to attack, and sandboxes to attack from: the real one, and one without any confinement."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
from dataclasses import asdict, dataclass, field
from pathlib import Path

import pytest

from assistant.execution.sandbox import Sandbox, SandboxOptions

PLUGINS = Path(__file__).parent / "plugins"
UID = os.geteuid() or 65534  # tests started as root: tools run as an ordinary user
KEY = "a very secret key"


@dataclass
class World:
    """Everything in it could be touched by the tools' user, were it not for the sandbox."""

    root: Path
    outside: Path
    granted: Path
    victim: int
    service: int
    tcp: int
    unix: str
    abstract: str
    visits: list[str] = field(default_factory=list)

    def as_json(self) -> dict:
        return {k: str(v) if isinstance(v, Path) else v for k, v in asdict(self).items() if k not in ("root", "visits")}

    def snapshot(self) -> list[tuple]:
        """Names, modes, owners, contents and times of all files."""
        found = []
        for path in sorted(self.root.rglob("*")):
            status = path.lstat()
            text = path.read_bytes() if path.is_file() else b""
            found.append((str(path), status.st_mode, status.st_uid, status.st_nlink, text, status.st_mtime_ns))
        return found


def listen(address, family, kind, visits, name):
    server = socket.socket(family, kind)
    server.bind(address)
    if kind == socket.SOCK_STREAM:
        server.listen()

    def serve():
        while True:
            try:
                server.accept()[0].close() if kind == socket.SOCK_STREAM else server.recv(10)
            except OSError:
                return
            visits.append(name)

    threading.Thread(target=serve, daemon=True).start()
    return server


def children(zygote):
    """Its processes: those that run, and one that waits for the next call."""
    return Path(f"/proc/{zygote}/task/{zygote}/children").read_text().split()


def victim_process():
    options = {"user": UID, "group": UID, "extra_groups": []} if os.geteuid() == 0 else {}
    return subprocess.Popen(["/bin/sleep", "600"], **options)


@pytest.fixture(scope="session")
def base():
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="sandbox-test-"))
    folder.chmod(0o755)
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def plugins(base):
    """The test plugins where the tools' user can read them."""
    target = base / "plugins"
    shutil.copytree(PLUGINS, target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


@pytest.fixture(scope="session")
def world(base):
    root = base / "world"
    outside, granted = root / "outside", root / "granted"
    for folder in (root, outside, granted):
        folder.mkdir()
        folder.chmod(0o777)
    for path in (outside / "key", outside / "mine", granted / "photo", granted / "mine"):
        path.write_text(KEY if path.name == "key" else "contents")
        path.chmod(0o666)
        if path.name == "mine" and os.geteuid() == 0:
            os.chown(path, UID, UID)
    (granted / "link-to-key").symlink_to(outside / "key")
    os.mkfifo(granted / "fifo")
    visits: list[str] = []
    unix, abstract = str(base / "socket"), f"hostile-{os.getpid()}"
    servers = [
        listen(("127.0.0.1", 0), socket.AF_INET, socket.SOCK_STREAM, visits, "tcp"),
        listen(unix, socket.AF_UNIX, socket.SOCK_STREAM, visits, "unix"),
        listen(unix + ".dgram", socket.AF_UNIX, socket.SOCK_DGRAM, visits, "datagram"),
        listen("\0" + abstract, socket.AF_UNIX, socket.SOCK_STREAM, visits, "abstract"),
    ]
    for path in (unix, unix + ".dgram"):
        Path(path).chmod(0o777)
    victim = victim_process()
    yield World(root, outside, granted, victim.pid, os.getpid(), servers[0].getsockname()[1], unix, abstract, visits)
    victim.kill()
    victim.wait()
    for server in servers:
        server.close()


@pytest.fixture(scope="session")
def sandbox(base, plugins):
    """The full sandbox."""
    with Sandbox(SandboxOptions(artifacts=base / "artifacts", module_paths=(plugins,), workers=4)) as sandbox:
        yield sandbox


@pytest.fixture(scope="session")
def loose(base, plugins):
    """The same without Landlock and seccomp, to see that the attacks are real."""
    stdlib = (
        "ctypes",
        "mmap",
        "platform",
        "resource",
        "subprocess",
        "struct",
        "fcntl",
        "threading",
        "encodings.idna",
        "urllib.request",
        "fractions",
        "zipfile",
    )
    options = SandboxOptions(
        artifacts=base / "loose",
        module_paths=(plugins,),
        preload=(*SandboxOptions.__dataclass_fields__["preload"].default, *stdlib),
        without=frozenset({"landlock", "seccomp"}),
    )
    with Sandbox(options) as sandbox:
        yield sandbox


def supported() -> bool:
    """Whether this machine has what the full sandbox needs."""
    from assistant.execution.sandbox import landlock, seccomp

    return sys.platform == "linux" and landlock.abi() > 0 and seccomp.available() is None


def pytest_collection_modifyitems(items):
    if not supported():
        for item in items:
            if "sandbox" in str(item.path):
                item.add_marker(pytest.mark.skip("this kernel has no Landlock or no seccomp"))
