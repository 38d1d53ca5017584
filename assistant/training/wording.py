"""Slot values that nobody wrote down: names, places, times, messages … made of the authored ones by the grammar of
`data/errands/grammar.txt`.

A model that has heard every value of a slot a hundred times knows them by heart, and cuts a new one short ("Wojciech"
for "Wojciech Nowak"). Endless new values teach it to find where a value ends by the sentence around it.
"""

from __future__ import annotations

import re
from functools import cache
from random import Random

from .errands import ERRANDS, held_out, synonym, thesaurus, words

NEW = 0.45  # of all values
RULE = re.compile(r"\{([^{}]+)\}")


def value(kind: str, rng: Random) -> str:
    """A value of a slot kind, often a new one; never one that is kept for evaluation."""
    if rng.random() < NEW:
        text = " ".join(expand(kind, rng).split())
        if not held_out(text.casefold()):
            return text
    return rng.choice(words(kind))


def expand(rule: str, rng: Random) -> str:
    """One of the texts that a rule of `grammar.txt` stands for; `data/errands/README.md` tells how they are written."""
    if rule.startswith("="):
        return rng.choice(words(rule[1:]))
    if rule.startswith("reworded:"):
        authored = rng.choice(words(rule.partition(":")[2])).split()
        return " ".join((rng.random() < 0.3 and synonym(w, rng)) or w for w in authored)
    if number := re.fullmatch(r"(\d+)-(\d+)", rule):
        return str(rng.randint(int(number[1]), int(number[2])))
    match rule:
        case "given" | "town":
            return invented(rng) if rng.random() < 0.35 else rng.choice(_single("name" if rule == "given" else "place"))
        case "invented":
            return invented(rng)
        case "noun":
            return rng.choice(_nouns())
        case "Noun":
            return expand("noun", rng).capitalize()
    return RULE.sub(lambda m: expand(m[1], rng), rng.choice(grammar()[rule]))


def invented(rng: Random) -> str:
    """A pronounceable name that nobody has, from the letters of those that people and places have."""
    while True:
        text = "^^"
        while not text.endswith("$"):
            text += rng.choice(_letters()[text[-2:]])
        if 3 <= len(text) - 3 <= 10:
            return text[2:-1].capitalize()


@cache
def grammar() -> dict[str, list[str]]:
    """rule → its alternatives."""
    lines = (line.split("\t") for line in (ERRANDS / "grammar.txt").read_text("utf-8").splitlines())
    return {rule: alternatives.split("|") for rule, alternatives in lines}


@cache
def _letters() -> dict[str, list[str]]:
    """Which letters follow which two; `^` begins a word and `$` ends it."""
    follow: dict[str, list[str]] = {}
    for name in (*_single("name"), *_single("place")):
        text = f"^^{name.casefold()}$"
        for i in range(2, len(text)):
            follow.setdefault(text[i - 2 : i], []).append(text[i])
    return follow


@cache
def _single(kind: str) -> tuple[str, ...]:
    """The values that are one capitalised word."""
    return tuple(w for w in words(kind) if w.isalpha() and w[0].isupper())


@cache
def _nouns() -> tuple[str, ...]:
    return tuple(thesaurus("-nouns"))
