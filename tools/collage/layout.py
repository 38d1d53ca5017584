"""Lays photos out side by side: rows of equal height that fill the width, every photo whole, in the order given."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.plugin import Image as Picture
from assistant.plugin import Photo

from ..frames import load

if TYPE_CHECKING:
    from PIL.Image import Image

WIDTH = 2000
GAP = 16
PAPER = (250, 249, 246)
MAX_PHOTOS = 100
MAX_HEIGHT = 8000
FILE = "collage.jpg"


def arrange(photos: Sequence[Photo], columns: int | None) -> Picture:
    """The photos as one picture in the current folder. Raises ValueError for limits and when none can be opened."""
    if not photos:
        raise ValueError("there are no photos to make a collage of")
    if len(photos) > MAX_PHOTOS:
        raise ValueError(f"a collage of {len(photos)} photos would be a mosaic; at most {MAX_PHOTOS}")
    if columns is not None and not 1 <= columns <= 20:
        raise ValueError(f"{columns} columns are not possible; between 1 and 20")
    guess = columns or max(1, round(math.sqrt(len(photos))))
    side = min(2 * WIDTH // guess, WIDTH)
    pictures = load(photos, (side, side))
    rows = [pictures[i : i + columns] for i in range(0, len(pictures), columns)] if columns else even_rows(pictures)
    sheet = draw(rows)
    sheet.save(FILE, "JPEG", quality=90, optimize=True, progressive=True)
    return Picture(path=Path(FILE), name=FILE, media_type="image/jpeg")


def even_rows(pictures: Sequence[Image]) -> list[list[Image]]:
    """Rows as equal in height as the order allows: the breaks with the least sum of squares."""
    ratios = [p.width / p.height for p in pictures]
    total = sum(ratios)
    count = max(1, round(math.sqrt(total / 1.2)))  # the sheet comes out about 6 to 5
    wanted = total / count
    best: list[tuple[float, int]] = [(0.0, 0)]
    for end in range(1, len(ratios) + 1):
        costs = [(best[start][0] + (sum(ratios[start:end]) - wanted) ** 2, start) for start in range(end)]
        best.append(min(costs))
    rows: list[list[Image]] = []
    end = len(ratios)
    while end:
        start = best[end][1]
        rows.insert(0, list(pictures[start:end]))
        end = start
    return rows


def draw(rows: Sequence[Sequence[Image]]) -> Image:
    """The rows on paper, each as wide as the sheet; an unfinished last row stands in the middle."""
    from PIL import Image as pil

    fullest = max(len(row) for row in rows)
    heights = [(WIDTH - GAP * (len(row) + 1)) / sum(p.width / p.height for p in row) for row in rows]
    if len(rows) > 1 and len(rows[-1]) < fullest:  # an unfinished last row is no taller than the tallest before it
        heights[-1] = min(heights[-1], max(heights[:-1]))
    scale = min(1.0, MAX_HEIGHT / (sum(heights) + GAP * (len(rows) + 1)))
    sheet = pil.new("RGB", (round(WIDTH * scale), round((sum(heights) + GAP * (len(rows) + 1)) * scale)), PAPER)
    y = float(GAP)
    for row, height in zip(rows, heights, strict=True):
        widths = [height * p.width / p.height for p in row]
        x = (WIDTH - sum(widths) - GAP * (len(row) - 1)) / 2
        for picture, width in zip(row, widths, strict=True):
            box = [round(v * scale) for v in (x, y, x + width, y + height)]
            size = max(1, box[2] - box[0]), max(1, box[3] - box[1])
            sheet.paste(picture.resize(size, pil.Resampling.LANCZOS), (box[0], box[1]))
            x += width + GAP
        y += height + GAP
    return sheet
