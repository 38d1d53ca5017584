"""Who a message is for: the words of the user become people, or a question."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from assistant.plugin.plan import is_span

from .contacts import AddressBook, Person, literal, stranger
from .words import quote

Ask = Callable[[str, str, str, list[str]], Awaitable[dict[str, Any]]]  # key, kind, text, choices → answer


class Refused(Exception):
    """The step cannot be carried out; the message is fit for the user."""


async def find_people(words: str, book: AddressBook, ask: Ask, said: tuple[str, ...] = (),
                      addresses: bool = True) -> tuple[Person, ...]:  # fmt: skip
    """The people meant by `words`: one, or all of a group. Asks when there are several or none.

    addresses: whether a literal e-mail address or number counts; it must stand in `said`, if that is known.
    """
    heard, asked = said, set[str]()
    while True:
        address = literal(words) if addresses else None
        if address is not None:
            if heard and not any(is_span(words, text) for text in heard):
                raise Refused(f"the address {address} was not said, so nothing is sent to it")
            return (stranger(address),)
        match = await asyncio.to_thread(book.match, words)
        if match.people:
            return match.people
        key = f"who:{words.casefold()}"
        if match.several or match.nearest:
            offered = match.several or match.nearest
            problem = f"There are {len(offered)} people called" if match.several else "I know nobody called"
            wording = "Which one is meant?" if match.several else "Who is meant?"
            answer = await ask(key, "choose", f"{problem} {quote(words)}. {wording}", [p.label for p in offered])
            if "choice" in answer:
                return (offered[answer["choice"] - 1],)
        else:
            missing = "" if book.people else " There are no contacts yet."
            answer = await ask(key, "missing", f"I know nobody called {quote(words)}.{missing} Who is meant?", [])
        asked.add(words.casefold())
        if answer["text"].casefold() in asked:  # its question is answered already, and led here
            raise Refused(f"I know nobody called {quote(answer['text'])}")
        words, heard = answer["text"], (*heard, answer["text"]) if heard else ()
