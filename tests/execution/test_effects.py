"""Promises about effects: asked with resolved values, only to those who were named, once, and told as it was."""

import asyncio
import dataclasses
import datetime as dt
import email
import email.policy
import io
import socket

import pytest
from PIL import Image

from assistant.execution.journal import Journal, JournalError, Planned, binding
from assistant.execution.location import GPS_POINTER
from assistant.execution.run import ErrandRun
from assistant.execution.store import Store

from . import kit
from .kit import carry_out
from .post_office import post_office

needs_full = pytest.mark.skipif(not kit.supported(), reason="third-party tools need the full sandbox")


@pytest.fixture
def journal(tmp_path):
    store = Store(f"sqlite:///{tmp_path / 'j.db'}")
    row = {"id": "e", "executor": "x", "session": "s", "text": "", "said": [], "plan": {"steps": []}, "approve": False,
           "previous": None}  # fmt: skip
    store.add_errand(row, ["t"])
    yield Journal(store)
    store.close()


def wish(text="hi", to="ann@example.org"):
    return Planned(f"email:{to}", "Ann", "send", "email", {"text": text, "attachments": []})


# the journal


def test_moves(journal):
    bound = binding("plan", [wish()])
    [row] = journal.plan("e", 1, [wish()], bound)
    with pytest.raises(JournalError):
        journal.sending(row)  # not approved
    [row] = journal.approve("e", 1, bound)
    sending = journal.sending(row)
    with pytest.raises(JournalError):
        journal.sending(row)  # somebody else is at it
    sent = journal.settle(sending, "sent")
    for state in ("approved", "sending", "failed", "unknown"):
        with pytest.raises(JournalError):
            journal.settle(sent, state)


def test_approval_holds_for_what_was_shown(journal):
    bound = binding("plan", [wish()])
    journal.plan("e", 1, [wish()], bound)
    journal.plan("e", 1, [wish("something else")], binding("plan", [wish("something else")]))
    [row] = journal.approve("e", 1, bound)
    assert row.state == "planned"
    assert binding("plan", [wish()]) != binding("other plan", [wish()])


def test_one_row_per_recipient(journal):
    bound = binding("plan", [wish()])
    first = journal.plan("e", 1, [wish()], bound)
    journal.approve("e", 1, bound)
    assert [r.id for r in journal.plan("e", 1, [wish()], bound)] == [r.id for r in first]
    assert journal.effects("e")[0].state == "approved"  # planning again takes nothing back


def test_interrupted_is_unknown(journal):
    bound = binding("plan", [wish()])
    journal.plan("e", 1, [wish()], bound)
    journal.sending(journal.approve("e", 1, bound)[0])
    assert journal.interrupted("another executor") == []
    [row] = journal.interrupted("x")
    assert row.state == "unknown" and "cannot be known" in row.detail


def test_cancelled_errands_send_nothing(journal):
    bound = binding("plan", [wish()])
    journal.plan("e", 1, [wish()], bound)
    [row] = journal.approve("e", 1, bound)
    journal._store.set_status("e", "cancelled")
    with pytest.raises(JournalError, match="cancelled"):
        journal.sending(row)


# who is meant


async def test_two_bens_are_a_question(executor, folder):
    state = await carry_out(executor, ("messages.send", {"to": ["Ben"], "text": "hi"}))
    assert state.status == "needs_answer" and state.question.kind == "choose"
    assert state.question.choices == ("Ben Miller (ben@example.org)", "Ben Baker (baker@example.org)")
    await executor.answer(state.id, choice=2)
    state = await executor.wait(state.id)
    assert state.question.text == "Send “hi” to Ben Baker (baker@example.org, outbox)?"
    await executor.answer(state.id, text="yes")
    assert (await executor.wait(state.id)).reply == "The message for Ben Baker is in the outbox."


async def test_choice_in_words_and_approval(executor, folder):
    state = await carry_out(executor, ("messages.send", {"to": ["Ben"], "text": "hi"}), approve=True)
    assert state.question.kind == "choose"  # approval is no licence to guess
    await executor.answer(state.id, text="the second one")
    assert (await executor.wait(state.id)).status == "done"
    assert b"baker@example.org" in kit.mails(folder)[0].read_bytes()


async def test_nobody(executor, folder):
    state = await carry_out(executor, ("messages.send", {"to": ["Bert Mueller"], "text": "hi"}), approve=True)
    assert state.question.kind == "choose" and "I know nobody called “Bert Mueller”" in state.question.text
    await executor.answer(state.id, text="Alice")
    assert (await executor.wait(state.id)).status == "done"
    state = await carry_out(executor, ("messages.send", {"to": ["Xqzw"], "text": "hi"}), approve=True)
    assert state.question.kind == "missing"
    await executor.answer(state.id, text="Xqzw")
    state = await executor.wait(state.id)
    assert state.status == "failed" and len(kit.mails(folder)) == 1


