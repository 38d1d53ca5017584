"""Keeps the photo index up to date with the folders.

Choices: a file is read once, then again only when its size or time changes; the quick pass lists only folders whose
own time has changed, which is what adding, removing and renaming do; every batch is committed, so that a scan that is
stopped goes on where it was. Symbolic links are never followed.
"""

from __future__ import annotations

import datetime as dt
import os
import random
import re
import sqlite3
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from zoneinfo import ZoneInfo

from assistant.plugin import context, tool

from ..pictures import Unusable
from . import places
from .index import open_index, setting
from .metadata import Facts, read

SUFFIXES = {".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".gif", ".tif", ".tiff", ".bmp", ".heic",
            ".heif", ".hif", ".avif"}  # fmt: skip
NO_ALBUM = re.compile(r"dcim|camera( roll)?|pictures|photos|bilder|\d{3}[a-z_]{3,5}\d*|\d+apple|\d{1,2}|images?", re.I)
SKIPPED_FOLDERS = {"@eaDir", "lost+found", "$RECYCLE.BIN", "System Volume Information"}
BATCH = 200
MAX_DEPTH = 32
RECENT_NS = 2_000_000_000  # a folder that changed this shortly ago may change again within the same tick


@dataclass
class ScanReport:
    """What a scan did. `done` is false when it stopped at its time limit; the next one continues."""

    photos: int = 0
    read: int = 0
    removed: int = 0
    unusable: int = 0
    left: int = 0
    done: bool = True
    reasons: list[str] = field(default_factory=list)


@tool(effect="create")
def scan(seconds: float = 30.0, thorough: bool = True) -> ScanReport:
    """Bring the photo index up to date.

    Args:
        seconds: how long at most; what is left is for the next call
        thorough: look at every file, not only at folders that changed
    """
    here = context()
    db = open_index(here.data)
    try:
        report = refresh(db, roots(here.photos, here.data), here.now, here.zone, here.progress, seconds, thorough)
        report.reasons = reasons(db)
        return report
    finally:
        db.close()


def roots(folders: Iterable[Path], data: Path | None) -> list[Path]:
    """The folders to search, without those inside of others; the edited photos of own albums lie in `data`."""
    own = [data / "albums"] if data and (data / "albums").is_dir() else []
    real = sorted({Path(os.path.realpath(f)) for f in [*folders, *own]})
    return [f for f in real if not any(f != g and f.is_relative_to(g) for g in real)]


def reasons(db: sqlite3.Connection, limit: int = 200) -> list[str]:
    """ "path: reason" of the files that are no usable photos."""
    rows = db.execute("SELECT path, reason FROM photos WHERE reason IS NOT NULL ORDER BY path LIMIT ?", (limit,))
    return [f"{path}: {reason}" for path, reason in rows]


def refresh(db: sqlite3.Connection, folders: list[Path], now: dt.datetime, home: ZoneInfo,
            progress: Callable[[float, str], None], seconds: float, thorough: bool) -> ScanReport:  # fmt: skip
    """List, read and forget until index and folders agree or `seconds` are over."""
    work = _Scan(db, now, home, time.monotonic() + seconds)
    _change_home(db, home)
    for root in folders:
        if root.is_dir():
            work.walk(root, None, root, thorough, 0)
    work.forget(folders)
    total = len(work.todo)
    while work.todo and time.monotonic() < work.deadline:
        batch = [work.todo.pop() for _ in range(min(BATCH, len(work.todo)))]
        work.read(batch)
        progress(1 - len(work.todo) / total, f"{total - len(work.todo):,} of {total:,} new photos read")
    work.report.left = len(work.todo)
    work.report.done = not work.todo and not work.stopped
    if work.report.done:
        db.executemany("UPDATE folders SET changed = ? WHERE id = ?", [(c, i) for i, c in work.folders.items()])
    (work.report.photos,) = db.execute("SELECT count(*) FROM photos WHERE reason IS NULL").fetchone()
    (work.report.unusable,) = db.execute("SELECT count(*) FROM photos WHERE reason IS NOT NULL").fetchone()
    return work.report


@dataclass
class _Job:
    """One file to read. `key` is its path, readable even where its name is not valid text."""

    path: str
    key: str
    root: Path
    folder: int
    status: os.stat_result
    changed: int
    sidecar: str | None


