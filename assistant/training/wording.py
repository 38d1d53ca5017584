"""Slot values that nobody wrote down: names, places, times, messages, things … made of the authored ones by the
grammar of `data/errands/grammar.txt`.

A model that has heard every value of a slot a hundred times knows them by heart, and cuts a new one short ("Wojciech"
for "Wojciech Nowak"). Endless new values teach it to find where a value ends by the sentence around it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import cache
from random import Random

from .errands import ERRANDS, held_out, synonym, thesaurus, training_domains, words

NEW = 0.45  # of all values
OTHERS = 0.4  # of the new things are those of other domains
RULE = re.compile(r"\{([^{}]+)\}")


def value(kind: str, rng: Random) -> str:
    """A value of a slot kind, often a new one; never one that is kept for evaluation."""
    if rng.random() < NEW:
        text = " ".join(expand(kind, rng).split())
        if not held_out(text.casefold()):
            return text
    return rng.choice(words(kind))


def own(values: Sequence[str], rng: Random) -> str:
    """A value of a slot that one domain alone has, often a new one: "the top bar hive" becomes "the small hive under
    the oak", or a thing of another domain; a day another day. Amounts and sentences stay as they were written."""
    text = rng.choice(values)
    shape = _shape(text)
    if not shape or rng.random() >= NEW:
        return text
    if shape not in ("moment", "numbered") and rng.random() < OTHERS:
        return rng.choice(_things()[shape])
    said = text.split()
    if shape == "moment":
        before = said[0].casefold()
        rule = f"moment {before}"
        return f"{before} {expand(rule, rng)}" if rule in grammar() else expand("moment", rng)
    article = said.pop(0) if shape == "article" else ""
    parts = {"article": article, "thing": " ".join(said), "kind": said[-1], "head": " ".join(said[:-1])}
    made = re.sub(r"<(\w+)>", lambda m: parts[m[1]], rng.choice(grammar()[shape]))
    return " ".join(RULE.sub(lambda m: expand(m[1], rng), made).split())


@cache
def _shape(text: str) -> str:
    """How a thing is said: "article" (the red lamp), "proper" (Blue Door), "bare" (oak), "numbered" (bay 7), or that it
    is a day ("moment"); empty for what is neither."""
    said = text.split()
    if _days() & set(text.casefold().split()) and all(w.casefold() in _of_days() or w[0].isdigit() for w in said):
        return "moment"
    if len(said) == 2 and (said[1].isdecimal() or said[1].casefold() in grammar()["hour"]) and _shape(said[0]):
        return "numbered"
    article = said[0].casefold() in grammar()["articles"] or (len(said) > 1 and said[0].endswith("'s"))
    if not all(re.fullmatch(r"[^\W\d_]+(?:['’-][^\W\d_]+)*", w) for w in said):
        return ""
    if any(w.casefold() in _no_things() for w in said[article:]):
        return ""
    if article:
        return "article" if 2 <= len(said) <= 4 else ""
    if all(w[0].isupper() for w in said):
        return "proper" if len(said) <= 3 else ""
    return "bare" if len(said) <= 2 and said[0][0].islower() else ""


@cache
def _days() -> frozenset[str]:
    """Words of which a day has at least one."""
    return frozenset(w.casefold() for rule in ("weekday", "Month", "some days") for w in grammar()[rule])


@cache
def _of_days() -> frozenset[str]:
    """Words that days are told with."""
    return _days() | _words_of("of days", "th", "hour")


@cache
def _no_things() -> frozenset[str]:
    """Words of times, amounts and sentences."""
    return _days() | _words_of("no things", "part", "season", "hour", "unit", "th")


def _words_of(*rules: str) -> frozenset[str]:
    texts = (alternative for rule in rules for alternative in grammar()[rule])
    return frozenset(word.casefold() for text in texts for word in text.split())


@cache
def _things() -> dict[str, tuple[str, ...]]:
    """shape → the things of all domains."""
    found: dict[str, dict[str, None]] = {}
    for domain in training_domains():
        for values in (values for t in domain.templates for values in t.slots.values()):
            for text in values:
                if shape := _shape(text):
                    found.setdefault(shape, {})[text] = None
    return {shape: tuple(texts) for shape, texts in found.items()}


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