async def test_answers_in_a_circle_end(executor, folder):
    """Neither name is known, and each answer leads back to a question that was answered: that is the end."""
    state = await carry_out(executor, ("messages.send", {"to": ["Xqzw"], "text": "hi"}), approve=True)
    for name in ("Wqzx", "Xqzw"):
        assert state.question.kind == "missing"
        await executor.answer(state.id, text=name)
        state = await executor.wait(state.id)
    assert state.status == "failed" and "I know nobody called “Xqzw”" in state.reply
    assert not kit.mails(folder)


async def test_group(executor, folder):
    state = await carry_out(executor, ("messages.send", {"to": ["the team"], "text": "hi"}))
    assert "Ben Miller (ben@example.org, outbox) and Ben Baker" in state.question.text
    await executor.answer(state.id, confirm=True)
    await executor.wait(state.id)
    assert len(kit.mails(folder)) == 2


async def test_literal_address_must_have_been_said(executor, folder):
    step = ("messages.send", {"to": ["eve@example.org"], "text": "hi"})
    state = await carry_out(executor, step, text="say hi to eve@example.org", approve=True)
    assert state.status == "done" and len(kit.mails(folder)) == 1


async def test_no_address(executor):
    state = await carry_out(executor, ("messages.send", {"to": ["Carol"], "text": "hi"}), approve=True)
    assert "there is no address for Carol Nobody" in state.reply


async def test_text_is_asked_for(executor, folder):
    state = await carry_out(executor, ("messages.send", {"to": ["Alice"]}), approve=True)
    assert state.question.kind == "missing"
    assert state.question.text == "What should the message to Alice Smith say?"
    await executor.answer(state.id, text="I am late")
    assert (await executor.wait(state.id)).status == "done"
    assert b"I am late" in kit.mails(folder)[0].read_bytes()


async def test_contact(executor):
    state = await carry_out(executor, ("contacts.find", {"name": "Alise"}))
    assert state.reply == "Alice Smith: alice@example.org."


# what third parties try


@needs_full
async def test_forged_recipient(executor, folder):
    executor._services.grants.approve(executor.registry.plugins["post"])
    state = await carry_out(executor, ("post.forge", {"text": "hi"}), approve=True)
    assert state.status == "failed" and "Mallory, which is not what was asked for" in state.steps[0].error
    assert kit.mails(folder) == []


@needs_full
async def test_contact_that_nobody_asked_for(executor):
    executor._services.grants.approve(executor.registry.plugins["post"])
    state = await carry_out(executor, ("post.pry", {"text": "hi"}))
    assert state.status == "failed" and "Alice, which is not what was asked for" in state.steps[0].error


@needs_full
async def test_foreign_file(executor, folder):
    executor._services.grants.approve(executor.registry.plugins["post"])
    state = await carry_out(executor, ("post.leak", {"to": ["Alice"]}), approve=True)
    assert state.status == "failed" and "was not given" in state.steps[0].error
    assert kit.mails(folder) == []


@needs_full
async def test_tool_that_sends_itself(folder, errand_sandbox):
    async with kit.executor_in(folder, errand_sandbox) as executor:
        executor._services.grants.approve(executor.registry.plugins["post"])
        state = await carry_out(executor, ("post.post", {"text": "hello"}))
        assert state.question.text == "Let post.post send something (text: “hello”)?"
        assert kit.calls(folder, "post") == []  # asked before it runs
        await executor.answer(state.id, confirm=True)
        state = await executor.wait(state.id)
        assert state.status == "done" and state.effects[0].state == "sent"
        assert kit.calls(folder, "post") == ["hello"]
        state = await carry_out(executor, ("post.erase", {"name": "it"}))
        assert state.question.text == "Let post.erase delete something (name: “it”)?"
        await executor.answer(state.id, confirm=False)
        state = await executor.wait(state.id)
        assert state.status == "cancelled" and kit.calls(folder, "post") == ["hello"]
        state = await carry_out(executor, ("post.post", {"text": "refuse"}), approve=True)
        # It can write, so it may have posted before it raised.
        assert state.effects[0].state == "unknown" and "the board is closed" in state.reply


@needs_full
async def test_unapproved_manifest(executor):
    state = await carry_out(executor, ("post.post", {"text": "hello"}), approve=True)
    assert state.status == "failed" and "assistant tools approve post" in state.reply


