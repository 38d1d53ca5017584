"""The real service as a process of its own, for end-to-end tests and benchmarks: started, killed, started again."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any

import httpx

from assistant.demo import draw
from tests.execution.kit import public_folder

ROOT = Path(__file__).parents[2]
START_S = 240.0


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def chosen_planner() -> dict[str, str]:
    """MODEL names another checkpoint than the shipped one, while a planner is being trained."""
    return {"ASSISTANT_MODEL": os.environ["MODEL"]} if "MODEL" in os.environ else {}


@contextlib.contextmanager
def new_service(library: Path | None = None) -> Iterator[Service]:
    """A service, not yet started, in a folder of its own, by default with a freshly drawn library; it is ended and the
    folder removed afterwards."""
    folder = public_folder()
    if library is None:
        library = folder / "library"
        draw(library)
    service = Service(folder / "home", library)
    try:
        yield service
    finally:
        if service.process is not None and service.process.poll() is None:
            service.stop()
        shutil.rmtree(folder, ignore_errors=True)


@dataclass
class Service:
    """One service over the data folder `home`. `environment` are further ASSISTANT_… variables."""

    home: Path
    library: Path
    environment: dict[str, str] = field(default_factory=chosen_planner)
    command: list[str] = field(default_factory=lambda: [sys.executable, "-m", "assistant", "serve"])
    port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None
    client: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=150)

    @property
    def log(self) -> Path:
        return self.home.parent / "service.log"

    def start(self) -> Service:
        """Start, and wait until it is ready."""
        env = {k: v for k, v in os.environ.items() if not k.startswith("ASSISTANT_")}
        env |= {"ASSISTANT_HOME": str(self.home), "ASSISTANT_PHOTOS": str(self.library),
                "ASSISTANT_CONTACTS": str(self.library / "contacts"), "ASSISTANT_PORT": str(self.port),
                "ASSISTANT_TIMEZONE": "Europe/Berlin", "ASSISTANT_COMMANDS_PER_MINUTE": "100000",
                "ASSISTANT_SPEECH_ENGINE": "pocketsphinx", **self.environment}  # fmt: skip
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(self.command, env=env, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out,
                                            stderr=out, start_new_session=True)  # fmt: skip
        end = time.monotonic() + START_S
        while time.monotonic() < end:
            if self.process.poll() is not None:
                raise RuntimeError(f"the service has ended:\n{self.log.read_text()[-3000:]}")
            with contextlib.suppress(OSError, httpx.TransportError, ValueError):
                token = (self.home / "token").read_text().strip()
                self.client.headers["Authorization"] = f"Bearer {token}"
                if self.client.get("/health").json()["status"] == "ready":
                    return self
            time.sleep(0.1)
        raise RuntimeError(f"the service was not ready after {START_S:.0f} s:\n{self.log.read_text()[-3000:]}")

    def kill(self) -> None:
        """End it without a word, as a power cut would; what it has started dies with it."""
        assert self.process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def stop(self, seconds: float = 30.0) -> int:
        """End it in order; its exit status."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise

    # what is said to it

    def say(self, text: str, **more: Any) -> dict[str, Any]:
        answer = self.client.post("/command", json={"text": text, "wait": 120, **more})
        return self._command(answer)

    def speak(self, recording: bytes, name: str = "command.wav", **more: Any) -> dict[str, Any]:
        data = {"wait": "120", **{k: json.dumps(v) if isinstance(v, bool) else str(v) for k, v in more.items()}}
        return self._command(self.client.post("/command", files={"audio": (name, recording)}, data=data))

    def answer(self, id: str, **given: Any) -> dict[str, Any]:
        return self._command(self.client.post(f"/command/{id}/answer", json={"wait": 120, **given}))

    def _command(self, answer: httpx.Response) -> dict[str, Any]:
        if answer.status_code != 200:
            raise RuntimeError(f"{answer.status_code}: {answer.text}")
        return dict(answer.json())

    # the world behind it

    def world(self) -> World:
        """What there is now: messages, notes, reminders, albums and the library's files."""
        mails = {}
        for file in sorted((self.home / "outbox" / "new").glob("*")):
            mail = message_from_bytes(file.read_bytes(), policy=policy.default)
            assert isinstance(mail, EmailMessage)
            mails[file.name] = mail
        rows = {"notes": [], "reminders": []}
        with contextlib.closing(sqlite3.connect(self.home / "errands.db")) as db:
            rows["notes"] = [r[0] for r in db.execute("SELECT text FROM notes ORDER BY id")]
            rows["reminders"] = [tuple(r) for r in db.execute('SELECT text, "when" FROM reminders ORDER BY due')]
        files = {str(f): f.stat().st_mtime_ns for f in self.library.rglob("*") if f.is_file()}
        return World(mails, rows["notes"], rows["reminders"], files)


@dataclass
class World:
    """A picture of everything that an errand may change and must not change."""

    mails: dict[str, EmailMessage]
    notes: list[str]
    reminders: list[tuple[str, str]]
    files: dict[str, int]

    def since(self, before: World) -> World:
        """What has come. Raises AssertionError when something has gone or a file of the library has changed."""
        assert self.files == before.files, "the photo library has changed"
        assert set(before.mails) <= set(self.mails), "a message has gone"
        new = {k: v for k, v in self.mails.items() if k not in before.mails}
        reminders = list(self.reminders)
        for known in before.reminders:
            reminders.remove(known)
        assert self.notes[: len(before.notes)] == before.notes, "a note has changed"
        return World(new, self.notes[len(before.notes) :], reminders, {})
