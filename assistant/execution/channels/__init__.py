"""Ways out of the machine. Each channel carries one message to one address and says honestly what became of it.

`send` returns when the channel has taken the message. It raises NotSent when the message surely did not leave, and
Unsure when that cannot be known. outbox.py, smtp.py and apprise.py are the channels; routes.py chooses among them.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol


class NotSent(Exception):
    """The message surely did not leave. `retry`: trying again later may help."""

    def __init__(self, reason: str, retry: bool = False):
        super().__init__(reason)
        self.retry = retry


class Unsure(Exception):
    """Whether the message left cannot be known."""


@dataclass(frozen=True)
class Attached:
    """A file as it was confirmed: the copy that is sent, and its hash."""

    name: str
    media_type: str
    size: int
    sha256: str
    path: Path

    def read(self) -> bytes:
        """The confirmed bytes. Raises NotSent when the copy has changed or is gone."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise NotSent(f"the copy of {self.name} cannot be read: {error.strerror}") from error
        if hashlib.sha256(data).hexdigest() != self.sha256:
            raise NotSent(f"the copy of {self.name} has changed since it was confirmed")
        return data


@dataclass(frozen=True)
class Message:
    """One message to one address. `id` stays the same whatever is repeated."""

    id: str
    name: str
    address: str
    text: str
    attachments: tuple[Attached, ...]
    planned: dt.datetime


class Channel(Protocol):
    """One way out. Methods block."""

    def send(self, message: Message) -> None:
        """Carry the message. Raises NotSent or Unsure."""

    def delivered(self, message: Message) -> bool:
        """Whether there is proof that this message was taken before. False proves nothing."""
