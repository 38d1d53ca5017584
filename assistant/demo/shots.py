"""What is photographed in the demo library, as a table by album."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from . import scenes, still
from .brush import Painting

PHONE, PIXEL, CANON = ("Apple", "iPhone 15 Pro"), ("Google", "Pixel 8"), ("Canon", "Canon EOS R6")
FUJI, NIKON = ("FUJIFILM", "X-T4"), ("NIKON CORPORATION", "NIKON D7500")
BLED, ROME, VENICE = (46.3636, 14.0938), (41.8925, 12.4853), (45.4341, 12.3388)
TROMSO, LISBON, BERLIN = (69.6496, 18.9560), (38.7139, -9.1394), (52.5163, 13.3777)
ALICE, BOB, PRIYA = "Alice Chen", "Bob Okafor", "Priya Raman"


@dataclass(frozen=True)
class Shot:
    """One photo. days: before today (in the table: before its album's first day); hour: by the clock of the place."""

    album: str
    title: str
    paint: Callable[[Painting], Any]
    days: float
    hour: float
    camera: tuple[str, str] = PHONE
    where: tuple[float, float] | None = None
    zone: str = "Europe/Berlin"
    keywords: tuple[str, ...] = ()
    people: tuple[str, ...] = ()
    rating: int = 0
    shape: str = "wide"
    turned: int = 1
    offset: bool = True


def _shot(
    album: str, title: str, paint: Callable[[Painting], Any], days: float, hour: float, keywords: str, **more: Any
) -> Shot:
    return Shot(album, title, paint, days, hour, keywords=tuple(keywords.split(", ")), **more)


lake = partial(_shot, "Weekend at the Lake", where=BLED, zone="Europe/Ljubljana")
roll = partial(_shot, "Camera Roll", where=BERLIN)
italy = partial(_shot, "Summer in Italy", camera=FUJI, zone="Europe/Rome", offset=False)
norway = partial(_shot, "Norway", camera=NIKON, where=TROMSO, zone="Europe/Oslo", offset=False)
luna = partial(_shot, "Luna", camera=PIXEL, where=BERLIN)
party = partial(_shot, "Priya's Birthday", camera=CANON, where=BERLIN, offset=False)
lisbon = partial(_shot, "Lisbon", camera=CANON, where=LISBON, zone="Europe/Lisbon", shape="classic")
walk = partial(_shot, "Autumn Walk", camera=PIXEL, where=BERLIN)
SHOTS = [
    lake("Morning on the lake", partial(scenes.lake, light="dawn"), 0, 7.2, "lake, morning, water", rating=5),
    lake("The jetty", scenes.lake, 0, 10.5, "lake, jetty"),
    lake("Alice and Bob", partial(still.people, faces=2), 0, 12.1, "picnic, friends", people=(ALICE, BOB),
         shape="tall", turned=6),
    lake("Above the valley", scenes.mountains, 0, 14.6, "mountains, hike", camera=CANON, shape="classic"),
    lake("Last light", partial(scenes.mountains, light="dusk"), -1, 16.3, "mountains, sunset", rating=5,
         camera=CANON),
    lake("Sailing home", partial(scenes.sea, light="dusk"), -1, 17.1, "boat, sunset, lake"),
    lake("Three of us", partial(still.people, faces=3), -1, 13.4, "friends, picnic", people=(ALICE, BOB, PRIYA),
         rating=4),
    lake("Campfire night", scenes.night, 0, 22.4, "stars, night, campfire", shape="tall", turned=8),
    roll("Coffee", still.coffee, 0, 6.1, "coffee, breakfast", shape="square"),
    roll("Sunrise over the roofs", partial(scenes.city, light="dawn", old=True), 0, 5.6, "city, sunrise", rating=4),
    roll("Ramen with Priya", still.ramen, 1, 19.4, "food, noodles, dinner", people=(PRIYA,), shape="square"),
    roll("City lights", partial(scenes.city, light="night"), 1, 21.2, "city, night", shape="tall", turned=6),
    roll("Walking Bruno", still.dog, 2, 9.3, "dog, Bruno, park", shape="classic"),
    roll("Pizza Friday", still.pizza, 3, 20.1, "food, pizza, dinner", shape="square"),
    roll("Tulips", scenes.flowers, 4, 11.0, "flowers, garden"),
    *(roll(f"Bruno jumps {n}", partial(still.dog, jump=0.1 + 0.02 * n), 2, 9.4 + n * 0.0001, "dog, Bruno, ball",
           camera=CANON) for n in range(3)),
    italy("Rome at dusk", partial(scenes.city, light="dusk", old=True), 0, 20.6, "city, sunset", where=ROME,
         rating=4),
    italy("Pizza in Trastevere", still.pizza, 0, 21.3, "food, pizza", where=ROME, people=(BOB,)),
    italy("Roofs of Rome", partial(scenes.city, light="day", old=True), -1, 9.8, "city, roofs", where=ROME,
         shape="tall", turned=8),
    italy("Lagoon", partial(scenes.sea, light="dawn"), -4, 6.2, "sea, sunrise, boat", where=VENICE, rating=5),
    italy("Lido", scenes.beach, -4, 13.5, "beach, umbrella, sea", where=VENICE),
    italy("Alice on the beach", partial(still.people, faces=1), -5, 12.2, "beach", where=VENICE, people=(ALICE,),
         shape="tall"),
    italy("Evening espresso", still.coffee, -5, 18.0, "coffee", where=VENICE),
    norway("Northern lights", partial(scenes.night, aurora=True), 0, 22.9, "aurora, night, stars", rating=5),
    norway("Aurora again", partial(scenes.night, aurora=True), -1, 23.4, "aurora, night", shape="tall", turned=6),
    norway("Our snowman", scenes.snow, -1, 12.3, "snow, snowman, winter", rating=4),
    norway("Fjord", partial(scenes.lake, light="dusk"), -2, 13.1, "fjord, water"),
    norway("Peaks", partial(scenes.mountains, light="dawn"), -2, 9.7, "mountains, snow", shape="classic"),
    luna("Luna on the rug", still.cat, 6, 17.2, "cat, Luna, pet", rating=5, shape="tall", turned=6),
    luna("Luna asleep", partial(still.cat, sleepy=True), 9, 14.4, "cat, Luna, sleeping"),
    luna("Visitor", partial(still.cat, fur=(96, 98, 106), wall=(196, 156, 130)), 12, 18.9, "cat, grey cat",
         shape="square"),
    luna("Midnight", partial(still.cat, fur=(58, 54, 60), wall=(170, 150, 186)), 20, 20.2, "cat, black cat",
         turned=3),
    party("The cake", still.cake, 0, 19.2, "cake, birthday, candles", rating=4),
    party("Priya and the crowd", partial(still.people, faces=4, place="party"), 0, 19.6, "birthday, party",
         people=(PRIYA, ALICE, BOB), rating=5),
    party("Priya", partial(still.people, faces=1, place="party"), 0, 20.0, "birthday, portrait", people=(PRIYA,),
         shape="tall", turned=8),
    party("Fireworks", scenes.fireworks, 0, 23.0, "fireworks, night"),
    lisbon("Alfama", partial(scenes.city, light="day", old=True), 0, 11.3, "city, roofs"),
    lisbon("The river", partial(scenes.sea, light="dusk", boat=False), 1, 19.8, "sunset, river"),
    lisbon("Balloons", scenes.balloons, 2, 8.4, "balloons, sky", rating=4),
    walk("Golden path", scenes.woods, 0, 15.1, "trees, leaves, autumn", rating=4),
    walk("Under the trees", scenes.woods, 0, 15.4, "trees, leaves", shape="tall", turned=6),
    walk("Green corner", partial(scenes.woods, autumn=False), 0, 15.8, "trees, forest"),
]  # fmt: skip


def shots(now: dt.datetime) -> list[Shot]:
    """All photos, the last weekend counted from `now`."""
    first = {
        "Weekend at the Lake": _saturday(now), "Summer in Italy": _since(now, 7, 12), "Norway": _since(now, 2, 8),
        "Autumn Walk": _since(now, 10, 10), "Priya's Birthday": 33, "Lisbon": 400,
    }  # fmt: skip
    return [replace(shot, days=float(first.get(shot.album, 0) + shot.days)) for shot in SHOTS]


def _saturday(now: dt.datetime) -> int:
    """Days since the Saturday of the last weekend that is over."""
    if now.weekday() == 6:
        return 8  # on a Sunday the weekend is still on
    return (now.weekday() - 5) % 7 or 7  # said on a Saturday, the one before


def _since(now: dt.datetime, month: int, day: int) -> int:
    """Days since the latest such date that is more than two weeks ago."""
    date = now.date().replace(month=month, day=day)
    return (now.date() - (date if date < now.date() - dt.timedelta(14) else date.replace(year=date.year - 1))).days
