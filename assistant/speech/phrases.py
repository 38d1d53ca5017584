"""What people are likely to say to this assistant, as sentences in spoken form.

Templates and slot values ship with the package (`data/`, written by `assistant.speech.resources`): how people put
errands over photos, messages, reminders and notes. Hints add what this user's assistant can do beyond that.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from functools import cache
from importlib.resources import files

from .language_model import Counts
from .spoken import cardinal, spoken
from .types import Hints

SLOT = re.compile(r"<(\w+)>")
EXPANSIONS = 6  # sentences from one template
EXAMPLE_EXPANSIONS = 16  # from one example of an installed tool
EXAMPLE_WEIGHT = 4  # of the example word for word
JOINED = 4  # two-step errands begun with one example
MOST_CONTACTS = 1000
NAME_SHARE = 3  # the user's contacts together, beside "my sister", "the team" and their like together

_TAILS = (
    "send it to <name>", "send it to <name> and <name>", "send them to <name>", "mail it to <name>",
    "send it to <name> by email", "send it to <name> on whatsapp", "remind me about it <when>",
)  # fmt: skip
ANSWERS = (
    "yes", "no", "yes please", "no thanks", "no thank you", "yes send it", "no don't", "don't send it", "cancel",
    "cancel that", "stop", "okay", "ok", "sure", "go ahead", "do it", "never mind", "the first one", "the second one",
    "the third one", "<name>", "help", "what can you do", "undo that", "that's right", "that's wrong", "never",
)  # fmt: skip
_ANSWER_WEIGHT = 12


# For an assistant without an address book.
_COMMON_NAMES = """
alice anna ben bob carol chris daniel david emma eva george hannah jack james jane john julia kate laura leo
lisa lucy maria mark mary max mike nina oliver paul peter rachel robert sam sarah simon sofia susan thomas tom
"""
COMMON_NAMES = tuple(_COMMON_NAMES.split())


@cache
def templates() -> tuple[str, ...]:
    """Sentences in spoken form with slots such as <name> and <int>."""
    return tuple(files(__package__).joinpath("data/templates.txt").read_text("utf-8").splitlines())


@cache
def slot_values() -> dict[str, tuple[str, ...]]:
    """Kind of slot → values in spoken form."""
    values: dict[str, list[str]] = {}
    for line in files(__package__).joinpath("data/slots.tsv").read_text("utf-8").splitlines():
        kind, value = line.split("\t")
        values.setdefault(kind, []).append(value)
    return {kind: tuple(all_) for kind, all_ in values.items()}


def sentences(hints: Hints) -> Counts:
    """Sentences with their weights, words in spoken form; the same hints give the same sentences."""
    choose = random.Random(20)
    values = _values(hints)
    counts: Counts = Counter()

    def expand(template: str, times: int) -> None:
        for _ in range(times):
            counts[tuple(_fill(template, values, choose).split())] += 1

    for template in templates():
        expand(template, EXPANSIONS)
    for answer in ANSWERS:
        expand(answer, _ANSWER_WEIGHT)
    known = [said for said in map(spoken, hints.examples) if said]
    examples = [_generalise(said, values) for said in known]
    for said, example in zip(known, examples, strict=True):
        expand(example, EXAMPLE_EXPANSIONS)
        counts[tuple(said.split())] += EXAMPLE_WEIGHT
        for _ in range(JOINED):
            tail = choose.choice([*_TAILS, *examples])
            expand(f"{example} and {tail}", 2)
            expand(f"{example} then {tail}", 1)
    for word in hints.vocabulary:
        expand(spoken(word), 4)
    counts.pop((), None)
    return counts


def _values(hints: Hints) -> dict[str, tuple[str, ...]]:
    values = dict(slot_values())
    contacts = _names(hints.contacts) or COMMON_NAMES
    for kind in ("name", "person"):
        # With an address book, only the user's own people come: every further name costs accuracy.
        values[kind] += contacts * max(1, NAME_SHARE * len(values[kind]) // len(contacts))
    albums = tuple(filter(None, map(spoken, hints.albums)))
    values["album"] += albums * max(1, len(values["album"]) // max(1, len(albums)))
    return values


def _names(contacts: tuple[str, ...]) -> tuple[str, ...]:
    """Contacts in full and, for people, by first name."""
    out: dict[str, None] = {}
    for name in map(spoken, contacts[:MOST_CONTACTS]):
        if name:
            out[name] = None
            out[name.split()[0]] = None
    return tuple(n for n in out if n not in ("the", "my", "dr", "mr", "mrs", "ms", "uncle", "aunt"))


def _fill(template: str, values: dict[str, tuple[str, ...]], choose: random.Random) -> str:
    def value(match: re.Match[str]) -> str:
        kind = match[1]
        if kind == "int":
            return cardinal(choose.randint(2, 30 if choose.random() < 0.3 else 12))
        if kind in ("cols", "seconds"):
            return cardinal(choose.randint(2, 6 if kind == "cols" else 10))
        return choose.choice(values[kind])

    return SLOT.sub(value, template)


def _generalise(example: str, values: dict[str, tuple[str, ...]]) -> str:
    """Names and numbers in an example stand for all: "add my last three photos to garden" → "… <int> photos …"."""
    known = {name for name in (*values["name"], *COMMON_NAMES) if " " not in name} - {"the", "my", "me"}
    kinds = ("<name>" if word in known else "<int>" if word in _INTEGERS else word for word in example.split())
    return " ".join(kinds)


_INTEGERS = frozenset(cardinal(n) for n in range(2, 21))
