"""The address book: who is meant by the words of the user.

Read from vCard files. Words mean those whose full, given or family name, nickname, relation or title they are; a group,
when they are nobody's more than a given or family name; and where nothing is the same, a name of close spelling (or
close sound: speech misspells names). Two people are a question, never a guess.

Read from a card: FN, N, NICKNAME, EMAIL, TEL, TITLE, ROLE, CATEGORIES and KIND:group with MEMBER, IMPP and
X-<SERVICE> as handles, X-APPRISE as an address of its own, RELATED (vCard 4) with a relation to the user:
`RELATED;TYPE=parent;VALUE=text:me` on the other's card, or any RELATED on the user's own card (one with X-ME).
"""

from __future__ import annotations

import logging
import re
import threading
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import jellyfish
import vobject
from rapidfuzz import fuzz
from vobject.base import registerBehavior
from vobject.icalendar import MultiTextBehavior
from vobject.vcard import VCard3_0

# vobject keeps only the first of several nicknames unless it is told that there may be several.
VCard3_0.knownChildren["NICKNAME"] = (0, None, None)
registerBehavior(MultiTextBehavior, "NICKNAME")
logging.getLogger("vobject").setLevel(logging.CRITICAL)

CLOSE, SOUNDS, NEAR = 80, 55, 38  # rapidfuzz ratios: alike, alike when it sounds the same, worth offering
SHORTEST = 4  # letters of a name that is found by its sound; shorter words sound like too many others
MAX_CARD_BYTES = 32 << 20
CARD = re.compile(r"^(?=BEGIN:VCARD\s*$)", re.IGNORECASE | re.MULTILINE)
EMAIL = re.compile(r"[A-Za-z0-9._%+'-]+@[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?\.[A-Za-z]{2,}")
PHONE = re.compile(r"\+?\d[\d ()/.-]{4,}\d")
LEADING = re.compile(r"^(?:to|the|my|our|all of|everyone in|everybody in|all|mister|missus|mr|mrs|ms|miss|dr)\.? ")
TRAILING = re.compile(r"(?:'s)?(?: group| list| please)?$")
SERVICES = ("telegram", "signal", "matrix", "whatsapp", "slack", "sms")
ALIKE = (
    {"mum", "mom", "mother", "mummy", "mommy", "mama", "mam"},
    {"dad", "father", "daddy", "papa", "pa"},
    {"grandma", "granny", "gran", "grandmother", "nana"},
    {"grandpa", "granddad", "grandad", "grandfather"},
    {"wife", "spouse", "husband", "partner"},
    {"boss", "manager"},
    {"doctor", "gp", "physician"},
)


@dataclass(frozen=True)
class Person:
    """One card. `names` are what it may be called beside its full name; `handles` service → address of that service."""

    uid: str
    name: str
    given: str = ""
    family: str = ""
    names: tuple[str, ...] = ()
    emails: tuple[str, ...] = ()
    phones: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    handles: dict[str, str] = field(default_factory=dict, hash=False)
    apprise: str | None = field(default=None, repr=False)  # may hold a token

    @property
    def label(self) -> str:
        """The name with something that tells two of the same name apart."""
        hint = next(iter(self.emails or self.phones or self.names), "")
        return f"{self.name} ({hint})" if hint else self.name


@dataclass(frozen=True)
class Match:
    """What words may mean. Exactly one of the three is filled; all of `people` are meant when it is a group."""

    people: tuple[Person, ...] = ()
    several: tuple[Person, ...] = ()
    nearest: tuple[Person, ...] = ()


