"""What people are likely to say to this assistant, as sentences in spoken form.

Templates and slot values ship with the package (`data/`, written by `assistant.speech.resources`): how people put
errands over photos, messages, reminders and notes. They show the breadth of what is said; `data/everyday.txt`, a small
grammar, shows what is said most. Hints add what this user's assistant can do beyond that.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

from .language_model import Counts
from .spoken import cardinal, spoken
from .types import Hints

SLOT = re.compile(r"<(\w+)>")
GROUP = re.compile(r"[\[(]([^\[\]()]*)[\])]")  # innermost (this|or this) or [perhaps|this]
EXPANSIONS = 2  # sentences from one template
EVERYDAY = 300  # sentences from one line of the grammar
EVERYDAY_WEIGHT = 4
EXAMPLE_EXPANSIONS = 16  # from one example of an installed tool
EXAMPLE_WEIGHT = 4  # of the example word for word
JOINED = 4  # two-step errands begun with one example
MOST_CONTACTS = 1000
NAME_SHARE = 3  # the user's contacts together, beside "my sister", "the team" and their like together

_TAILS = (
    "send it to <name>", "send it to <name> and <name>", "send them to <name>", "mail it to <name>",
    "send it to <name> by email", "send it to <name> on whatsapp", "remind me about it <when>",
)  # fmt: skip
YES = (
    "yes", "yeah", "yep", "yes please", "yes send it", "yes do it", "send it", "do it", "go ahead", "okay", "ok",
    "sure", "correct",
)  # fmt: skip
NO = (
    "no", "nope", "no thanks", "no thank you", "no don't", "don't", "don't send it", "stop", "cancel", "cancel that",
    "never mind",
)  # fmt: skip
TYPED_YES, TYPED_NO = ("please do", "right", "y"), ("do not", "not now", "n")  # not listened for offline
_OTHER_ANSWERS = (
    "the first one", "the second one", "the third one", "<name>", "<when>", "<message>", "<todo>", "<note>", "help",
    "what can you do", "undo that", "that's right", "that's wrong", "never",
)  # fmt: skip
# What a recogniser takes for one of them where only these are expected.
_RIVALS = (
    "guess", "yet", "jess", "less", "mess", "chess", "guest", "yesterday", "nose", "knows", "note", "now", "new", "not",
    "snow", "don", "short", "shirt", "shore", "candle", "council", "step", "shop", "oh",
)  # fmt: skip
ANSWERS = (*YES, *NO, *_OTHER_ANSWERS)
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
def everyday() -> tuple[str, ...]:
    """Lines of the grammar of usual commands, its definitions (`$who = …`) put in."""
    lines = files(__package__).joinpath("data/everyday.txt").read_text("utf-8").splitlines()
    defined: dict[str, str] = {}
    out = []
    for line in lines:
        name, is_definition, pattern = line.partition(" = ")
        for known in sorted(defined, key=len, reverse=True):
            pattern, line = pattern.replace(known, defined[known]), line.replace(known, defined[known])
        if is_definition:
            defined[name] = pattern
        else:
            out.append(line)
    return tuple(out)


def vary(pattern: str, choose: random.Random) -> str:
    """One of the templates of a pattern: one of (a|b), with even odds one of [a|b]."""
    while match := GROUP.search(pattern):
        absent = match[0][0] == "[" and choose.random() < 0.5
        chosen = "" if absent else choose.choice(match[1].split("|"))
        pattern = pattern[: match.start()] + chosen + pattern[match.end() :]
    return pattern


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

    def expand(template: str, times: int, weight: int = 1) -> None:
        for _ in range(times):
            counts[tuple(filled(template, values, choose).split())] += weight

    for template in templates():
        expand(template, EXPANSIONS)
    for pattern in everyday():
        for _ in range(EVERYDAY):
            expand(vary(pattern, choose), 1, EVERYDAY_WEIGHT)
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
    for word in _RIVALS:
        counts[word,] += 1
    for word in hints.vocabulary:
        expand(spoken(word), 4)
    counts.pop((), None)
    return counts


def consent(vocabulary: Iterable[str]) -> Counts:
    """Yes and no in all their forms, and as often any single word: what is neither should sound like what it is."""
    others = Counter({(word,): 1 for word in vocabulary})
    weight = max(1, len(others) // len(YES + NO))
    rivals = Counter({(word,): max(1, weight // 2) for word in _RIVALS if (word,) in others})
    return others + rivals + Counter({tuple(answer.split()): weight for answer in YES + NO})


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


def filled(template: str, values: dict[str, tuple[str, ...]], choose: random.Random) -> str:
    """The template with a value for every slot."""

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
