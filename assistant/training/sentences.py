"""Templates → sentences as people say them: slots filled, two errands joined, words misheard, fillers, typing slips.

A sentence is a list of tokens, and words of the user in the plan are ranges of tokens, so every change of the
sentence changes the plan's words with it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from assistant.plugin.plan import Plan, Step

from . import wording
from .errands import KINDS, Choice, Template, confusions, synonym, words

SLOT = re.compile(r"\{(\w+)(?::(\w+))?\}")
TOKEN = re.compile(r"\w+|[^\w\s]")
NUMBERS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
NUMBERS += ["eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"]
NUMBERS += ["twenty"]
TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty"}
FILLERS = ["um", "uh", "er", "please", "like", "you know", "so", "well", "erm", "just", "kindly", "hmm", "actually"]
OPENERS = ["hey", "hi", "ok", "okay", "please", "so", "um", "uh", "hello", "hey assistant", "computer", "right"]
OPENERS += ["could you please", "can you", "i want you to", "would you", "i need you to", "go ahead and", "quick"]
CLOSERS = ["please", "thanks", "thank you", "ok", "if you can", "would you", "now", "cheers", "for me", "will you"]
# Words that decide between tools, channels or values, so that another word would mean another plan.
KEPT = {"text", "mail", "email", "message", "note", "album", "collage", "video", "film", "movie", "slideshow"}
KEPT |= {"signal", "telegram", "slack", "contact", "loop", "photo", "photos", "picture", "pictures", "image", "images"}
KEPT |= {"record", "random", "second", "seconds", "left", "right", "turn", "every", "first"}
JOINERS = [
    " and ",
    " and ",
    ", and ",
    ", then ",
    " and then ",
    ". ",
    ". Also, ",
    " and also ",
    "; ",
    ", also ",
    " plus ",
]


class Unfillable(ValueError):
    """A template whose plan does not fit its sentence."""


@dataclass(frozen=True)
class Word:
    """One token; `space` says whether a space stands before it, `slot` which slot it came from."""

    text: str
    space: bool
    slot: str | None = None


@dataclass(frozen=True)
class Span:
    """Words of the user in a plan: tokens [start, end) of this sentence, or of the previous one."""

    start: int
    end: int
    before: bool = False


@dataclass
class Sentence:
    """A concrete sentence and its plan, whose user's words are Spans until `finish`."""

    words: list[Word]
    plan: list[tuple[str, dict[str, Any]]]
    ask: str | None = None
    before: Sentence | None = None
    category: str = ""
    marked: set[int] = field(default_factory=set)


@dataclass(frozen=True)
class Example:
    """What the model is trained or tested on."""

    say: str
    plan: Plan
    ask: str | None = None
    before: Example | None = None
    category: str = ""


def fill(template: Template, rng: Random, evaluation: bool = False, values: dict[str, Any] | None = None) -> Sentence:
    """Choose a value for every slot. Raises Unfillable when the plan's words are not in the sentence."""
    values = {} if values is None else values
    before = fill(template.before, rng, evaluation, values) if template.before else None
    tokens: list[Word] = []
    position = 0
    for match in SLOT.finditer(template.say):
        _extend(tokens, template.say[position : match.start()], None, template.say, position)
        name, kind = match[1], match[2] or "spoken"
        if name not in values:
            values[name] = _value(kind, template.slots.get(name), rng, evaluation, template.say, match.end())
        _extend(tokens, values[name][0], name, template.say, match.start())
        position = match.end()
    _extend(tokens, template.say[position:], None, template.say, position)
    sentence = Sentence(tokens, [], template.ask, before, template.category)
    sentence.plan = [
        (tool, {k: _resolve(v, sentence, values) for k, v in args.items()}) for tool, args in template.plan
    ]
    return sentence


def _extend(tokens: list[Word], text: str, slot: str | None, say: str, position: int) -> None:
    first = True
    for match in TOKEN.finditer(text):
        spaced = match.start() > 0 and text[match.start() - 1].isspace()
        if first and match.start() == 0:
            spaced = position > 0 and say[position - 1].isspace()
        tokens.append(Word(match[0], spaced or not tokens, slot))
        first = False


