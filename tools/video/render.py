"""Films a slide show: H.264 in MP4 with the index in front, which phones, browsers and messengers play."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from assistant.plugin import Photo, Video, context

from ..frames import canvas, fit, load

if TYPE_CHECKING:
    from PIL.Image import Image

LONGEST = 1280
FRAMES_PER_SECOND = 25
FADE_SECONDS = 0.4
MAX_SECONDS = 600
MAX_PHOTOS = 200
SHORTEST = 0.1
FILE = "slideshow.mp4"


def film(photos: Sequence[Photo], seconds: float) -> Video:
    """The photos as a video in the current folder. Raises ValueError for limits and when no photo can be opened."""
    if not photos:
        raise ValueError("there are no photos to make a video of")
    if len(photos) > MAX_PHOTOS:
        raise ValueError(f"a video of {len(photos)} photos would be too long; at most {MAX_PHOTOS}")
    if seconds < SHORTEST or seconds * len(photos) > MAX_SECONDS:
        raise ValueError(f"{seconds:g} seconds for each of {len(photos)} photos are not possible; at least {SHORTEST:g}"
                         f", and at most {MAX_SECONDS // 60} minutes in all")  # fmt: skip
    pictures = load(photos, (LONGEST, LONGEST), share=0.3)
    size = canvas(pictures, LONGEST)
    _encode(pictures, size, seconds)
    return Video(path=Path(FILE), name=FILE, media_type="video/mp4")


def _encode(pictures: Sequence[Image], size: tuple[int, int], seconds: float) -> None:
    import av

    progress, total = context().progress, max(1, round(seconds * FRAMES_PER_SECOND)) * len(pictures)
    with av.open(FILE, "w", format="mp4", options={"movflags": "+faststart"}) as container:
        stream = container.add_stream("libx264", rate=FRAMES_PER_SECOND)
        stream.width, stream.height = size
        stream.pix_fmt = "yuv420p"
        stream.options = {"crf": "21", "preset": "veryfast", "tune": "stillimage"}
        stream.thread_count = 4
        for n, picture in enumerate(_frames(pictures, size, seconds)):
            frame = av.VideoFrame.from_image(picture)
            frame.pts = n
            container.mux(stream.encode(frame))
            if n % FRAMES_PER_SECOND == 0:
                progress(0.3 + 0.7 * n / total, f"second {n // FRAMES_PER_SECOND + 1}")
        container.mux(stream.encode())


def _frames(pictures: Sequence[Image], size: tuple[int, int], seconds: float) -> Iterator[Image]:
    """Each photo for its time, the last part of it fading into the next."""
    from PIL import Image as pil

    each = max(1, round(seconds * FRAMES_PER_SECOND))
    fade = min(round(FADE_SECONDS * FRAMES_PER_SECOND), each // 3)
    current = fit(pictures[0], size)
    for following in [*pictures[1:], None]:
        after = fit(following, size) if following is not None else None
        for n in range(each):
            step = n - (each - fade) + 1
            yield pil.blend(current, after, step / (fade + 1)) if after is not None and step > 0 else current
        current = after or current
