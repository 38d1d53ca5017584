"""The service as a process: clients at once, power cuts in the middle of errands, an orderly end."""

from __future__ import annotations

import re
import shutil
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from assistant.cli import exits
from server.serve import GRACE_S
from tests.execution.kit import public_folder

from .service import Service, free_port, new_service


@pytest.fixture
def own(library: Path) -> Iterator[Service]:
    """A service that a test may kill."""
    with new_service(library) as running:
        yield running.start()
        if running.process and running.process.poll() is None:
            running.kill()


def test_power_cuts_lose_and_repeat_nothing(own: Service) -> None:
    """Killed at five moments of an errand; after each start the errand goes on to its end, or says what happened."""
    own.say("note that this is the first start")
    for n, place in enumerate(("home", "work", "school", "church", "lunch")):
        text = f"tell Alice I am at {place}"
        started = own.client.post("/command", json={"text": text, "approve": True, "wait": 0}).json()
        time.sleep(0.08 * n)
        own.kill()
        own.start()
        end = time.monotonic() + 60
        while (command := own.client.get(f"/command/{started['id']}").json())["status"] == "running":
            assert time.monotonic() < end, command
            time.sleep(0.1)
        sent = [m for m in own.world().mails.values() if place in m.get_content()]
        assert command["status"] in ("done", "failed"), command
        assert len(sent) == 1 if command["status"] == "done" else len(sent) <= 1, command


def test_clients_at_once(service: Service) -> None:
    """Twelve clients: every answer is a command or an honest 429, every note is kept once."""
    before = service.world()

    def client(n: int) -> list[tuple[int, int]]:
        answers = []
        with httpx.Client(base_url=service.client.base_url, headers=service.client.headers, timeout=150) as http:
            for k in range(3):
                body = {"text": f"note that client {n} says {k}", "wait": 100}
                answer = http.post("/command", json=body)
                steps = answer.json().get("steps", [])
                answers.append((answer.status_code, sum(s["status"] == "done" for s in steps)))
        return answers

    with ThreadPoolExecutor(12) as pool:
        answers = [a for found in pool.map(client, range(12)) for a in found]
    statuses = [status for status, _ in answers]
    assert set(statuses) <= {200, 429} and statuses.count(200) >= 24
    assert len(service.world().since(before).notes) == sum(done for _, done in answers)


def test_streams_end_and_nothing_is_lost_when_it_stops(own: Service) -> None:
    asked = own.say("tell Alice I am at home")
    assert asked["question"]["kind"] == "confirm"
    with own.client.stream("GET", f"/command/{asked['id']}/events") as stream:
        lines = stream.iter_lines()
        assert next(lines).startswith("retry:")
        begun = time.monotonic()
        own.process.send_signal(signal.SIGTERM)
        list(lines)
        assert time.monotonic() - begun < GRACE_S, "the stream ends by itself, not with the grace for slow clients"
    assert own.process.wait(60) == 0  # Python's own end is slow on a busy machine
    own.start()
    assert own.client.get(f"/command/{asked['id']}").json()["question"] == asked["question"]


def test_what_stands_in_the_way_is_said(own: Service, library: Path) -> None:
    """A data folder in use, a port that is taken, a checkpoint that is not there: one line, and an exit code."""
    folder = public_folder()
    try:
        for home, port, model, words in (
            (own.home, free_port(), "", "another assistant works with the data folder"),
            (folder / "home", own.port, "", "cannot listen on"),
            (folder / "home", free_port(), str(folder / "nothing"), r"ASSISTANT_MODEL\): .*/nothing is neither"),
        ):
            more = {"ASSISTANT_MODEL": model} if model else dict(own.environment)
            second = Service(home, library, more, port=port)
            second.process = None
            with pytest.raises(RuntimeError, match=words):
                second.start()
            assert second.process and second.process.returncode == exits.UNAVAILABLE
            said = [line for line in second.log.read_text().splitlines() if line.startswith("assistant: ")]
            assert len(said) == 1 and re.search(words, said[0])
            assert "Traceback" not in second.log.read_text()
            second.log.unlink()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
