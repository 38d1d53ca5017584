"""Carries an errand out over HTTP and compares the world before and after."""

from __future__ import annotations

import datetime as dt
import io
import secrets
from typing import Any
from zoneinfo import ZoneInfo

from PIL import Image

from .errands import Errand, Mail
from .service import Service, World

BERLIN = ZoneInfo("Europe/Berlin")


def carry_out(service: Service, errand: Errand, recording: bytes | None = None) -> tuple[dict[str, Any], World]:
    """The finished command and what has come into the world by it (not by what was said before it)."""
    session = secrets.token_hex(4)
    if errand.after:
        first = service.say(errand.after, session=session)
        if not errand.say.startswith("no,"):  # a correction comes while the question is still open
            settle(service, first, ())
    before = service.world()
    command = service.speak(recording, session=session) if recording else service.say(errand.say, session=session)
    command = settle(service, command, errand.answers)
    return command, service.world().since(before)


def settle(service: Service, command: dict[str, Any], answers: tuple[str, ...]) -> dict[str, Any]:
    """Confirm what is asked to be confirmed, and give the answers."""
    left = list(answers)
    for _ in range(6):
        asked = command["question"]
        if asked is None:
            break
        if asked["kind"] == "confirm":
            command = service.answer(command["id"], confirm=True)
        elif left:
            command = service.answer(command["id"], text=left.pop(0))
        else:
            break
    return command


def faults(errand: Errand, command: dict[str, Any], came: World) -> list[str]:
    """What differs from what should be."""
    out = []
    wanted = "refused" if errand.refused else "done"
    if command["status"] != wanted:
        out.append(f"status {command['status']} ({command['reply'] or command['question']}), not {wanted}")
    out += _compare("messages", sorted(map(_shown, errand.mails)), sorted(map(_mail, came.mails.values())))
    out += _compare("notes", list(errand.notes), came.notes)
    reminders = [(t, dt.datetime.fromisoformat(w).astimezone(BERLIN).strftime("%H:%M")) for t, w in came.reminders]
    out += _compare("reminders", list(errand.reminders), reminders)
    out += _compare("made", sorted(errand.made), sorted(a["media_type"] for a in command["artifacts"]))
    if errand.reply and errand.reply not in command["reply"]:
        out.append(f"the reply {command['reply']!r} does not say {errand.reply!r}")
    return out


def _compare(what: str, wanted: list, found: list) -> list[str]:
    return [] if wanted == found else [f"{what}: {found}, not {wanted}"]


def _shown(mail: Mail) -> tuple:
    return mail.to, mail.text, mail.files


def _mail(mail: Any) -> tuple:
    body = mail.get_body(("plain",))
    text = body.get_content().strip() if body else ""
    files = tuple((a.get_content_type(), _frames(a.get_content())) for a in mail.iter_attachments())
    return mail["To"].addresses[0].display_name, text, files


def _frames(data: bytes) -> int | None:
    if not data.startswith(b"GIF8"):
        return None
    with Image.open(io.BytesIO(data)) as picture:
        return int(getattr(picture, "n_frames", 1))
