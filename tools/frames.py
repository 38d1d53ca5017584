"""Photos of all shapes on one canvas: what an animation and a slide show need.

A photo is fitted whole, never stretched; what it leaves open is filled with its own colours, blurred and darkened.
"""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import TYPE_CHECKING

from assistant.plugin import Photo, context

from .pictures import Unusable, decode

if TYPE_CHECKING:
    from PIL.Image import Image

NARROWEST, WIDEST = 9 / 16, 16 / 9
SLIVER = 0.06  # a border thinner than this share of the canvas is cut off the photo instead


def load(photos: Sequence[Photo], box: tuple[int, int], share: float = 0.6) -> list[Image]:
    """The photos that can be decoded, scaled into `box`; one that is broken does not spoil the rest.

    share: of the whole progress that this takes. Raises ValueError when none is left.
    """
    progress, pictures, faults = context().progress, [], []
    for n, photo in enumerate(photos):
        try:
            pictures.append(decode(photo.path, box))
        except Unusable as error:
            faults.append(f"{photo.name or photo.path.name}: {error}")
            progress(share * n / len(photos), f"left out {faults[-1]}")
        else:
            progress(share * (n + 1) / len(photos), f"photo {n + 1} of {len(photos)}")
    if not pictures:
        raise ValueError(f"none of the photos can be opened: {'; '.join(faults[:3])}")
    return pictures


def canvas(pictures: Sequence[Image], longest: int) -> tuple[int, int]:
    """The common size, even in both directions: the shape that most pictures have, `longest` on its long side."""
    ratio = statistics.median_low([p.width / p.height for p in pictures])
    ratio = min(max(ratio, NARROWEST), WIDEST)
    width, height = (longest, longest / ratio) if ratio >= 1 else (longest * ratio, longest)
    biggest = max(max(p.size) for p in pictures)
    scale = min(1.0, max(biggest, 64) / longest)  # small photos are not blown up
    return max(2, round(width * scale / 2) * 2), max(2, round(height * scale / 2) * 2)


def fit(picture: Image, size: tuple[int, int]) -> Image:
    """The picture on a canvas of `size`."""
    from PIL import Image as pil
    from PIL import ImageEnhance, ImageFilter, ImageOps

    width, height = size
    if picture.size == size:
        return picture
    scale = min(width / picture.width, height / picture.height)
    inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    if inner[0] >= width * (1 - SLIVER) and inner[1] >= height * (1 - SLIVER):
        return ImageOps.fit(picture, size, pil.Resampling.LANCZOS)
    tiny = ImageOps.fit(picture, (max(8, width // 12), max(8, height // 12)), pil.Resampling.BOX)
    ground = tiny.filter(ImageFilter.GaussianBlur(2.5)).resize(size, pil.Resampling.BICUBIC)
    ground = ImageEnhance.Brightness(ground).enhance(0.7)
    ground.paste(picture.resize(inner, pil.Resampling.LANCZOS), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return ground
