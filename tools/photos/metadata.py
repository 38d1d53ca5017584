"""What a picture says about itself: when, where, who, what. From EXIF, XMP, IPTC and its file name; headers only.

Everything read here is a stranger's text: it is cut, cleaned and used as words to search by, never as anything else.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..pictures import header
from .xmp import Xmp, parse

if TYPE_CHECKING:
    from PIL.ImageFile import ImageFile as Image

MAX_WORDS, MAX_TEXT = 64, 200
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff\u200b-\u200f\u2028-\u202e\u2066-\u2069]+")
IN_NAME = re.compile(r"(?<!\d)((?:19|20)\d\d)[-_.]?([01]\d)[-_.]?([0-3]\d)(?:[-_ T.]|at| )*"
                     r"(?:([0-2]\d|\d(?=[-_.:h]))[-_.:h]?([0-5]\d)[-_.:m]?([0-5]\d)(\d{3})?"
                     r"(?:[\s\u202f]?([AP])M)?)?(?!\d)")  # fmt: skip
SCREENSHOT = re.compile(r"screen[-_ ]?shot|screen[-_ ]?capture|screen[-_ ]?grab|bildschirmfoto|capture d.?écran", re.I)
SCREENS = {  # short side × long side of common phone, tablet and desktop screens
    *((750, 1334), (828, 1792), (1125, 2436), (1170, 2532), (1179, 2556), (1206, 2622), (1242, 2208), (1242, 2688)),
    *((1284, 2778), (1290, 2796), (1320, 2868), (1080, 1920), (1080, 2160), (1080, 2220), (1080, 2280), (1080, 2340)),
    *((1080, 2400), (1080, 2408), (1440, 2560), (1440, 2960), (1440, 3040), (1440, 3088), (1440, 3120), (1440, 3200)),
    *((1536, 2048), (1620, 2160), (1640, 2360), (1668, 2388), (2048, 2732), (800, 1280), (900, 1440), (768, 1366)),
    *((1800, 2880), (1600, 2560), (2160, 3840), (1200, 1920)),
}


@dataclass
class Facts:
    """One picture. `wall` is the clock's time where it was taken; `offset` its distance from UTC, when recorded."""

    width: int
    height: int
    media_type: str
    wall: dt.datetime | None = None
    offset: dt.timedelta | None = None
    latitude: float | None = None
    longitude: float | None = None
    camera: str = ""
    people: list[str] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    favorite: bool = False
    screenshot: bool = False
    fingerprint: bytes = b""


def read(path: Path, sidecar: Path | None, latest: dt.datetime) -> Facts:
    """The facts of one file; `latest`: a naive local time after which a date is not believed. Raises Unusable."""
    with header(path) as image:
        exif = _Exif(image)
        xmp = parse(_bytes(image.info.get("xmp")))
        if sidecar:
            xmp.extend(parse(_sidecar(sidecar)))
        iptc = _iptc(image)
        facts = Facts(*image.size, media_type=_media_type(image))
        facts.fingerprint = _fingerprint(path, image)
    facts.camera = clean(f"{exif.text(0x010F)} {exif.text(0x0110)}")
    facts.wall, facts.offset = _when(exif, xmp, iptc, path.name, latest)
    facts.latitude, facts.longitude = exif.position()
    facts.people = _words(xmp.people)
    facts.keywords = _words([*xmp.keywords, *iptc.get(25, []), *exif.utf16(0x9C9E).split(";")])
    titles = [exif.text(0x010E), exif.utf16(0x9C9B)]
    facts.captions = _words([*xmp.captions, *iptc.get(5, []), *iptc.get(120, []), *titles])
    facts.places = _words([*xmp.places, *(text for dataset in (92, 90, 95, 101) for text in iptc.get(dataset, []))])
    rating = xmp.rating if xmp.rating is not None else exif.number(0x4746)
    facts.favorite = (rating or 0) >= 4 or any(k.casefold() in ("favorite", "favourite") for k in facts.keywords)
    facts.screenshot = _is_screenshot(path, facts, exif, bool(exif.text(0x010F)))
    return facts


class _Exif:
    """The EXIF directories of an image; whatever is broken reads as absent."""

    def __init__(self, image: Image) -> None:
        self.tags: dict[int, Any] = {}
        self.gps: dict[int, Any] = {}
        try:
            exif = image.getexif()
            self.tags = {**dict(exif), **exif.get_ifd(0x8769)}
            self.gps = dict(exif.get_ifd(0x8825))
        except Exception:  # the parser raises every kind on hostile bytes; a photo without EXIF is still a photo
            return

    def text(self, tag: int) -> str:
        value = self.tags.get(tag, "")
        if isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        return value.strip("\0 ") if isinstance(value, str) else ""

    def utf16(self, tag: int) -> str:
        value = self.tags.get(tag, b"")
        if isinstance(value, tuple):
            value = bytes(b for b in value if isinstance(b, int) and 0 <= b < 256)
        return value.decode("utf-16-le", "ignore").strip("\0 ") if isinstance(value, bytes) else ""

    def number(self, tag: int) -> int | None:
        value = self.tags.get(tag)
        return value if isinstance(value, int) else None

    def position(self) -> tuple[float | None, float | None]:
        try:
            latitude = _degrees(self.gps[2]) * (-1 if self.gps.get(1) == "S" else 1)
            longitude = _degrees(self.gps[4]) * (-1 if self.gps.get(3) == "W" else 1)
        except (KeyError, TypeError, ValueError, ZeroDivisionError, IndexError, OverflowError):
            return None, None
        if not (abs(latitude) <= 90 and abs(longitude) <= 180) or (latitude == longitude == 0):
            return None, None  # NaN, outside of the globe, or the zeros that cameras write without a fix
        return latitude, longitude


