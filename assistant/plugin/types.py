"""The values that tools take and give.

A tool's signature is written with these classes and with int, float, bool, str, Literal and list. Every
class is a frozen dataclass, so a value travels as JSON between the steps (see `values`).
"""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Generic, TypeVar


class Spoken(str):
    """Words of the user, verbatim. The planner can fill it only with a span of what was said."""

    __slots__ = ()


@dataclass(frozen=True)
class File:
    """A file that a tool reads or has made. A new one is written into the current folder and named by `path`."""

    path: Path
    name: str = ""
    media_type: str = ""


@dataclass(frozen=True)
class Image(File):
    """A still picture."""


@dataclass(frozen=True)
class Photo(Image):
    """A picture from the user's library."""

    taken: dt.datetime | None = None


@dataclass(frozen=True)
class Gif(Image):
    """An animation."""


@dataclass(frozen=True)
class Video(File):
    """A moving picture."""


@dataclass(frozen=True)
class Album:
    """A named group of photos."""

    name: str
    photos: int


@dataclass(frozen=True)
class Contact:
    """Somebody in the user's address book."""

    name: str
    emails: list[str] = field(default_factory=list)
    phones: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Receipt:
    """What a sent message can show for itself."""

    to: list[str]
    channel: str
    message_id: str


@dataclass(frozen=True)
class Reminder:
    """Something to be reminded of, and when (with time zone)."""

    text: str
    when: dt.datetime


@dataclass(frozen=True)
class Note:
    """A line to keep."""

    text: str


Result = TypeVar("Result")


class Effect(Generic[Result]):
    """Something that the trusted dispatcher does for a tool; the step's result is then a `Result`.

    A tool that has no right to do a thing itself returns the wish for it: it sees no password, no address
    and no network.
    """

    kind: ClassVar[str]  # one of EFFECTS


@dataclass(frozen=True)
class Send(Effect[Receipt]):
    """Deliver a message. `to` are the user's own words; the dispatcher finds the people."""

    kind: ClassVar[str] = "send"
    to: list[Spoken]
    text: str | None = None
    attachments: list[File] = field(default_factory=list)
    via: str | None = None


@dataclass(frozen=True)
class AddReminder(Effect[Reminder]):
    """Keep a reminder and raise it when it is due."""

    kind: ClassVar[str] = "create"
    text: str
    when: dt.datetime


@dataclass(frozen=True)
class AddNote(Effect[Note]):
    """Keep a note."""

    kind: ClassVar[str] = "create"
    text: str


@dataclass(frozen=True)
class FindContact(Effect[Contact]):
    """Look somebody up in the address book, which no tool can read itself."""

    kind: ClassVar[str] = "read"
    name: Spoken


EFFECTS = ("read", "create", "send", "delete")
DATACLASSES: dict[str, type] = {
    c.__name__: c
    for c in (
        *(File, Image, Photo, Gif, Video, Album, Contact, Receipt, Reminder, Note),
        *(Send, AddReminder, AddNote, FindContact),
    )
}


def type_name(kind: type) -> str:
    """How a dataclass is called in signatures and values: the common ones by their name, a plugin's own in full."""
    return kind.__name__ if DATACLASSES.get(kind.__name__) is kind else f"{kind.__module__}.{kind.__name__}"
