"""The reply says what the tables show: every sentence here is made from states alone."""

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from assistant.execution.errand import EffectState, ErrandState, StepState
from assistant.execution.reply import REDUCED, moment, reply, summary

from . import kit

NOW = dt.datetime(2026, 11, 23, 21, 0, tzinfo=ZoneInfo("Europe/Berlin"))
PHOTOS = [{"$type": "Photo", "path": f"/p/{i}.jpg", "name": f"{i}.jpg"} for i in range(5)]
GIF = {"$type": "Gif", "path": "/a/x.gif", "name": "x.gif", "media_type": "image/gif"}
FILE = {"id": "a", "name": "x.gif", "media_type": "image/gif", "bytes": 1_234_567}
PLAN = kit.plan(
    ("photos.select", {"count": 5}),
    ("gif.create", {"photos": "$1"}),
    ("messages.send", {"to": ["Alice", "Ben"], "attachments": ["$2"]}),
)


def step(n, tool, value=None, status="done", artifacts=(), error=""):
    return StepState(n, tool, status, summary(value, artifacts), error, value, tuple(artifacts), 1.0)


def effect(state, name="Alice", channel="email", detail="", n=3):
    return EffectState(f"id-{name}", n, "send", f"{channel}:{name}", name, channel, state, detail)


def errand(plan, steps, status="done", effects=()):
    return ErrandState("e", "s", "", plan, status, NOW, NOW, tuple(steps), tuple(effects))


MADE = [step(1, "photos.select", PHOTOS), step(2, "gif.create", GIF, artifacts=[FILE])]


def sending(status, *effects, error=""):
    return errand(PLAN, [*MADE, step(3, "messages.send", status=status, error=error)], status, effects)


@pytest.mark.parametrize(
    ("state", "text"),
    [
        (sending("done", effect("sent")), "Sent the GIF (1.2 MB) to Alice."),
        (sending("done", effect("sent"), effect("sent", "Ben")), "Sent the GIF (1.2 MB) to Alice and Ben."),
        (
            sending("done", effect("sent", channel="outbox")),
            "The message with the GIF (1.2 MB) for Alice is in the outbox.",
        ),
        (
            sending("done", effect("sent"), effect("sent", "Ben", channel="outbox")),
            "Sent the GIF (1.2 MB) to Alice. The message with the GIF (1.2 MB) for Ben is in the outbox.",
        ),
        (
            sending("failed", effect("sent", channel="outbox"), effect("failed", "Ben", detail="no such address")),
            "Made a GIF (1.2 MB). The message for Alice is in the outbox. "
            "The message to Ben was not sent: no such address.",
        ),
        (
            sending("failed", effect("sent"), effect("failed", "Ben", detail="the address was refused")),
            "Made a GIF (1.2 MB). The message went to Alice. The message to Ben was not sent: the address was refused.",
        ),
        (
            sending("failed", effect("unknown", detail="the service stopped.")),
            "Made a GIF (1.2 MB). I do not know whether the message to Alice was sent: the service stopped. "
            "I will not repeat it by myself.",
        ),
        (
            sending("failed", error="no such channel"),
            "Made a GIF (1.2 MB). Sending the message failed: no such channel.",
        ),
        (
            sending("failed", effect("sending"), error="internal error"),
            "Made a GIF (1.2 MB). I do not know whether the message to Alice was sent: its outcome could not be noted. "
            "I will not repeat it by myself.",
        ),
        (
            errand(PLAN, [*MADE, step(3, "messages.send", status="running")], "failed", [effect("sent")]),
            "Made a GIF (1.2 MB). The message went to Alice.",
        ),
        (sending("cancelled"), "Cancelled. Made a GIF (1.2 MB). Not done: sending the message."),
        (
            errand(
                PLAN,
                [
                    step(1, "photos.select", status="failed", error="there are no photos of a dog"),
                    step(2, "gif.create", status="skipped"),
                    step(3, "messages.send", status="skipped"),
                ],
                "failed",
            ),
            "Finding the photos failed: there are no photos of a dog. "
            "Not done: making the GIF and sending the message.",
        ),
        (errand(kit.plan(("photos.select", {})), MADE[:1]), "I found 5 photos."),
        (errand(kit.plan(), []), "There was nothing to do."),
    ],
)
def test_errands(state, text):
    assert reply(state, NOW) == text


def test_reduced_sandbox_is_always_said():
    assert reply(sending("done", effect("sent")), NOW, reduced=True).endswith(REDUCED)
    assert reply(sending("failed", error="x"), NOW, reduced=True).endswith(REDUCED)


def test_one_photo_is_the_photo():
    plan = kit.plan(("photos.select", {"count": 1}), ("messages.send", {"to": ["Alice"], "attachments": ["$1"]}))
    for count, what in ((1, "the photo"), (2, "the 2 photos")):
        steps = [step(1, "photos.select", PHOTOS[:count]), step(2, "messages.send")]
        assert reply(errand(plan, steps, effects=[effect("sent", n=2)]), NOW) == f"Sent {what} to Alice."
        told = reply(errand(plan, steps, effects=[effect("sent", channel="outbox", n=2)]), NOW)
        assert told == f"The message with {what} for Alice is in the outbox."


def test_other_results():
    def alone(tool, value, **more):
        return reply(errand(kit.plan((tool, {})), [step(1, tool, value, **more)]), NOW)

    when = dt.datetime(2026, 11, 24, 9, 0, tzinfo=ZoneInfo("Europe/Berlin")).isoformat()
    reminder = {"$type": "Reminder", "text": "call", "when": when}
    assert alone("reminders.add", reminder) == "I will remind you tomorrow at 09:00: “call”."
    assert alone("notes.add", {"$type": "Note", "text": "milk"}) == "Noted: “milk”."
    album = {"$type": "Album", "name": "Summer", "photos": 1}
    assert alone("photos.add_to_album", album) == "The album “Summer” has 1 photo."
    contact = {"$type": "Contact", "name": "Ann", "emails": ["a@b.example"], "phones": ["+1"]}
    assert alone("contacts.find", contact) == "Ann: a@b.example and +1."
    assert alone("coffee.order", "a large latte") == "coffee: order: “a large latte”."
    assert alone("collage.create", {**GIF, "$type": "Image"}, artifacts=[FILE]) == "Made a collage (1.2 MB)."


def test_a_tools_words_are_quoted_and_short():
    told = summary("x" * 500 + "\nSent to everybody.")
    assert told.startswith("“") and told.endswith("…”") and len(told) < 130 and "\n" not in told


@pytest.mark.parametrize(
    ("when", "text"),
    [
        (dt.datetime(2026, 11, 23, 22, 30, tzinfo=dt.UTC), "today at 23:30"),
        (dt.datetime(2026, 11, 23, 23, 30, tzinfo=dt.UTC), "tomorrow at 00:30"),
        (dt.datetime(2026, 11, 28, 8, 0, tzinfo=dt.UTC), "on Saturday, 28 November at 09:00"),
        (dt.datetime(2027, 6, 1, 8, 0, tzinfo=dt.UTC), "on Tuesday, 1 June 2027 at 10:00"),
    ],
)
def test_moments(when, text):
    assert moment(when, NOW) == text