@needs_full
async def test_tool_that_has_sent_is_not_run_again(folder, errand_sandbox, monkeypatch):
    """The service stops after the tool's sending is in the journal, and before its step is done."""

    async def stuck(self, n, status, mark=ErrandRun._mark, **values):
        return await asyncio.sleep(1000) if status == "done" else await mark(self, n, status, **values)

    async with kit.executor_in(folder, errand_sandbox) as executor:
        executor._services.grants.approve(executor.registry.plugins["post"])
        with monkeypatch.context() as patch:
            patch.setattr(ErrandRun, "_mark", stuck)
            state = await executor.submit(kit.request(("post.post", {"text": "hello"}), approve=True))
            async with asyncio.timeout(20):
                while not (state.effects and state.effects[0].state == "sent"):
                    await asyncio.sleep(0.05)
                    state = await executor.state(state.id)
            await executor.aclose()
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await executor.wait(state.id)
        assert state.status == "done" and state.steps[0].result == "posted as number 5"
    assert kit.calls(folder, "post") == ["hello"]


@needs_full
async def test_tool_that_was_sending_is_unknown(folder, errand_sandbox):
    """The service stops while the tool is at it."""
    async with kit.executor_in(folder, errand_sandbox) as executor:
        executor._services.grants.approve(executor.registry.plugins["post"])
        state = await executor.submit(kit.request(("post.post", {"text": "hang"}), approve=True))
        async with asyncio.timeout(20):
            while kit.calls(folder, "post") != ["hang"]:
                await asyncio.sleep(0.05)
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await executor.wait(state.id)
        assert state.status == "failed" and state.effects[0].state == "unknown"
        assert "I do not know whether post: post was carried out" in state.reply
    assert kit.calls(folder, "post") == ["hang"]


@needs_full
async def test_tool_that_sends_itself_and_wishes(executor, folder):
    """A tool that could have sent by itself is asked about before it runs, and its wish once more with its values."""
    plugin = executor.registry.plugins["kit"]
    executor.registry.plugins["kit"] = dataclasses.replace(
        plugin, manifest=dataclasses.replace(plugin.manifest, hosts=("a.example:443",))
    )
    state = await carry_out(executor, ("kit.send", {"to": ["Alice"], "text": "hi"}))
    assert state.question.text.startswith("Let kit.send send something")
    await executor.answer(state.id, confirm=True)
    state = await executor.wait(state.id)
    assert state.question.text == "Send “hi” to Alice Smith (alice@example.org, outbox)?"
    await executor.answer(state.id, confirm=True)
    state = await executor.wait(state.id)
    assert state.status == "done" and len(kit.mails(folder)) == 1
    assert state.steps[0].result["to"] == ["Alice Smith"]


# sending


async def test_failures_and_tries(folder, errand_sandbox):
    with post_office() as post:
        url = f"smtp://127.0.0.1:{post.port}"
        async with kit.executor_in(folder, errand_sandbox, smtp_url=url, smtp_from="me@example.org") as executor:
            hello = ("messages.send", {"to": ["Alice"], "text": "hi"})
            post.fault = "450 at RCPT"
            state = await carry_out(executor, hello, approve=True)
            assert state.status == "failed" and "was not sent" in state.reply
            tries = [e.data["state"] for e in [e async for e in executor.events(state.id)] if e.type == "effect"]
            assert tries == ["sending", "approved", "sending", "approved", "sending", "failed"]
            post.fault = "drop after DATA"
            state = await carry_out(executor, hello, approve=True)
            assert [e.state for e in state.effects] == ["unknown"] and len(post.mails) == 1
            assert "I do not know whether the message to Alice Smith was sent" in state.reply
            post.fault = ""
            state = await carry_out(executor, hello, approve=True)
            assert state.reply == "Sent the message to Alice Smith." and len(post.mails) == 2


async def test_position_is_taken_out(folder, errand_sandbox):
    photos = folder / "photos"
    photos.mkdir(exist_ok=True)
    photos.chmod(0o755)
    exif = Image.Exif()
    exif.get_ifd(GPS_POINTER).update({1: "N", 2: (52.0, 31.0, 12.5)})
    Image.new("RGB", (80, 60), "red").save(photos / "home.jpg", exif=exif)
    (photos / "home.jpg").chmod(0o644)
    plan = [("photos.select", {"count": 1}), ("messages.send", {"to": ["Alice"], "attachments": ["$1"]})]
    for keep in (False, True):
        async with kit.executor_in(folder, errand_sandbox, send_location=keep) as executor:
            state = await carry_out(executor, *plan, approve=True)
            assert state.status == "done", state.reply
        newest = max(kit.mails(folder), key=lambda p: p.stat().st_mtime_ns)
        mail = email.message_from_bytes(newest.read_bytes(), policy=email.policy.default)
        with Image.open(io.BytesIO(next(mail.iter_attachments()).get_content())) as sent:
            assert bool(sent.getexif().get_ifd(GPS_POINTER)) == keep


