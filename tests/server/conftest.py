"""One service per module: the real sandbox, executor and outbox behind the application, and a dictated planner."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import pytest_asyncio
from PIL import Image

import assistant.speech
from assistant.assistant import Assistant
from server.app import create_app
from tests.execution import kit

from .dictated import Dictated

DEMO_COMMAND = Path(assistant.speech.__file__).parent / "data" / "demo-command.flac"
TOKEN = "test-token-0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass
class World:
    """The running service, and what the tests need to look behind it."""

    folder: Path
    assistant: Assistant
    planner: Dictated
    client: httpx.AsyncClient
    app: Any

    @property
    def home(self) -> Path:
        return self.folder / "home"

    async def command(self, text: str, **more: Any) -> dict[str, Any]:
        answer = await self.client.post("/command", json={"text": text, **more})
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def mails(self) -> list[Path]:
        return kit.mails(self.folder)


def small_library(folder: Path) -> None:
    """Six photos, an hour apart."""
    folder.mkdir()
    for n in range(6):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2026:05:0{n + 1} 12:00:00"
        Image.new("RGB", (320, 240), (40 * n, 90, 200)).save(folder / f"IMG_{n}.jpg", exif=exif)


@pytest.fixture(scope="module")
def place() -> Any:
    folder = kit.public_folder()
    (folder / "home").mkdir(mode=0o700)
    small_library(folder / "photos")
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(place: Path) -> AsyncIterator[World]:
    settings = kit.settings_in(place, commands_per_minute=100_000)
    planner = Dictated()
    assistant = Assistant(settings, planner=planner)
    await assistant.start()
    app = create_app(assistant, token=TOKEN)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080", headers=headers) as client:
        yield World(place, assistant, planner, client, app)
    await assistant.aclose()
