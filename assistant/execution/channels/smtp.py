"""E-mail through an SMTP server.

The commands are given one by one instead of by `smtplib.sendmail`, because what a failure means depends on the place:
until the line "." that ends the data is on its way the message surely did not leave; after that, only an answer tells.
"""

from __future__ import annotations

import contextlib
import smtplib
import socket
import ssl
from urllib.parse import unquote, urlsplit

from . import Message, NotSent, Unsure
from .mail import compose

TIMEOUT_S = 30.0
END_TIMEOUT_S = 120.0  # servers scan a message before they answer for it


class Smtp:
    """One server. url: smtp://user:password@host:port (STARTTLS when offered; required with a password) or smtps://."""

    name = "email"

    def __init__(self, url: str, sender: str | None):
        parts = urlsplit(url)
        if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
            raise ValueError("smtp_url must look like smtp://user:password@host:587 or smtps://…")
        self._tls = parts.scheme == "smtps"
        self._host, self._port = parts.hostname, parts.port or (465 if self._tls else 587)
        self._user, self._password = unquote(parts.username or ""), unquote(parts.password or "")
        self._sender = sender or (self._user if "@" in self._user else f"assistant@{self._host}")

    def delivered(self, message: Message) -> bool:
        return False  # SMTP has no way to ask

    def send(self, message: Message) -> None:
        data = _dotted(compose(message, self._sender).as_bytes())
        server = None
        try:
            server = self._connect()
            _expect(server.mail(self._sender), "the sender was refused")
            _expect(server.rcpt(message.address), "the address was refused")
            _expect(server.docmd("DATA"), "the message was refused", 354)
            assert server.sock is not None
            server.sock.sendall(data)
        except NotSent:
            self._close(server)
            raise
        except (OSError, ValueError, smtplib.SMTPException) as error:  # ValueError: an address with other letters
            self._close(server)
            permanent = isinstance(error, smtplib.SMTPAuthenticationError | ssl.SSLCertVerificationError | ValueError)
            raise NotSent(f"{self._host}: {_say(error)}", retry=not permanent) from error
        self._finish(server)

    def _finish(self, server: smtplib.SMTP) -> None:
        """End the data. From here on only the server's answer tells what became of the message."""
        try:
            assert server.sock is not None
            server.sock.settimeout(END_TIMEOUT_S)
            server.sock.sendall(b".\r\n")
            answer = server.getreply()
        except (OSError, smtplib.SMTPException) as error:
            raise Unsure(f"{self._host} did not answer after the message was handed over: {_say(error)}") from error
        finally:
            self._close(server)
        if not 200 <= answer[0] < 600:
            raise Unsure(f"{self._host} gave no clear answer after the message was handed over")
        _expect(answer, "the message was refused")

    def _connect(self) -> smtplib.SMTP:
        context = ssl.create_default_context()
        if self._tls:
            server: smtplib.SMTP = smtplib.SMTP_SSL(self._host, self._port, timeout=TIMEOUT_S, context=context)
        else:
            server = smtplib.SMTP(self._host, self._port, timeout=TIMEOUT_S)
        server.ehlo_or_helo_if_needed()
        if not self._tls and server.has_extn("starttls"):
            server.starttls(context=context)
            server.ehlo()
        elif self._password and not self._tls and self._host not in ("localhost", "127.0.0.1", "::1"):
            raise NotSent(f"{self._host} offers no encryption, so the password is not given to it; use smtps://")
        if self._password:
            server.login(self._user, self._password)
        return server

    def _close(self, server: smtplib.SMTP | None) -> None:
        if server is not None:
            with contextlib.suppress(OSError, smtplib.SMTPException):
                if server.sock is not None:
                    server.sock.settimeout(2)
                    server.quit()
            with contextlib.suppress(OSError):
                server.close()


def _expect(answer: tuple[int, bytes], problem: str, code: int = 250) -> None:
    """Raise NotSent unless the answer has the code; 4xx is a temporary refusal."""
    number, text = answer
    if number != code and not (code == 250 and number == 251):
        raise NotSent(f"{problem}: {number} {text.decode('utf-8', 'replace')[:200]}", retry=400 <= number < 500)


def _dotted(data: bytes) -> bytes:
    """The bytes with CRLF line ends and dots doubled (RFC 5321, 4.5.2), ending in a line end."""
    lines = data.replace(b"\r\n", b"\n").split(b"\n")
    if lines and not lines[-1]:
        lines.pop()
    return b"".join((b"." + line if line.startswith(b".") else line) + b"\r\n" for line in lines)


def _say(error: BaseException) -> str:
    if isinstance(error, smtplib.SMTPResponseException):
        text = error.smtp_error
        return f"{error.smtp_code} {text.decode('utf-8', 'replace') if isinstance(text, bytes) else text}"[:200]
    if isinstance(error, socket.gaierror):
        return "the server's name is not known here"
    return str(error) or type(error).__name__
