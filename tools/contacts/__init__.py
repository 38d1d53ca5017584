"""The address book."""

from __future__ import annotations

from assistant.plugin import FindContact, Spoken, tool


@tool(examples=["what is Alice's number", "look up Ben's email address"])
def find(name: Spoken) -> FindContact:
    """Look up somebody's phone number or email address.

    Args:
        name: who to look up
    """
    if not name.strip():
        raise ValueError("no name was given; say whom to look up")
    return FindContact(name=Spoken(name.strip()))
