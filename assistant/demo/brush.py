"""What the scenes are painted with: skies, hills, shapes with smooth edges, grain.

A painting is an RGB image at twice the final size; coordinates run from 0 to 1 in both directions, sizes are shares of
the height.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageChops, ImageDraw

Color = tuple[int, int, int]
Point = tuple[float, float]
SCALE = 2


class Painting:
    """A canvas of `width` × `height` pixels with its own random numbers."""

    def __init__(self, width: int, height: int, seed: int) -> None:
        self.size = width, height
        self.random = np.random.default_rng(seed)
        self.image = Image.new("RGB", (width * SCALE, height * SCALE))
        self.pen = ImageDraw.Draw(self.image, "RGBA")

    @property
    def aspect(self) -> float:
        return self.size[0] / self.size[1]

    def xy(self, point: Point) -> Point:
        return point[0] * self.image.width, point[1] * self.image.height

    def length(self, share: float) -> float:
        return share * self.image.height

    def sky(self, *stops: Color, bottom: float = 1.0) -> None:
        """A vertical gradient through the stops, from the top to `bottom`."""
        rows = max(2, round(self.image.height * bottom))
        at = np.linspace(0, len(stops) - 1, rows)
        colors = np.stack([np.interp(at, range(len(stops)), [s[c] for s in stops]) for c in range(3)], 1)
        colors = colors[:, None, :] + self.random.normal(0, 0.8, (rows, 1, 3))  # against bands
        strip = Image.fromarray(np.clip(colors, 0, 255).astype(np.uint8))
        self._redraw(lambda image: image.paste(strip.resize((image.width, rows), Image.Resampling.NEAREST), (0, 0)))

    def _redraw(self, change: Any) -> None:
        change(self.image)
        self.pen = ImageDraw.Draw(self.image, "RGBA")

    def disc(self, center: Point, radius: float, color: Sequence[int]) -> None:
        self.oval(center, radius, radius, color)

    def oval(self, center: Point, rx: float, ry: float, color: Sequence[int]) -> None:
        """An ellipse with half axes that are shares of the height."""
        x, y = self.xy(center)
        a, b = self.length(rx), self.length(ry)
        self.pen.ellipse((x - a, y - b, x + a, y + b), fill=tuple(color))

    def shape(self, points: Sequence[Point], color: Sequence[int]) -> None:
        self.pen.polygon([self.xy(p) for p in points], fill=tuple(color))

    def line(self, points: Sequence[Point], width: float, color: Sequence[int]) -> None:
        pixels = max(1, round(self.length(width)))
        self.pen.line([self.xy(p) for p in points], fill=tuple(color), width=pixels, joint="curve")

    def box(self, start: Point, end: Point, color: Sequence[int], radius: float = 0.0) -> None:
        (x0, y0), (x1, y1) = self.xy(start), self.xy(end)
        if x1 <= x0 or y1 <= y0:
            return
        if radius:
            self.pen.rounded_rectangle((x0, y0, x1, y1), self.length(radius), fill=tuple(color))
        else:
            self.pen.rectangle((x0, y0, x1, y1), fill=tuple(color))

    def glow(self, center: Point, radius: float, color: Color, strength: float = 1.0) -> None:
        """Light that fades outwards, added to what is there."""
        (x, y), reach = self.xy(center), self.length(2.2 * radius)
        box = (max(0, round(x - reach)), max(0, round(y - reach)),
               min(self.image.width, round(x + reach)), min(self.image.height, round(y + reach)))  # fmt: skip
        width, height = box[2] - box[0], box[3] - box[1]
        if width < 1 or height < 1:
            return
        across, down = (np.linspace(box[i], box[i + 2], max(2, size // 16)) for i, size in ((0, width), (1, height)))
        distance = np.hypot(across[None, :] - x, down[:, None] - y) / self.length(radius)
        light = np.exp(-(distance**2)) * strength
        layer = Image.fromarray(np.clip(light[..., None] * np.array(color), 0, 255).astype(np.uint8))
        layer = layer.resize((width, height), Image.Resampling.BILINEAR)
        lit = ImageChops.add(self.image.crop(box), layer)
        self._redraw(lambda image: image.paste(lit, box[:2]))

    def ridge(
        self, base: float, rough: float, color: Color, octaves: int = 6, fade: Color | None = None
    ) -> list[Point]:
        """A hill or mountain line around the height `base`, filled down to the bottom; returns its outline."""
        x = np.linspace(0, 1, 240)
        y = np.full_like(x, base)
        for octave in range(octaves):
            knots = self.random.normal(0, rough / 1.9**octave, 3 * 2**octave + 2)
            y += np.interp(x, np.linspace(0, 1, len(knots)), knots)
        line = list(zip(x.tolist(), y.tolist(), strict=True))
        self.shape([*line, (1, 1), (0, 1)], color)
        if fade:
            for n in range(7):  # mist at the foot
                self.box((0, base + rough + n * 0.024), (1, 1), (*fade, 30))
        return line

    def scatter(self, count: int, top: float, bottom: float) -> list[Point]:
        points = self.random.uniform((0, top), (1, bottom), (count, 2))
        return [(float(x), float(y)) for x, y in points[np.argsort(points[:, 1])]]

    def cloud(self, center: Point, size: float, color: Sequence[int] = (255, 255, 255, 110)) -> None:
        for dx, dy, r in ((-0.9, 0.1, 0.5), (-0.35, -0.15, 0.7), (0.25, -0.2, 0.75), (0.85, 0.08, 0.5), (0, 0.15, 0.6)):
            self.oval((center[0] + dx * size / self.aspect, center[1] + dy * size), r * size, r * size * 0.62, color)

    def finish(self, grain: float = 2.2, vignette: float = 0.16) -> Image.Image:
        """The picture at its final size, with the grain of a sensor and slightly darker corners."""
        pixels = np.asarray(self.image.reduce(SCALE), np.float32)
        height, width, _ = pixels.shape
        y, x = (np.linspace(-1, 1, n, dtype=np.float32) for n in (height, width))
        distance = (x[None, :] ** 2 + y[:, None] ** 2) / 2
        shade = 1 - vignette * distance * np.sqrt(distance)
        noise = grain * self.random.standard_normal((height, width), np.float32)
        return Image.fromarray(np.clip(pixels * shade[..., None] + noise[..., None], 0, 255).astype(np.uint8))
