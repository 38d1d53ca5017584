"""What the user's answer to a question means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assistant.speech import phrases

from .contacts import simple
from .errand import AnswerError, NotAsked

YES = frozenset(map(simple, (*phrases.YES, *phrases.TYPED_YES)))
NO = frozenset(map(simple, (*phrases.NO, *phrases.TYPED_NO)))
_TENS = "zero one two three four five six seven eight nine ten"
NUMBERS = f"{_TENS} eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen twenty".split()
ORDINALS = ["zeroth", "first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"]


def understand(kind: str, choices: Sequence[str], *, confirm: bool | None, choice: int | None, text: str | None,
               ) -> dict[str, Any]:  # fmt: skip
    """The answer as it is kept: {"confirm": bool}, {"choice": n from 1} or {"text": str}. Raises AnswerError."""
    if sum(v is not None for v in (confirm, choice, text)) != 1:
        raise AnswerError("an answer is exactly one of confirm, choice and text")
    words = simple((text or "").replace(",", " "))
    if text is not None and not words:
        raise AnswerError("the answer is empty")
    if choice is not None and choices and not 1 <= choice <= len(choices):
        raise AnswerError(f"there is no choice {choice}; the choices are 1 to {len(choices)}")
    if choice is not None and choices and kind != "choose":
        words = text = choices[choice - 1]
    if kind == "confirm":
        if confirm is None and words in YES | NO:
            confirm = words in YES
        if confirm is None:
            raise AnswerError("the question wants a yes or a no: confirm = true or false")
        return {"confirm": confirm}
    if kind == "choose":
        choice = _choice(words, choices) if choice is None and words else choice
        if choice is not None:
            return {"choice": choice}
    if text is None:
        raise AnswerError(f"the question wants {'a choice or ' if kind == 'choose' else ''}a text")
    return {"text": text.strip()}


def same(asked: str | None, open_: str) -> None:
    """Raises NotAsked when an answer was meant for another question than the one that is open."""
    if asked is not None and asked != open_:
        raise NotAsked(f"another question is open by now: {open_}")


def _choice(words: str, choices: Sequence[str]) -> int | None:
    """A spoken choice: its number, its place, or words that stand in exactly one of them."""
    for names in (NUMBERS, ORDINALS):
        for n, name in enumerate(names[: len(choices) + 1]):
            if n and words in (name, str(n), f"{name} one", f"number {name}", f"number {n}", f"the {name}"):
                return n
    found = [n for n, c in enumerate(choices, 1) if words in simple(c)]
    return found[0] if len(found) == 1 else None
