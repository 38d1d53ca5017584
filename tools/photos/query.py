"""Chooses photos from the index.

Choices: every condition that was said must be met; one that matches nothing is an error that says what there is,
because other photos would be worse than none. Exact copies and bursts count once. Photos whose time of taking is known
come before those that only have a file time, which is the time of copying.
"""

from __future__ import annotations

import datetime as dt
import sqlite3
from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from assistant.plugin import Context, Photo, context

from ..pictures import Unusable, decode
from . import match
from .index import open_index
from .metadata import clean
from .period import period
from .scan import refresh, roots

MAX_PHOTOS = 1000
BURST_MS = 1000
SCAN_SECONDS = 40.0
CHECKED = 60  # photos of one answer that are decoded once, to leave out the broken ones
LARGE = 2000
MATCHING = "SELECT rowid FROM words WHERE words MATCH ?"
COLUMNS = "p.id, p.path, p.media_type, p.taken, p.dated, p.fingerprint, p.camera, p.favorite, p.decoded"


class NotFound(LookupError):
    """No photo is as wanted; the message says what there is instead."""

    def __str__(self) -> str:
        return str(self.args[0])


@dataclass(frozen=True)
class Wanted:
    """The arguments of photos.select."""

    count: int | None = None
    order: str = "newest"
    taken: str | None = None
    about: str | None = None
    place: str | None = None
    people: tuple[str, ...] = ()
    album: str | None = None
    favorites: bool = False
    kind: str = "photo"


@dataclass(frozen=True)
class Row:
    """A candidate."""

    id: int
    path: str
    media_type: str
    taken: int
    dated: int
    fingerprint: bytes
    camera: str | None
    favorite: int
    decoded: int


def choose(wanted: Wanted) -> list[Photo]:
    """The photos, in order. Raises NotFound, and ValueError for a count or a phrase that makes no sense."""
    here = context()
    if wanted.count is not None and wanted.count < 1:
        raise ValueError(f"{wanted.count} photos cannot be chosen; ask for at least one")
    db = open_index(here.data)
    try:
        report = refresh(db, roots(here.photos, here.data), here.now, here.zone, here.progress, SCAN_SECONDS, False)
        if not report.done:
            left = f"{report.left:,} photos" if report.left else "some of the photo folders"
            raise RuntimeError(
                f"{left} have not been looked at yet; say it again to go on, or run `assistant photos scan` once"
            )
        if not report.photos:
            raise NotFound(_no_photos(here, report.unusable))
        rows = _sound(db, search(db, wanted, here), wanted.count)
        return [_photo(row, here) for row in rows]
    finally:
        db.close()


def search(db: sqlite3.Connection, wanted: Wanted, here: Context) -> Iterator[Row]:
    """The candidates in order, copies and bursts collapsed. Raises NotFound when there is none."""
    where = _conditions(db, wanted, here)
    if wanted.order == "random":
        rows = _apart(_uncopied(_random(db, where, wanted)))
    else:
        rows = _collapsed(_uncopied(_ordered(db, where, wanted)))
    first = next(rows, None)
    if first is None:
        raise NotFound(f"no {wanted.kind} is {where.said}" if where.said else f"there is no {wanted.kind}")
    return _chain(first, rows)


@dataclass
class Where:
    """SQL conditions, their values, and the same in words."""

    sql: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    few: bool = False

    @property
    def table(self) -> str:
        """A few ids are looked up, which NOT INDEXED leaves possible; otherwise the index by time is walked."""
        return "photos p NOT INDEXED" if self.few else "photos p"

    def add(self, sql: str, values: list[Any], words: str) -> None:
        self.sql.append(sql)
        self.values += values
        self.words.append(words)

    def among(self, db: sqlite3.Connection, ids: str, values: list[Any], words: str) -> None:
        """The photos whose ids a query gives."""
        (many,) = db.execute(f"SELECT count(*) FROM (SELECT * FROM ({ids}) LIMIT {LARGE})", values).fetchone()
        self.few |= many < LARGE
        self.add(f"{'+' if many >= LARGE else ''}p.id IN ({ids})", values, words)

    @property
    def said(self) -> str:
        return " and ".join(self.words)


def _conditions(db: sqlite3.Connection, wanted: Wanted, here: Context) -> Where:
    where = Where(["p.reason IS NULL", "p.kind = ?"], [wanted.kind])
    if wanted.favorites:
        where.add("p.favorite = 1", [], "a favourite")
    if wanted.taken:
        start, end = period(wanted.taken, here.now, here.zone)
        span = [round(t.timestamp() * 1000) for t in (start, end)]
        words = f"from {wanted.taken!r} ({_span(start, end)})"
        where.add("p.dated = 1 AND p.taken >= ? AND p.taken < ?", span, words)
    if wanted.album:
        _album(db, wanted.album, where)
    for person in wanted.people:
        _named(db, "people", person, where, f"tagged with {person!r}", "the people who are tagged are")
    if wanted.place:
        _place(db, wanted.place, where)
    if wanted.about:
        _about(db, wanted.about, where)
    return where


