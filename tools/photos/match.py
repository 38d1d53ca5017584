"""Finds what a person meant among the names that there are: spoken names are often spelled otherwise, or shortened."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable

WORD = re.compile(r"\w+|[\u2600-\u27bf\U0001f000-\U0001faff]")  # or a picture: albums are named with them, too
CLOSE = 83  # of 100: one wrong letter in six; "Prya" finds "Priya", "Ben" does not find "Jen"
FILLER = {"a", "an", "the", "my", "our", "his", "her", "their", "your", "some", "any", "of", "in", "on", "at", "from",
          "with", "and", "album", "folder", "called", "named", "photos", "photo", "pictures", "picture", "pics", "all",
          "that", "this", "to", "me", "us", "s", "near", "around", "by", "one", "ones", "for"}  # fmt: skip


def fold(text: str) -> str:
    """Lower case without accents and punctuation, one space between words."""
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return " ".join(WORD.findall(plain.replace("'s ", " ").replace("’s ", " ").replace("ß", "ss")))


def content(text: str) -> list[str]:
    """The words that carry the meaning; all of them when none does."""
    words = fold(text).split()
    return [w for w in words if w not in FILLER] or words


def find(said: str, names: Iterable[str]) -> list[str]:
    """The names that `said` means: equal ones, else those that hold all of its words, else close spellings."""
    from rapidfuzz import fuzz

    folded = {name: fold(name) for name in names}
    target, words = fold(said), set(content(said))
    bare = " ".join(content(said))
    for test in (
        lambda f: f == target,
        lambda f: f == bare or " ".join(content(f)) == bare,
        lambda f: bool(words) and words <= set(f.split()),
        lambda f: len(bare) > 3 and fuzz.ratio(bare, f) >= CLOSE,
        lambda f: len(bare) > 3 and any(fuzz.ratio(bare, part) >= CLOSE for part in f.split() if len(part) > 3),
    ):
        if found := [name for name, f in folded.items() if f and test(f)]:
            return found
    return []


def nearest(said: str, names: Iterable[str], limit: int = 5) -> list[str]:
    """Names to offer when nothing was found."""
    from rapidfuzz import fuzz, process

    ranked = process.extract(fold(said), list(dict.fromkeys(names)), scorer=fuzz.WRatio, processor=fold, limit=limit)
    return [name for name, _, _ in ranked]
