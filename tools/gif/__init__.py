"""Animated GIFs from photos."""

from __future__ import annotations

from typing import Literal

from assistant.plugin import Gif, Photo, tool


@tool(examples=["make a GIF of them", "a slow bouncing gif of my last eight photos, one second each"])
def create(
    photos: list[Photo],
    seconds_per_photo: float = 0.5,
    size: Literal["small", "medium", "large"] = "medium",
    loop: bool = True,
    bounce: bool = False,
) -> Gif:
    """Make an animated GIF from photos.

    Args:
        photos: the photos, in order
        seconds_per_photo: how long each photo shows
        size: how large the picture is
        loop: repeat forever
        bounce: play forwards and then backwards
    """
    from .render import animate

    return animate(photos, seconds_per_photo, size, loop, bounce)
