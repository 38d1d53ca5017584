"""The user's photo library: choose photos, edit copies of them, group them in albums."""

from __future__ import annotations

from typing import Literal

from assistant.plugin import Album, Photo, Spoken, tool


@tool(
    examples=[
        "my five most recent photos",
        "photos of my dog from last weekend",
        "every picture with Priya at the lake in 2023",
        "the latest screenshot",
    ]
)
def select(
    count: int | None = None,
    order: Literal["newest", "oldest", "random"] = "newest",
    taken: Spoken | None = None,
    about: Spoken | None = None,
    place: Spoken | None = None,
    people: list[Spoken] = [],  # noqa: B006
    album: Spoken | None = None,
    favorites: bool = False,
    kind: Literal["photo", "screenshot"] = "photo",
) -> list[Photo]:
    """Find photos in the user's library.

    Args:
        count: how many at most; all when not said
        order: which come first
        taken: when they were taken
        about: what is in them
        place: where they were taken
        people: who is in them
        album: the album they are in
        favorites: only favourites
        kind: photos or screenshots
    """
    from .query import Wanted, choose

    return choose(Wanted(count, order, taken, about, place, tuple(people), album, favorites, kind))


@tool(examples=["make them black and white", "rotate it to the left", "crop those square"], effect="create")
def edit(
    photos: list[Photo],
    effect: Literal[
        "grayscale", "sepia", "rotate_left", "rotate_right", "flip", "square", "brighten", "sharpen", "blur"
    ],
) -> list[Photo]:
    """Make edited copies of photos.

    Args:
        photos: the photos to edit
        effect: what to do to them
    """
    from .effects import apply

    return apply(photos, effect)


@tool(examples=["put them in the album Summer", "add my last three photos to Garden"], effect="create")
def add_to_album(photos: list[Photo], album: Spoken) -> Album:
    """Put photos into an album.

    Args:
        photos: the photos to add
        album: the name of the album
    """
    from .albums import add

    return add(photos, album)
