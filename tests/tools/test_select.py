"""Choosing photos: from the drawn library, and from small ones made to measure."""

from __future__ import annotations

import datetime as dt
import itertools
import os
import shutil
import sqlite3
from pathlib import Path

import pytest

from assistant.plugin import Spoken
from assistant.plugin.values import decode_dataclass, encode
from tools import photos
from tools.photos import query
from tools.photos import scan as scanning
from tools.photos.metadata import read
from tools.photos.query import NotFound

from .conftest import as_photos, photo

SHARED = Path(__file__).parents[2].parent / "shared" / "data" / "photos"


def names(found: list) -> list[str]:
    return [f"{p.path.parent.name}/{p.name}" for p in found]


def titles(found: list) -> set[str]:
    from PIL import Image

    return {Image.open(p.path).getexif().get(0x010E, "") for p in found}


def test_newest_are_by_time_of_taking_not_of_copying(demo: Path, surround, tmp_path: Path) -> None:
    copy = tmp_path / "copied"
    shutil.copytree(demo, copy)
    for n, file in enumerate(sorted(copy.rglob("*.jpg"), reverse=True)):
        os.utime(file, (1_700_000_000 + n, 1_700_000_000 + n))
    surround(copy)
    found = photos.select(count=5)
    assert [p.taken for p in found] == sorted((p.taken for p in found), reverse=True)
    assert titles(found[:2]) == {"Coffee", "Sunrise over the roofs"}
    assert all(p.taken.date() >= dt.date(2026, 11, 23) for p in found)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ({"taken": "this morning"}, {"Coffee", "Sunrise over the roofs"}),
        ({"taken": "yesterday"}, {"Ramen with Priya", "City lights"}),
        ({"place": "Rome"}, {"Rome at dusk", "Pizza in Trastevere", "Roofs of Rome"}),
        ({"place": "Norway", "favorites": True}, {"Northern lights", "Our snowman"}),
        ({"about": "my dog"}, {"Walking Bruno", "Bruno jumps 2"}),  # the burst counts once
        ({"about": "pizzas"}, {"Pizza Friday", "Pizza in Trastevere"}),
        ({"people": ["Prya"], "taken": "last weekend"}, {"Three of us"}),  # as speech recognition spells it
        ({"people": ["Alice", "Bob"]}, {"Alice and Bob", "Three of us", "Priya and the crowd"}),
        ({"album": "the autumn walk album"}, {"Golden path", "Under the trees", "Green corner"}),
        ({"about": "cat", "album": "Luna", "count": 1}, {"Luna on the rug"}),
    ],
)
def test_conditions(demo: Path, surround, wanted: dict, expected: set[str]) -> None:
    surround(demo)
    assert titles(photos.select(**wanted)) == expected


def test_last_weekend_is_the_weekend(demo: Path, surround) -> None:
    surround(demo)
    days = {p.taken.date() for p in photos.select(taken="last weekend")}
    assert days and days <= {dt.date(2026, 11, d) for d in (20, 21, 22)}


def test_screenshots_are_apart(demo: Path, surround) -> None:
    surround(demo)
    assert len(photos.select(kind="screenshot")) == 2
    assert not any("Screenshot" in p.name for p in photos.select())


def test_random_takes_different_ones_without_repetition(demo: Path, surround) -> None:
    surround(demo)
    draws = [tuple(names(photos.select(count=4, order="random"))) for _ in range(8)]
    assert len(set(draws)) > 1
    assert all(len(set(d)) == 4 for d in draws)


def test_random_takes_one_of_a_burst(demo: Path, surround) -> None:
    surround(demo)
    for _ in range(8):
        assert len(photos.select(about="my dog", order="random")) == 2


def test_photos_of_the_same_time_are_ordered_by_their_names(tmp_path: Path, surround) -> None:
    folder = tmp_path / "same"
    for n in (3, 1, 4, 2, 5):
        photo(folder / f"{n}.jpg", (n * 40, 0, 0), taken="2026:11:01 10:00:00")
    surround(folder)
    expected = [f"same/{n}.jpg" for n in range(1, 6)]
    assert names(photos.select()) == names(photos.select(order="oldest")) == expected


