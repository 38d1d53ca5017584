"""The photo index: one SQLite file in the tool's data folder, kept up to date by `scan`, asked by `query`.

Choices: one row for each file, unusable ones with their reason, so that nothing is read twice; times in UTC
milliseconds; `dated` tells a time of taking from a file's own time, which is only the time of copying; words in an
FTS5 table with stems.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path

FILE = "photos.db"
VERSION = 2
SCHEMA = """
CREATE TABLE photos (
    id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, folder INTEGER NOT NULL, bytes INTEGER, changed INTEGER,
    reason TEXT, kind TEXT, media_type TEXT, width INTEGER, height INTEGER,
    taken INTEGER, dated INTEGER, wall TEXT, clock TEXT, camera TEXT, latitude REAL, longitude REAL, city INTEGER,
    favorite INTEGER, fingerprint BLOB, shuffle INTEGER, decoded INTEGER NOT NULL DEFAULT 0
);
CREATE INDEX by_time ON photos (kind, dated, taken, path) WHERE reason IS NULL;
CREATE INDEX by_chance ON photos (kind, shuffle) WHERE reason IS NULL;
CREATE INDEX by_favorite ON photos (kind, favorite, dated, taken) WHERE reason IS NULL AND favorite = 1;
CREATE INDEX by_city ON photos (city, kind, dated, taken) WHERE reason IS NULL AND city IS NOT NULL;
CREATE INDEX by_folder ON photos (folder);
CREATE INDEX unusable ON photos (reason) WHERE reason IS NOT NULL;
CREATE TABLE folders (id INTEGER PRIMARY KEY, path TEXT UNIQUE NOT NULL, parent INTEGER, changed INTEGER NOT NULL);
CREATE INDEX by_parent ON folders (parent);
CREATE TABLE people (photo INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (name, photo)) WITHOUT ROWID;
CREATE TABLE albums (photo INTEGER NOT NULL, name TEXT NOT NULL, PRIMARY KEY (name, photo)) WITHOUT ROWID;
CREATE INDEX people_of ON people (photo);
CREATE INDEX albums_of ON albums (photo);
CREATE TABLE own_albums (name TEXT NOT NULL, path TEXT NOT NULL, PRIMARY KEY (name, path)) WITHOUT ROWID;
CREATE TABLE cities (
    id INTEGER PRIMARY KEY, cell INTEGER, latitude REAL, longitude REAL, name TEXT, region TEXT, district TEXT,
    country TEXT
);
CREATE INDEX by_cell ON cities (cell);
CREATE TABLE settings (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE VIRTUAL TABLE words USING fts5(
    keywords, captions, places, album, name, tokenize = 'porter unicode61 remove_diacritics 2'
);
CREATE VIRTUAL TABLE vocabulary USING fts5vocab(words, 'row');
"""


def open_index(data: Path | None) -> sqlite3.Connection:
    """The index in the folder `data`, made anew when it is absent, damaged or of another version.

    Albums that the user made survive a new version. Raises RuntimeError without a data folder.
    """
    if data is None:
        raise RuntimeError("the photo index needs the tool's data folder, and none was given")
    file = data / FILE
    try:
        db = _connect(file)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        if version == VERSION:
            return db
        albums = db.execute("SELECT name, path FROM own_albums").fetchall() if version else []
        db.close()
    except sqlite3.DatabaseError as error:
        if isinstance(error, sqlite3.OperationalError) and "locked" in str(error):
            raise
        albums = []
    for old in data.glob(FILE + "*"):
        old.unlink()
    db = _connect(file)
    db.executescript(f"BEGIN IMMEDIATE; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
    db.executemany("INSERT INTO own_albums VALUES (?, ?)", albums)
    return db


def _connect(file: Path) -> sqlite3.Connection:
    """Autocommit, so that transactions are written out where they begin; waits for another writer for 20 s."""
    db = sqlite3.connect(file, timeout=20, isolation_level=None)
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = NORMAL")  # a lost last batch is scanned again
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def setting(db: sqlite3.Connection, key: str) -> str:
    row = db.execute("SELECT value FROM settings WHERE key = ?", (key,)).fetchone()
    return row[0] if row else ""
