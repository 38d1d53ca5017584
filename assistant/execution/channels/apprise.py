"""Every service that the Apprise library reaches: Telegram, Signal, Matrix, WhatsApp, Slack, text messages and more.

Apprise says only whether a notification succeeded. What its log tells decides what a failure means: a service that
answered with an error has not taken the message; a connection that broke leaves it open.
"""

from __future__ import annotations

import logging
import re
import shutil
import socket
import tempfile
import threading
from pathlib import Path

from . import Message, NotSent, Unsure

CONNECT_S = 10.0
# Apprise logs whole addresses when it cannot read them; nothing of that goes further than `_Log`.
logging.getLogger("apprise").propagate = False
logging.getLogger("apprise").addHandler(logging.NullHandler())
# Schemes that act on this machine instead of sending a message away.
LOCAL = {"dbus", "exec", "gio", "glib", "gnome", "growl", "kde", "macosx", "qt", "syslog", "windows", "file"}

NO_HTTP = {"irc", "ircs", "mailto", "mailtos", "mqtt", "mqtts", "rsyslog", "xmpp"}  # their ports cannot be guessed


class Apprise:
    """One Apprise URL. Raises ValueError when the library does not know it."""

    def __init__(self, name: str, url: str):
        import apprise

        self.name = name
        scheme = url.partition("://")[0].lower()
        target = None if scheme in LOCAL else apprise.Apprise.instantiate(url, suppress_exceptions=True)
        if target is None:
            raise ValueError(f"the address of {name!r} ({scheme}://…) is none that Apprise can send to")
        self._target = target

    @property
    def address(self) -> str:
        """The address without its secrets."""
        return str(self._target.url(privacy=True)).split("?")[0]

    def delivered(self, message: Message) -> bool:
        return False

    def send(self, message: Message) -> None:
        self._reach()
        if message.attachments and not self._target.attachment_support:
            raise NotSent(f"{self.name} cannot carry files")
        with tempfile.TemporaryDirectory(prefix="assistant-send-") as folder:
            files = [_named(Path(folder), i, f.name, f.read()) for i, f in enumerate(message.attachments)]
            with _Log() as log:
                body = message.text or ", ".join(f.name for f in message.attachments)
                # Not through `apprise.Apprise`, which tries again where the URL says so: the journal decides that.
                taken = self._target.notify(body=body, attach=files or None)
            shutil.rmtree(folder, ignore_errors=True)
        if taken:
            return
        said = " ".join(log.lines)
        # A message with files can be several requests, of which the first have arrived; a gateway's 5xx tells nothing.
        if re.search(r"error=4\d\d", said) and "onnection error" not in said and not message.attachments:
            raise NotSent(f"{self.name} refused the message: {_code(said)}")
        raise Unsure(f"{self.name} did not confirm the message")

    def _reach(self) -> None:
        """Fail surely, before anything is sent, when the service cannot be reached at all."""
        host = getattr(self._target, "smtp_host", None) or getattr(self._target, "host", None) or ""
        if "." not in host and host != "localhost":
            return  # the URL names no server of its own
        port = getattr(self._target, "port", None)
        if port is None and self._target.url(privacy=True).partition("://")[0] in NO_HTTP:
            return
        port = port or (443 if getattr(self._target, "secure", False) else 80)
        try:
            socket.create_connection((host, int(port)), CONNECT_S).close()
        except OSError as error:
            raise NotSent(f"{self.name}: {host}:{port} cannot be reached: {error}", retry=True) from error


class _Log(logging.Handler):
    """Collects what Apprise logs during a `with` block; nothing of it is shown, since URLs hold secrets."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: list[str] = []
        self._thread = threading.get_ident()  # others send at the same time

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(record.getMessage())

    def __enter__(self) -> _Log:
        logging.getLogger("apprise").addHandler(self)
        return self

    def __exit__(self, *_: object) -> None:
        logging.getLogger("apprise").removeHandler(self)


def _named(folder: Path, index: int, name: str, data: bytes) -> str:
    """The bytes in a file of that name, in a folder of its own."""
    place = folder / str(index)
    place.mkdir()
    file = place / (Path(name).name or "file")
    file.write_bytes(data)
    return str(file)


def _code(said: str) -> str:
    return "error " + said.split("error=", 1)[1].split(".")[0][:40]
