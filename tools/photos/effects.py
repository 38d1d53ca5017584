"""Edits copies of photos; the originals stay as they are. The copies carry no position and no other metadata."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.plugin import Photo, context

from ..pictures import Unusable, decode
from .metadata import clean

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 4096
MAX_PHOTOS = 200


def apply(photos: Sequence[Photo], effect: str) -> list[Photo]:
    """Edited JPEG copies in the current folder, in order. Raises ValueError when a photo cannot be opened."""
    if not photos:
        raise ValueError("there are no photos to edit")
    if len(photos) > MAX_PHOTOS:
        raise ValueError(f"{len(photos)} photos are too many to edit at once; at most {MAX_PHOTOS}")
    return [_one(photo, effect, n, len(photos)) for n, photo in enumerate(photos, 1)]


def _one(photo: Photo, effect: str, n: int, total: int) -> Photo:
    label = photo.name or photo.path.name
    try:
        picture = decode(photo.path, (LONGEST, LONGEST))
    except Unusable as error:
        raise ValueError(f"{label} cannot be edited: {error}") from error
    path = Path(f"{n:03}_{effect}.jpg")
    EFFECTS[effect](picture).save(path, "JPEG", quality=92)
    context().progress(n / total, f"{n} of {total}")
    name = f"{clean(Path(label).stem)} ({effect.replace('_', ' ')}).jpg"
    return Photo(path=path, name=name, media_type="image/jpeg", taken=photo.taken)


def _sepia(picture: Image) -> Image:
    from PIL import ImageOps

    return ImageOps.colorize(ImageOps.grayscale(picture), (30, 18, 8), (255, 244, 220), (158, 120, 80))


def _square(picture: Image) -> Image:
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    return picture.crop((left, top, left + side, top + side))


def _brighten(picture: Image) -> Image:
    """Lifts shadows and middle tones and leaves the lights alone: a gamma curve, so that nothing is blown out."""
    return picture.point([round(255 * (v / 255) ** 0.72) for v in range(256)] * 3)


def _sharpen(picture: Image) -> Image:
    from PIL import ImageFilter

    return picture.filter(ImageFilter.UnsharpMask(radius=max(1.0, max(picture.size) / 1500), percent=110, threshold=2))


def _blur(picture: Image) -> Image:
    from PIL import ImageFilter

    return picture.filter(ImageFilter.GaussianBlur(max(picture.size) / 120))


def _grayscale(picture: Image) -> Image:
    return picture.convert("L").convert("RGB")


def _turned(how: str) -> Callable[[Image], Image]:
    def turn(picture: Image) -> Image:
        from PIL import Image as pil

        return picture.transpose(pil.Transpose[how])

    return turn


EFFECTS: dict[str, Callable[[Image], Image]] = {
    "grayscale": _grayscale,
    "sepia": _sepia,
    "rotate_left": _turned("ROTATE_90"),
    "rotate_right": _turned("ROTATE_270"),
    "flip": _turned("FLIP_LEFT_RIGHT"),
    "square": _square,
    "brighten": _brighten,
    "sharpen": _sharpen,
    "blur": _blur,
}