@dataclass
class _Scan:
    db: sqlite3.Connection
    now: dt.datetime
    home: ZoneInfo
    deadline: float
    todo: list[_Job] = field(default_factory=list)
    folders: dict[int, int] = field(default_factory=dict)  # id → its time, to be believed when all is read
    seen: set[int] = field(default_factory=set)
    cities: dict[tuple[float, float], int | None] = field(default_factory=dict)
    stopped: bool = False
    report: ScanReport = field(default_factory=ScanReport)

    def walk(self, path: Path, parent: int | None, root: Path, thorough: bool, depth: int) -> None:
        """Compare one folder, and those below it, with the index."""
        if time.monotonic() > self.deadline:
            self.stopped = True
            return
        try:
            changed = path.stat().st_mtime_ns
        except OSError:
            return
        folder, known = self._folder(path, parent)
        self.seen.add(folder)
        if not thorough and known == changed:
            rows = self.db.execute("SELECT path FROM folders WHERE parent = ?", (folder,)).fetchall()
            for (child,) in rows:
                self.walk(Path(child), folder, root, thorough, depth + 1)
            return
        below = self._compare(path, folder, root)
        self.folders[folder] = changed if time.time_ns() - changed > RECENT_NS else 0
        for child in below if depth < MAX_DEPTH else []:
            self.walk(Path(child), folder, root, thorough, depth + 1)

    def _folder(self, path: Path, parent: int | None) -> tuple[int, int]:
        key = _key(str(path))
        row = self.db.execute("SELECT id, changed FROM folders WHERE path = ?", (key,)).fetchone()
        if row:
            return row
        cursor = self.db.execute("INSERT INTO folders (path, parent, changed) VALUES (?, ?, 0)", (key, parent))
        return cursor.lastrowid or 0, 0

    def _compare(self, path: Path, folder: int, root: Path) -> list[str]:
        """Note what to read and forget what is gone; the folders below."""
        rows = self.db.execute("SELECT path, bytes, changed FROM photos WHERE folder = ?", (folder,))
        known = {key: (size, changed) for key, size, changed in rows}
        below, entries = [], {}
        try:
            with os.scandir(path) as listing:
                for entry in listing:
                    if entry.is_dir(follow_symlinks=False):
                        if not entry.name.startswith(".") and entry.name not in SKIPPED_FOLDERS:
                            below.append(entry.path)
                    elif not entry.name.startswith("."):
                        entries[entry.name] = entry
        except OSError:
            return []
        for name, entry in entries.items():
            stem, dot, suffix = name.rpartition(".")
            if dot + suffix.lower() not in SUFFIXES:
                continue
            try:
                status = entry.stat(follow_symlinks=False)
                beside = next((entries[s] for s in (name + ".xmp", stem + ".xmp") if s in entries), None)
                changed = max(status.st_mtime_ns, beside.stat(follow_symlinks=False).st_mtime_ns if beside else 0)
            except OSError:
                continue
            key = _key(entry.path)
            if known.pop(key, None) != (status.st_size, changed):
                sidecar = beside.path if beside and beside.is_file(follow_symlinks=False) else None
                self.todo.append(_Job(entry.path, key, root, folder, status, changed, sidecar))
        self._remove(known)
        return below

    def _remove(self, paths: Iterable[str]) -> None:
        with _transaction(self.db):
            for path in paths:
                self.report.removed += _delete(self.db, path)

    def forget(self, folders: list[Path]) -> None:
        """Drop folders that are gone. A root that is absent, such as an unplugged disk, keeps its photos."""
        if self.stopped:
            return
        absent = [str(f) for f in folders if not f.is_dir()]
        for folder, path in self.db.execute("SELECT id, path FROM folders").fetchall():
            if folder not in self.seen and not any(path == a or path.startswith(a + os.sep) for a in absent):
                rows = self.db.execute("SELECT path FROM photos WHERE folder = ?", (folder,)).fetchall()
                self._remove(p for (p,) in rows)
                self.db.execute("DELETE FROM folders WHERE id = ?", (folder,))

    def read(self, batch: list[_Job]) -> None:
        """Read files and put them into the index, in one transaction."""
        latest = self.now.astimezone(self.home).replace(tzinfo=None) + dt.timedelta(days=1)  # clocks east of home
        with _transaction(self.db):
            for job in batch:
                _delete(self.db, job.key)
                try:
                    job.path.encode()
                    facts = read(Path(job.path), Path(job.sidecar) if job.sidecar else None, latest)
                except (Unusable, OSError) as error:
                    self._refuse(job, str(error))
                except UnicodeEncodeError:
                    self._refuse(job, "its name is not valid UTF-8")
                else:
                    self._insert(job, facts)
                self.report.read += 1

    def _refuse(self, job: _Job, reason: str) -> None:
        self.db.execute("INSERT INTO photos (path, folder, bytes, changed, reason) VALUES (?, ?, ?, ?, ?)",
                        (job.key, job.folder, job.status.st_size, job.changed, reason))  # fmt: skip

    def _insert(self, job: _Job, facts: Facts) -> None:
        city: int | None = None
        if facts.latitude is not None and facts.longitude is not None:
            city = self._city(round(facts.latitude, 3), round(facts.longitude, 3))
        taken, clock = self._taken(job, facts)
        columns = {
            **{"path": job.path, "folder": job.folder, "bytes": job.status.st_size, "changed": job.changed},
            **{"kind": "screenshot" if facts.screenshot else "photo", "media_type": facts.media_type},
            **{"width": facts.width, "height": facts.height, "taken": round(taken.timestamp() * 1000)},
            **{"dated": int(clock != "file"), "wall": facts.wall and facts.wall.isoformat(), "clock": clock},
            **{"camera": facts.camera or None, "latitude": facts.latitude, "longitude": facts.longitude, "city": city},
            **{"favorite": int(facts.favorite), "fingerprint": facts.fingerprint, "shuffle": random.getrandbits(31)},
        }
        marks = ",".join("?" * len(columns))
        sql = f"INSERT INTO photos ({','.join(columns)}) VALUES ({marks})"
        photo = self.db.execute(sql, tuple(columns.values())).lastrowid
        albums = album_names(Path(job.path).parent, job.root)
        self.db.executemany("INSERT OR IGNORE INTO people VALUES (?, ?)", [(photo, p) for p in facts.people])
        self.db.executemany("INSERT OR IGNORE INTO albums VALUES (?, ?)", [(photo, a) for a in albums])
        city_names = self.db.execute("SELECT name, region, country FROM cities WHERE id = ?", (city,)).fetchone() or ()
        words = (*(" ".join(t) for t in (facts.keywords + facts.people, facts.captions, [*facts.places, *city_names])),
                 " ".join(albums), re.sub(r"[\W\d_]+|(?<=[a-z])(?=[A-Z])", " ", Path(job.path).stem))  # fmt: skip
        self.db.execute("INSERT INTO words (rowid, keywords, captions, places, album, name) VALUES (?,?,?,?,?,?)",
                        (photo, *words))  # fmt: skip

    def _city(self, latitude: float, longitude: float) -> int | None:
        """The nearest place, asked once for every hundred metres: photos come in clusters."""
        position = latitude, longitude
        if position not in self.cities:
            places.fill(self.db)
            self.cities[position] = places.nearest(self.db, latitude, longitude)
        return self.cities[position]

    def _taken(self, job: _Job, facts: Facts) -> tuple[dt.datetime, str]:
        """When, and whose clock says so: recorded offset, zone of the position, or home as a guess; else the file."""
        if facts.wall is None:
            return dt.datetime.fromtimestamp(job.status.st_mtime, dt.UTC), "file"
        if facts.offset is not None:
            return facts.wall.replace(tzinfo=dt.timezone(facts.offset)), "offset"
        if facts.latitude is not None and facts.longitude is not None:
            name = places.zone(facts.latitude, facts.longitude)
            if name:
                return facts.wall.replace(tzinfo=ZoneInfo(name)), "gps"
        return facts.wall.replace(tzinfo=self.home), "home"


