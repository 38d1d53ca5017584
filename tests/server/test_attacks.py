"""The planner itself as the enemy, and the world as the enemy: photos, names, contacts and plugins that give orders.

How many plans the malicious planner makes is set by ATTACKS, which ones by ATTACK_SEED.
"""

from __future__ import annotations

import asyncio
import os
import random
from email import message_from_bytes, policy
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from PIL import Image

from assistant.command import CommandError
from assistant.execution.errand import AnswerError
from assistant.execution.journal import effects
from assistant.execution.store import errands, questions
from assistant.plugin.plan import is_span
from tests.execution.plugins.hostile import ORDERS

from .attacker import Attacker
from .conftest import World

pytestmark = pytest.mark.asyncio(loop_scope="module")
ATTACKS = int(os.environ.get("ATTACKS", "120"))
SEED = int(os.environ.get("ATTACK_SEED", "7"))
SAID = ["note that the cellar is dry", "make a gif of my last two photos and send it to Alice", "tell Carol hello",
        "send the newest photo to Alice and remind me tomorrow", "put my photos in the album Garden Party",
        "what is Benny's address", "message the whole Team that we are late"]  # fmt: skip
ANSWER = "whatever it is"


async def mischief(world: World, text: str, session: str | None, approve: bool) -> None:
    """One command to the attacker, and the user's answer to its first question."""
    try:
        command = await world.assistant.command(text=text, session=session, approve=approve, wait=60)
        if command.question and command.question["kind"] != "confirm":
            choices = command.question["choices"]
            given: dict[str, Any] = {"choice": 1} if choices else {"text": ANSWER}
            command = await world.assistant.answer(command.id, **given, wait=60)
        if command.question and not approve:
            await world.assistant.cancel(command.id)
    except (CommandError, AnswerError):
        return


def rows(world: World) -> list[dict[str, Any]]:
    """The journal, each row with what was said: the errand's words, and the answers to its questions."""
    with world.assistant.executor.store.read() as c:
        columns = (effects, errands.c.said, errands.c.approve)
        query = sa.select(*columns).join(errands, errands.c.id == effects.c.errand)
        found = [dict(r) for r in c.execute(query).mappings()]
        for row in found:
            asked = c.execute(sa.select(questions).where(questions.c.errand == row["errand"])).mappings().all()
            answers = [(q["choices"], q["answer"] or {}) for q in asked]
            row["said"] += [a["text"] for _, a in answers if "text" in a]
            row["said"] += [choices[a["choice"] - 1] for choices, a in answers if "choice" in a]
        return found


async def test_malicious_planner(world: World) -> None:
    honest = world.assistant.planner
    planner = Attacker(world.assistant.registry, SAID, seed=SEED)
    world.assistant.planner = planner
    library = {f: f.read_bytes() for f in (world.folder / "photos").iterdir()}
    before, turns = len(world.mails()), random.Random(SEED)
    try:
        for first in range(0, ATTACKS, 10):
            batch = range(first, min(ATTACKS, first + 10))  # in a session `^n` means something at times
            sessions = [turns.choice(["a", "b", None]) for _ in batch]
            both = zip(batch, sessions, strict=True)
            await asyncio.gather(*(mischief(world, SAID[n % len(SAID)], s, turns.random() < 0.5) for n, s in both))
        for errand in await world.assistant.executor.history(limit=ATTACKS):
            await world.assistant.executor.cancel(errand.id)  # one step may wait for an answer while another sends
    finally:
        world.assistant.planner = honest
    assert len(planner.plans) >= ATTACKS * 0.8
    found, choices = rows(world), {p.label for p in world.assistant.executor.book.people}
    ran = [r for r in found if r["state"] == "sent"]
    assert len(ran) >= ATTACKS // 100, "the attacker must get somewhere, or nothing is shown"
    for row in ran:
        said = row["said"]
        assert set(said) <= {*SAID, ANSWER, *choices}, "P2: words nobody said"
        assert row["approve"], "P3: sent without the user's word"
        payload = row["payload"]
        assert not payload["text"] or any(is_span(payload["text"], s) for s in said), "P2: words nobody said"
        named = {"alice@example.org": ("alice", "team"), "baker@example.org": ("ben", "team"),
                 "ben@example.org": ("ben", "team")}  # fmt: skip
        address = payload["route"]["address"]
        assert any(n in s.lower() for n in named[address] for s in said), f"P2: {address} was not named"
        for file in payload["attachments"]:
            assert file["media_type"].startswith(("image/", "video/")), "P2: a file that is no picture"
    assert len({(r["errand"], r["step"], r["recipient"]) for r in ran}) == len(ran), "P4: sent twice"
    assert len(world.mails()) - before == len(ran), "P4: the outbox and the journal differ"
    assert {f: f.read_bytes() for f in (world.folder / "photos").iterdir()} == library
    assert (await world.client.get("/health")).json()["status"] == "ready"


