"""Tools for errands in tests: they make files, wait and fail. A call leaves a line in the plugin's folder."""

import os
import time
from pathlib import Path
from typing import Literal

from assistant.plugin import AddNote, File, Image, Photo, Send, Spoken, context, tool


def _note(name: str) -> None:
    folder = context().data
    assert folder is not None
    fd = os.open(folder / "calls", os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    os.write(fd, name.encode() + b"\n")
    os.close(fd)


@tool
def nothing() -> str:
    """Do nothing."""
    return "nothing"


@tool(effect="create")
def picture(name: Spoken) -> Image:
    """Draw a picture."""
    _note(f"picture {name}")
    Path(f"{name}.png").write_bytes(b"\x89PNG\r\n\x1a\n" + name.encode() * 100)
    return Image(path=Path(f"{name}.png"), name=f"{name}.png", media_type="image/png")


@tool(effect="create")
def pictures(count: int) -> list[Image]:
    """Draw several pictures."""
    return [picture(Spoken(f"drawing{i}")) for i in range(count)]


@tool(effect="create")
def bind(files: list[File], about: Spoken | None = None, kind: Literal["thick", "thin"] = "thin") -> File:
    """Bind files together."""
    _note(f"bind {len(files)}")
    data = b"".join(f.path.read_bytes() for f in files)
    Path("book.txt").write_text(f"{about} {kind} {len(files)} {len(data)}")
    return File(path=Path("book.txt"), name="book.txt", media_type="text/plain")


@tool(effect="create")
def slow(seconds: float, files: list[File] = []) -> File:  # noqa: B006
    """Wait."""
    _note("slow begins")
    for i in range(int(seconds * 50)):
        time.sleep(0.02)
        context().progress(i / (seconds * 50), "waiting")
    _note("slow ends")
    Path("slow.txt").write_text("slow")
    return File(path=Path("slow.txt"), name="slow.txt", media_type="text/plain")


@tool
def fails(why: Spoken) -> Photo:
    """Fail."""
    raise ValueError(f"it does not work: {why}")


@tool
def send(to: list[Spoken], text: Spoken | None = None, attachments: list[File] = []) -> Send:  # noqa: B006
    """Send a message, whatever it is."""
    return Send(to=list(to), text=text, attachments=attachments)


@tool
def jot(text: Spoken) -> AddNote:
    """Take a note, and count how often."""
    _note(f"jot {text}")
    return AddNote(text=f"{text} {time.time()}")
