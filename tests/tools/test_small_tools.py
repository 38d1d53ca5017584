"""Messages, contacts and notes return wishes; all ten signatures are the contract."""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

import pytest

from assistant.plugin import AddNote, File, FindContact, Send, Spoken
from assistant.plugin.manifest import Manifest
from assistant.plugin.tool import tools_of
from tools import contacts, messages, notes

CONTRACT = """
photos.select(count: int = None, order: newest|oldest|random = newest, taken: Spoken = None, about: Spoken = None,
 place: Spoken = None, people: list[Spoken] = [], album: Spoken = None, favorites: bool = False,
 kind: photo|screenshot = photo) -> list[Photo] read
photos.edit(photos: list[Photo], effect: grayscale|sepia|rotate_left|rotate_right|flip|square|brighten|sharpen|blur)
 -> list[Photo] create
photos.add_to_album(photos: list[Photo], album: Spoken) -> Album create
gif.create(photos: list[Photo], seconds_per_photo: float = 0.5, size: small|medium|large = medium, loop: bool = True,
 bounce: bool = False) -> Gif create
video.create(photos: list[Photo], seconds_per_photo: float = 2) -> Video create
collage.create(photos: list[Photo], columns: int = None) -> Image create
messages.send(to: list[Spoken], text: Spoken = None, attachments: list[File] = [],
 via: email|telegram|signal|matrix|whatsapp|slack|sms = None) -> Receipt send
contacts.find(name: Spoken) -> Contact read
reminders.add(text: Spoken, when: Spoken) -> Reminder create
notes.add(text: Spoken) -> Note create
"""
PLUGINS = ("photos", "gif", "video", "collage", "messages", "contacts", "reminders", "notes")


def test_the_signatures_are_the_contract() -> None:
    found = []
    for plugin in PLUGINS:
        for spec, _ in tools_of(importlib.import_module(f"tools.{plugin}"), plugin, third_party=False).values():
            parts = [f"{p.name}: {p.type}" + ("" if p.required else f" = {p.default}") for p in spec.parameters]
            found.append(f"{spec.name}({', '.join(parts)}) -> {spec.returns} {spec.effect}")
            assert spec.examples and all(p.description for p in spec.parameters)
    assert found == CONTRACT.replace("\n ", " ").strip().splitlines()


def test_signatures_load_without_the_heavy_libraries() -> None:
    heavy = {"PIL", "av", "numpy", "dateparser", "rapidfuzz", "sqlite3"}
    code = f"import sys; from tools import {', '.join(PLUGINS)}; print(sorted({heavy} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=Path(__file__).parents[2], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stdout + done.stderr


def test_manifests_declare_no_more_than_is_needed() -> None:
    folder = Path(__file__).parents[2] / "tools"
    declared = {p: Manifest.load(folder / p) for p in PLUGINS}
    assert declared["photos"] == Manifest(read=("photos", "data"), write=("data",))
    assert declared["messages"] == Manifest(effects=("send",))
    assert all(declared[p] == Manifest() for p in PLUGINS if p not in ("photos", "messages"))


def test_a_message_needs_something_to_say() -> None:
    to = [Spoken("Alice")]
    file = File(Path("a.gif"))
    assert messages.send(to, Spoken(" on my  way ")) == Send(to=to, text="on my way")
    assert messages.send(to, attachments=[file], via="email") == Send(to=to, attachments=[file], via="email")
    assert messages.send(to, Spoken("  ")) == Send(to=to)  # the dispatcher asks what it should say
    with pytest.raises(ValueError, match="recipient"):
        messages.send([], Spoken("hello"))


def test_notes_and_contacts() -> None:
    assert notes.add(Spoken(" oat milk ")) == AddNote("oat milk")
    assert contacts.find(Spoken("Ben")) == FindContact(Spoken("Ben"))
    for tool in (notes.add, contacts.find):
        with pytest.raises(ValueError, match="say wh"):
            tool(Spoken(""))
