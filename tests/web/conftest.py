"""The real service on a port of its own, and a real Chromium with a fake microphone that plays the demo command."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

import pytest
import soundfile

from assistant.planning.planned import Planned
from tests.server.conftest import DEMO_COMMAND, TOKEN
from tests.server.dictated import Dictated, plan
from tests.server.live import Live, live

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
    *("--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"),
]
GIF_TO_ALICE = (
    ("photos.select", {"count": 5}),
    ("gif.create", {"photos": "$1"}),
    ("messages.send", {"to": ["Alice"], "attachments": ["$2"]}),
)
PATIENCE_MS = 60_000


class Listening(Dictated):
    """Also plans what the recogniser may hear in the recording, if the essential words are there."""

    def plan(self, text: str, history: Any = ()) -> Planned:
        words = text.lower()
        if text not in self.scripts and "photos" in words and "alice" in words:
            return Planned(text, plan(*GIF_TO_ALICE[:2], ("messages.send", {"to": ["alice"], "attachments": ["$2"]})))
        return super().plan(text, history)


def pytest_collection_modifyitems(items: list[Any]) -> None:
    if CHROMIUM is None:
        for item in items:
            if "tests/web" in str(item.path):
                item.add_marker(pytest.mark.skip("no Chromium is installed"))


@pytest.fixture(scope="module")
def service() -> Iterator[Live]:
    with live(Listening()) as running:
        yield running


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    spoken = tmp_path_factory.mktemp("microphone") / "command.wav"
    sound, rate = soundfile.read(DEMO_COMMAND, dtype="int16")
    soundfile.write(spoken, sound, rate, subtype="PCM_16")
    with playwright.sync_playwright() as play:
        flags = [*FLAGS, f"--use-file-for-fake-audio-capture={spoken}%noloop"]
        browser = play.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield browser
        browser.close()


@pytest.fixture
def open_page(service: Live, browser: Any) -> Iterator[Any]:
    """Open the page as the printed address does; fails the test on errors in its console.

    `failures`: the test makes requests fail.
    """
    problems: list[str] = []
    contexts = []

    def open_(width: int = 1100, height: int = 900, scheme: str = "light", failures: bool = False) -> Any:
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme, reduced_motion="reduce",
            permissions=["microphone"],
        )  # fmt: skip
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        page = context.new_page()
        expected = "Failed to load resource" if failures else "\0"  # Chromium says so of each request that fails
        page.on("console", lambda m: problems.append(m.text)
                if m.type in ("error", "warning") and expected not in m.text else None)  # fmt: skip
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"{service.url}/?token={TOKEN}")
        page.wait_for_selector("#examples button", state="attached")
        return page

    yield open_
    for context in contexts:
        context.close()
    assert problems == []
