"""What is said at the end: only what the journal and the steps' states show (nothing here knows what was intended).

Steps whose result went into another step that succeeded are not mentioned. Failures say which step, why, and what was
not done because of it. Results of tools are quoted, never repeated as the assistant's own words.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

from .errand import EffectState, ErrandState, StepState
from .references import Reference
from .words import counted, file_name, join, quote, size

DOING = {
    "photos.select": "finding the photos", "photos.edit": "editing the photos",
    "photos.add_to_album": "adding to the album", "gif.create": "making the GIF", "video.create": "making the video",
    "collage.create": "making the collage", "messages.send": "sending the message",
    "contacts.find": "looking up the contact", "reminders.add": "setting the reminder",
    "notes.add": "taking the note",
}  # fmt: skip
REDUCED = "Note: this machine runs the tools in a reduced sandbox."
NOUNS = {"Gif": "GIF", "Video": "video", "Photo": "photo", "Image": "picture", "File": "file"}


def reply(errand: ErrandState, now: dt.datetime, reduced: bool = False) -> str:
    """The reply of an errand as its steps and effects stand. now: in the user's time zone."""
    used = _used(errand)
    parts = [_step(s, errand, now) for s in errand.steps if s.status == "done" and s.id not in used]
    halted = [s for s in errand.steps if s.status != "done"]
    told = [s for s in halted if s.status == "failed" or _effects(s, errand)]
    parts += [_failure(s, errand) for s in told]
    undone = [doing(s.tool) for s in halted if s not in told]
    if errand.status == "cancelled":
        parts.insert(0, "Cancelled.")
    if undone:
        parts.append(f"Not done: {join(list(dict.fromkeys(undone)))}.")
    if not errand.steps:
        parts.append("There was nothing to do.")
    if reduced:
        parts.append(REDUCED)
    return " ".join(p for p in parts if p)


def doing(tool: str) -> str:
    """A tool as an activity: "making the GIF"; of a third party's tool its name."""
    return DOING.get(tool, tool.replace("_", " ").replace(".", ": "))


def summary(value: Any, artifacts: Sequence[dict[str, Any]] = ()) -> str:
    """A step's result in a few words."""
    if isinstance(value, list):
        kinds = {v.get("$type") if isinstance(v, dict) else None for v in value}
        noun = NOUNS.get(str(next(iter(kinds))), "result") if len(kinds) == 1 else "result"
        return counted(len(value), noun) + _bytes(artifacts)
    if not isinstance(value, dict):
        return "" if value is None else quote(str(value), 120)
    kind = str(value.get("$type", ""))
    if kind in NOUNS:
        return f"{NOUNS[kind]} {file_name(value['name']) if value.get('name') else ''}".strip() + _bytes(artifacts)
    if kind == "Album":
        return f"album {quote(value['name'])}, {counted(value['photos'], 'photo')}"
    if kind == "Contact":
        return f"{value['name']}: {join([*value['emails'], *value['phones']]) or 'no address'}"
    if kind == "Receipt":
        return f"to {join(value['to'])} by {value['channel']}"
    if kind in ("Reminder", "Note"):
        return quote(value["text"], 120)
    return quote(
        "; ".join(f"{k}: {v}" for k, v in value.items() if k != "$type" and isinstance(v, (str, int, float))), 160
    )


def moment(when: dt.datetime, now: dt.datetime) -> str:
    """A time as people say it, in the time zone of `now`."""
    local = when.astimezone(now.tzinfo)
    days = (local.date() - now.date()).days
    clock = f"{local:%H:%M}"
    if days in (0, 1):
        return f"{('today', 'tomorrow')[days]} at {clock}"
    year = "" if local.year == now.year else f" {local.year}"
    return f"on {local:%A}, {local.day} {local:%B}{year} at {clock}"


def _step(step: StepState, errand: ErrandState, now: dt.datetime) -> str:
    """The sentence of a step that is done and whose result nothing else has used."""
    value = step.result
    if sent := _effects(step, errand):
        return _sent(step, sent, errand)
    kind = value.get("$type") if isinstance(value, dict) else None
    if kind == "Reminder":
        return f"I will remind you {moment(dt.datetime.fromisoformat(value['when']), now)}: {quote(value['text'])}."
    if kind == "Note":
        return f"Noted: {quote(value['text'])}."
    if kind == "Contact" and step.tool in DOING:
        return f"{step.summary}."
    if kind == "Album":
        return f"The album {quote(value['name'])} has {counted(value['photos'], 'photo')}."
    if step.tool == "photos.select" and isinstance(value, list):
        return f"I found {step.summary or 'nothing'}."
    if step.artifacts:
        return f"Made {_made(step)}."
    return _told(step)