def _album(db: sqlite3.Connection, said: str, where: Where) -> None:
    names = _distinct(db, "albums", "name") + _distinct(db, "own_albums", "name")
    found = match.find(said, names)
    if not found:
        raise NotFound(f"there is no album {said!r}; {_there_are(said, names, 'the nearest are')}")
    ids = (f"SELECT photo FROM albums WHERE name IN ({_marks(found)}) UNION ALL SELECT id FROM own_albums a "
           f"JOIN photos ON photos.path = a.path WHERE a.name IN ({_marks(found)})")  # fmt: skip
    where.among(db, ids, found + found, f"in the album {said!r}")


def _named(db: sqlite3.Connection, table: str, said: str, where: Where, words: str, others: str) -> None:
    names = _distinct(db, table, "name")
    found = match.find(said, names)
    if found:
        where.among(db, f"SELECT photo FROM {table} WHERE name IN ({_marks(found)})", found, words)
    elif query := _phrase(db, said, "keywords captions"):  # named in a keyword or a title instead
        where.among(db, MATCHING, [query], words)
    else:
        raise NotFound(f"no photo is {words}; {_there_are(said, names, others)}")


def _place(db: sqlite3.Connection, said: str, where: Where) -> None:
    """A city, region or country of the position; else the words that the photos carry."""
    ids = _distinct(db, "photos", "city", "reason IS NULL AND")
    used = db.execute(
        f"SELECT id, name, region, district, country FROM cities WHERE id IN ({_marks(ids)})", ids
    ).fetchall()
    names = {name for row in used for name in row[1:] if name}
    found = set(match.find(said, names))
    query = _phrase(db, said, "keywords captions places album", respell=not found)
    if not found and not query:
        raise NotFound(f"no photo is from {said!r}; {_there_are(said, [r[1] for r in used], 'places near it are')}")
    cities = [row[0] for row in used if found & set(row[1:])]
    parts, values = [], []
    if cities:
        parts.append(f"SELECT id FROM photos WHERE reason IS NULL AND city IN ({_marks(cities)})")
        values += cities
    if query:
        parts.append(MATCHING)
        values.append(query)
    where.among(db, " UNION ALL ".join(parts), values, f"from {said!r}")


def _about(db: sqlite3.Connection, said: str, where: Where) -> None:
    query = _phrase(db, said, "keywords captions places album name")
    if not query:
        raise NotFound(f"no photo is known to show {said!r}: photos are found by their keywords, titles, albums, "
                       "places and file names, and none of them says so")  # fmt: skip
    where.among(db, MATCHING, [query], f"about {said!r}")


def _distinct(db: sqlite3.Connection, table: str, column: str, where: str = "") -> list[Any]:
    """The values of an indexed column, each found by a jump in the index instead of a walk over every row."""
    least = f"SELECT min({column}) FROM {table} WHERE {where}"
    rows = db.execute(
        f"WITH RECURSIVE t(v) AS ({least} {column} IS NOT NULL UNION ALL "
        f"SELECT ({least} {column} > v) FROM t WHERE v IS NOT NULL) SELECT v FROM t WHERE v IS NOT NULL"
    )
    return [v for (v,) in rows]


def _phrase(db: sqlite3.Connection, said: str, columns: str, respell: bool = True) -> str | None:
    """An FTS query for all the words of a phrase, misspelled ones replaced by the nearest; None if nothing matches."""
    words = match.content(said)
    for again in (False, True) if respell else (False,):
        attempt = [_respelled(db, word) for word in words] if again else words
        query = f"{{{columns}}} : ({' AND '.join(_quoted(w) for w in attempt)})" if attempt else None
        if query and db.execute("SELECT 1 FROM words WHERE words MATCH ? LIMIT 1", (query,)).fetchone():
            return query
    return None


def _quoted(word: str) -> str:
    return '"' + word.replace('"', "") + '"'


def _respelled(db: sqlite3.Connection, word: str) -> str:
    from rapidfuzz import fuzz, process

    terms = [t for (t,) in db.execute("SELECT term FROM vocabulary WHERE length(term) BETWEEN ? AND ?",
                                      (len(word) - 2, len(word) + 2))] if len(word) > 3 else []  # fmt: skip
    best = process.extractOne(word, terms, scorer=fuzz.ratio, score_cutoff=match.CLOSE)
    return best[0] if best else word