def album_names(folder: Path, root: Path) -> list[str]:
    """The folders between a photo and the library are its albums, save the ones that cameras name."""
    return [part for part in folder.relative_to(root).parts if not NO_ALBUM.fullmatch(part)]


def _delete(db: sqlite3.Connection, path: str) -> int:
    row = db.execute("SELECT id FROM photos WHERE path = ?", (path,)).fetchone()
    if row:
        for table, column in (("photos", "id"), ("people", "photo"), ("albums", "photo"), ("words", "rowid")):
            db.execute(f"DELETE FROM {table} WHERE {column} = ?", row)
    return int(row is not None)


def _change_home(db: sqlite3.Connection, home: ZoneInfo) -> None:
    """Guessed times move when the user's zone does."""
    if setting(db, "home") == home.key:
        return
    rows = db.execute("SELECT id, wall FROM photos WHERE clock = 'home'").fetchall()
    times = [(round(dt.datetime.fromisoformat(w).replace(tzinfo=home).timestamp() * 1000), i) for i, w in rows]
    with _transaction(db):
        db.executemany("UPDATE photos SET taken = ? WHERE id = ?", times)
        db.execute("INSERT OR REPLACE INTO settings VALUES ('home', ?)", (home.key,))


class _transaction:
    """BEGIN IMMEDIATE … COMMIT: waits for its turn before it reads what it will change."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self.db = db

    def __enter__(self) -> None:
        self.db.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: object, *_: object) -> None:
        self.db.execute("ROLLBACK" if kind else "COMMIT")


def _key(path: str) -> str:
    return os.fsencode(path).decode("utf-8", "backslashreplace")
