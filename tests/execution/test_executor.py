"""Errands from the plan to the outbox: order, references, questions, restarts, cancelling."""

import asyncio
import email
import email.policy
import io
import os
import time

import pytest
from PIL import Image

from assistant.execution.errand import AnswerError, ErrandRequest, ExecutorError, UnknownErrand
from assistant.execution.executor import Executor
from assistant.plugin.plan import PlanError

from . import kit
from .kit import carry_out

DRAW = ("kit.picture", {"name": "cat"})
SEND = ("messages.send", {"to": ["Alice"], "text": "hello", "attachments": ["$1"]})


def read(path):
    return email.message_from_bytes(path.read_bytes(), policy=email.policy.default)


async def test_plan_to_outbox(executor, folder):
    state = await carry_out(executor, DRAW, SEND)
    assert state.status == "needs_confirmation"
    assert state.question.text == "Send “hello” and cat.png (308 bytes) to Alice Smith (alice@example.org, outbox)?"
    assert kit.mails(folder) == []
    await executor.answer(state.id, confirm=True)
    state = await executor.wait(state.id)
    assert state.status == "done"
    assert state.reply == "The message with the picture (308 bytes) for Alice Smith is in the outbox."
    [path] = kit.mails(folder)
    mail = read(path)
    assert mail["To"].addresses[0].addr_spec == "alice@example.org"
    assert mail.get_body().get_content().strip() == "hello"
    [attachment] = mail.iter_attachments()
    assert attachment.get_filename() == "cat.png"
    assert attachment.get_content() == b"\x89PNG\r\n\x1a\n" + b"cat" * 100
    assert state.steps[1].result["message_id"] == mail["Message-ID"]
    assert state.artifacts[0]["name"] == "cat.png"


async def test_no_means_no(executor, folder):
    state = await carry_out(executor, DRAW, SEND, ("notes.add", {"text": "remember"}))
    await executor.answer(state.id, confirm=False)
    state = await executor.wait(state.id)
    assert state.status == "cancelled" and kit.mails(folder) == []
    assert "The message to Alice Smith was not sent: you did not want it." in state.reply
    assert "Noted: “remember”." in state.reply


async def test_approved_is_not_asked(executor, folder):
    state = await carry_out(executor, DRAW, SEND, approve=True)
    assert state.status == "done" and len(kit.mails(folder)) == 1


async def test_lists_are_flattened(executor):
    state = await carry_out(
        executor,
        ("kit.pictures", {"count": 3}),
        DRAW,
        ("kit.bind", {"files": ["$1", "$2"], "about": "$1", "kind": "thick"}),
    )
    assert state.status == "done", state.steps
    data = executor.sandbox.artifacts.get(state.artifacts[-1]["id"]).path.read_text()
    assert data.split()[0] == "$1"  # said by the user, so no reference
    assert data.split()[2] == "4"


async def test_previous_errand(executor):
    first = await carry_out(executor, DRAW, session="s")
    assert first.status == "done"
    state = await carry_out(executor, ("kit.bind", {"files": ["^1"]}), session="s")
    assert state.status == "done"
    with pytest.raises(PlanError, match="previous errand has 0 steps"):
        await carry_out(executor, ("kit.bind", {"files": ["^1"]}), session="another")


async def test_independent_steps_run_together(executor, folder):
    state = await carry_out(executor, *[("kit.slow", {"seconds": 1.0})] * 3)
    assert state.status == "done"
    assert kit.calls(folder) == ["slow begins"] * 3 + ["slow ends"] * 3


async def test_failure_skips_what_depends_on_it(executor, folder):
    state = await carry_out(
        executor,
        ("kit.fails", {"why": "no film"}),
        ("messages.send", {"to": ["Alice"], "attachments": ["$1"]}),
        ("notes.add", {"text": "remember"}),
        approve=True,
    )
    assert [s.status for s in state.steps] == ["failed", "skipped", "done"]
    assert state.status == "failed" and kit.mails(folder) == []
    assert "it does not work: no film" in state.reply and "Noted" in state.reply
    assert "Not done: sending the message." in state.reply


async def test_nothing_found_is_not_sent(executor, folder):
    state = await carry_out(
        executor,
        ("kit.pictures", {"count": 0}),
        ("messages.send", {"to": ["Alice"], "text": "look", "attachments": ["$1"]}),
        approve=True,
    )
    assert state.status == "failed" and "step 1 found nothing to work with" in state.reply
    assert kit.mails(folder) == []


async def test_bad_plans_are_refused(executor):
    with pytest.raises(PlanError, match="step 1: there is no tool"):
        await executor.submit(kit.request(("kit.unknown", {})))
    with pytest.raises(PlanError, match=r"step 2, argument 'to', element 1: 'Mallory' was not said"):
        text = "draw a cat and send it to Alice"
        await executor.submit(kit.request(DRAW, ("messages.send", {"to": ["Mallory"], "text": "cat"}), text=text))


async def test_same_id_same_errand(executor, folder):
    asked = ErrandRequest(kit.plan(DRAW), id="mine")
    await executor.submit(asked)
    again = await executor.submit(asked)
    assert again.id == "mine"
    await executor.wait("mine")
    assert kit.calls(folder) == ["picture cat"]
    assert [s.id for s in await executor.history()] == ["mine"]


async def test_unknown(executor):
    with pytest.raises(UnknownErrand):
        await executor.state("nobody")
    state = await carry_out(executor, DRAW)
    with pytest.raises(AnswerError, match="nothing is asked"):
        await executor.answer(state.id, confirm=True)


