"""The real service on a port of its own, in a thread, with a dictated planner."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from assistant.assistant import Assistant
from assistant.execution.private import write_private
from server.app import create_app
from tests.execution import kit

from .conftest import TOKEN, small_library
from .dictated import Dictated


@dataclass
class Live:
    """A service that runs. `folder` holds its data folder `home`, its photos and contacts."""

    url: str
    folder: Path
    planner: Dictated

    @property
    def port(self) -> int:
        return int(self.url.rpartition(":")[2])

    def mails(self) -> list[Path]:
        return kit.mails(self.folder)


@contextlib.contextmanager
def live(planner: Dictated) -> Iterator[Live]:
    """Start the service; stop it at the end."""
    folder = kit.public_folder()
    (folder / "home").mkdir(mode=0o700)
    write_private(folder / "home" / "token", TOKEN.encode())
    small_library(folder / "photos")
    settings = kit.settings_in(folder, commands_per_minute=100_000)
    up, down = threading.Event(), threading.Event()
    listener = socket.create_server(("127.0.0.1", 0))

    async def run() -> None:
        assistant = Assistant(settings, planner=planner)
        await assistant.start()
        server = uvicorn.Server(uvicorn.Config(create_app(assistant, token=TOKEN), log_level="warning", ws="none"))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        up.set()
        await asyncio.to_thread(down.wait)
        server.should_exit = server.force_exit = True
        await serving
        await assistant.aclose()

    thread = threading.Thread(target=lambda: asyncio.run(run()))
    thread.start()
    try:
        assert up.wait(120), "the service did not start"
        yield Live(f"http://127.0.0.1:{listener.getsockname()[1]}", folder, planner)
    finally:
        down.set()
        thread.join(60)
        shutil.rmtree(folder, ignore_errors=True)
