"""Text as the model sees it, and the way back to the user's own characters.

The shipped tokenizer lower-cases and strips accents, so the model writes "zoe" for "Zoë". `fold` applies the same
normaliser character by character and remembers where each folded character came from.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from assistant.llm import Tokenizer

Normalise = Callable[[str], str]
Encode = Callable[[str], Sequence[int]]
_JOINERS = "\u200d\ufe0e\ufe0f"  # of emoji: they belong to the character before them


def normaliser(tokenizer: Tokenizer) -> Normalise:
    """What the tokenizer does to letters: its own normaliser if that folds them, else nothing, because other
    normalisers (Unicode composition, markers for spaces) do not change what the model writes back."""
    return tokenizer.normalise if folds(tokenizer) else lambda text: text


def folds(tokenizer: Tokenizer) -> bool:
    """Whether the tokenizer makes no difference of case and accents, as the shipped one does."""
    return tokenizer.normalise("É x") == "e x"


@dataclass(frozen=True)
class Folded:
    """`text` is normalised, with single spaces; character i of it stands for `original[starts[i]:ends[i]]`."""

    original: str
    text: str
    starts: tuple[int, ...]
    ends: tuple[int, ...]
    encode: Encode | None = field(default=None, compare=False)  # the tokenizer's, for `chunks`

    def span(self, words: str) -> str | None:
        """The user's own characters for folded words; None when they were not said."""
        match = re.search(rf"(?<!\w){re.escape(words)}(?!\w)", self.text) or re.search(re.escape(words), self.text)
        if not words or match is None:
            return None
        return " ".join(self.original[self.starts[match.start()] : self.ends[match.end() - 1]].split())

    @cached_property
    def chunks(self) -> tuple[str, ...]:
        """Words, spaces and signs. A plural or possessive s stands apart where tokens allow it, so that "alices" can
        give "alice"."""
        found: list[str] = []
        word = ""
        for c in self.text + " ":
            if is_word(c):
                word += c
                continue
            if len(word) > 3 and word[-1] == "s" and self._separable(word):
                found += [word[:-1], "s"]
            elif word:
                found.append(word)
            word = ""
            found.append(c)
        return tuple(found[:-1])

    def _separable(self, word: str) -> bool:
        """Whether a word without its s has the same tokens but for the last. Else it could not be written as it was
        learned, d-ah-li-as: llguidance allows only the tokens of what is certain to follow, "dahlia" without the s."""
        if self.encode is None:
            return True
        whole, stem = list(self.encode(word)), list(self.encode(word[:-1]))
        return whole[: len(stem)] == stem or whole[:-1] == stem[:-1]

    @cached_property
    def has_words(self) -> bool:
        """Whether anything was said that a tool could use."""
        return any(is_word(c) for c in self.text)

    @cached_property
    def terminal(self) -> str:
        """The spans that begin and end with a word, as a llguidance terminal over the substring terminal `{0}`."""
        signs = "".join(f"\\x{{{ord(c):x}}}" for c in sorted({c for c in self.text if not is_word(c)}))
        edge = f"[^\\n{signs}]"
        return f"/{edge}(.*{edge})?/ & ~/s( .*)?/"

    @cached_property
    def substring(self) -> str:
        """The chunks in llguidance's notation for "any run of these"."""
        return "%regex " + json.dumps({"substring_chunks": self.chunks}, ensure_ascii=False)


def is_word(c: str) -> bool:
    """Letters, marks, digits, pictures and signs of amounts carry meaning; all else only stands between words."""
    kind = unicodedata.category(c)
    return c in "_%+" or kind[0] in "LMN" or kind in ("So", "Sc") or "\U0001f3fb" <= c <= "\U0001f3ff"  # tones of skin


def fold(text: str, normalise: Normalise, special: Sequence[str] = (), encode: Encode | None = None) -> Folded:
    """Normalise and collapse white space. Control characters vanish, and the tokenizer's `special` tokens (which
    end turns) are broken up, so that nothing in the text can pose as part of the conversation."""
    folded: list[str] = []
    starts: list[int] = []
    ends: list[int] = []
    for i, c in enumerate(text):
        kind = unicodedata.category(c)
        new = "" if kind in ("Cf", "Cs", "Co", "Cn") else normalise(c)
        if c.isspace() or kind == "Cc" or new.isspace():
            new = " " if folded and folded[-1] != " " else ""
        elif not new and (kind[0] == "M" or c in _JOINERS) and ends and ends[-1] == i:
            ends[-1] = i + 1
        for piece in new:
            folded.append(piece)
            starts.append(i)
            ends.append(i + 1)
    if folded and folded[-1] == " ":
        del folded[-1], starts[-1], ends[-1]
    for i in sorted(_specials("".join(folded), special), reverse=True):
        folded.insert(i, " ")
        ends.insert(i, starts[i])
        starts.insert(i, starts[i])
    return Folded(text, "".join(folded), tuple(starts), tuple(ends), encode)


def _specials(text: str, special: Sequence[str]) -> set[int]:
    """Positions at which a space breaks every special token in the text."""
    return {match.start() + 1 for token in special if len(token) > 1 for match in re.finditer(re.escape(token), text)}
