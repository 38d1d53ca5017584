"""Notes: lines to keep."""

from __future__ import annotations

from assistant.plugin import AddNote, Spoken, tool


@tool(examples=["note that the gate code is 4711", "write down buy oat milk"])
def add(text: Spoken) -> AddNote:
    """Write down a note.

    Args:
        text: what to write down
    """
    if not text.strip():
        raise ValueError("the note has no text; say what to write down")
    return AddNote(text=text.strip())
