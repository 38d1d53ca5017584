"""Waiting for news: nothing is missed, nobody else is woken, and waiting costs nothing."""

import asyncio
import time

from assistant.execution.bell import Bell
from assistant.execution.run import POLL_S

from .kit import carry_out


async def test_what_rings_before_the_wait_is_heard():
    bell = Bell()
    with bell.listen("a") as listener:
        bell.ring("a")
        async with asyncio.timeout(1):
            await listener.wait(60)


async def test_others_sleep_on_and_the_wait_has_an_end():
    bell = Bell()
    with bell.listen("a") as listener:
        bell.ring("b")
        await listener.wait(0.01)
        assert not listener.heard.is_set()
    assert not bell._listeners  # nothing is left of it


async def test_open_questions_do_not_slow_the_others(executor, monkeypatch):
    """Errands that wait for an answer are not looked at when another one goes on."""
    for n in range(8):
        state = await carry_out(executor, ("messages.send", {"to": ["Alice"], "text": f"number {n}"}))
        assert state.question
    looked = []
    answered = executor.store.answered
    monkeypatch.setattr(executor.store, "answered", lambda errand, key: looked.append(errand) or answered(errand, key))
    begun = time.monotonic()
    state = await carry_out(executor, *[("notes.add", {"text": f"note {n}"}) for n in range(6)])
    assert state.status == "done"
    polls = (time.monotonic() - begun) / POLL_S + 1
    assert len(looked) <= 8 * polls, "each is looked at now and then, not at every change of another"
