"""`assistant demo`: the whole errand on a machine that has nothing yet.

A drawn photo library, the real service as a process of its own, a recorded command sent to it as anybody would send
one, and at the end a look into the outbox: the exit code says whether the GIF really is there.
"""

from __future__ import annotations

import asyncio
import contextlib
import email
import email.policy
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.text import Text

from assistant.demo import draw

from . import exits
from .ask import follow
from .display import interactive, reply
from .service import Service, ServiceError

RECORDING = Path(__file__).parents[1] / "speech" / "data" / "demo-command.flac"
PORT = 8080
START_S = 300.0
FRAMES = 5
# The demo keeps to itself: of the user's settings only those pass that choose models and clocks, never a channel.
PASSED = ("ASSISTANT_MODEL", "ASSISTANT_SPEECH_MODEL", "ASSISTANT_SPEECH_ENGINE", "ASSISTANT_TIMEZONE")


@dataclass(frozen=True)
class Delivered:
    """What lies in the outbox: the message, whom it is for, and its GIF."""

    file: Path
    to: str
    gif: str
    frames: int
    bytes: int


def demo(home: Path, once: bool) -> int:
    """Run the demo in a data folder of its own; the exit code."""
    console = Console()
    if (home / "config.toml").exists():
        exits.leave(f"{home} has settings of its own; unset ASSISTANT_HOME, the demo needs no data", exits.USAGE)
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    library = _library(home / "library", console)
    with _service(home, library, console) as (process, url):
        token = (home / "token").read_text().strip()
        try:
            delivered = asyncio.run(_errand(home, url, token, console, once))
        except (ServiceError, httpx.TransportError) as error:
            exits.leave(f"the service did not take the command: {error}", exits.FAILED)
        if delivered is None:
            console.print(f"No GIF with {FRAMES} frames for Alice is in {home / 'outbox'}.", style="red")
        else:
            _say(console, "message", f"{delivered.file}, to {delivered.to}")
            _say(
                console, "GIF", f"{delivered.gif}, {delivered.frames} frames, {delivered.bytes / 1000:.0f} kB, attached"
            )
        if not once:
            _say(console, "page", f"{url}/?token={token}")
            console.print("The service goes on running; press Ctrl-C to end it.", style="dim")
            with contextlib.suppress(KeyboardInterrupt):
                process.wait()
    return exits.DONE if delivered else exits.FAILED


def _library(folder: Path, console: Console) -> Path:
    if not folder.is_dir():
        part = folder.with_name(f"{folder.name}.part")  # an interrupted drawing is begun anew
        shutil.rmtree(part, ignore_errors=True)
        with console.status("drawing a photo library"):
            draw(part)
        part.rename(folder)
    photos = sum(1 for f in folder.rglob("*") if f.suffix in (".jpg", ".png"))
    _say(console, "library", f"{photos} drawn photos in {folder}")
    return folder


@contextlib.contextmanager
def _service(home: Path, library: Path, console: Console) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The service as a process of its own, and its address; ended with the demo."""
    port, log = _port(), home / "service.log"
    env = {k: v for k, v in os.environ.items() if not k.startswith("ASSISTANT_") or k in PASSED}
    env |= {"ASSISTANT_HOME": str(home), "ASSISTANT_PHOTOS": str(library), "ASSISTANT_PORT": str(port),
            "ASSISTANT_CONTACTS": str(library / "contacts")}  # fmt: skip
    command = [sys.executable, "-m", "assistant", "serve"]
    with log.open("ab") as out:
        # A group of its own: Ctrl-C is for the demo, which then ends the service in order.
        process = subprocess.Popen(command, env=env, stdin=subprocess.DEVNULL, stdout=out, stderr=out, process_group=0)
    url, begun = f"http://127.0.0.1:{port}", time.monotonic()
    try:
        with console.status("starting the service (the first start compiles the model)"):
            _await(process, url, home / "token", log)
        _say(console, "service", f"{url}, ready after {time.monotonic() - begun:.1f} s")
        yield process, url
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _await(process: subprocess.Popen[bytes], url: str, token: Path, log: Path) -> None:
    """Wait until the service is ready; ends the command when it does not come."""
    end = time.monotonic() + START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            exits.leave(f"the service has ended: {_last_error(log)} (see {log})", exits.UNAVAILABLE)
        with contextlib.suppress(OSError, httpx.TransportError, ValueError):
            headers = {"Authorization": f"Bearer {token.read_text().strip()}"}
            if httpx.get(f"{url}/health", headers=headers, timeout=5).json()["status"] == "ready":
                return
        time.sleep(0.3)
    exits.leave(f"the service was not ready after {START_S:.0f} s; see {log}", exits.UNAVAILABLE)


def _last_error(log: Path) -> str:
    """The reason in the service's log: one JSON object a line, a traceback being one message."""
    found = "no reason was given"
    for line in log.read_text("utf-8", "replace").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            found = line
            continue
        text = str(entry.get("message", "")).strip()
        if entry.get("level") == "error" and "startup failed" not in text:
            found = text.splitlines()[-1] if text else found
    return found


def _port() -> int:
    """The usual port if it is free, else any that is."""
    for port in (PORT, 0):
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    exits.leave("no port of 127.0.0.1 is free", exits.UNAVAILABLE)


async def _errand(home: Path, url: str, token: str, console: Console, once: bool) -> Delivered | None:
    """Speak the recorded command, watch it, answer its question; what is in the outbox afterwards."""
    before = set(_mails(home))
    service = Service(url, token)
    try:
        _say(console, "spoken", str(RECORDING))
        command = await service.command(audio=RECORDING.read_bytes())
        answer = (lambda q: _answer(console, q)) if once or not interactive() else None
        command, *_ = await follow(service, command["id"], console, quiet=False, answer=answer)
    finally:
        await service.aclose()
    reply(console, command["status"], command["reply"])
    timings = {k.removesuffix("_ms"): f"{v / 1000:.2f} s" for k, v in command["timings"].items() if v}
    _say(console, "timings", ", ".join(f"{k} {v}" for k, v in timings.items()))
    return next((d for f in _mails(home) if f not in before and (d := delivered(f))), None)


def _answer(console: Console, question: dict[str, Any]) -> dict[str, Any]:
    console.print(Text(question["text"], "bold"), soft_wrap=True)
    if question["kind"] != "confirm":
        raise ServiceError(f"the demo can only say yes, but was asked: {question['text']}")
    console.print("yes  (the demo answers for you)", style="dim")
    return {"confirm": True}


def _mails(home: Path) -> list[Path]:
    return sorted((home / "outbox" / "new").glob("*.eml"))


def delivered(file: Path) -> Delivered | None:
    """The message for Alice with a GIF of five frames; None when the file is something else."""
    from PIL import Image

    message = email.message_from_bytes(file.read_bytes(), policy=email.policy.default)
    for part in message.walk():
        if part.get_content_type() == "image/gif" and "alice" in str(message["To"]).lower():
            data = part.get_payload(decode=True)
            assert isinstance(data, bytes)
            with Image.open(io.BytesIO(data)) as gif:
                frames = getattr(gif, "n_frames", 1)
            if frames == FRAMES:
                return Delivered(file, str(message["To"]), part.get_filename() or "", frames, len(data))
    return None


def _say(console: Console, what: str, text: str) -> None:
    console.print(Text.assemble((f"{what:<9}", "dim"), text), soft_wrap=True)
