"""The artifact store: files that tools have made, under opaque ids.

Contents lie once under their SHA-256; an SQLite index holds name, type and size. The type is what the bytes are, from
a fixed list, never what a tool calls it, so that nothing is ever served as a page or a script.
"""

from __future__ import annotations

import codecs
import hashlib
import os
import re
import secrets
import sqlite3
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK = 1 << 20
HEAD_BYTES = 4096
UNKNOWN = "application/octet-stream"
SUFFIXES = {
    "image/gif": ".gif", "image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/heic": ".heic",
    "image/avif": ".avif", "image/bmp": ".bmp", "image/tiff": ".tiff", "video/mp4": ".mp4", "video/webm": ".webm",
    "video/quicktime": ".mov", "audio/wav": ".wav", "audio/flac": ".flac", "audio/mpeg": ".mp3", "audio/ogg": ".ogg",
    "audio/mp4": ".m4a", "application/pdf": ".pdf", "application/zip": ".zip", "text/calendar": ".ics",
    "text/vcard": ".vcf", "text/plain": ".txt", UNKNOWN: ".bin",
}  # fmt: skip
_MAGIC = (
    (b"GIF87a", "image/gif"), (b"GIF89a", "image/gif"), (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"), (b"BM", "image/bmp"), (b"II*\0", "image/tiff"), (b"MM\0*", "image/tiff"),
    (b"fLaC", "audio/flac"), (b"ID3", "audio/mpeg"), (b"\xff\xfb", "audio/mpeg"), (b"OggS", "audio/ogg"),
    (b"%PDF-", "application/pdf"), (b"PK\x03\x04", "application/zip"), (b"\x1a\x45\xdf\xa3", "video/webm"),
    (b"BEGIN:VCALENDAR", "text/calendar"), (b"BEGIN:VCARD", "text/vcard"),
)  # fmt: skip
_BRANDS = {
    b"heic": "image/heic", b"heix": "image/heic", b"mif1": "image/heic", b"avif": "image/avif", b"avis": "image/avif",
    b"qt  ": "video/quicktime", b"M4A ": "audio/mp4",
}  # fmt: skip


@dataclass(frozen=True)
class StoredArtifact:
    """A file in the store. `path` is read-only and stays as long as the artifact."""

    id: str
    name: str
    media_type: str
    bytes: int
    path: Path


class ArtifactStore:
    """The store in one folder; safe to use from several threads and processes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._index = sqlite3.connect(folder / "index.sqlite", check_same_thread=False, timeout=10)
        with self._lock, self._index as index:
            index.execute("PRAGMA journal_mode = WAL")
            index.execute("PRAGMA synchronous = FULL")  # a step that is done has its files, whatever happens
            index.execute("CREATE TABLE IF NOT EXISTS artifact (id TEXT PRIMARY KEY, name TEXT, media_type TEXT,"
                          " bytes INTEGER, digest TEXT, created REAL)")  # fmt: skip

    def add(self, source: int | Path, name: str) -> StoredArtifact:
        """Copy an open file (from its beginning) or the file at a path into the store. Raises OSError."""
        fd = os.open(source, os.O_RDONLY | os.O_CLOEXEC) if isinstance(source, Path) else os.dup(source)
        with os.fdopen(fd, "rb") as file:
            file.seek(0)
            head = file.read(HEAD_BYTES)
            file.seek(0)
            media_type = sniff(head)
            copy, digest, size = self._copy(file)
        row = (secrets.token_urlsafe(16), clean_name(name, media_type), media_type, size, digest, time.time())
        target = self._path(digest, media_type)
        try:
            target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            with self._lock, self._index as index:  # one transaction: nobody removes the same contents in between
                index.execute("INSERT INTO artifact VALUES (?, ?, ?, ?, ?, ?)", row)
                copy.replace(target)
        except BaseException:
            copy.unlink(missing_ok=True)
            raise
        return self._artifact(row)

    def get(self, artifact_id: str) -> StoredArtifact:
        """Raises KeyError when there is none of that id."""
        with self._lock:
            row = self._index.execute("SELECT * FROM artifact WHERE id = ?", (artifact_id,)).fetchone()
        if row is None:
            raise KeyError(artifact_id)
        return self._artifact(row)

    def remove(self, artifact_id: str) -> None:
        """Forget an artifact; its contents go when no other artifact has the same. Raises KeyError."""
        artifact = self.get(artifact_id)
        digest = artifact.path.stem
        with self._lock, self._index as index:
            index.execute("DELETE FROM artifact WHERE id = ?", (artifact_id,))
            if index.execute("SELECT 1 FROM artifact WHERE digest = ?", (digest,)).fetchone() is None:
                artifact.path.unlink(missing_ok=True)

    def prune(self, older_than_s: float) -> int:
        """Remove what is older; how many artifacts went."""
        with self._lock:
            rows = self._index.execute("SELECT id FROM artifact WHERE created < ?", (time.time() - older_than_s,))
            ids = [row[0] for row in rows.fetchall()]
        for artifact_id in ids:
            self.remove(artifact_id)
        return len(ids)

    def close(self) -> None:
        """Close the index."""
        with self._lock:
            self._index.close()

    def _copy(self, file: BinaryIO) -> tuple[Path, str, int]:
        """A read-only copy in the store's folder, the digest of its contents and their size."""
        digest, size = hashlib.sha256(), 0
        fd, temporary = tempfile.mkstemp(dir=self._folder, prefix=".new-")
        try:
            with os.fdopen(fd, "wb") as out:
                while chunk := file.read(CHUNK):
                    digest.update(chunk)
                    out.write(chunk)
                    size += len(chunk)
                os.fchmod(out.fileno(), 0o400)
                out.flush()
                os.fsync(out.fileno())
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        return Path(temporary), digest.hexdigest(), size

    def _path(self, digest: str, media_type: str) -> Path:
        return self._folder / "contents" / digest[:2] / (digest + SUFFIXES[media_type])

    def _artifact(self, row: tuple) -> StoredArtifact:
        artifact_id, name, media_type, size, digest, _ = row
        return StoredArtifact(artifact_id, name, media_type, size, self._path(digest, media_type))


def sniff(head: bytes) -> str:
    """The media type of a file that begins with `head` (HEAD_BYTES of it); UNKNOWN when it is none of the list."""
    for magic, media_type in _MAGIC:
        if head.startswith(magic):
            return media_type
    if head[:4] == b"RIFF" and head[8:12] in (b"WEBP", b"WAVE"):
        return "image/webp" if head[8:12] == b"WEBP" else "audio/wav"
    if head[4:8] == b"ftyp":
        return _BRANDS.get(head[8:12], "video/mp4")
    try:
        text = codecs.getincrementaldecoder("utf-8")().decode(head)  # the last character may be cut off
    except UnicodeDecodeError:
        return UNKNOWN
    return "text/plain" if head and not re.search(r"[\x00-\x08\x0e-\x1f]", text) else UNKNOWN


def clean_name(name: str, media_type: str) -> str:
    """A file name fit to be shown and saved: no folders, no control characters, the suffix of its true type."""
    base = re.sub(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", "", name)
    base = base.replace("\\", "/").rpartition("/")[2].strip(" .")
    stem = base.rpartition(".")[0] or base
    same = base.lower().endswith(SUFFIXES[media_type]) or (
        media_type == "image/jpeg" and base.lower().endswith(".jpeg")
    )
    return base[-120:] if same and stem else (stem[:100] or "file") + SUFFIXES[media_type]
