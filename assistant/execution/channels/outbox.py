"""The embedded outbox: a Maildir of .eml files. It needs no account; a mail program can open the folder."""

from __future__ import annotations

import contextlib
import mailbox
import os
from pathlib import Path

from ..private import write_private
from . import Message, NotSent, Unsure
from .mail import compose


class Outbox:
    """A Maildir at `folder`, private to the user. A message's file name is its id, so it can exist only once."""

    name = "outbox"

    def __init__(self, folder: Path):
        self._folder = folder
        with contextlib.suppress(OSError):  # told when something is to be put into it
            self._create()

    def _create(self) -> None:
        mailbox.Maildir(self._folder, create=True)
        self._folder.chmod(0o700)

    def send(self, message: Message) -> None:
        data = compose(message, None).as_bytes()
        try:
            self._create()
            draft = self._folder / "tmp" / f"{message.id}.eml"
            write_private(draft, data)
            target = self._folder / "new" / draft.name
            with contextlib.suppress(FileExistsError):  # unlike a rename, a link never replaces
                os.link(draft, target)
        except OSError as error:
            raise NotSent(f"the outbox {self._folder} cannot be written: {error.strerror}") from error
        try:
            with contextlib.suppress(OSError):
                draft.unlink()
            _sync(target.parent)
        except OSError as error:  # it is there, but a power cut could take it away
            raise Unsure(f"the outbox {self._folder} cannot be synced: {error.strerror}") from error

    def delivered(self, message: Message) -> bool:
        """True when the message lies in the outbox, also after a mail program has looked at it."""
        found = list((self._folder / "new").glob(f"{message.id}.eml*"))
        return bool(found or list((self._folder / "cur").glob(f"{message.id}.eml*")))


def _sync(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
