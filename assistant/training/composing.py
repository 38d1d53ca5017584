"""Errands over photos and messages put together from parts: which photos, what becomes of them, who gets it.

The authored sentences say each part in many ways but cannot hold every combination; here the parts meet freely, so
that the model learns to read each of them and to leave none out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import count
from random import Random
from typing import Any

from .errands import Template, held_out, thesaurus, words
from .wording import invented

Steps = list[tuple[str, dict[str, Any]]]

COUNTED = {
    "newest": ["my {n} most recent", "the last {n}", "my latest {n}", "the {n} newest", "my last {n}", "{n} newest",
               "the most recent {n}", "my {n} latest", "the newest {n}", "the past {n}", "{n} recent", "latest {n}"],
    "oldest": ["my {n} oldest", "the oldest {n}", "the {n} earliest", "my first {n}", "the very first {n}",
               "{n} oldest", "the {n} oldest", "my earliest {n}", "the earliest {n}", "the first {n}", "oldest {n}",
               "my very first {n}"],
    "random": ["{n} random", "any {n}", "{n} arbitrary", "a random {n}", "some random {n}", "random {n}",
               "{n} randomly chosen", "{n} randomly picked", "any old {n}", "whichever {n}", "{n} shuffled",
               "an arbitrary {n}"],
}  # fmt: skip
ONE = ["my last", "the latest", "my newest", "the most recent", "my most recent", "the newest"]
NOUNS = ["photos", "pictures", "pics", "shots", "snaps", "images", "photographs"]
FILTERS = {
    "about": ["of {x}", "showing {x}", "with {x}", "of {x}", "of {x} in them", "with {x} in"],
    "people": ["of {x}", "with {x}", "that {x} is in", "showing {x}", "of {x}"],
    "place": ["from {x}", "taken in {x}", "in {x}", "I took in {x}", "shot in {x}", "from our trip to {x}"],
    "taken": ["from {x}", "taken {x}", "I took {x}", "from {x}", "shot {x}", "of {x}"],
    "album": ["from the album {x}", "in the {x} album", "from my {x} album", "out of album {x}", "in album {x}"],
}
KIND = {"about": "about", "people": "person", "place": "place", "taken": "time", "album": "album"}
BEFORE_NOUN = 0.3  # of the places and contents are said so: "the Paris photos"
THINGS = {
    "gif.create": ["gif", "GIF", "gif", "animated gif", "animation"],
    "video.create": ["video", "slideshow", "movie", "film", "clip"],
    "collage.create": ["collage", "photo collage", "photo grid", "grid"],
}
MAKE = [
    "make a{w} {t} {o} {f} {s}", "create a{w} {t} {o} {f} {s}", "turn {s} into a{w} {t} {o}", "a{w} {t} {o} {f} {s}",
    "build a{w} {t} {o} out of {s}", "take {s} and make a{w} {t} {o}", "{s} as a{w} {t} {o}", "put {s} in a{w} {t} {o}",
    "I want a{w} {t} {o} {f} {s}", "use {s} for a{w} {t} {o}", "get {s} and turn them into a{w} {t} {o}",
    "whip up a{w} {t} {o} {f} {s}", "do me a{w} {t} {o} {f} {s}", "can you make {s} into a{w} {t} {o}",
]  # fmt: skip
PAIRS = ["make a {t} and a {u} of {s}", "a {t} and also a {u} from {s}", "from {s} I want a {t} and a {u}",
         "{s} as a {t} and as a {u}", "turn {s} into both a {t} and a {u}", "make {s} into a {t} plus a {u}",
         "I need {s} as a {t}, and a {u} of them too", "create a {t} of {s}, and a {u} as well"]  # fmt: skip
ELLIPSES = ["make one {t} from {s} and one from {r}", "one {t} of {s}, one of {r}", "a {t} of {s} and another of {r}",
            "make a {t} out of {s} and then one out of {r}", "two {t}s, one with {s} and the other with {r}",
            "do me a {t} of {s} and one more of {r}", "a {t} of {s} and a second one from {r}"]  # fmt: skip
EFFECTS = {
    "grayscale": ["black and white", "grayscale", "monochrome", "greyscale"], "sepia": ["sepia", "sepia toned"],
    "brighten": ["brightened", "brighter"], "sharpen": ["sharpened", "sharper"], "blur": ["blurred", "blurry"],
    "square": ["square", "cropped square"], "flip": ["mirrored", "flipped"],
    "rotate_left": ["rotated left", "turned to the left"], "rotate_right": ["rotated right", "turned to the right"],
}  # fmt: skip
SIZES = {"small": ["small", "little", "tiny"], "medium": ["medium", "medium sized", "mid-size"]}
SIZES |= {"large": ["large", "big", "huge"]}
SEND = ["{c} send {it} to {a}", "{c} share {it} with {a}", "{c} pass {it} on to {a}", "{c} get {it} to {a}",
        "{s} for {a}", "{c} let {a} have {it}", "{c} forward {it} to {a}", "{c} show {it} to {a}",
        "{s} to {a}"]  # fmt: skip
SEND_BOTH = [option for option in SEND if "{it}" in option]  # others would send only the second
BEFORE = ["send {a} {m}", "{a} should get {m}", "share {m} with {a}", "for {a}, {m}", "{a} wants {m}", "get {a} {m}"]
VIA = {
    "email": ["by email", "by mail", "via email", "in an email"], "sms": ["by text", "via sms", "as a text"],
    "telegram": ["on telegram", "via Telegram"], "whatsapp": ["on WhatsApp", "via whatsapp"], "signal": ["on signal"],
    "matrix": ["on matrix", "over Matrix"], "slack": ["on slack", "via Slack"],
}  # fmt: skip
VERBS = {"email": ["email", "mail"], "sms": ["text"], "slack": ["slack"], "whatsapp": ["whatsapp"]}
SAYING = [
    "saying {m}",
    "and say {m}",
    "with the message {m}",
    "with the words {m}",
    "and tell them {m}",
    "and write {m}",
]
TELL = ["tell {a} {m}", "let {a} know {m}", "message {a} {m}", "write to {a} that {m}", "say to {a} {m}", "{a}: {m}",
        "send {a} a message saying {m}", "tell {a} that {m}", "drop {a} a line, {m}", "{m}, tell {a}"]  # fmt: skip
KEEP = ["{c} put them in the album {x}", "{c} add them to album {x}", "{c} save them to my {x} album",
        "{c} file them under {x}", "{c} move them into the {x} album", "{c} put them into {x}",
        "{c} add them to the {x} album", "{c} add them to {x}", "{c} store them in album {x}",
        "{c} drop them in the album {x}", "{c} sort them into {x}", "{c} collect them in my album {x}"]  # fmt: skip


CORRECTED = {"int", "name", "place", "album", "person"}
CORRECTIONS = ["{w} no {r}", "{w}, no, {r}", "{w}, sorry, {r}", "{w} I mean {r}", "{w} no make that {r}",
               "{w}, no wait, {r}", "{w}, or rather {r}", "{w}, wait, {r}", "{w} sorry {r}"]  # fmt: skip


@dataclass
class Composer:
    """The parts of one sentence; every slot gets a name of its own."""

    rng: Random
    steps: Steps = field(default_factory=list)
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict)
    names: Any = field(default_factory=count)

    def pick(self, options: Sequence[str], **parts: str) -> str:
        return self.rng.choice(options).format(**parts)

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def slot(self, kind: str) -> tuple[str, str]:
        """(as it stands in the sentence, as it stands in the plan); sometimes the speaker corrects himself."""
        name = f"s{next(self.names)}"
        said = f"{{{name}:{kind}}}"
        if kind in CORRECTED and self.chance(0.06):
            wrong = f"{{s{next(self.names)}:{kind}}}"
            said = self.pick(CORRECTIONS, w=wrong, r=said)
        return said, f"{{{name}}}"

    def word(self, kind: str) -> tuple[str, str]:
        """As `slot`, of a value that stands before the noun."""
        name = f"s{next(self.names)}"
        self.slots[name] = before_noun()[kind]
        return f"{{{name}:choice}}", f"{{{name}}}"

    def add(self, tool: str, **args: Any) -> str:
        self.steps.append((tool, args))
        return f"${len(self.steps)}"

    def listed(self, kind: str, most: int = 3) -> tuple[str, list[str]]:
        """One to three of a kind, as people enumerate them."""
        several = [self.slot(kind) for _ in range(self.rng.choice([1, 1, 2, 2, most]))]
        said = [s for s, _ in several]
        glue = self.rng.choice([" and ", " and ", ", ", " and also ", " plus "]) if len(said) == 2 else ", "
        last = self.rng.choice([" and ", ", and ", " and ", ", "]) if len(said) > 2 else glue
        return glue.join(said[:-1]) + (last if len(said) > 1 else "") + said[-1], [v for _, v in several]

    def photos(self) -> tuple[str, str]:
        """(which photos, reference to them)."""
        args: dict[str, Any] = {}
        noun, before = self.pick(NOUNS), self.pick(["my ", "the ", "all ", "", "all my "])
        if self.chance(0.55):
            said, value = self.slot("int")
            order = self.rng.choice(["newest", "newest", "newest", "oldest", "random"])
            before = self.pick(COUNTED[order], n=said) + " "
            args |= {"count": value} | ({"order": order} if order != "newest" else {})
        elif self.chance(0.12):
            before, noun, args = self.pick(ONE) + " ", noun.removesuffix("s"), {"count": 1}
        if self.chance(0.1):
            before, args = before + self.pick(["favourite ", "favorite ", "starred "]), args | {"favorites": True}
        elif self.chance(0.1):
            noun = "screenshots" if args.get("count") != 1 else "screenshot"
            args["kind"] = "screenshot"
        chosen = self.rng.sample(sorted(FILTERS), self.rng.choice([0, 1, 1, 2, 3] if args else [1, 1, 2, 3]))
        after = ""
        for name in [n for n in chosen if not (n == "people" and "about" in chosen)]:
            if name in before_noun() and not noun.startswith(("{", "screenshot")) and self.chance(BEFORE_NOUN):
                said, args[name] = self.word(name)
                noun = f"{said} {noun}"
                continue
            said, args[name] = self.listed("person") if name == "people" else self.slot(KIND[name])
            after += " " + self.pick(FILTERS[name], x=said)
        return f"{before}{noun}{after}", self.add("photos.select", **args)

    def edited(self, said: str, photos: str) -> tuple[str, str]:
        if not self.chance(0.2):
            return said, photos
        effects = self.rng.sample(sorted(EFFECTS), self.rng.choice([1, 1, 2, 3]))
        how = [self.pick(EFFECTS[effect]) for effect in effects]
        for effect in effects:
            photos = self.add("photos.edit", photos=photos, effect=effect)
        glue = self.rng.choice([" and ", ", ", " then "])
        return self.pick(["{s} in {h}", "{s}, {h},", "{h} {s}", "{s} made {h}"], s=said, h=glue.join(how)), photos

    def made(self) -> tuple[str, str]:
        """(a request for a GIF, video or collage, reference to it)."""
        said, photos = self.edited(*self.photos())
        tool = self.rng.choice(["gif.create", "gif.create", "video.create", "collage.create"])
        size, options = "", []
        args: dict[str, Any] = {"photos": photos}
        if tool == "collage.create" and self.chance(0.3):
            columns, args["columns"] = self.slot("cols")
            options.append(self.pick(["with {c} columns", "in {c} columns", "{c} columns wide"], c=columns))
        elif tool != "collage.create" and self.chance(0.25):
            seconds, args["seconds_per_photo"] = self.slot("seconds")
            options.append(self.pick(["with {s} seconds per photo", "at {s} seconds each", "{s} seconds a picture"],
                                     s=seconds))  # fmt: skip
        if tool == "gif.create":
            if self.chance(0.2):
                args["size"] = self.rng.choice(sorted(SIZES))
                size = " " + self.pick(SIZES[args["size"]])
            if self.chance(0.1):
                options.append(self.pick(["that plays once", "without looping", "that does not loop"]))
                args["loop"] = False
            elif self.chance(0.1):
                options.append(self.pick(["that bounces", "going back and forth", "that runs forwards and backwards"]))
                args["bounce"] = True
        thing, of = self.pick(THINGS[tool]), self.pick(["of", "from", "with"])
        return self.pick(MAKE, w=size, t=thing, o=" ".join(options), f=of, s=said), self.add(tool, **args)

    def pair(self) -> tuple[str, list[str]]:
        """Two things in few words: of two kinds from the same photos, or of one kind from two choices of photos."""
        if self.chance(0.5):
            said, photos = self.edited(*self.photos())
            tools = self.rng.sample(sorted(THINGS), 2)
            first, second = (self.pick(THINGS[tool]) for tool in tools)
            return self.pick(PAIRS, t=first, u=second, s=said), [self.add(tool, photos=photos) for tool in tools]
        tool = self.rng.choice(sorted(THINGS))
        one, photos = self.photos()
        made = [self.add(tool, photos=photos)]
        other, photos = self.photos()
        made.append(self.add(tool, photos=photos))
        return self.pick(ELLIPSES, t=self.pick(THINGS[tool]), s=one, r=other), made

    def kept(self) -> str:
        """Something made of photos that go into an album as well."""
        said, photos = self.photos()
        tool = self.rng.choice(sorted(THINGS))
        album, value = self.slot("album")
        keep = self.pick(KEEP, c=self.pick(["and", "then", ","]), x=album).replace("them", "the photos")
        make = self.pick(MAKE, w="", t=self.pick(THINGS[tool]), o="", f="of", s=said)
        made = self.add(tool, photos=photos)
        self.add("photos.add_to_album", photos=photos, album=value)
        say = f"{make} {keep}"
        if not self.chance(0.7):
            return say
        name, to = self.slot("name")
        self.add("messages.send", to=[to], attachments=[made])
        return say + self.pick([" and send the {t} to {a}", ", the {t} goes to {a}", " and {a} gets the {t}"],
                               t=THINGS[tool][0], a=name)  # fmt: skip

    def sent(self, say: str, files: list[str]) -> str:
        """The request with who gets it, before or after."""
        said, to = self.listed("name")
        args: dict[str, Any] = {"to": to, "attachments": files}
        it = self.pick(["both", "both", "both of them", "them both"] if len(files) > 1 else ["it", "that", "it"])
        joined = f"{say} {self.pick(['and', 'then', 'and then', ','])}"
        if len(files) > 1 or self.chance(0.75):
            say = self.pick(SEND if len(files) == 1 else SEND_BOTH, s=say, c=joined, it=it, a=said)
        else:
            say = self.pick(BEFORE, a=said, m=say)
        if self.chance(0.25):
            args["via"] = self.rng.choice(sorted(VIA))
            say += " " + self.pick(VIA[args["via"]])
        if self.chance(0.15):
            text, args["text"] = self.slot("message")
            say += " " + self.pick(SAYING, m=text)
        self.add("messages.send", **args)
        return say

    def told(self) -> str:
        said, to = self.listed("name")
        text, value = self.slot("message")
        args: dict[str, Any] = {"to": to, "text": value}
        if self.chance(0.2):
            args["via"] = self.rng.choice(sorted(VERBS))
            say = f"{self.pick(VERBS[args['via']])} {said} {self.pick(['that', 'saying', ''])} {text}"
        else:
            say = self.pick(TELL, a=said, m=text)
        self.add("messages.send", **args)
        return say


KINDS = {"send": 9, "make": 4, "two": 2, "pair": 4, "kept": 2, "each": 2, "photos": 4, "keep": 2, "tell": 3}


@cache
def before_noun() -> dict[str, tuple[str, ...]]:
    """Places and contents that may stand before "photos" as they are."""
    rng = Random(0)
    places = [w for w in words("place") if w[0].isupper() and len(w.split()) <= 2]
    places += [invented(rng) for _ in places]
    things = [re.sub("^(the|my|our|a|an) ", "", w) for w in words("about")]
    things = [w for w in things if len(w.split()) <= 2 and not w.endswith(("s", "ing"))]
    otherwise = _said_otherwise()
    things += [w for w in thesaurus("-nouns") if w not in otherwise]
    found = {"place": places, "about": things}
    return {kind: tuple(w for w in values if not held_out(w.casefold())) for kind, values in found.items()}


def _said_otherwise() -> set[str]:
    """Nouns that before "photos" say who, where or when, or what the photos are, not what they show."""
    kinds = ("name", "person", "place", "time", "when", "album")
    said = {w for kind in kinds for value in words(kind) for w in value.casefold().split()}
    said |= {w for thing in THINGS.values() for t in thing for w in t.casefold().split()}
    said |= {form for noun in NOUNS for form in (noun, noun.removesuffix("s"))}
    return said | {"favourite", "favorite", "screenshot", "set", "pair", "batch", "series", "collection"}


def compose(rng: Random) -> Template:
    """One sentence and its plan."""
    c = Composer(rng)
    kind = rng.choices(list(KINDS), list(KINDS.values()))[0]
    if kind == "tell":
        say = c.told()
    elif kind == "photos":
        verb = c.pick(["show me", "find", "get", "pull up", "look for", "I'd like to see", "give me", "open"])
        say = f"{verb} {c.photos()[0]}"
    elif kind == "keep":
        said, photos = c.edited(*c.photos())
        album, value = c.slot("album")
        say = c.pick(KEEP, c=c.pick(["take {s} and", "{s},", "get {s} and"], s=said), x=album)
        c.add("photos.add_to_album", photos=photos, album=value)
    elif kind == "each":  # one thing for one person, another for another
        parts = []
        for _ in range(2):
            said, result = c.made()
            parts.append(c.sent(said, [result]))
        say = f"{parts[0]} {c.pick(['and', ', and', 'and also', '.', ', then'])} {parts[1]}"
    elif kind == "pair":
        say, made = c.pair()
        say = c.sent(say, made) if c.chance(0.6) else say
    elif kind == "kept":
        say = c.kept()
    elif kind == "two":
        first, a = c.made()
        second, b = c.made()
        say = f"{first} {c.pick(['and', ', and', 'and also', '. Also', 'plus'])} {second}"
        say = c.sent(say, [a, b]) if c.chance(0.6) else say
    else:
        say, result = c.made() if c.chance(0.85) else c.edited(*c.photos())
        say = c.sent(say, [result]) if kind == "send" else say
    say = " ".join(say.split()).replace(" ,", ",").replace(" .", ".").replace(",,", ",")
    return Template(_spoken(say, rng), tuple(c.steps), slots=c.slots, category="composed")


def _spoken(say: str, rng: Random) -> str:
    if rng.random() < 0.4:
        return say
    first = say if say.startswith("{") else say[0].upper() + say[1:]
    return first + rng.choice([".", ".", "", "!", "?"])


def composed(number: int, seed: int = 0) -> tuple[Template, ...]:
    """Reproducible by seed."""
    rng = Random(seed)
    return tuple(compose(rng) for _ in range(number))
