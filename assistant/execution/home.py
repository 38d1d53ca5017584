"""The data folder: whose it is, and that only one process works with it."""

from __future__ import annotations

import fcntl
import secrets
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from .errand import ExecutorError


def local_zone() -> ZoneInfo:
    """The system's time zone."""
    from tzlocal import get_localzone

    return ZoneInfo(str(get_localzone()))


def lock(home: Path) -> Any:
    """Hold the data folder: two processes would carry out the same errands."""
    file = (home / "executor.lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise ExecutorError(f"another assistant works with the data folder {home}; stop it or use its API") from error
    return file


def identity(home: Path) -> str:
    """The name of this data folder among those that share a database."""
    file = home / "executor-id"
    if not file.exists():
        file.write_text(secrets.token_hex(8))
    return file.read_text().strip()
