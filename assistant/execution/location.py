"""Takes the position out of pictures before they are sent.

People who send a photo mean what is on it, seldom where they live. The coordinates are overwritten in place (EXIF's
GPS directory and XMP's exif:GPS… properties), so the picture itself, its orientation and its date stay bit for bit.
"""

from __future__ import annotations

import io
import re
import struct
import zlib

GPS_POINTER = 0x8825
SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8}
TIFF = re.compile(rb"(?:Exif\0\0|eXIf|EXIF.{4})(II\*\0|MM\0\*)", re.DOTALL)
XMP = re.compile(rb"\bexif:GPS\w+\s*=\s*(?:\"[^\"]*\"|'[^']*')|<exif:GPS(\w+)[^>]*>.*?</exif:GPS\1\s*>", re.DOTALL)
PNG = b"\x89PNG\r\n\x1a\n"


class LocationRemains(ValueError):
    """A position is stored in a way that cannot be taken out."""


def without_location(data: bytes) -> bytes:
    """The same picture without coordinates. Raises LocationRemains. Bytes that are no picture come back unchanged."""
    out = bytearray(data)
    starts = [m.start(1) for m in TIFF.finditer(data)]
    if data[:4] in (b"II*\0", b"MM\0*"):
        starts.append(0)
    for start in starts:
        _wipe(out, start)
    for match in XMP.finditer(data):
        out[match.start() : match.end()] = b" " * (match.end() - match.start())
    if out != data and data.startswith(PNG):
        _mend_png(out)
    if _located(bytes(out)):
        raise LocationRemains("its position cannot be taken out; set `send_location = true` to send it as it is")
    return bytes(out)


def _wipe(data: bytearray, start: int) -> None:
    """Empty the GPS directories of the TIFF structure at `start`."""
    order = "<" if data[start : start + 2] == b"II" else ">"

    def number(at: int, kind: str) -> int:
        return int(struct.unpack_from(order + kind, data, start + at)[0])

    try:
        directory, seen = number(4, "I"), set[int]()
        while directory and directory not in seen and len(seen) < 16:
            seen.add(directory)
            count = number(directory, "H")
            for entry in range(directory + 2, directory + 2 + 12 * count, 12):
                if number(entry, "H") == GPS_POINTER:
                    _empty(data, start, number(entry + 8, "I"), number)
            directory = number(directory + 2 + 12 * count, "I")
    except struct.error:
        return  # a broken structure; whether anything can be read from it is checked afterwards


def _empty(data: bytearray, start: int, directory: int, number: object) -> None:
    assert callable(number)
    count = number(directory, "H")
    for entry in range(directory + 2, directory + 2 + 12 * count, 12):
        size = SIZES.get(number(entry + 2, "H"), 1) * number(entry + 4, "I")
        if size > 4:
            at = start + number(entry + 8, "I")
            end = min(at + size, len(data))
            data[at:end] = bytes(max(0, end - at))
    end = min(start + directory + 2 + 12 * count, len(data))
    data[start + directory : end] = bytes(end - start - directory)


def _mend_png(data: bytearray) -> None:
    """Recompute the checksums of the chunks."""
    at = len(PNG)
    while at + 12 <= len(data):
        size = struct.unpack_from(">I", data, at)[0]
        end = at + 8 + size
        if end + 4 > len(data):
            return
        if bytes(data[at + 4 : at + 8]) in (b"eXIf", b"iTXt"):
            struct.pack_into(">I", data, end, zlib.crc32(data[at + 4 : end]))
        at = end + 4


def _located(data: bytes) -> bool:
    """Whether a reader still finds coordinates. Only headers are read."""
    from PIL import Image

    try:
        with Image.open(io.BytesIO(data)) as image:
            xmp = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
            text = xmp.encode() if isinstance(xmp, str) else bytes(xmp)
            return bool(image.getexif().get_ifd(GPS_POINTER)) or b"GPSLatitude" in text
    except Exception:
        return b"GPSLatitude" in data
