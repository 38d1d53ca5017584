"""Collages: several photos in one picture."""

from __future__ import annotations

from assistant.plugin import Image, Photo, tool


@tool(examples=["make a collage of them", "put my last six photos in a collage with three columns"])
def create(photos: list[Photo], columns: int | None = None) -> Image:
    """Put photos together in one picture.

    Args:
        photos: the photos, in order
        columns: how many photos side by side
    """
    from .layout import arrange

    return arrange(photos, columns)