# reminders


async def aiter_first(source):
    async for item in source:
        yield item
        return


async def test_reminders_are_raised_once(folder, errand_sandbox):
    async with kit.executor_in(folder, errand_sandbox) as executor:
        state = await carry_out(executor, ("reminders.add", {"text": "call Ben", "when": "tomorrow at 9"}))
        assert state.status == "done" and state.reply == "I will remind you tomorrow at 09:00: “call Ben”."
        now = dt.datetime.now(dt.UTC)
        assert await executor.raise_reminders(now) == []
        later = now + dt.timedelta(days=2)
        assert executor.reminders.due(later, "another machine with the same database") == []
        assert [r.text for r in await executor.raise_reminders(later)] == ["call Ben"]
        assert await executor.raise_reminders(later) == []
        shown = [r.text async for r in aiter_first(executor.raised(now))]
        assert shown == ["call Ben"]
        events = [e async for e in executor.events(state.id)]
        assert [e.data["text"] for e in events if e.type == "reminder"] == ["call Ben"]
    async with kit.executor_in(folder, errand_sandbox) as executor:
        assert await executor.raise_reminders(later) == []
        assert executor.reminders.all()[0].raised is not None


async def test_reminders_of_the_same_second_are_all_told(executor):
    for text in ("call Ben", "call Ann"):
        await carry_out(executor, ("reminders.add", {"text": text, "when": "tomorrow at 9"}))
    now = dt.datetime.now(dt.UTC)
    assert len(await executor.raise_reminders(now + dt.timedelta(days=2))) == 2
    first = await anext(aiter(executor.raised(now)))
    second = await anext(aiter(executor.raised(first.raised)))
    assert {first.text, second.text} == {"call Ben", "call Ann"}


async def test_a_clock_that_is_set_back_hides_no_reminder(executor):
    now = dt.datetime.now(dt.UTC)
    for text, when in (("call Ben", "in one hour"), ("call Ann", "in one minute")):
        await carry_out(executor, ("reminders.add", {"text": text, "when": when}))
        hours = 2 if text == "call Ben" else 0.1
        [told] = await executor.raise_reminders(now + dt.timedelta(hours=hours))
        assert told.text == text
    first = await anext(aiter(executor.raised(now)))
    second = await anext(aiter(executor.raised(first.raised)))
    assert (first.text, second.text) == ("call Ben", "call Ann")


async def test_a_channel_that_does_not_answer_holds_up_no_reminder(folder, errand_sandbox):
    """The user's own channel takes the connection and says nothing; the page is told all the same."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        channels = {"self": f"json://127.0.0.1:{silent.getsockname()[1]}/x"}
        async with kit.executor_in(folder, errand_sandbox, channels=channels) as executor:
            now = dt.datetime.now(dt.UTC)
            for text, days in (("call Ben", 2), ("call Ann", 4)):
                when = (now + dt.timedelta(days=days - 1)).strftime("%Y-%m-%d 09:00")
                await carry_out(executor, ("reminders.add", {"text": text, "when": when}))
                async with asyncio.timeout(3):
                    assert [r.text for r in await executor.raise_reminders(now + dt.timedelta(days=days))] == [text]
            async with asyncio.timeout(3):
                assert [r.text async for r in aiter_first(executor.raised(now))] == ["call Ben"]
            connection, _ = await asyncio.to_thread(silent.accept)  # it is being delivered
            connection.close()


async def test_an_errand_is_not_forgotten_before_its_reminder(executor):
    state = await carry_out(executor, ("reminders.add", {"text": "renew the passport", "when": "in 300 days"}))
    later = dt.datetime.now(dt.UTC) + dt.timedelta(days=299)
    assert await executor.purge(later) == 0
    assert [r.text for r in await executor.raise_reminders(later + dt.timedelta(days=2))] == ["renew the passport"]
    assert await executor.purge(later) == 1 and executor.store.errand(state.id) is None


async def test_a_tool_that_is_gone_fails_alone(folder, errand_sandbox):
    async with kit.executor_in(folder, errand_sandbox) as executor:
        send = ("messages.send", {"to": ["Alice"], "attachments": ["$1"]})
        state = await carry_out(executor, ("kit.picture", {"name": "cat"}), send)
        assert state.question.kind == "confirm"
    registry = kit.test_registry(errand_sandbox)
    del registry.specs["messages.send"]
    async with kit.executor_in(folder, errand_sandbox, registry=registry) as executor:
        async for _ in executor.events(state.id):
            pass  # to its end, since the question of before is still open
        state = await executor.state(state.id)
        assert state.steps[0].status == "done" and state.steps[1].status == "failed"
        assert "messages.send is no longer installed" in state.steps[1].error