def _ordered(db: sqlite3.Connection, where: Where, wanted: Wanted) -> Iterator[Row]:
    """Walks the index by time; photos without a known time come last either way."""
    down = "DESC" if wanted.order == "newest" else "ASC"
    for dated in (1, 0):
        sql = (f"SELECT {COLUMNS} FROM {where.table} WHERE {' AND '.join(where.sql)} AND p.dated = {dated} "
               f"ORDER BY p.taken {down}, p.path")  # fmt: skip
        yield from (Row(*row) for row in db.execute(sql, where.values))


def _random(db: sqlite3.Connection, where: Where, wanted: Wanted) -> Iterator[Row]:
    """From a random place of a fixed shuffle, once around."""
    import random

    start = random.getrandbits(31)
    for comparison in (">=", "<"):
        sql = (f"SELECT {COLUMNS} FROM {where.table} WHERE {' AND '.join(where.sql)} AND p.shuffle {comparison} ? "
               "ORDER BY p.shuffle, p.path")  # fmt: skip
        yield from (Row(*row) for row in db.execute(sql, [*where.values, start]))


def _uncopied(rows: Iterator[Row]) -> Iterator[Row]:
    """Exact copies once."""
    seen: set[bytes] = set()
    for row in rows:
        if row.fingerprint not in seen:
            seen.add(row.fingerprint)
            yield row


def _apart(rows: Iterator[Row]) -> Iterator[Row]:
    """No two of a burst (one camera, less than BURST_MS apart), whatever the order."""
    times: dict[str, list[int]] = {}  # of each camera, sorted
    for row in rows:
        if row.dated and row.camera:
            known = times.setdefault(row.camera, [])
            at = bisect_left(known, row.taken)
            if any(abs(row.taken - other) < BURST_MS for other in known[max(0, at - 1) : at + 1]):
                continue
            known.insert(at, row.taken)
        yield row


def _collapsed(rows: Iterator[Row]) -> Iterator[Row]:
    """Of a burst (one camera, less than BURST_MS apart) the favourite, else the first in order."""
    held: Row | None = None
    last = 0
    for row in rows:
        if held and row.dated and row.camera and row.camera == held.camera and abs(row.taken - last) < BURST_MS:
            if row.favorite and not held.favorite:
                held = row
        else:
            if held:
                yield held
            held = row
        last = row.taken
    if held:
        yield held


def _chain(first: Row, rest: Iterator[Row]) -> Iterator[Row]:
    yield first
    yield from rest


def _sound(db: sqlite3.Connection, rows: Iterator[Row], count: int | None) -> list[Row]:
    """The first `count` that can really be decoded; what cannot is remembered with its reason."""
    wanted = min(count or MAX_PHOTOS, MAX_PHOTOS)
    checks, good, broken, chosen = CHECKED, [], [], []
    for row in rows:
        if not row.decoded and checks:
            checks -= 1
            try:
                decode(Path(row.path), (64, 64))
            except Unusable as error:
                broken.append((str(error), row.id))
                continue
            good.append((row.id,))
        chosen.append(row)
        if len(chosen) == wanted:
            break
    db.executemany("UPDATE photos SET decoded = 1 WHERE id = ?", good)
    db.executemany("UPDATE photos SET reason = ? WHERE id = ?", broken)
    if not chosen:
        raise NotFound(f"the photos that fit cannot be opened ({broken[0][0]})")
    return chosen


def _photo(row: Row, here: Context) -> Photo:
    taken = dt.datetime.fromtimestamp(row.taken / 1000, here.zone) if row.dated else None
    path = Path(row.path)
    return Photo(path=path, name=clean(path.name), media_type=row.media_type, taken=taken)


def _no_photos(here: Context, unusable: int) -> str:
    if not here.photos:
        return "no photo folder is set; set ASSISTANT_PHOTOS, or `photos` in config.toml"
    folders = ", ".join(f"{f}{'' if f.is_dir() else ' (does not exist)'}" for f in here.photos)
    unread = f", only {unusable} files that cannot be opened (`assistant photos scan` lists them)" if unusable else ""
    return f"there are no photos in {folders}{unread}"


def _there_are(said: str, names: list[str], lead: str) -> str:
    return f"{lead} {', '.join(match.nearest(said, names))}" if names else "there is none at all"


def _span(start: dt.datetime, end: dt.datetime) -> str:
    last = end - dt.timedelta(seconds=1)
    if start.date() == last.date():
        return f"{start:%-d %B %Y}" + (f", {start:%H:%M}–{end:%H:%M}" if end - start < dt.timedelta(hours=23) else "")
    return f"{start:%-d %B %Y} – {last:%-d %B %Y}"


def _marks(values: list[Any]) -> str:
    return ",".join("?" * len(values))
