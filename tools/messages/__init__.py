"""Messages to the people in the address book."""

from __future__ import annotations

from typing import Literal

from assistant.plugin import File, Send, Spoken, tool


@tool(examples=["send it to Alice", "text Ben that I am running late", "mail the collage to Mum and Dad"])
def send(
    to: list[Spoken],
    text: Spoken | None = None,
    attachments: list[File] = [],  # noqa: B006
    via: Literal["email", "telegram", "signal", "matrix", "whatsapp", "slack", "sms"] | None = None,
) -> Send:
    """Send a message, files or both to people.

    Args:
        to: who gets it
        text: what to tell them
        attachments: the files to send
        via: the channel, when one is said
    """
    words = " ".join((text or "").split())  # with neither words nor attachments, the user is asked for the words
    if not to:
        raise ValueError("the message has no recipient; say whom to send it to")
    return Send(to=list(to), text=words or None, attachments=list(attachments), via=via)
