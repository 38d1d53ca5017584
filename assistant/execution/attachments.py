"""Files that are to be sent: opened safely, and copied as the very bytes that the user confirms."""

from __future__ import annotations

import hashlib
import mimetypes
import os
import secrets
import stat
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from .artifacts import HEAD_BYTES, sniff
from .channels import Attached
from .location import LocationRemains, without_location
from .private import write_private

MAX_BYTES = 25 << 20  # what mail servers commonly take


class AttachmentError(ValueError):
    """A file cannot be sent; the message says which and why."""


class Attachments:
    """Copies in `folder`, named by their SHA-256. Sources must lie within `roots` (artifact store, photo folders)."""

    def __init__(self, folder: Path, roots: Sequence[Path], keep_location: bool = False):
        self._folder, self._roots, self._keep_location = folder, tuple(roots), keep_location

    def copy(self, files: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
        """Copies of File values, as JSON for the journal. Raises AttachmentError."""
        out: list[dict[str, Any]] = []
        for file in files:
            out.append(self._copy(file))
            if sum(f["bytes"] for f in out) > MAX_BYTES:
                raise AttachmentError(f"the files have more than {MAX_BYTES >> 20} MB together; send fewer of them")
        return _distinct(out)

    def _copy(self, file: dict[str, Any]) -> dict[str, Any]:
        path = Path(str(file.get("path", "")))
        name = _plain(str(file.get("name") or path.name))
        data = self._read(path, name)
        media_type = str(file.get("media_type") or mimetypes.guess_type(name)[0] or "application/octet-stream")
        seen = sniff(data[:HEAD_BYTES])
        if seen.startswith("image/") and seen != "image/bmp":  # which knows no positions, and begins like a text may
            media_type = seen  # whatever a tool says: the position is taken out
        if media_type.startswith("image/") and not self._keep_location:
            try:
                data = without_location(data)
            except LocationRemains as error:
                raise AttachmentError(f"{name}: {error}") from error
        digest = hashlib.sha256(data).hexdigest()
        self._keep(digest, data)
        return {"name": name, "media_type": media_type, "bytes": len(data), "sha256": digest}

    def _read(self, path: Path, name: str) -> bytes:
        """The file's bytes: a regular file within the roots, reached through no link that leads outside."""
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(os.path.realpath(root)) for root in self._roots):
            raise AttachmentError(f"{name} is neither a photo of the library nor made by a step, so it is not sent")
        try:
            descriptor = os.open(real, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        except OSError as error:
            raise AttachmentError(f"{name} cannot be opened: {error.strerror}") from error
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > MAX_BYTES:
            os.close(descriptor)
            regular = stat.S_ISREG(found.st_mode)
            problem = f"is larger than {MAX_BYTES >> 20} MB" if regular else "is no ordinary file"
            raise AttachmentError(f"{name} {problem}")
        with os.fdopen(descriptor, "rb") as opened:
            return opened.read(MAX_BYTES + 1)

    def _keep(self, digest: str, data: bytes) -> None:
        target = self._folder / digest
        if target.exists():
            os.utime(target)  # young again: `purge` leaves it alone until the journal names it
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{digest}.{secrets.token_hex(4)}"
        write_private(draft, data, 0o400)
        draft.replace(target)

    def attached(self, entry: dict[str, Any]) -> Attached:
        """The copy of a journal entry."""
        copy = self._folder / entry["sha256"]
        return Attached(entry["name"], entry["media_type"], entry["bytes"], entry["sha256"], copy)

    def purge(self, keep: set[str], older_than_s: float = 3600.0) -> int:
        """Delete the copies that no effect names and that are not just being made for one; how many."""
        young = time.time() - older_than_s
        gone = [f for f in self._folder.glob("*") if f.name not in keep and f.stat().st_mtime < young]
        for file in gone:
            file.unlink(missing_ok=True)
        return len(gone)


def _plain(name: str) -> str:
    """A file name without folders, line ends, control or direction-changing characters."""
    shown = "".join(c for c in name.replace("/", "_").replace("\\", "_") if c.isprintable()).strip(". ")
    stem, dot, ending = shown.rpartition(".")
    return (f"{stem[:80]}.{ending[:10]}" if dot else shown[:80]) or "file"


def _distinct(files: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Two files of one name get numbers."""
    seen: dict[str, int] = {}
    for file in files:
        count = seen[file["name"]] = seen.get(file["name"], 0) + 1
        if count > 1:
            stem, dot, ending = file["name"].rpartition(".")
            file["name"] = f"{stem} {count}.{ending}" if dot else f"{file['name']} {count}"
    return files