class AddressBook:
    """All cards of the configured files and folders. Files are read again when they change."""

    def __init__(self, paths: Sequence[Path]):
        self._paths = tuple(paths)
        self._stamp: tuple[Any, ...] | None = None
        self._people: list[Person] = []
        self.problems: list[str] = []
        self._lock = threading.Lock()

    @property
    def people(self) -> list[Person]:
        files = sorted({f for p in self._paths for f in (_cards_in(p) if p.is_dir() else [p])})
        stamp = tuple((f, f.stat().st_mtime_ns, f.stat().st_size) for f in files if f.is_file())
        with self._lock:
            if stamp != self._stamp:
                self.problems = [f"{p}: there is no such file or folder" for p in self._paths if not p.exists()]
                self._people = _connect([card for f, _, size in stamp for card in self._cards(f, size)])
                self._stamp = stamp
            return self._people

    def _cards(self, file: Path, size: int) -> list[Any]:
        if size > MAX_CARD_BYTES:
            self.problems.append(f"{file}: larger than {MAX_CARD_BYTES >> 20} MiB, skipped")
            return []
        try:
            parts = CARD.split(file.read_bytes().decode("utf-8-sig", "replace"))
        except OSError as error:
            self.problems.append(f"{file}: {error.strerror}")
            return []
        cards = []
        for number, part in enumerate(parts[1:], 1):
            try:
                cards.append(vobject.readOne(part, ignoreUnreadable=True))
            except Exception as problem:  # a card of another program must not stop the others
                self.problems.append(f"{file}: card {number} cannot be read ({type(problem).__name__})")
        if not parts[1:]:
            self.problems.append(f"{file}: there is no vCard in it")
        return cards

    def match(self, words: str) -> Match:
        """Who is meant. Empty everywhere when there are no contacts at all."""
        people, query = self.people, simple(words)
        if not query:
            return Match()
        wanted = {query, *(w for group in ALIKE if query in group for w in group)}
        part = [p for p in people if _parts(p) & wanted]
        if found := [p for p in people if (_full(p) | _called(p)) & wanted]:
            return _decide([*found, *part])
        if group := [p for p in people if query in map(simple, p.groups)]:
            return Match(people=tuple(group))
        if part:
            return _decide(part)
        if found := [p for p in people if any(_close(query, name) for name in _all(p))]:
            return _decide(found)
        scored = [(max((fuzz.ratio(query, n) for n in _all(p)), default=0.0), p) for p in people]
        nearest = sorted(scored, key=lambda s: -s[0])[:4]
        return Match(nearest=tuple(p for score, p in nearest if score >= NEAR))


def _cards_in(folder: Path) -> list[Path]:
    return [file for file in folder.rglob("*") if file.suffix.lower() in (".vcf", ".vcard")]


def simple(words: str) -> str:
    """Words as they are compared: no case, accents, articles, titles or possessive."""
    text = unicodedata.normalize("NFKD", words.replace("’", "'")).casefold()
    text = " ".join("".join(c for c in text if not unicodedata.combining(c)).split()).strip(" .,!?;:\"'")
    while LEADING.match(text):
        text = LEADING.sub("", text, count=1)
    return TRAILING.sub("", text, count=1) or text


def literal(words: str) -> str | None:
    """The e-mail address or phone number that the words are, also as spoken ("ann at example dot org")."""
    text = words.strip().strip(".,!?")
    spoken = re.sub(r"\s+dot\s+", ".", re.sub(r"\s+at\s+", "@", text, flags=re.I), flags=re.I)
    for candidate in (text, spoken):
        if EMAIL.fullmatch(candidate) or PHONE.fullmatch(candidate):
            return candidate
    return None


def stranger(address: str) -> Person:
    """Somebody of whom only an address or a number is known."""
    mail = "@" in address
    return Person(address, address, emails=(address,) if mail else (), phones=() if mail else (address,))


def _decide(found: Iterable[Person]) -> Match:
    unique = tuple(dict.fromkeys(found))
    return Match(people=unique) if len(unique) == 1 else Match(several=unique)


def _full(p: Person) -> set[str]:
    return {simple(p.name), simple(f"{p.given} {p.family}")}


def _called(p: Person) -> set[str]:
    return {simple(n) for n in p.names}


def _parts(p: Person) -> set[str]:
    return {simple(n) for n in (p.given, p.family, p.name.split()[0] if p.name.split() else "") if n}


def _all(p: Person) -> set[str]:
    return {n for n in _full(p) | _called(p) | _parts(p) if n}