async def test_events_are_replayed(executor):
    state = await carry_out(executor, DRAW)
    events = [e async for e in executor.events(state.id)]
    assert [e.id for e in events] == sorted({e.id for e in events})
    assert events[0].data == {"status": "running"} and events[-1].data == {"status": "done"}
    assert [e.data["status"] for e in events if e.type == "step"] == ["running", "done"]
    later = [e async for e in executor.events(state.id, after=events[2].id)]
    assert later == events[3:]


async def test_events_are_followed(executor):
    state = await executor.submit(kit.request(("kit.slow", {"seconds": 0.5})))
    seen = [e async for e in executor.events(state.id)]
    assert seen[-1].data == {"status": "done"}
    assert any(e.type == "progress" for e in seen)


async def test_cancel(executor, folder):
    state = await executor.submit(kit.request(("kit.slow", {"seconds": 30}), ("kit.bind", {"files": ["$1"]})))
    async with asyncio.timeout(20):
        while kit.calls(folder) != ["slow begins"]:
            await asyncio.sleep(0.05)
        state = await executor.cancel(state.id)
    assert state.status == "cancelled" and state.reply.startswith("Cancelled.")
    assert [s.status for s in state.steps] == ["cancelled", "cancelled"]
    await asyncio.sleep(0.3)
    assert kit.calls(folder) == ["slow begins"]
    assert (await executor.cancel(state.id)).status == "cancelled"


async def test_cancel_while_asked(executor, folder):
    state = await carry_out(executor, DRAW, SEND)
    state = await executor.cancel(state.id)
    assert state.status == "cancelled" and state.question is None
    with pytest.raises(AnswerError):
        await executor.answer(state.id, confirm=True)
    assert kit.mails(folder) == []


async def test_question_survives_restart(folder, errand_sandbox):
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await carry_out(executor, DRAW, SEND)
        question = state.question
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await executor.wait(state.id)
        assert state.question == question
        await executor.answer(state.id, confirm=True)
        assert (await executor.wait(state.id)).status == "done"
    assert len(kit.mails(folder)) == 1
    assert kit.calls(folder) == ["picture cat"]  # the finished step was not run again


async def test_only_its_own_questions_are_forgotten(executor):
    state = await carry_out(executor, DRAW, SEND)
    assert executor.store.waiting_since(time.time(), "another machine with the same database") == []
    assert executor.store.waiting_since(time.time(), executor._id) == [state.id]


async def test_answer_while_down(folder, errand_sandbox):
    """An answer that was kept just before the end is not asked for again."""
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await carry_out(executor, DRAW, SEND)
        await executor.answer(state.id, confirm=True)
    async with kit.executor_in(folder, errand_sandbox) as executor:
        assert (await executor.wait(state.id)).status == "done"
    assert len(kit.mails(folder)) == 1


async def test_wish_is_not_made_again(folder, errand_sandbox):
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await carry_out(executor, ("kit.send", {"to": ["Alice"], "text": "hi"}))
        assert state.question.kind == "confirm"
    async with kit.executor_in(folder, errand_sandbox) as executor:
        await executor.answer(state.id, confirm=True)
        assert (await executor.wait(state.id)).status == "done"


async def test_errand_that_never_started_is_started(folder, errand_sandbox):
    """A crash between keeping an errand and starting its workflow."""
    async with kit.executor_in(folder, errand_sandbox) as executor:
        executor._begin = lambda id: asyncio.sleep(0)
        state = await executor.submit(kit.request(DRAW))
    async with kit.executor_in(folder, errand_sandbox) as executor:
        assert (await executor.wait(state.id)).status == "done"


async def test_one_executor_per_folder(executor, folder, errand_sandbox):
    with pytest.raises(ExecutorError, match="running in this process"):
        await Executor(executor.settings, executor.registry, errand_sandbox).start()


async def test_purge(executor, folder):
    import datetime as dt

    state = await carry_out(executor, DRAW, SEND, approve=True)
    copies = list((folder / "home" / "attachments").iterdir())
    assert len(copies) == 1
    os.utime(copies[0], (0, 0))
    assert await executor.purge(dt.datetime.now(dt.UTC)) == 1
    with pytest.raises(UnknownErrand):
        await executor.state(state.id)
    assert not copies[0].exists() and len(kit.mails(folder)) == 1


async def test_gif_of_the_newest_photos(executor, folder):
    """The plan of the introduction, with the built-in tools: photos, a GIF of five frames, one message with it."""
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    photos.chmod(0o755)
    for day in range(1, 8):
        exif = Image.Exif()
        exif.get_ifd(0x8769)[0x9003] = f"2026:05:{day:02d} 12:00:00"
        Image.new("RGB", (160, 120), (day * 30, 90, 200 - day * 20)).save(photos / f"{day}.jpg", exif=exif)
        (photos / f"{day}.jpg").chmod(0o644)
    (photos / "broken.jpg").write_bytes(b"\xff\xd8\xffno picture")
    state = await carry_out(
        executor,
        ("photos.select", {"count": 5}),
        ("gif.create", {"photos": "$1"}),
        ("messages.send", {"to": ["Alice"], "attachments": ["$2"]}),
        approve=True,
    )
    assert state.status == "done", state
    assert state.reply.startswith("The message with the GIF (")
    [attachment] = read(kit.mails(folder)[0]).iter_attachments()
    assert attachment.get_content_type() == "image/gif"
    with Image.open(io.BytesIO(attachment.get_content())) as gif:
        assert gif.n_frames == 5