def _value(
    kind: str, own: tuple[str, ...] | None, rng: Random, evaluation: bool, say: str, end: int
) -> tuple[str, Any]:
    """(as said, as planned) for a slot."""
    if own:
        text = rng.choice(own) if evaluation or kind == "choice" else wording.own(own, rng)
        return text, text
    if kind == "int":
        if rng.random() < 0.03:
            return rng.choice(MANY)
        n = rng.choice([2, 3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 20]) if rng.random() < 0.7 else rng.randint(2, 30)
        return say_number(n, rng), n
    if kind == "cols":
        n = rng.randint(2, 6)
        return say_number(n, rng), n
    if kind == "seconds":
        return _seconds(rng)
    if kind not in KINDS:
        kind = rng.choice(KINDS)
    text = rng.choice(words(kind, evaluation=True)) if evaluation else wording.value(kind, rng)
    return text, text


MANY = [("40", 40), ("fifty", 50), ("50", 50), ("sixty", 60), ("80", 80), ("99", 99), ("hundred", 100), ("100", 100)]


def say_number(n: int, rng: Random) -> str:
    """A number as words or digits, dozens included."""
    if n == 12 and rng.random() < 0.3:
        return "dozen"
    if rng.random() < 0.45:
        return str(n)
    if n <= 20:
        return NUMBERS[n]
    tens = TENS.get(n // 10 * 10)
    if tens is None:
        return str(n)
    return tens if n % 10 == 0 else f"{tens}{rng.choice(['-', ' '])}{NUMBERS[n % 10]}"


def _seconds(rng: Random) -> tuple[str, float]:
    said: list[tuple[str, float]] = [
        ("half a", 0.5), ("0.5", 0.5), ("point five", 0.5), ("one and a half", 1.5), ("1.5", 1.5),
        ("two and a half", 2.5), ("2.5", 2.5), ("0.2", 0.2), ("0.3", 0.3), ("zero point three", 0.3), ("0.8", 0.8),
        ("point two", 0.2), ("0.25", 0.25), ("0.1", 0.1), ("0.4", 0.4), ("zero point four", 0.4), ("0.75", 0.75),
    ]  # fmt: skip
    if rng.random() < 0.5:
        n = rng.randint(1, 10)
        return say_number(n, rng), n
    return rng.choice([s for s in said if s[0] != "half a"])


def _resolve(value: Any, sentence: Sentence, values: dict[str, Any]) -> Any:
    if isinstance(value, list):
        return [_resolve(v, sentence, values) for v in value]
    if not isinstance(value, str) or isinstance(value, Choice) or re.fullmatch(r"[$^]\d+(\.\w+)?", value):
        return value
    slot = SLOT.fullmatch(value)
    if slot and not isinstance(values[slot[1]][1], str):
        return values[slot[1]][1]
    text = SLOT.sub(lambda m: values[m[1]][0], value)
    span = _find(sentence.words, text, slot[1] if slot else None)
    if span is not None:
        return span
    if sentence.before is not None and (span := _find(sentence.before.words, text, slot[1] if slot else None)):
        return replace(span, before=True)
    return text  # an enum's value, or words that are not there; `finish` tells them apart by type


def _find(tokens: list[Word], text: str, slot: str | None) -> Span | None:
    wanted = [t.casefold() for t in TOKEN.findall(text)]
    if not wanted:
        return None
    have = [w.text.casefold() for w in tokens]
    hits = [i for i in range(len(have) - len(wanted) + 1) if have[i : i + len(wanted)] == wanted]
    if slot:
        hits = [i for i in hits if tokens[i].slot == slot] or hits
    return Span(hits[0], hits[0] + len(wanted)) if hits else None


def join(first: Sentence, second: Sentence, rng: Random) -> Sentence:
    """Two errands in one sentence."""
    tokens = list(first.words)
    while tokens and tokens[-1].text in ".!?,;" and len(tokens) - 1 not in _protected(first):
        tokens.pop()
    glue: list[Word] = []
    _extend(glue, "x" + rng.choice(JOINERS) + "x", None, "", 0)
    tokens += glue[1:-1]
    shift = len(tokens)
    tokens += [replace(w, space=True) if i == 0 else w for i, w in enumerate(second.words)]
    steps = len(first.plan)

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(v) for v in value]
        if isinstance(value, Span):
            return Span(value.start + shift, value.end + shift)
        if isinstance(value, str) and (m := re.fullmatch(r"\$(\d+)(.*)", value)):
            return f"${int(m[1]) + steps}{m[2]}"
        return value

    plan = first.plan + [(tool, {k: moved(v) for k, v in args.items()}) for tool, args in second.plan]
    return Sentence(tokens, plan, first.ask or second.ask, first.before, "joined")


