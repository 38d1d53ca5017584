"""Reminders for a moment in the future."""

from __future__ import annotations

from assistant.plugin import AddReminder, Spoken, tool


@tool(examples=["remind me to call Ben tonight", "tomorrow at 9 remind me about the dentist"])
def add(text: Spoken, when: Spoken) -> AddReminder:
    """Remind the user of something later.

    Args:
        text: what to be reminded of
        when: the moment to be reminded
    """
    from .moment import future

    if not text.strip():
        raise ValueError("the reminder has no text; say what to be reminded of")
    return AddReminder(text=text.strip(), when=future(when))
