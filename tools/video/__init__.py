"""Video slide shows from photos."""

from __future__ import annotations

from assistant.plugin import Photo, Video, tool


@tool(examples=["make a video of them", "a slide show of last weekend with three seconds per photo"])
def create(photos: list[Photo], seconds_per_photo: float = 2) -> Video:
    """Make a video slide show from photos.

    Args:
        photos: the photos, in order
        seconds_per_photo: how long each photo shows
    """
    from .render import film

    return film(photos, seconds_per_photo)
