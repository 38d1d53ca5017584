"""The drawn library is varied, real in its metadata, small, and the same for the same moment."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import pytest
from PIL import Image

from assistant.demo import draw
from assistant.demo.library import _photo
from assistant.demo.shots import shots

NOW = dt.datetime(2026, 3, 3, 4, 5, tzinfo=dt.UTC)


def test_the_whole_library(tmp_path: Path) -> None:
    files = draw(tmp_path / "demo", now=NOW)
    photos = [f for f in files if f.suffix == ".jpg"]
    assert len(photos) >= 40 and len(files) - len(photos) == 2
    assert sum(f.stat().st_size for f in files) < 12_000_000
    assert len({f.parent for f in photos}) >= 6
    cameras, turned, taken = set(), set(), []
    for file in photos:
        with Image.open(file) as picture:
            exif = picture.getexif()
            cameras.add(exif[0x0110])
            turned.add(exif[0x0112])
            taken.append(exif.get_ifd(0x8769)[0x9003])
            assert b"xmp:Rating" in picture.info["xmp"]
    assert len(cameras) >= 4 and {1, 3, 6, 8} <= turned
    assert max(taken) <= NOW.astimezone(dt.timezone(dt.timedelta(hours=2))).strftime("%Y:%m:%d %H:%M:%S")
    assert {f.name for f in (tmp_path / "demo" / "contacts").iterdir()} == {
        "alice-chen.vcf", "bob-okafor.vcf", "priya-raman.vcf"}  # fmt: skip
    with pytest.raises(FileExistsError, match="not empty"):
        draw(tmp_path / "demo", now=NOW)


def test_the_same_moment_draws_the_same_bytes(tmp_path: Path) -> None:
    shot = shots(NOW)[5]
    one, two = (_photo(tmp_path / name, shot, NOW, 5) for name in ("a", "b"))
    assert hashlib.sha256(one.read_bytes()).digest() == hashlib.sha256(two.read_bytes()).digest()


@pytest.mark.parametrize("days", range(8))
def test_there_is_always_a_last_weekend_and_nothing_ahead(days: int) -> None:
    now = NOW + dt.timedelta(days=days, hours=10)
    dates = {(now - dt.timedelta(days=s.days)).date() for s in shots(now) if s.album == "Weekend at the Lake"}
    assert {d.weekday() for d in dates} == {5, 6} and max(dates) < now.date() + dt.timedelta(1)
    assert all(s.days >= 0 for s in shots(now))
