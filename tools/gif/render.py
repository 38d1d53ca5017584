"""Draws the animation: one canvas, a palette for each frame, no metadata, and few enough bytes for a message."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.plugin import Gif, Photo, context

from ..frames import canvas, fit, load
from .palette import quantize

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = {"small": 320, "medium": 480, "large": 720}  # pixels of the long side
MAX_PHOTOS = 100
MAX_BYTES = 10 << 20  # what mail servers and messengers take without complaint
SHORTEST, MOST_SECONDS = 0.02, 60.0  # players slow anything faster down to a tenth of a second
FILE = "animation.gif"


def animate(photos: Sequence[Photo], seconds: float, size: str, loop: bool, bounce: bool) -> Gif:
    """The photos as a GIF in the current folder. Raises ValueError for limits and when no photo can be opened."""
    if not photos:
        raise ValueError("there are no photos to make a GIF of")
    if len(photos) > MAX_PHOTOS:
        raise ValueError(f"a GIF of {len(photos)} photos would be too large; at most {MAX_PHOTOS}, or make a video")
    if not SHORTEST <= seconds <= MOST_SECONDS:
        raise ValueError(f"{seconds:g} seconds per photo is not possible; between {SHORTEST:g} and {MOST_SECONDS:g}")
    longest = LONGEST[size]
    pictures = load(photos, (longest, longest))
    frames = [fit(p, canvas(pictures, longest)) for p in pictures]
    data = encode(frames, seconds, loop, bounce)
    while len(data) > MAX_BYTES:  # the same frames, smaller
        scale = max(0.5, min(0.9, (MAX_BYTES / len(data)) ** 0.5 * 0.97))
        width, height = (max(2, round(side * scale)) for side in frames[0].size)
        frames = [f.resize((width, height), reducing_gap=2) for f in frames]
        data = encode(frames, seconds, loop, bounce)
    Path(FILE).write_bytes(data)
    return Gif(path=Path(FILE), name=FILE, media_type="image/gif")


def encode(frames: Sequence[Image], seconds: float, loop: bool, bounce: bool) -> bytes:
    """RGB frames of one size as the bytes of a GIF."""
    progress, drawn = context().progress, []
    for n, frame in enumerate(frames):
        drawn.append(quantize(frame))
        progress(0.6 + 0.4 * (n + 1) / len(frames), "drawing")
    if bounce:
        drawn += drawn[-2:0:-1]
    out = BytesIO()
    again = {"loop": 0} if loop else {}
    # disposal 1 and no transparency: every frame is whole, as each has colours of its own
    drawn[0].save(out, "GIF", save_all=True, append_images=drawn[1:], duration=round(seconds * 100) * 10, disposal=1,
                  optimize=False, **again)  # fmt: skip
    return out.getvalue()
