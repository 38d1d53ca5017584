"""The façade without HTTP: what a restart keeps, what it goes on with, and whose commands are whose."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from assistant import Assistant
from assistant.command import Busy, CommandError, KeyReused, UnknownCommand
from tests.execution import kit
from tests.server.dictated import Dictated


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    folder = kit.public_folder()
    (folder / "photos").mkdir()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


async def started(place: Path, planner: Dictated) -> Assistant:
    assistant = Assistant(kit.settings_in(place), planner=planner)
    await assistant.start()
    return assistant


@contextlib.asynccontextmanager
async def running(place: Path, planner: Dictated) -> AsyncIterator[Assistant]:
    assistant = await started(place, planner)
    try:
        yield assistant
    finally:
        await assistant.aclose()


async def test_restart_keeps_everything(place: Path) -> None:
    planner = Dictated()
    planner.says("tell Alice one", ("messages.send", {"to": ["Alice"], "text": "one"}))
    planner.says("remind me to run", ("reminders.add", {"text": "run"}), missing=(1, "when"))
    planner.says("note doubt", ("notes.add", {"text": "doubt"}), doubt=True)
    planner.says("note done", ("notes.add", {"text": "done"}))
    first = await started(place, planner)
    said = ("tell Alice one", "remind me to run", "note doubt", "note done", "sing")
    before = [await first.command(text=text, idempotency_key=text) for text in said]
    assert [c.status for c in before] == ["needs_confirmation", "needs_answer", "needs_confirmation", "done", "refused"]
    await first.aclose()
    second = await started(place, planner)
    try:
        for command in before:
            now = await second.get(command.id)
            assert (now.status, now.plan, now.question, now.reply) == (
                command.status, command.plan, command.question, command.reply,
            )  # fmt: skip
            again = await second.command(text=command.text, idempotency_key=command.text)
            assert again.id == command.id
        assert (await second.answer(before[0].id, confirm=True)).status == "done"
        assert (await second.answer(before[1].id, text="tomorrow at 9")).status == "done"
        assert (await second.answer(before[2].id, text="yes")).status == "done"
        assert len(kit.mails(place)) == 1
    finally:
        await second.aclose()


async def test_what_was_not_planned_yet_is_planned_after_the_start(place: Path, monkeypatch: Any) -> None:
    """Cut off between the words and the plan, and between the plan and its start."""
    planner = Dictated()
    planner.says("note cut one", ("notes.add", {"text": "cut one"}))
    planner.says("note cut two", ("notes.add", {"text": "cut two"}))
    first = await started(place, planner)

    async def cut(*args: Any) -> bool:
        raise SystemError("cut off")

    async def unnoticed(*args: Any) -> None:
        return None

    monkeypatch.setattr(first, "_fail", unnoticed)
    monkeypatch.setattr(first._understanding, "plan", cut)
    one = await first.command(text="note cut one", wait=0)
    monkeypatch.undo()
    monkeypatch.setattr(first, "_fail", unnoticed)
    monkeypatch.setattr(first._understanding, "submit", cut)
    two = await first.command(text="note cut two", wait=1)
    assert (await first.get(one.id)).status == (await first.get(two.id)).status == "running"
    await first.aclose()
    second = await started(place, planner)
    try:
        for id in (one.id, two.id):
            assert (await second.rest(id, 30)).status == "done"
        with second.executor.store.read() as c:
            found = c.exec_driver_sql("SELECT text FROM notes WHERE text LIKE 'cut%' ORDER BY text").scalars()
            assert list(found) == ["cut one", "cut two"]
    finally:
        await second.aclose()


async def test_wrong_use(place: Path) -> None:
    assistant = await started(place, Dictated())
    try:
        for wrong in (
            {},
            {"text": "a", "audio": b"b"},
            {"text": " "},
            {"text": "a" * 4001},
            {"text": "a", "wait": 999.0},
        ):
            with pytest.raises(CommandError):
                await assistant.command(**wrong)  # type: ignore[arg-type]
        with pytest.raises(UnknownCommand, match="nothing"):
            await assistant.get("nothing")
    finally:
        await assistant.aclose()


async def test_one_key_for_two_requests_at_once_serves_one_of_them(place: Path) -> None:
    planner = Dictated()
    for text in ("note key one", "note key two"):
        planner.says(text, ("notes.add", {"text": text.removeprefix("note ")}))
    async with running(place, planner) as assistant:
        both = [assistant.command(text=t, idempotency_key="the key") for t in ("note key one", "note key two")]
        done = await asyncio.gather(*both, return_exceptions=True)
        assert [type(d) for d in done].count(KeyReused) == 1, done
        assert [c.status for c in done if not isinstance(c, KeyReused)] == ["done"]


async def test_a_burst_does_not_pass_the_limit(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.assistant.WAITING_LIMIT", 2)
    planner = Dictated()
    planner.says("note burst", ("notes.add", {"text": "burst"}))
    async with running(place, planner) as assistant:
        burst = [assistant.command(text="note burst", wait=0) for _ in range(8)]
        taken = await asyncio.gather(*burst, return_exceptions=True)
        assert sum(isinstance(t, Busy) for t in taken) >= 6, "an errand of before may take a place, too"


async def test_cancelled_on_the_way_to_the_executor(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Dictated()
    planner.says("tell Alice too late", ("messages.send", {"to": ["Alice"], "text": "too late"}))
    async with running(place, planner) as assistant:
        before = len(kit.mails(place))
        submit = assistant._submit

        async def late(id: str) -> bool:
            assert (await assistant.cancel(id)).status == "cancelled"
            return await submit(id)

        monkeypatch.setattr(assistant, "_submit", late)
        assert (await assistant.command(text="tell Alice too late", approve=True)).status == "cancelled"
        assert len(kit.mails(place)) == before


async def test_an_errand_goes_on_when_watching_it_fails(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    planner = Dictated()
    planner.says("tell Alice unseen", ("messages.send", {"to": ["Alice"], "text": "unseen"}))
    async with running(place, planner) as assistant:
        watch, broken = assistant._watch, [True]

        async def once(id: str) -> None:
            if broken.pop() if broken else False:
                raise ConnectionError("the database went away")
            await watch(id)

        monkeypatch.setattr(assistant, "_watch", once)
        command = await assistant.command(text="tell Alice unseen")
        assert command.status == "needs_confirmation", "the errand is still there, and can be answered"
        assert (await assistant.answer(command.id, confirm=True)).status == "done"
