"""The database: what must survive a power cut is on the disk when the call returns, and many share one sync."""

import os
import threading
import time

import pytest
import sqlalchemy as sa

from assistant.execution import store as module
from assistant.execution.store import Store, notes


@pytest.fixture
def store(tmp_path):
    opened = Store(f"sqlite:///{tmp_path / 'errands.db'}")
    yield opened
    opened.close()


def add(store, n, durable=True):
    with store.write(durable) as c:
        c.execute(sa.insert(notes).values(errand=f"e{n}", step=1, text=f"note {n}", created=0.0))


def test_durable_writes_wait_for_their_sync_and_share_it(store, monkeypatch):
    """A slow disk: whoever returns has been synced by a sync that began after its commit."""
    begun, real = [], os.fdatasync

    def slow(descriptor):
        with store.read() as c:
            begun.append(set(c.execute(sa.select(notes.c.text)).scalars()))  # what this sync brings to the disk
        time.sleep(0.02)
        real(descriptor)

    monkeypatch.setattr(module.os, "fdatasync", slow)

    def client(first):
        for n in range(first, first + 5):
            add(store, n)
            if not any(f"note {n}" in on_disk for on_disk in begun):
                late.append(n)

    late = []
    threads = [threading.Thread(target=client, args=(100 * k,)) for k in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not late
    assert 5 <= len(begun) < 40, "one sync for several"


def test_what_may_be_lost_is_not_waited_for(store, monkeypatch):
    def broken(descriptor):
        raise OSError("the disk is gone")

    monkeypatch.setattr(module.os, "fdatasync", broken)
    add(store, 1, durable=False)
    with pytest.raises(OSError, match="the disk is gone"):
        add(store, 2)
    monkeypatch.undo()
    add(store, 3)  # and it goes on once the disk is back


def test_a_failed_transaction_leaves_nothing(store):
    with pytest.raises(ZeroDivisionError), store.write() as c:
        c.execute(sa.insert(notes).values(errand="x", step=1, text="x", created=0.0))
        raise ZeroDivisionError
    with store.read() as c:
        assert c.execute(sa.select(sa.func.count()).select_from(notes)).scalar() == 0


def errand_in(store, id):
    row = {"id": id, "executor": "x", "session": "s", "text": "", "said": [], "plan": {"steps": []}, "approve": False,
           "previous": None}  # fmt: skip
    store.add_errand(row, ["t", "t"])


def test_a_new_question_of_a_step_replaces_the_one_before(store):
    errand_in(store, "e")
    store.ask("e", "1:confirm:old", "confirm", "Send to old?", [])
    store.ask("e", "2:who", "choose", "Which Ben?", ["a", "b"])
    assert store.asked("e") > 0 == store.asked("nobody")
    store.ask("e", "1:confirm:new", "confirm", "Send to new?", [])
    texts = [q["text"] for q in store.full("e")["questions"]]
    assert texts == ["Which Ben?", "Send to new?"]
    first, second = store.full("e")["questions"]
    assert store.answer(first["id"], "e", {"choice": 1}) and store.errand("e")["status"] == "needs_confirmation"
    assert store.answer(second["id"], "e", {"confirm": True}) and store.errand("e")["status"] == "running"
