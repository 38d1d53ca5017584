"""GIFs, videos, collages and edits: their shape, their colours, and what must not be in them."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from tools import collage, gif, photos, video
from tools.gif import render
from tools.gif.palette import quantize

from .conftest import as_photos


@pytest.fixture
def mixed(tmp_path: Path) -> list:
    """A wide, a tall and a square photo in three plain colours, and one that lies on its side (orientation 6)."""
    files = []
    shapes = {
        "wide": ((640, 480), (200, 60, 60)),
        "tall": ((480, 640), (60, 160, 60)),
        "square": ((500, 500), (60, 60, 200)),
        "wide2": ((640, 480), (200, 200, 40)),
    }
    for name, (size, color) in shapes.items():
        path = tmp_path / f"{name}.jpg"
        Image.new("RGB", size, color).save(path, quality=95)
        files.append(path)
    lying = Image.new("RGB", (480, 640), (250, 250, 250))
    lying.paste((0, 0, 0), (0, 0, 240, 640))  # upright: the upper half is black
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x8825] = {1: "N", 2: (52.0, 30.0, 0.0), 3: "E", 4: (13.0, 22.0, 0.0)}
    lying.save(tmp_path / "lying.jpg", exif=exif, quality=95)
    return as_photos(*files, tmp_path / "lying.jpg")


def frames(path: Path) -> list[Image.Image]:
    with Image.open(path) as picture:
        out = []
        for n in range(picture.n_frames):
            picture.seek(n)
            out.append(picture.convert("RGB"))
        return out


def close(pixel: tuple, color: tuple, slack: int = 12) -> bool:
    return all(abs(a - b) <= slack for a, b in zip(pixel, color, strict=True))


def test_gif_puts_all_shapes_on_one_canvas(mixed: list, surround) -> None:
    made = gif.create(mixed)
    drawn = frames(made.path)
    assert len(drawn) == 5 and {f.size for f in drawn} == {(480, 360)}
    colors = [(200, 60, 60), (60, 160, 60), (60, 60, 200), (200, 200, 40)]
    assert all(close(f.getpixel((240, 180)), c) for f, c in zip(drawn, colors, strict=False))
    assert close(drawn[1].getpixel((4, 180)), (42, 112, 42))  # beside the tall photo: its own colour, darker
    assert close(drawn[4].getpixel((240, 60)), (0, 0, 0)) and close(drawn[4].getpixel((240, 330)), (250, 250, 250))
    assert (made.media_type, made.path.is_absolute()) == ("image/gif", False)


def test_gif_timing_looping_and_bounce(mixed: list, surround) -> None:
    with Image.open(gif.create(mixed[:3], seconds_per_photo=0.3, size="small", bounce=True).path) as picture:
        assert picture.n_frames == 4 and picture.info["duration"] == 300 and picture.info["loop"] == 0
        assert max(picture.size) == 320
    with Image.open(gif.create(mixed[:2], loop=False).path) as picture:
        assert "loop" not in picture.info


def test_nothing_of_the_metadata_leaves(mixed: list, surround) -> None:
    for made in (
        gif.create(mixed),
        collage.create(mixed),
        video.create(mixed[3:], 0.2),
        photos.edit(mixed[4:], "blur")[0],
    ):
        data = made.path.read_bytes()
        assert b"GPS" not in data and b"Exif" not in data
        if made.media_type.startswith("image"):
            with Image.open(made.path) as picture:
                assert not dict(picture.getexif())


def test_gif_keeps_within_its_bytes(tmp_path: Path, surround, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = np.random.default_rng(1).integers(0, 255, (360, 480, 3), dtype=np.uint8)
    path = tmp_path / "noise.png"
    Image.fromarray(noise).save(path)
    monkeypatch.setattr(render, "MAX_BYTES", 200_000)
    made = gif.create(as_photos(path, path, path))
    assert 50_000 < made.path.stat().st_size <= 200_000


@pytest.mark.parametrize("seconds", [0.0, -1.0, 1e9])
def test_impossible_times_are_refused(mixed: list, surround, seconds: float) -> None:
    with pytest.raises(ValueError, match="seconds"):
        gif.create(mixed, seconds_per_photo=seconds)
    with pytest.raises(ValueError, match="seconds"):
        video.create(mixed, seconds_per_photo=seconds)


def test_limits_and_emptiness_are_told(mixed: list, surround) -> None:
    for make in (gif.create, video.create, collage.create):
        with pytest.raises(ValueError, match="no photos"):
            make([])
        with pytest.raises(ValueError, match="at most"):
            make(mixed * 41)
    with pytest.raises(ValueError, match="columns"):
        collage.create(mixed, columns=0)


def test_palette_is_close_to_the_original_and_better_than_median_cut() -> None:
    y, x = np.mgrid[0:180, 0:240]
    rng = np.random.default_rng(0)
    pixels = np.stack([x, y * 1.3, 255 - x * 0.7], -1) + rng.normal(0, 6, (180, 240, 3))
    original = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))

    def error(picture: Image.Image) -> float:
        return float(np.mean((np.asarray(picture.convert("RGB"), float) - np.asarray(original, float)) ** 2))

    ours = quantize(original)
    assert len(ours.getcolors(256)) <= 256
    assert error(ours) < error(original.quantize(256, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)) * 1.05


def test_video_plays_where_phones_play(mixed: list, surround) -> None:
    made = video.create(mixed[:3], seconds_per_photo=0.5)
    with av.open(str(made.path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        pictures = [f.to_image() for f in container.decode(stream)]
    assert abs(len(pictures) / 25 - 1.5) < 0.1 and pictures[0].width % 2 == 0
    middle = pictures[0].width // 2, pictures[0].height // 2
    assert close(pictures[2].getpixel(middle), (200, 60, 60)) and close(pictures[-1].getpixel(middle), (60, 60, 200))
    data = made.path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # plays while it loads


def test_collage_holds_every_photo(mixed: list, surround) -> None:
    colors = [(200, 60, 60), (60, 160, 60), (60, 60, 200), (200, 200, 40)]
    for columns in (None, 2):
        made = collage.create(mixed[:4], columns)
        with Image.open(made.path) as picture:
            assert picture.width == 2000
            shares = [np.mean(np.all(np.abs(np.asarray(picture, int) - c) < 12, axis=-1)) for c in colors]
        assert min(shares) > 0.1


def test_edits(tmp_path: Path, surround) -> None:
    path = tmp_path / "corners.png"
    picture = Image.new("RGB", (60, 40), (200, 100, 50))
    picture.paste((10, 10, 10), (0, 0, 20, 20))  # upper left
    picture.save(path)

    def edited(effect: str) -> Image.Image:
        return Image.open(photos.edit(as_photos(path), effect)[0].path)

    assert edited("rotate_right").size == (40, 60) and close(edited("rotate_right").getpixel((35, 5)), (10, 10, 10), 25)
    assert close(edited("rotate_left").getpixel((5, 55)), (10, 10, 10), 25)
    assert close(edited("flip").getpixel((55, 5)), (10, 10, 10), 25)
    assert edited("square").size == (40, 40)
    gray = edited("grayscale").getpixel((50, 30))
    assert max(gray) - min(gray) < 4
    assert edited("sepia").getpixel((50, 30))[0] > edited("sepia").getpixel((50, 30))[2] + 20
    assert sum(edited("brighten").getpixel((50, 30))) > 350
    assert edited("blur").size == edited("sharpen").size == (60, 40)
