"""The demo library: what is drawn, when and where it was "taken", by whom, and who is in it.

Deterministic for a given `now`; dates are relative to it, so that "last weekend" and "yesterday" find something. The
metadata are real: EXIF with sub-seconds, offsets, positions and orientations, XMP with people, keywords and ratings.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr
from zoneinfo import ZoneInfo

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from . import still
from .brush import Painting
from .shots import PHONE, Shot, shots

TURNED = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_90, 8: Image.Transpose.ROTATE_270}
SHAPES = {"wide": (1200, 900), "classic": (1200, 800), "tall": (900, 1200), "square": (1000, 1000)}


def draw(folder: Path, now: dt.datetime | None = None) -> list[Path]:
    """Draw the library into `folder`: photos in albums, two screenshots, and `contacts/`. Returns the photos.

    now: aware; default the clock. Raises FileExistsError when the folder already holds something.
    """
    now = now or dt.datetime.now().astimezone()
    folder = Path(folder).expanduser()
    if folder.is_dir() and any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty; name a new folder for the demo library")
    made = [_photo(folder, shot, now, n) for n, shot in enumerate(shots(now))]
    copy = folder / "Favourites to Print" / made[0].name
    copy.parent.mkdir(parents=True)
    copy.write_bytes(made[0].read_bytes())  # an exact copy, as libraries have them
    screens = [_screenshot(folder, still.chat_screen, now - dt.timedelta(days=1, hours=2), 101),
               _screenshot(folder, still.ticket_screen, now - dt.timedelta(days=5), 102)]  # fmt: skip
    _contacts(folder / "contacts")
    return [*made, copy, *screens]


def _photo(folder: Path, shot: Shot, now: dt.datetime, seed: int) -> Path:
    painting = Painting(*SHAPES[shot.shape], seed=1000 + seed)
    shot.paint(painting)
    picture = painting.finish(grain=4.0 if "night" in shot.keywords else 2.2)
    if shot.turned in TURNED:
        picture = picture.transpose(TURNED[shot.turned])
    day = (now - dt.timedelta(days=shot.days)).date()
    wall = dt.datetime.combine(day, dt.time()) + dt.timedelta(hours=shot.hour, seconds=len(shot.title) * 7 % 50)
    taken = wall.replace(tzinfo=ZoneInfo(shot.zone))
    if taken > now:  # this morning's photos, drawn at night
        taken = now.astimezone(ZoneInfo(shot.zone)) - dt.timedelta(minutes=20 + 5 * (seed % 7))
    path = folder / shot.album / f"{'IMG' if shot.camera == PHONE else 'DSC'}_{2000 + 17 * seed}.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    picture.save(path, "JPEG", quality=84, optimize=True, exif=_exif(shot, taken), xmp=_xmp(shot))
    os.utime(path, (taken.timestamp(), taken.timestamp()))
    return path


def _exif(shot: Shot, taken: dt.datetime) -> Image.Exif:
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x0112] = *shot.camera, shot.turned
    exif[0x010E] = shot.title
    stamp = taken.strftime("%Y:%m:%d %H:%M:%S")
    exif[0x0132] = stamp
    detail = {0x9003: stamp, 0x9004: stamp, 0x9291: f"{taken.microsecond // 1000:03}"}
    if shot.offset:
        zone = taken.strftime("%z")
        detail[0x9011] = f"{zone[:3]}:{zone[3:]}"
    exif._ifds[0x8769] = detail
    if shot.where:
        latitude, longitude = shot.where
        exif._ifds[0x8825] = {
            1: "NS"[latitude < 0],
            2: _degrees(latitude),
            3: "EW"[longitude < 0],
            4: _degrees(longitude),
        }
    return exif


def _degrees(value: float) -> tuple[float, float, float]:
    value = abs(value)
    minutes = value % 1 * 60
    return float(int(value)), float(int(minutes)), round(minutes % 1 * 60, 2)


def _xmp(shot: Shot) -> bytes:
    def bag(name: str, items: tuple[str, ...]) -> str:
        lines = "".join(f"<rdf:li>{item}</rdf:li>" for item in items)
        return f"<{name}><rdf:Bag>{lines}</rdf:Bag></{name}>" if items else ""

    faces = "".join(
        f'<rdf:li><rdf:Description mwg-rs:Name={quoteattr(p)} mwg-rs:Type="Face"/></rdf:li>' for p in shot.people
    )
    regions = (f'<mwg-rs:Regions rdf:parseType="Resource"><mwg-rs:RegionList><rdf:Bag>{faces}</rdf:Bag>'
               "</mwg-rs:RegionList></mwg-rs:Regions>") if faces else ""  # fmt: skip
    return (
        '<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        '<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/" '
        f'xmlns:mwg-rs="http://www.metadataworkinggroup.com/schemas/regions/" xmp:Rating="{shot.rating}">'
        f"{bag('dc:subject', shot.keywords)}{bag('Iptc4xmpExt:PersonInImage', shot.people)}{regions}"
        "</rdf:Description></rdf:RDF></x:xmpmeta>"
    ).encode()


def _screenshot(folder: Path, paint: Callable[[Painting], Any], taken: dt.datetime, seed: int) -> Path:
    painting = Painting(540, 1170, seed=seed)
    paint(painting)
    path = folder / "Screenshots" / f"Screenshot_{taken:%Y%m%d-%H%M%S}.png"
    path.parent.mkdir(parents=True, exist_ok=True)
    info = PngInfo()
    info.add_text("Software", "demo library")
    painting.finish(grain=0, vignette=0).quantize(64).save(path, "PNG", pnginfo=info, optimize=True)
    os.utime(path, (taken.timestamp(), taken.timestamp()))
    return path


CARDS = [
    ("Alice Chen", "NICKNAME:Ali", "EMAIL;TYPE=home:alice.chen@example.org", "X-TELEGRAM:@alicechen"),
    ("Bob Okafor", "NICKNAME:Bobby", "EMAIL;TYPE=work:bob@example.net", "TEL;TYPE=cell:+49 30 5550102"),
    ("Priya Raman", "EMAIL:priya.raman@example.com", "TEL;TYPE=cell:+49 30 5550103"),
]


def _contacts(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, *lines in CARDS:
        given, _, family = name.partition(" ")
        card = ["BEGIN:VCARD", "VERSION:3.0", f"FN:{name}", f"N:{family};{given};;;", *lines, "END:VCARD"]
        file = folder / f"{given.lower()}-{family.lower()}.vcf"
        file.write_text("\r\n".join(card) + "\r\n", "utf-8", newline="")