def _degrees(parts: Any) -> float:
    d, m, s = (float(p) for p in (*parts, 0, 0)[:3])
    return d + m / 60 + s / 3600


def _when(exif: _Exif, xmp: Xmp, iptc: dict[int, list[str]], name: str, latest: dt.datetime,
          ) -> tuple[dt.datetime | None, dt.timedelta | None]:  # fmt: skip
    """The time of taking, the most trustworthy source first; a time that cannot be is passed over."""
    sources: list[tuple[str, str, str]] = [
        (exif.text(0x9003), exif.text(0x9291), exif.text(0x9011)),
        (exif.text(0x9004), exif.text(0x9292), exif.text(0x9012)),
        *((text, "", "") for text in xmp.dates),
        (" ".join(iptc.get(55, []) + iptc.get(60, [])), "", ""),
        (exif.text(0x0132), exif.text(0x9290), exif.text(0x9010)),
    ]
    for text, fraction, zone in sources:
        wall, offset = _stamp(text, fraction, zone)
        if wall and wall.year >= 1826 and wall <= latest:  # 1826: the oldest photograph that survives
            return wall, offset
    if match := IN_NAME.search(name):
        y, mo, d, h, mi, s, ms = (int(g or 0) for g in match.groups()[:7])
        h = h % 12 + 12 * (match[8] in "Pp") if match[8] else h
        try:
            wall = dt.datetime(y, mo, d, h if match[4] else 12, mi, s, ms * 1000)
        except ValueError:
            return None, None
        return (wall, None) if wall <= latest else (None, None)
    return None, None


STAMP = re.compile(r"(\d{4})[:\-/.]?(\d\d)[:\-/.]?(\d\d)[T ]*(\d\d)?:?(\d\d)?:?(\d\d)?(?:[.,](\d{1,9}))?\s*"
                   r"(Z|[+-]\d\d:?\d\d)?")  # fmt: skip


def _stamp(text: str, fraction: str, zone: str) -> tuple[dt.datetime | None, dt.timedelta | None]:
    match = STAMP.match(text.strip())
    if not match:
        return None, None
    digits = re.sub(r"\D", "", match[7] or fraction)[:6].ljust(6, "0")
    try:
        y, mo, d, h, mi, sec = (int(g or 0) for g in match.groups()[:6])
        wall = dt.datetime(y, mo, d, h, mi, sec, int(digits))
    except ValueError:
        return None, None
    return wall, _offset(match[8] or zone)


def _offset(text: str) -> dt.timedelta | None:
    if text.strip().upper() == "Z":
        return dt.timedelta(0)
    match = re.fullmatch(r"([+-])(\d\d):?(\d\d)", text.strip())
    if not match or int(match[2]) > 14 or int(match[3]) > 59:
        return None
    return (1 if match[1] == "+" else -1) * dt.timedelta(hours=int(match[2]), minutes=int(match[3]))


def _iptc(image: Image) -> dict[int, list[str]]:
    """Record 2 of IPTC by dataset number."""
    from PIL import IptcImagePlugin

    if image.format not in ("JPEG", "MPO", "TIFF"):
        return {}
    try:
        info = IptcImagePlugin.getiptcinfo(image) or {}
    except Exception:  # the parser raises every kind on hostile bytes
        return {}
    out: dict[int, list[str]] = {}
    for (record, dataset), value in info.items():
        if record == 2:
            values = value if isinstance(value, list) else [value]
            out[dataset] = [v.decode("utf-8", "replace") for v in values[:MAX_WORDS] if isinstance(v, bytes)]
    return out


def _is_screenshot(path: Path, facts: Facts, exif: _Exif, has_camera: bool) -> bool:
    if SCREENSHOT.search(path.name) or SCREENSHOT.search(path.parent.name) or "Screenshot" in exif.text(0x9286):
        return True
    size = min(facts.width, facts.height), max(facts.width, facts.height)
    return not has_camera and facts.media_type == "image/png" and size in SCREENS


def _fingerprint(path: Path, image: Image) -> bytes:
    """Equal for exact copies: of the size and both ends of the file. Reading all of 200,000 photos would take hours."""
    digest = hashlib.blake2b(digest_size=16)
    with path.open("rb", buffering=0) as file:
        size = os.fstat(file.fileno()).st_size
        digest.update(size.to_bytes(8, "big"))
        digest.update(file.read(32 << 10))
        file.seek(max(0, size - (16 << 10)))
        digest.update(file.read(16 << 10))
    return digest.digest()


def _sidecar(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(1 << 20)


def _bytes(value: Any) -> bytes:
    return value.encode("utf-8", "replace") if isinstance(value, str) else value if isinstance(value, bytes) else b""


def _media_type(image: Image) -> str:
    return "image/jpeg" if image.format == "MPO" else image.get_format_mimetype() or "application/octet-stream"


def clean(text: str) -> str:
    return " ".join(CONTROL.sub(" ", text).split())[:MAX_TEXT]


def _words(texts: Iterable[str]) -> list[str]:
    """Clean, without repetitions, at most MAX_WORDS."""
    return [t for t in dict.fromkeys(clean(t) for t in texts) if t][:MAX_WORDS]
