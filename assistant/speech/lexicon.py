"""Pronunciations: the dictionary in PocketSphinx's wheel, words that it lacks, and accents it does not speak.

The dictionary is American. Each word also gets its non-rhotic form ("par-k" without the r, "after" with a broad a), so
that most British, Australian and many second-language speakers are not forced into other words.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from . import g2p
from .errors import ModelUnavailable
from .language_model import JOIN

VARIANTS = 4  # pronunciations of one word
PHRASE_VARIANTS = 6

# Words of this domain that the dictionary lacks or has in one way only.
OWN = {
    "gif": ("G IH F", "JH IH F"),
    "gifs": ("G IH F S", "JH IH F S"),
    "gifts": ("G IH F T S",),
    "pics": ("P IH K S",),
    "pic": ("P IH K",),
    "sms": ("EH S EH M EH S",),
    "collage": ("K AH L AA ZH", "K AO L AA ZH"),
    "sepia": ("S IY P IY AH",),
    "oclock": ("AH K L AA K",),
    "wifi": ("W AY F AY",),
    "niamh": ("N IY V",),
    "caoimhe": ("K W IY V AH", "K IY V AH"),
    "priya": ("P R IY AH",),
    "jose": ("HH OW S EY", "HH OW Z EY"),
    "mum": ("M AH M",),
    "favourite": ("F EY V R IH T", "F EY V ER IH T"),
    "favourites": ("F EY V R IH T S", "F EY V ER IH T S"),
    "newest": ("N UW AH S T", "N Y UW IH S T"),
    "latest": ("L EY T AH S T", "L EY T IH S T"),
}

# Within phrases: the other way to say what is said in two ways whatever the accent.
OTHERWISE = {"and": "AE N D", "to": "T AH", "the": "DH IY", "gif": "JH IH F", "gifs": "JH IH F S"}

_VOWELS = frozenset(["AA", "AE", "AH", "AO", "AW", "AY", "EH", "ER", "EY", "IH", "IY", "OW", "OY", "UH", "UW"])
_BROAD_A_WORDS = """
advance after afternoon answer ask asked asking aunt basket bath branch can't castle chance class dance
example fast france glass glasses grass half last laugh master pass past path photograph photographs plant
plants rather staff
"""
_BROAD_A = frozenset(_BROAD_A_WORDS.split())
_VOICELESS = frozenset(["P", "T", "K", "F", "TH"])
_SIBILANT = frozenset(["S", "Z", "SH", "ZH", "CH", "JH"])


def model_path() -> Path:
    """Folder of the acoustic model and dictionary in PocketSphinx's wheel."""
    try:
        import pocketsphinx
    except ImportError as error:
        raise ModelUnavailable("offline recognition needs PocketSphinx; run: pip install pocketsphinx") from error
    return Path(pocketsphinx.get_model_path()) / "en-us"


@cache
def dictionary() -> dict[str, tuple[str, ...]]:
    """Word → pronunciations, as the wheel has them."""
    words: dict[str, list[str]] = {}
    for line in (model_path() / "cmudict-en-us.dict").read_text("utf-8").splitlines():
        entry, _, said = line.partition(" ")
        words.setdefault(entry.partition("(")[0], []).append(said.strip())
    return {word: tuple(said) for word, said in words.items()}


@cache
def pronunciations(token: str) -> tuple[str, ...]:
    """Ways to say a token (a word, or a phrase of words joined by JOIN), the likeliest first."""
    if JOIN not in token:
        return _word(token)[:VARIANTS]
    return tuple(_phrase(token.split(JOIN)))[:PHRASE_VARIANTS]


def _phrase(words: list[str]) -> dict[str, None]:
    """Ways to say a phrase. A speaker has one accent: its words are all plain or all accented."""
    ways: list[list[str]] = [[]]
    for word in words:
        said = [_word(word)[0], *([OTHERWISE[word]] if word in OTHERWISE else [])]
        ways = [[*way, one] for one in said for way in ways]
    accented = [[non_rhotic(word, said) for word, said in zip(words, way, strict=True)] for way in ways]
    both = [way for pair in zip(ways, accented, strict=True) for way in pair]
    return dict.fromkeys(" ".join(way) for way in both)


@cache
def _word(word: str) -> tuple[str, ...]:
    plain = OWN.get(word) or dictionary().get(word) or (_derive(word),)
    accented = [non_rhotic(word, said) for said in plain]
    return tuple(dict.fromkeys([*plain, *accented]))


def _derive(word: str) -> str:
    """A word that the dictionary lacks: possessive, plural, compound of two words, and letters to sounds at last."""
    known = dictionary()
    for ending in ("'s", "s'", "s"):
        stem = word.removesuffix(ending)
        if stem != word and (stem in known or ending != "s"):
            said = _word(stem)[0] if stem in known or stem in OWN else _derive(stem)
            return said + _plural(said.split()[-1])
    for cut in range(3, len(word) - 2):
        if word[:cut] in known and word[cut:] in known and min(cut, len(word) - cut) >= 3 and len(word) >= 8:
            return f"{known[word[:cut]][0]} {known[word[cut:]][0]}"
    return g2p.pronounce(word.replace("'", "")) or "AH"


def _plural(last: str) -> str:
    return " S" if last in _VOICELESS else " IH Z" if last in _SIBILANT else " Z"


def non_rhotic(word: str, said: str) -> str:
    """Southern British form of an American pronunciation: r only before vowels, broad a, rounded short o."""
    phones = said.split()
    out: list[str] = []
    for position, phone in enumerate(phones):
        following = phones[position + 1] if position + 1 < len(phones) else ""
        before_vowel = following in _VOWELS
        if phone == "ER":
            out += ["AH", "R"] if before_vowel else ["AH"]
        elif phone == "R" and position and phones[position - 1] in _VOWELS and not before_vowel:
            if phones[position - 1] in ("IH", "IY", "AY", "AW"):
                out.append("AH")
            elif out[-1] == "UH":
                out[-1] = "AO"
        elif phone == "AE" and word in _BROAD_A:
            out.append("AA")
        elif phone == "AA" and following != "R" and "o" in word:
            out.append("AO")
        else:
            out.append(phone)
    return " ".join(out)