def _spans(value: Any) -> list[Span]:
    if isinstance(value, list):
        return [s for v in value for s in _spans(v)]
    return [value] if isinstance(value, Span) else []


def _protected(sentence: Sentence) -> set[int]:
    """Tokens that are inside words of the user: nothing may be inserted there."""
    spans = [s for _, args in sentence.plan for v in args.values() for s in _spans(v) if not s.before]
    return {i for s in spans for i in range(s.start, s.end)}


def noisy(sentence: Sentence, rng: Random) -> Sentence:
    """The sentence as a hurried person types it or a recogniser hears it."""
    protected = _protected(sentence)
    inner = {i for i in protected if i - 1 in protected}
    bare = rng.random() < 0.5  # recognisers write no punctuation
    mishear = rng.choice([0, 0.1, 0.15, 0.2, 0.3]) if bare else 0
    slip = rng.choice([0, 0, 0, 0.03])
    swap = rng.choice([0, 0.1, 0.2, 0.3])
    filler = rng.choice([0, 0, 0.04, 0.1])
    out: list[Word] = []
    index: list[int] = []  # old position → new position
    if rng.random() < 0.12 and not sentence.before:
        _extend(out, rng.choice(OPENERS), None, "", 0)
    for i, word in enumerate(sentence.words):
        if rng.random() < filler and i not in inner:
            _extend(out, " " + rng.choice(FILLERS), None, "", 0)
        index.append(len(out))
        text = word.text
        if bare and text in '.,;:!?"()-' and not _decimal(sentence.words, i):
            continue
        if mishear and rng.random() < mishear and text.casefold() in confusions():
            text = rng.choice(confusions()[text.casefold()])
        elif swap and i not in protected and not word.slot and text.casefold() not in KEPT and rng.random() < swap:
            text = synonym(text.casefold(), rng) or text
        elif slip and len(text) > 3 and i not in protected and rng.random() < slip and text.isalpha():
            text = _slip(text, rng)
        space = word.space or (len(out) > index[-1]) or (bare and i > 0 and sentence.words[i - 1].text in ",;:-")
        out.append(replace(word, text=text, space=space))
    index.append(len(out))
    if rng.random() < 0.08 and not sentence.ask and len(sentence.words) - 1 not in protected:
        while out and out[-1].text in ".!?":
            out.pop()
        _extend(out, (", " if not bare and rng.random() < 0.5 else " ") + rng.choice(CLOSERS), None, "", 0)
        index[-1] = min(index[-1], len(out))

    def moved(value: Any) -> Any:
        if isinstance(value, list):
            return [moved(v) for v in value]
        return (
            Span(index[value.start], index[value.end - 1] + 1)
            if isinstance(value, Span) and not value.before
            else value
        )

    plan = [(tool, {k: moved(v) for k, v in args.items()}) for tool, args in sentence.plan]
    return replace(sentence, words=out, plan=plan)


def _decimal(tokens: list[Word], i: int) -> bool:
    near = tokens[i].text == "." and 0 < i < len(tokens) - 1
    return near and tokens[i - 1].text.isdigit() and tokens[i + 1].text.isdigit()


def _slip(text: str, rng: Random) -> str:
    i = rng.randrange(1, len(text) - 1)
    return rng.choice(
        [text[:i] + text[i + 1 :], text[:i] + text[i] + text[i:], text[: i - 1] + text[i] + text[i - 1] + text[i + 1 :]]
    )


def finish(sentence: Sentence) -> Example:
    """The example as text. Raises Unfillable if a span was emptied."""
    before = finish(sentence.before) if sentence.before else None

    def value(v: Any) -> Any:
        if isinstance(v, list):
            return [value(x) for x in v]
        if not isinstance(v, Span):
            return v
        source = sentence.before.words if v.before and sentence.before else sentence.words
        text = render(source[v.start : v.end])
        if not text:
            raise Unfillable("a span was emptied")
        return text

    steps = tuple(Step(tool, {k: value(v) for k, v in args.items()}) for tool, args in sentence.plan)
    return Example(render(sentence.words), Plan(steps), sentence.ask, before, sentence.category)


def render(tokens: list[Word]) -> str:
    """The text of tokens."""
    return "".join((" " if w.space else "") + w.text for w in tokens).strip()
