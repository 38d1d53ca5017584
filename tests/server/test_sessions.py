"""What one command of a session does to the one before it, and how the service leaves."""

from __future__ import annotations

import asyncio
import datetime as dt
import json
import time

import pytest
from sqlalchemy import select

from assistant.execution.store import events

from .conftest import DEMO_COMMAND, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def _waits(world: World, session: str, text: str = "see you") -> dict:
    world.planner.says(f"tell Alice {text}", ("messages.send", {"to": ["Alice"], "text": text}))
    command = await world.command(f"tell Alice {text}", session=session)
    assert command["status"] == "needs_confirmation"
    return command


async def test_a_look_at_a_plan_answers_nothing(world: World) -> None:
    before = len(world.mails())
    first = await _waits(world, "look")
    looked = await world.command("yes", session="look", plan_only=True)
    assert looked["id"] != first["id"] and looked["status"] == "refused"
    world.planner.says("no, to Benny", ("messages.send", {"to": ["Benny"], "text": "see you"}))
    assert (await world.command("no, to Benny", session="look", plan_only=True))["status"] == "planned"
    assert (await world.client.get(f"/command/{first['id']}")).json()["status"] == "needs_confirmation"
    assert len(world.mails()) == before
    assert (await world.command("no", session="look"))["status"] == "cancelled"


async def test_only_what_replaces_a_message_cancels_it(world: World) -> None:
    first = await _waits(world, "wait")
    world.planner.says("wait, what is Alice's number", ("contacts.find", {"name": "Alice"}))
    assert (await world.command("wait, what is Alice's number", session="wait"))["status"] == "done"
    assert (await world.command("sorry, fly me to the moon", session="wait"))["status"] == "refused"
    assert (await world.client.get(f"/command/{first['id']}")).json()["status"] == "needs_confirmation"
    await world.client.post(f"/command/{first['id']}/cancel")


async def test_a_yes_is_no_answer_to_a_question_that_was_not_asked_yet(world: World) -> None:
    before = len(world.mails())
    world.planner.says("tell Alice hello", ("messages.send", {"to": ["Alice"], "text": "hello"}))
    first, early = await asyncio.gather(
        world.command("tell Alice hello", session="early"), world.command("yes", session="early")
    )
    assert first["status"] == "needs_confirmation" and early["status"] == "refused" and early["id"] != first["id"]
    assert len(world.mails()) == before
    assert (await world.command("yes", session="early"))["status"] == "done"
    assert len(world.mails()) == before + 1


async def test_a_recording_and_what_is_typed_after_it_keep_their_order(world: World) -> None:
    data = {"wait": "0", "session": "order"}
    spoken = (
        await world.client.post("/command", files={"audio": ("c.flac", DEMO_COMMAND.read_bytes())}, data=data)
    ).json()
    typed = await world.command("and to Benny too", session="order", wait=90)
    assert typed["status"] == "refused"
    heard = (await world.client.get(f"/command/{spoken['id']}")).json()
    asked = [text for text, _ in world.planner.asked]
    assert heard["transcript"] and asked.index(heard["transcript"]["text"]) < asked.index("and to Benny too")


async def test_an_answered_command_does_not_wait_for_the_one_that_waits_for_it(world: World) -> None:
    lock = world.assistant._sessions.setdefault("knot", asyncio.Lock())
    world.planner.says("remind me to nap", ("reminders.add", {"text": "nap"}), missing=(1, "when"))
    asked = await world.command("remind me to nap", session="knot")
    async with lock:  # as the next command of the session holds it while it waits for this one
        done = await world.client.post(f"/command/{asked['id']}/answer", json={"text": "tomorrow at 9", "wait": 20})
    assert done.json()["status"] == "done"


async def test_who_waits_is_told_when_the_service_leaves(world: World) -> None:
    held = asyncio.Event()
    loop = asyncio.get_running_loop()

    def slowly(history: object) -> object:
        asyncio.run_coroutine_threadsafe(held.wait(), loop).result(30)
        raise ValueError

    world.planner.scripts["take long"] = slowly  # type: ignore[assignment]
    waiting = asyncio.create_task(world.command("take long", wait=60))
    await asyncio.sleep(0.3)
    begun = time.monotonic()
    world.assistant.leaving.set()
    try:
        command = await waiting
        assert command["status"] == "running" and time.monotonic() - begun < 10
    finally:
        world.assistant.leaving.clear()
        held.set()


async def test_forgotten_commands_leave_nothing_behind(world: World) -> None:
    refused = await world.command("tell nobody that I am here")
    store = world.assistant.executor.store

    def told() -> list[str]:
        with store.read() as c:
            return list(c.execute(select(events.c.type).where(events.c.errand == refused["id"])).scalars())

    assert told()
    await asyncio.to_thread(world.assistant.commands.purge, time.time() + 1)
    assert told() == [] and (await world.client.get(f"/command/{refused['id']}")).status_code == 404


async def told(world: World, **headers: str) -> str:
    """What a stream of reminders tells within half a second."""
    stream = asyncio.create_task(world.client.get("/reminders/events", headers=headers))
    await asyncio.sleep(0.5)
    world.assistant.leaving.set()  # ends the stream
    text = (await stream).text
    world.assistant.leaving.clear()
    return text


async def test_reminders_are_told_when_they_are_due(world: World) -> None:
    for name in ("ficus", "palm"):
        say = f"remind me to water the {name} in one hour"
        world.planner.says(say, ("reminders.add", {"text": f"water the {name}", "when": "in one hour"}))
        command = await world.command(say)
        assert command["status"] == "done", command
    [kept] = [r for r in (await world.client.get("/reminders")).json() if r["errand"] == command["id"]]
    assert kept["text"] == "water the palm" and kept["raised"] is None
    await world.assistant.executor.raise_reminders(dt.datetime.now(dt.UTC) + dt.timedelta(hours=2))
    stream = (await told(world)).split("\n\n")
    first, second = [event for event in stream if "event: reminder" in event][-2:]
    data = json.loads(second.partition("data: ")[2])
    assert data["id"] == kept["id"] and data["raised"]
    seen = first.partition("id: ")[2].split()[0]
    after = await told(world, **{"Last-Event-ID": seen})
    assert "water the palm" in after, "it came in the same second, and was not seen"


async def test_yes_please_is_a_yes(world: World) -> None:
    for answer, status in (("Yes, please.", "done"), ("No, thanks.", "cancelled")):
        world.planner.says(f"tell Alice {status}", ("messages.send", {"to": ["Alice"], "text": status}))
        command = await world.command(f"tell Alice {status}", session=f"answer-{status}")
        assert command["status"] == "needs_confirmation"
        answered = await world.command(answer, session=f"answer-{status}")
        assert (answered["id"], answered["status"]) == (command["id"], status)


async def test_errors_below_v1_have_the_form_that_clients_expect(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = await world.client.get("/v1/audio/transcriptions")
    assert wrong.status_code == 405 and wrong.json()["error"]["message"]
    monkeypatch.setattr("server.openai.AT_ONCE", 0)
    busy = await world.client.get("/v1/models")
    assert busy.status_code == 429 and busy.headers["retry-after"] and busy.json()["error"]["message"]
    monkeypatch.setattr(world.assistant, "ready", False)
    early = await world.client.get("/v1/models")
    assert early.status_code == 503 and early.json()["error"]["type"] == "server_error"
