"""The token: who has it is the user.

Kept in `$ASSISTANT_HOME/token` (mode 0600), made at the first start. A browser, which cannot send a header when it
opens a page, shows it once in the address (`/?token=…`) and gets a cookie in its place: a key derived from the token,
so that the token itself never lies in a cookie jar and a new token ends all sessions.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path

from assistant.execution.private import write_private

SHORTEST = 32
FILE = "token"


class TokenError(RuntimeError):
    """The token file cannot be used; the message says why and what to do."""


def load_token(home: Path) -> tuple[str, bool]:
    """The token, and whether it was made just now. Raises TokenError."""
    file = home / FILE
    if not file.exists():
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = secrets.token_urlsafe(32)
        write_private(file, f"{token}\n".encode())
        return token, True
    try:
        found = file.stat()
        token = file.read_text("utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise TokenError(f"{file} cannot be read: {error}; delete it to get a new token") from error
    if stat.S_IMODE(found.st_mode) & 0o077:
        raise TokenError(f"{file} can be read by others; run `chmod 600 {file}`, or delete it to get a new token")
    if found.st_uid != os.geteuid() and os.geteuid() != 0:
        raise TokenError(f"{file} belongs to somebody else; delete it to get a new token")
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise TokenError(f"{file} holds no token of at least {SHORTEST} characters; delete it to get a new one")
    return token, False


class Key:
    """Compares what a caller shows with the token, in constant time."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self.cookie = hmac.new(self._token, b"web page", hashlib.sha256).hexdigest()

    def opens(self, shown: str | None) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(self._token, (shown or "").encode("utf-8", "replace"))

    def knows(self, cookie: str | None) -> bool:
        """Whether this is the cookie that stands for the token."""
        return hmac.compare_digest(self.cookie.encode(), (cookie or "").encode("utf-8", "replace"))
