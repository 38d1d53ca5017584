"""Positions are taken out of pictures that are sent, and nothing else is."""

import io

import pytest
from PIL import Image

from assistant.execution.location import GPS_POINTER, LocationRemains, without_location

XMP = (
    b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
    b'<rdf:Description exif:GPSLatitude="52,31.2N" exif:GPSLongitude="13,24.5E" xmp:Rating="5">'
    b"<exif:GPSAltitude>34/1</exif:GPSAltitude></rdf:Description></rdf:RDF></x:xmpmeta>"
)


def picture(kind, **more):
    image = Image.linear_gradient("L").convert("RGB")
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Camera"
    gps = exif.get_ifd(GPS_POINTER)
    gps.update({1: "N", 2: (52.0, 31.0, 12.5), 3: "E", 4: (13.0, 24.0, 30.5), 29: "2024:05:01"})
    out = io.BytesIO()
    image.save(out, kind, exif=exif, **more)
    return out.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_position_is_gone(kind):
    data = picture(kind)
    with Image.open(io.BytesIO(data)) as before:
        assert before.getexif().get_ifd(GPS_POINTER)[2] == (52.0, 31.0, 12.5)
        pixels = before.tobytes()
    clean = without_location(data)
    assert len(clean) == len(data)
    with Image.open(io.BytesIO(clean)) as after:
        assert not after.getexif().get_ifd(GPS_POINTER)
        assert after.getexif()[0x0112] == 6 and after.getexif()[0x010F] == "Camera"
        assert after.tobytes() == pixels
    assert b"2024:05:01" not in clean


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_xmp(kind):
    if kind == "PNG":
        from PIL.PngImagePlugin import PngInfo

        info = PngInfo()
        info.add_itxt("XML:com.adobe.xmp", XMP.decode())
        data = picture(kind, pnginfo=info)
    else:
        data = picture(kind, xmp=XMP)
    clean = without_location(data)
    assert b"52,31.2N" in data and b"GPS" not in clean and b'xmp:Rating="5"' in clean
    with Image.open(io.BytesIO(clean)) as after:
        after.load()  # the checksums are right


def test_tiff():
    exif = Image.Exif()
    exif.get_ifd(GPS_POINTER).update({1: "N", 2: (52.0, 31.0, 12.5)})
    data = exif.tobytes().removeprefix(b"Exif\0\0")
    assert data[:4] in (b"II*\0", b"MM\0*")
    found = Image.Exif()
    found.load(without_location(data))
    assert not found.get_ifd(GPS_POINTER)


def test_heic():
    pillow_heif = pytest.importorskip("pillow_heif")
    exif = Image.Exif()
    exif[0x0112] = 1
    exif.get_ifd(GPS_POINTER).update({1: "N", 2: (52.0, 31.0, 12.5)})
    out = io.BytesIO()
    heif = pillow_heif.from_pillow(Image.new("RGB", (64, 64), "red"))
    heif.save(out, exif=exif.tobytes())
    clean = without_location(out.getvalue())
    found = Image.Exif()
    found.load(pillow_heif.open_heif(io.BytesIO(clean)).info["exif"])
    assert clean != out.getvalue() and not found.get_ifd(GPS_POINTER)


def test_without_position_nothing_changes():
    for kind in ("JPEG", "PNG", "GIF"):
        out = io.BytesIO()
        Image.new("RGB", (8, 8)).save(out, kind)
        assert without_location(out.getvalue()) == out.getvalue()
    assert without_location(b"no picture") == b"no picture"


def test_what_cannot_be_cleaned_is_not_sent():
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_itxt("XML:com.adobe.xmp", XMP.decode(), zip=True)
    out = io.BytesIO()
    Image.new("RGB", (8, 8)).save(out, "PNG", pnginfo=info)
    with pytest.raises(LocationRemains, match="send_location"):
        without_location(out.getvalue())


@pytest.mark.parametrize("cut", [30, 60, 100, 200])
def test_broken_structures(cut):
    data = bytearray(picture("JPEG"))
    data[cut:] = b"\xff" * (len(data) - cut)
    without_location(bytes(data))