def _close(query: str, name: str) -> bool:
    ratio = fuzz.ratio(query, name)
    if ratio >= CLOSE:
        return True
    if len(query) < SHORTEST:
        return False  # "all" sounds like "Ali"
    sound = [" ".join(jellyfish.metaphone(w) for w in text.split()) for text in (query, name)]
    return ratio >= SOUNDS and sound[0] == sound[1] and len(sound[0]) >= 2


def _connect(cards: list[Any]) -> list[Person]:
    """Cards as people: groups turned into memberships, relations given to those whom they name."""
    people = [(_uid(c, i), c) for i, c in enumerate(cards)]
    groups: dict[str, list[str]] = {}
    relations: dict[str, list[str]] = {}
    for _, card in people:
        if _first(card, "kind").lower() == "group" or "x-addressbookserver-kind" in card.contents:
            for member in (*_texts(card, "member"), *_texts(card, "x-addressbookserver-member")):
                groups.setdefault(member.removeprefix("urn:uuid:"), []).append(_first(card, "fn"))
        elif "x-me" in card.contents:
            for related in card.contents.get("related", []):
                relations.setdefault(simple(str(related.value)), []).extend(_types(related))
    return [
        _person(uid, card, groups.get(uid, []), relations)
        for uid, card in people
        if _first(card, "kind").lower() != "group" and "x-addressbookserver-kind" not in card.contents
    ]


def _person(uid: str, card: Any, groups: list[str], relations: dict[str, list[str]]) -> Person:
    n = card.contents["n"][0].value if "n" in card.contents else None
    given, family = (_words(getattr(n, part, "")) for part in ("given", "family"))
    name = _first(card, "fn") or f"{given} {family}".strip() or _first(card, "org") or uid
    mine = [t for r in card.contents.get("related", []) if simple(str(r.value)) in ("me", "self") for t in _types(r)]
    called = [text for key in ("nickname", "title", "role") for text in _texts(card, key)]
    names = [*called, *mine, *relations.get(simple(name), [])]
    categories = [part for text in _texts(card, "categories") for part in text.split(",")]
    return Person(
        uid, name, given, family, tuple(dict.fromkeys(names)), tuple(_preferred(card, "email")),
        tuple(p.removeprefix("tel:") for p in _preferred(card, "tel")), tuple(dict.fromkeys([*categories, *groups])),
        _handles(card), _first(card, "x-apprise") or None,
    )  # fmt: skip


def _handles(card: Any) -> dict[str, str]:
    """Addresses at messaging services: IMPP:telegram:alice, IMPP;X-SERVICE-TYPE=Signal:…, X-TELEGRAM:alice."""
    found = {s: _first(card, f"x-{s}") for s in SERVICES if _first(card, f"x-{s}")}
    for entry in card.contents.get("impp", []):
        value = str(entry.value)
        service = (entry.params.get("X-SERVICE-TYPE") or [value.partition(":")[0]])[0].lower()
        if service in SERVICES:
            found.setdefault(service, value.split(":", 1)[-1] if ":" in value else value)
    return found


def _uid(card: Any, index: int) -> str:
    return (_first(card, "uid") or f"card-{index}").removeprefix("urn:uuid:")


def _preferred(card: Any, key: str) -> list[str]:
    """Values with the preferred one first, otherwise in the order of the card."""

    def rank(entry: Any) -> int:
        if "PREF" in entry.params and str(entry.params["PREF"][0]).isdigit():
            return int(entry.params["PREF"][0])
        return 0 if "pref" in _types(entry) else 101

    entries = sorted(card.contents.get(key, []), key=rank)
    return list(dict.fromkeys(str(e.value).strip() for e in entries if str(e.value).strip()))


def _types(entry: Any) -> list[str]:
    return [t.lower() for value in entry.params.get("TYPE", []) for t in value.split(",")]


def _texts(card: Any, key: str) -> list[str]:
    values = [e.value for e in card.contents.get(key, [])]
    flat = [v for value in values for v in (value if isinstance(value, (list, tuple)) else [value])]
    return [text for v in flat if (text := str(v).strip())]


def _first(card: Any, key: str) -> str:
    return next(iter(_texts(card, key)), "")


def _words(part: Any) -> str:
    return " ".join(part) if isinstance(part, (list, tuple)) else str(part or "")