def _told(step: StepState) -> str:
    """What a tool reports; of a third party's tool in quotation marks."""
    summary = step.summary or "done"
    own = step.tool in DOING or not step.summary or (summary.startswith("“") and summary.endswith("”"))
    return f"{doing(step.tool)}: {summary if own else quote(summary)}."


def _sent(step: StepState, effects: list[EffectState], errand: ErrandState) -> str:
    if effects[0].channel == "tool":
        return _told(step)
    sources = [s for s in errand.steps if s.id in _inputs(errand, step.id) and s.result is not None]
    what = join([f"the {_made(s, the=True)}" for s in sources])
    gone, kept = _where(effects)
    sentences = [f"Sent {what or 'the message'} to {join(gone)}."] if gone else []
    if kept:
        sentences.append(f"The message{' with ' if what else ''}{what} for {join(kept)} is in the outbox.")
    return " ".join(sentences)


def _where(effects: list[EffectState]) -> tuple[list[str], list[str]]:
    """To whom messages left the machine, and for whom they lie in the outbox."""
    sent = [e for e in effects if e.state == "sent"]
    return [e.name for e in sent if e.channel != "outbox"], [e.name for e in sent if e.channel == "outbox"]


def _made(step: StepState, the: bool = False) -> str:
    """A step's files: "a GIF (1.2 MB)", "5 photos"; without article for "the …"."""
    value = step.result
    if isinstance(value, list):
        found = summary(value)
        return found.removeprefix("1 ") if the else found + _bytes(step.artifacts)
    noun = "collage" if step.tool == "collage.create" else NOUNS.get(str((value or {}).get("$type")), "file")
    total = sum(a["bytes"] for a in step.artifacts)
    return ("" if the else "a ") + noun + (f" ({size(total)})" if total else "")


def _failure(step: StepState, errand: ErrandState) -> str:
    """The sentences of a step that failed; for messages, one per outcome."""
    effects = _effects(step, errand)
    tool = any(e.channel == "tool" for e in effects)
    thing = doing(step.tool) if tool else "the message"
    if not any(e.state in ("sending", "sent", "failed", "unknown") for e in effects):
        return f"{_capital(doing(step.tool))} failed: {step.error.rstrip('.') or 'no reason was given'}."
    gone, kept = _where(effects)
    out = [f"{_capital(thing)} went to {join(gone)}."] if gone else []
    if kept:
        out.append(f"The message for {join(kept)} is in the outbox.")
    for e in effects:
        to = "" if tool else f" to {e.name}"
        reason = e.detail.rstrip(".") or "its outcome could not be noted"
        if e.state in ("unknown", "sending"):
            verb = "was carried out" if tool else "was sent"
            out.append(f"I do not know whether {thing}{to} {verb}: {reason}. I will not repeat it by myself.")
        elif e.state == "failed":
            out.append(f"{_capital(thing)}{to} {'was not run' if tool else 'was not sent'}: {reason}.")
        elif e.state != "sent":
            out.append(f"{_capital(thing)}{to} was not sent.")
    return " ".join(out)


def _used(errand: ErrandState) -> set[int]:
    """The steps whose results went into steps that are done."""
    return {n for s in errand.steps if s.status == "done" for n in _inputs(errand, s.id)}


def _inputs(errand: ErrandState, step: int) -> set[int]:
    values = errand.plan.steps[step - 1].args.values()
    found = [Reference.parse(v) for a in values for v in (a if isinstance(a, list) else [a])]
    return {r.step for r in found if r and not r.previous and r.step < step}


def _effects(step: StepState, errand: ErrandState) -> list[EffectState]:
    return [e for e in errand.effects if e.step == step.id]


def _bytes(artifacts: Sequence[dict[str, Any]]) -> str:
    total = sum(a["bytes"] for a in artifacts)
    return f" ({size(total)})" if total else ""


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
