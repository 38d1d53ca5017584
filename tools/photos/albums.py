"""Albums of the user's own making, kept beside the index; photo folders are never written to."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from assistant.plugin import Album, Photo, context

from ..pictures import MAX_BYTES, opened
from . import match
from .index import open_index
from .metadata import clean
from .scan import refresh, roots


def add(photos: Sequence[Photo], album: str) -> Album:
    """Put photos into an album, a new one if none is named so. Raises ValueError for an empty name or no photos."""
    name = clean(album)
    if not name:
        raise ValueError("the album has no name; say what it is called")
    if not photos:
        raise ValueError("there are no photos to add")
    here = context()
    db = open_index(here.data)
    try:
        known = [n for (n,) in db.execute("SELECT DISTINCT name FROM own_albums UNION SELECT name FROM albums")]
        name = next((n for n in known if match.fold(n) == match.fold(name)), name)
        library = [Path(f).resolve() for f in here.photos]
        paths = [str(_kept(photo, library, here.data)) for photo in photos]
        db.executemany("INSERT OR IGNORE INTO own_albums VALUES (?, ?)", [(name, p) for p in paths])
        refresh(db, roots(here.photos, here.data), here.now, here.zone, here.progress, 20.0, False)
        members = ("SELECT path FROM own_albums WHERE name = :name UNION SELECT p.path FROM albums a "
                   "JOIN photos p ON p.id = a.photo WHERE a.name = :name")  # fmt: skip
        (count,) = db.execute(f"SELECT count(*) FROM ({members})", {"name": name}).fetchone()
        return Album(name=name, photos=count)
    finally:
        db.close()


def _kept(photo: Photo, library: list[Path], data: Path | None) -> Path:
    """A photo of the library stays where it is; an edited one, which lies in no library, is copied to ours."""
    path = photo.path.absolute()
    if any(path.is_relative_to(folder) for folder in library) or data is None:
        return path
    with opened(path) as file:
        content = file.read(MAX_BYTES)
    folder = data / "albums"
    folder.mkdir(exist_ok=True)
    copy = folder / f"{hashlib.sha256(content).hexdigest()[:16]}{path.suffix.lower() or '.jpg'}"
    if not copy.exists():
        copy.write_bytes(content)
    return copy