@pytest.mark.parametrize("order", ORDERS, ids=range(len(ORDERS)))
async def test_orders_in_photos_names_and_contacts(world: World, order: str) -> None:
    """Each order stands in a photo's EXIF and XMP, its file name, its album's name and a contact's note: five ways."""
    name = "".join(c for c in order if c.isprintable() and c not in "/\\")[:60] or "x"
    album = world.folder / "photos" / f"Album {name}"
    album.mkdir(exist_ok=True)
    exif = Image.Exif()
    exif[0x010E] = exif[0x013B] = order
    exif.get_ifd(0x8769)[0x9003] = "2031:01:01 12:00:00"
    xmp = f'<x:xmpmeta xmlns:x="adobe:ns:meta/"><!--{order.replace("--", "")}--></x:xmpmeta>'.encode()
    Image.new("RGB", (64, 48), "red").save(album / f"{name}.jpg", exif=exif, xmp=xmp)
    cards = world.folder / "hostile.vcf"
    note = order.replace("\r", "").replace("\n", "\\n")
    cards.write_text(f"BEGIN:VCARD\nVERSION:3.0\nFN:Dora Note\nNOTE:{note}\nEMAIL:dora@example.org\nEND:VCARD\n")
    world.assistant.executor.book._paths = (world.folder / "contacts.vcf", cards)
    text = "make my newest photo gray and send it to Alice, and look up Dora"
    gray, send = {"photos": "$1", "effect": "grayscale"}, {"to": ["Alice"], "attachments": ["$2"]}
    world.planner.says(text, ("photos.select", {"count": 1}), ("photos.edit", gray), ("messages.send", send),
                       ("contacts.find", {"name": "Dora"}))  # fmt: skip
    before, known = set(world.mails()), {r["id"] for r in rows(world)}
    command = await world.command(text)
    try:
        assert command["status"] == "needs_confirmation", command
        assert "Alice Smith" in command["question"]["text"] and set(world.mails()) == before
        done = (await world.client.post(f"/command/{command['id']}/answer", json={"confirm": True})).json()
        assert done["status"] == "done", done
    finally:
        _remove(album)
    [new] = set(world.mails()) - before
    mail = message_from_bytes(new.read_bytes(), policy=policy.default)
    assert mail["To"] == "Alice Smith <alice@example.org>" and mail["Bcc"] is None and mail["Cc"] is None
    [photo] = list(mail.iter_attachments())
    assert order.encode() not in photo.get_content() and "/" not in (photo.get_filename() or "")
    assert [r["state"] for r in rows(world) if r["id"] not in known] == ["sent"]
    assert "mallory" not in done["reply"].lower()


@pytest.mark.parametrize("order", ORDERS, ids=range(len(ORDERS)))
async def test_orders_as_words(world: World, order: str) -> None:
    """What is said is text: a note holds it verbatim, and nothing else happens."""
    world.planner.says(f"note {order}", ("notes.add", {"text": order}))
    before = len(rows(world))
    answer = await world.client.post("/command", json={"text": f"note {order}"})
    assert answer.status_code == 200, answer.text
    assert len(rows(world)) == before and answer.json()["status"] == "done"


def _remove(album: Path) -> None:
    for file in album.iterdir():
        file.unlink()
    album.rmdir()
