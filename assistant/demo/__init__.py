"""A small photo library that is drawn, not photographed, so that everything runs on a machine without photos."""

from .library import draw

__all__ = ["draw"]