def test_exact_copies_count_once(demo: Path, surround) -> None:
    surround(demo)
    lake = [p for p in photos.select() if titles([p]) == {"Morning on the lake"}]
    assert len(lake) == 1
    assert len(photos.select(album="Favourites to Print")) == 1  # and the copy is found by its own album


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"about": "elephant"}, ["elephant", "keywords"]),
        ({"people": ["Zebediah"]}, ["Zebediah", "Alice Chen"]),
        ({"place": "Timbuktu"}, ["Timbuktu"]),
        ({"album": "Holiday on Mars"}, ["Holiday on Mars", "Luna"]),
        ({"taken": "when the twins were born"}, ["when the twins were born"]),
        ({"taken": "1999"}, ["1999"]),
        ({"count": 0}, ["at least one"]),
    ],
)
def test_what_is_not_there_is_an_error_that_says_so(demo: Path, surround, wanted: dict, words: list[str]) -> None:
    surround(demo)
    with pytest.raises((NotFound, ValueError)) as caught:
        photos.select(**wanted)
    assert all(word in str(caught.value) for word in words)


def test_no_photos_names_the_folders(surround, tmp_path: Path) -> None:
    empty, absent = tmp_path / "empty", tmp_path / "absent"
    empty.mkdir()
    surround(empty, absent)
    with pytest.raises(NotFound, match=r"empty.*absent \(does not exist\)"):
        photos.select()
    surround()
    with pytest.raises(NotFound, match="ASSISTANT_PHOTOS"):
        photos.select()


