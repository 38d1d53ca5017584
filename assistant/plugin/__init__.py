"""What a tool's author imports.

from typing import Literal
from assistant.plugin import Gif, Photo, Spoken, tool

@tool(examples=["order a large latte"])
def order(drink: Literal["latte", "espresso"], sugars: int = 0) -> str:
    'Order a coffee from the office machine.'
"""

from .context import Context, context, set_context
from .signature import SignatureError, ToolSpec
from .tool import tool
from .types import (
    AddNote,
    AddReminder,
    Album,
    Contact,
    Effect,
    File,
    FindContact,
    Gif,
    Image,
    Note,
    Photo,
    Receipt,
    Reminder,
    Send,
    Spoken,
    Video,
)

__all__ = [
    "AddNote", "AddReminder", "Album", "Contact", "Context", "Effect", "File", "FindContact", "Gif", "Image", "Note",
    "Photo", "Receipt", "Reminder", "Send", "SignatureError", "Spoken", "ToolSpec", "Video", "context", "set_context",
    "tool",
]  # fmt: skip
