"""Small pieces of speakable English."""

from __future__ import annotations

import re
from collections.abc import Sequence

PLAIN_NAME = re.compile(r"[\w.+-]{1,60}")


def join(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return f"{', '.join(parts[:-1])} and {parts[-1]}" if len(parts) > 1 else "".join(parts)


def size(count: int) -> str:
    """Bytes as people say them."""
    for unit, factor in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= factor:
            number = count / factor
            return f"{number:.1f} {unit}" if number < 10 else f"{number:.0f} {unit}"
    return f"{count} bytes"


def counted(count: int, noun: str) -> str:
    """ "1 photo", "5 photos"."""
    return f"{count} {noun}" + ("" if count == 1 else "s")


def file_name(name: str) -> str:
    """A file's name; in quotation marks when it could be taken for a part of the sentence."""
    return name if PLAIN_NAME.fullmatch(name) else quote(name, 60)


def quote(text: str, limit: int = 200) -> str:
    """A text in quotation marks, on one line, cut when it is long."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return f"“{line[:limit]}…”" if len(line) > limit else f"“{line}”"