def test_zones_recorded_by_position_or_home(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    photo(library / "tokyo.jpg", taken="2024:05:01 08:00:00", offset="+09:00")
    photo(library / "home.jpg", taken="2024:05:01 08:00:00")
    surround(library)
    found = {p.name: p.taken.astimezone(dt.UTC) for p in photos.select()}
    assert found["tokyo.jpg"] == dt.datetime(2024, 4, 30, 23, tzinfo=dt.UTC)
    assert found["home.jpg"] == dt.datetime(2024, 5, 1, 6, tzinfo=dt.UTC)
    surround(library, timezone="America/New_York")  # a guess moves with the user's home, a record does not
    moved = {p.name: p.taken.astimezone(dt.UTC) for p in photos.select()}
    assert moved["home.jpg"] == dt.datetime(2024, 5, 1, 12, tzinfo=dt.UTC)
    assert moved["tokyo.jpg"] == found["tokyo.jpg"]


def test_position_gives_the_zone(demo: Path, surround) -> None:
    surround(demo)
    lagoon = photos.select(about="lagoon")[0]  # no offset recorded, taken at 6:12 in Venice
    assert lagoon.taken.strftime("%H:%M") == "06:12"


def test_sub_seconds_order_and_ties_are_stable(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    for name, subsec, color in (("a", "700", 10), ("b", "100", 60), ("c", "400", 110)):
        photo(library / f"{name}.jpg", (color, color, 90), taken="2024:05:01 08:00:00", subsec=subsec)
    surround(library)
    assert [p.name for p in photos.select()] == ["a.jpg", "c.jpg", "b.jpg"]
    assert names(photos.select()) == names(photos.select())


def test_the_index_follows_the_folders(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    first = photo(library / "Trip" / "first.jpg", taken="2024:05:01 08:00:00")
    here = surround(library)
    assert len(photos.select()) == 1
    photo(library / "Trip" / "second.jpg", (200, 30, 30), taken="2025:05:01 08:00:00")
    assert [p.name for p in photos.select()] == ["second.jpg", "first.jpg"]
    first.unlink()
    assert [p.name for p in photos.select()] == ["second.jpg"]
    (library / "Trip").rename(library / "Voyage")
    assert names(photos.select(album="Voyage")) == ["Voyage/second.jpg"]
    with pytest.raises(NotFound):
        photos.select(album="Trip")
    reads = scanning.scan(thorough=True)
    assert (reads.read, reads.photos, reads.done) == (0, 1, True)
    assert sqlite3.connect(here.data / "photos.db").execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_scan_that_is_stopped_goes_on(surround, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = tmp_path / "library"
    for n in range(9):
        photo(library / f"{n}.jpg", (n * 20, 40, 40), taken=f"2024:05:0{n + 1} 08:00:00")
    surround(library)
    monkeypatch.setattr(scanning, "BATCH", 4)
    ticks = iter([0.0, 0.0, 0.0, 99.0, 99.0])  # the deadline passes after the first batch
    monkeypatch.setattr(scanning.time, "monotonic", lambda: next(ticks, 99.0))
    part = scanning.scan(seconds=10)
    assert (part.read, part.left, part.done) == (4, 5, False)
    monkeypatch.undo()
    rest = scanning.scan(seconds=10)
    assert (rest.read, rest.photos, rest.done) == (5, 9, True)


def test_a_damaged_index_is_made_anew(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    photo(library / "a.jpg", taken="2024:05:01 08:00:00")
    here = surround(library)
    (here.data / "photos.db").write_bytes(b"this is no database" * 400)
    assert len(photos.select()) == 1


def test_albums_of_ones_own(demo: Path, surround) -> None:
    here = surround(demo)
    two = photos.select(count=2)
    assert photos.add_to_album(two, Spoken("Best of")).photos == 2
    assert photos.add_to_album(two, Spoken("best of")).photos == 2  # the same album, nothing twice
    edited = photos.edit(two[:1], "sepia")
    assert photos.add_to_album(edited, Spoken("Best of")).photos == 3
    kept = photos.select(album="best of")
    assert {p.path for p in two} < {p.path for p in kept}
    assert any(p.path.is_relative_to(here.data) for p in kept)
    with pytest.raises(ValueError, match="no name"):
        photos.add_to_album(two, Spoken("  "))


def test_sidecars_and_keyword_trees(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    photo(library / "a.jpg", taken="2024:05:01 08:00:00")
    (library / "a.jpg.xmp").write_text(
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:digiKam="http://www.digikam.org/ns/1.0/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmp:Rating="5"><digiKam:TagsList><rdf:Seq>'
        "<rdf:li>People/Grandma Rosa</rdf:li></rdf:Seq></digiKam:TagsList></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    surround(library)
    assert len(photos.select(people=["grandma"], favorites=True)) == 1


def test_values_travel(demo: Path, surround) -> None:
    surround(demo)
    found = photos.select(count=1)[0]
    assert decode_dataclass(encode(found)) == found
    assert found.path.is_absolute() and found.taken.tzinfo is not None


@pytest.mark.skipif(not SHARED.is_dir(), reason="the shared photos are not at hand")
def test_real_photos(surround) -> None:
    surround(SHARED)
    assert [p.name for p in photos.select(count=3)] == ["IMG_5195.HEIC", "jolla.jpg", "no_exif.jpg"]
    assert {p.name[:4] for p in photos.select(place="Italy", taken="2008")} == {"DSCN"}
    assert photos.select(place="Florence")[0].name == "87_OSError.jpg"


def test_a_large_library_is_looked_at_in_several_errands(surround, tmp_path, monkeypatch):
    for n in range(3):
        photo(tmp_path / "library" / f"{n}.jpg", color=(n * 80, 90, 200))
    surround(tmp_path / "library")
    monkeypatch.setattr(scanning, "BATCH", 1)
    clock = itertools.count()  # a second for each look at it
    monkeypatch.setattr(scanning.time, "monotonic", lambda: float(next(clock)))
    for seconds, left in ((0.5, "some of the photo folders"), (2.5, "2 photos"), (2.5, "1 photos")):
        monkeypatch.setattr(query, "SCAN_SECONDS", seconds)
        with pytest.raises(RuntimeError, match=f"^{left} have not been looked at yet; say it again"):
            query.choose(query.Wanted())
    assert len(query.choose(query.Wanted())) == 3


def test_albums_may_be_named_with_pictures(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    surround(library)
    one, two = as_photos(photo(library / "1.jpg"), photo(library / "2.jpg", color=(9, 9, 9)))
    assert photos.add_to_album([one], Spoken("❤️")).photos == 1
    cake = photos.add_to_album([two], Spoken("🎂"))
    assert (cake.name, cake.photos) == ("🎂", 1)
    assert [p.name for p in photos.select(album=Spoken("❤"))] == ["1.jpg"]
    with pytest.raises(NotFound):
        photos.select(album=Spoken("🎉"))


@pytest.mark.parametrize(
    ("name", "taken"),
    [
        ("Screenshot 2024-05-14 at 2.20.05\u202fPM.png", "14:20:05"),
        ("Screenshot 2024-05-14 at 11.20.05 PM.png", "23:20:05"),
        ("Screenshot 2024-05-14 at 12.05.00 AM.png", "00:05:00"),
        ("Screenshot 2024-05-14 at 14.20.05.png", "14:20:05"),
        ("IMG_20240514_142005123.jpg", "14:20:05"),
    ],
)
def test_the_time_in_a_name(tmp_path: Path, name: str, taken: str) -> None:
    photo(tmp_path / "a.jpg").rename(tmp_path / name)
    facts = read(tmp_path / name, None, dt.datetime(2026, 1, 1))
    assert facts.wall is not None and facts.wall.strftime("%H:%M:%S") == taken
