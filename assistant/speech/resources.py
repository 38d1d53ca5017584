"""Writes `data/templates.txt` and `data/slots.tsv` from the authored errands: python -m assistant.speech.resources DIR

DIR is the folder of the errands (`assistant/training/data/errands`). The results are committed, so that the
recogniser needs neither the errands nor the training package. What is held out for evaluation is left out here too,
so that accuracy can be measured on it.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from .lexicon import OWN, dictionary
from .spoken import spoken

DATA = Path(__file__).parent / "data"
SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")  # {who:name}, and {who} for the same one again
MARKED = re.compile(r"qz([a-z]+?)zq")  # a slot is made a word of letters, so that "'s" stays on it
# Typed shorthand that nobody pronounces as it is written.
WRITTEN = {
    "u": "you", "pls": "please", "plz": "please", "thx": "thanks", "tmrw": "tomorrow", "n": "and", "txt": "text",
    "msg": "message", "dont": "don't", "whats": "what's", "thats": "that's", "theres": "there's", "doesnt": "doesn't",
    "didnt": "didn't", "theyre": "they're", "youre": "you're", "im": "i'm", "fotos": "photos", "foto": "photo",
}  # fmt: skip
# A person is called by kinship or role ("my sister", "the team", "grandma") or by a name of their own.
_ROLES = re.compile(
    r"(my|the|our|everyone|everybody|mum|mom|dad|daddy|mama|papa|grandma|grandpa|granny|grandad|granddad|nana|nan|me)\b"
)


def held_out(text: str) -> bool:
    """Whether a line is kept for evaluation: the rule of `assistant.training.errands`, which speech must not import."""
    return hashlib.sha256(text.encode()).digest()[0] < 26


def template(say: str, kinds: Mapping[str, str]) -> str:
    """Spoken form with the slots kept: `{who:name}'s number` → `<name>'s number`. kinds: of slots named before."""

    def marked(match: re.Match[str]) -> str:
        return f"qz{match[2] or kinds[match[1]]}zq"

    words = " ".join(WRITTEN.get(word, word) for word in spoken(SLOT.sub(marked, say)).split())
    return MARKED.sub(r"<\1>", words)


def templates(folder: Path) -> list[str]:
    """What is said in the authored errands, sorted."""
    found: set[str] = set()
    for file in folder.glob("builtin-*.jsonl"):
        for errand in map(json.loads, file.read_text("utf-8").splitlines()):
            says = [part["say"] for part in (errand.get("before"), errand) if part]
            kinds = {name: kind for say in says for name, kind in SLOT.findall(say) if kind}
            found.update(template(say, kinds) for say in says if not held_out(say))
    return sorted(found - {""})


def slots(folder: Path) -> list[tuple[str, str]]:
    """(kind, value) of what fills the slots, sorted: `words-name.txt`, `words-more-name.txt` …"""
    found: set[tuple[str, str]] = set()
    for file in folder.glob("words-*.txt"):
        kind = file.stem.rpartition("-")[2]
        if kind == "confusable":
            continue
        for line in file.read_text("utf-8").splitlines():
            value = " ".join(WRITTEN.get(word, word) for word in spoken(line).split())
            # Names of their own come from the user's contacts, not from here.
            personal = kind in ("name", "person") and not _ROLES.match(value)
            # Words whose sound must be guessed are seldom heard, and often heard in place of others.
            guessed = any(word not in OWN and word.removesuffix("'s") not in dictionary() for word in value.split())
            if value and not personal and not guessed and not held_out(" ".join(line.split()).casefold()):
                found.add((kind, value))
    return sorted(found)


def main(folder: Path) -> None:
    DATA.mkdir(exist_ok=True)
    (DATA / "templates.txt").write_text("".join(f"{said}\n" for said in templates(folder)), "utf-8")
    (DATA / "slots.tsv").write_text("".join(f"{kind}\t{value}\n" for kind, value in slots(folder)), "utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
