"""A drawn library, surroundings for tools, and a maker of small photos."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Iterator
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from PIL import Image

from assistant.demo import draw
from assistant.plugin import Context, Photo, set_context

BERLIN = ZoneInfo("Europe/Berlin")
NOW = dt.datetime(2026, 11, 25, 15, 30, tzinfo=BERLIN)  # a Wednesday


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "library"
    draw(folder, now=NOW)
    return folder


@pytest.fixture
def surround(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Context]]:
    """Sets the surroundings of a call: photo folders, `now`, zone; the current folder is a fresh one."""
    data, work = tmp_path / "data", tmp_path / "work"
    data.mkdir()
    work.mkdir()
    monkeypatch.chdir(work)

    def build(*photos: Path, now: dt.datetime = NOW, timezone: str = "Europe/Berlin") -> Context:
        here = Context(now=now, timezone=timezone, photos=photos, data=data)
        set_context(here)
        return here

    build()
    yield build
    set_context(Context(now=dt.datetime.now(dt.UTC)))


Color = tuple[int, int, int]


def photo(path: Path, color: Color = (90, 140, 200), size: tuple[int, int] = (64, 48), **tags: str) -> Path:
    """A small JPEG. tags: taken="2020:01:02 03:04:05", offset="+02:00", subsec="250", make, description, xmp."""
    exif = Image.Exif()
    numbers = {"make": 0x010F, "description": 0x010E}
    for key, number in numbers.items():
        if key in tags:
            exif[number] = tags[key]
    detail = {n: tags[k] for k, n in (("taken", 0x9003), ("offset", 0x9011), ("subsec", 0x9291)) if k in tags}
    if detail:
        exif._ifds[0x8769] = detail
    path.parent.mkdir(parents=True, exist_ok=True)
    extra = {"xmp": tags["xmp"].encode()} if "xmp" in tags else {}
    shades = [min(255, v + c // 2) for c in color for v in range(256)]
    picture = Image.linear_gradient("L").resize(size).convert("RGB").point(shades)
    picture.save(path, "JPEG", exif=exif, **extra)
    return path


def as_photos(*paths: Path) -> list[Photo]:
    return [Photo(path=p, name=p.name, media_type="image/jpeg") for p in paths]
