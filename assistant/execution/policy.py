"""What may happen without asking, and the question that is asked otherwise.

Effects of kind `send` and `delete` need the user's word, unless the caller approved the errand beforehand. The question
shows what was resolved: who, which address, which channel, what text, which files and how large. The answer holds for
exactly that: it is bound to the hash of the plan and of all these values (`journal.binding`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from assistant.plugin.manifest import Manifest
from assistant.plugin.signature import ToolSpec

from .channels.routes import Route
from .journal import Planned
from .sandbox.results import files_in
from .words import file_name, join, quote, size


def acts_itself(spec: ToolSpec, manifest: Manifest) -> bool:
    """Whether running the tool may already do what needs the user's word.

    A tool that deletes, or that sends and can reach a host or write outside its own folder, does it itself, so the
    question comes before the call. One that can do neither and gives a Receipt (as `messages.send`) only returns a
    wish; the question comes after the call and shows the wish's values.
    """
    reaches_out = bool(manifest.hosts or set(manifest.write) - {"data"})
    return spec.effect == "delete" or (spec.effect == "send" and (reaches_out or spec.returns.name != "Receipt"))


def ask_to_send(wishes: Sequence[Planned]) -> str:
    """The question before a message leaves. All wishes carry the same text and files."""
    payload = wishes[0].payload
    parts = [quote(payload["text"])] if payload["text"] else []
    if files := payload["attachments"]:
        names = join([file_name(f["name"]) for f in files]) if len(files) <= 4 else f"{len(files)} files"
        parts.append(f"{names} ({size(sum(f['bytes'] for f in files))})")
    people = join([f"{w.name} ({_where(w)})" for w in wishes])
    return f"Send {join(parts)} to {people}?"


def ask_to_run(spec: ToolSpec, args: dict[str, Any]) -> str:
    """The question before a tool is run that itself sends or deletes."""
    shown = [f"{k}: {_show(v)}" for k, v in args.items() if v not in (None, [], "")]
    what = "send something" if spec.effect == "send" else "delete something"
    return f"Let {spec.name} {what}" + (f" ({'; '.join(shown)})?" if shown else "?")


def _where(wish: Planned) -> str:
    route = Route(**wish.payload["route"])
    if route.channel == "outbox":
        return f"{route.address}, outbox"
    return route.address if route.channel == "email" else f"{route.address} by {route.channel}"


def _show(value: Any) -> str:
    if isinstance(value, list):
        return join([_show(v) for v in value]) if len(value) <= 4 else f"{len(value)} things"
    if isinstance(value, dict):
        return file_name(str(value.get("name") or next(files_in(value), "") or value.get("text") or "something"))
    return quote(str(value)) if isinstance(value, str) else str(value)
