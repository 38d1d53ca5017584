"""The list of what is photographed in the demo library."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
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
    """One photo. days: before today; hour: the clock where it was taken."""

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


def shots(now: dt.datetime) -> list[Shot]:
    """All photos, the last weekend counted from `now`."""
    saturday = float((now.weekday() - 5) % 7 or 7)  # days ago; said on a Saturday, the one before
    if now.weekday() == 6:
        saturday = 8.0  # on a Sunday the weekend is still on
    summer = float((now.date() - _latest(now, 7, 12)).days)
    winter = float((now.date() - _latest(now, 2, 8)).days)
    autumn = float((now.date() - _latest(now, 10, 10)).days)
    s, cat, dog = scenes, still.cat, still.dog
    lake = partial(Shot, "Weekend at the Lake", where=BLED, zone="Europe/Ljubljana")
    italy = partial(Shot, "Summer in Italy", camera=FUJI, zone="Europe/Rome", offset=False)
    norway = partial(Shot, "Norway", camera=NIKON, where=TROMSO, zone="Europe/Oslo", offset=False)
    luna = partial(Shot, "Luna", camera=PIXEL, where=BERLIN)
    party = partial(Shot, "Priya's Birthday", camera=CANON, where=BERLIN, offset=False)
    roll = partial(Shot, "Camera Roll", where=BERLIN)
    lisbon = partial(Shot, "Lisbon", camera=CANON, where=LISBON, zone="Europe/Lisbon", shape="classic")
    return [
        lake(
            "Morning on the lake",
            partial(s.lake, light="dawn"),
            saturday,
            7.2,
            keywords=("lake", "morning", "water"),
            rating=5,
        ),
        lake("The jetty", s.lake, saturday, 10.5, keywords=("lake", "jetty")),
        lake(
            "Alice and Bob",
            partial(still.people, faces=2),
            saturday,
            12.1,
            people=(ALICE, BOB),
            keywords=("picnic", "friends"),
            shape="tall",
            turned=6,
        ),
        lake(
            "Above the valley",
            s.mountains,
            saturday,
            14.6,
            keywords=("mountains", "hike"),
            camera=CANON,
            shape="classic",
        ),
        lake(
            "Last light",
            partial(s.mountains, light="dusk"),
            saturday - 1,
            16.3,
            keywords=("mountains", "sunset"),
            rating=5,
            camera=CANON,
        ),
        lake("Sailing home", partial(s.sea, light="dusk"), saturday - 1, 17.1, keywords=("boat", "sunset", "lake")),
        lake(
            "Three of us",
            partial(still.people, faces=3),
            saturday - 1,
            13.4,
            people=(ALICE, BOB, PRIYA),
            keywords=("friends", "picnic"),
            rating=4,
        ),
        lake(
            "Campfire night", s.night, saturday, 22.4, keywords=("stars", "night", "campfire"), shape="tall", turned=8
        ),
        roll("Coffee", still.coffee, 0, 6.1, keywords=("coffee", "breakfast"), shape="square"),
        roll(
            "Sunrise over the roofs",
            partial(s.city, light="dawn", old=True),
            0,
            5.6,
            keywords=("city", "sunrise"),
            rating=4,
        ),
        roll(
            "Ramen with Priya",
            still.ramen,
            1,
            19.4,
            keywords=("food", "noodles", "dinner"),
            people=(PRIYA,),
            shape="square",
        ),
        roll(
            "City lights", partial(s.city, light="night"), 1, 21.2, keywords=("city", "night"), shape="tall", turned=6
        ),
        roll("Walking Bruno", dog, 2, 9.3, keywords=("dog", "Bruno", "park"), shape="classic"),
        roll("Pizza Friday", still.pizza, 3, 20.1, keywords=("food", "pizza", "dinner"), shape="square"),
        roll("Tulips", s.flowers, 4, 11.0, keywords=("flowers", "garden")),
        *(
            roll(
                f"Bruno jumps {n}",
                partial(dog, jump=0.1 + 0.02 * n),
                2,
                9.4 + n * 0.0001,
                camera=CANON,
                keywords=("dog", "Bruno", "ball"),
            )
            for n in range(3)
        ),
        italy(
            "Rome at dusk",
            partial(s.city, light="dusk", old=True),
            summer,
            20.6,
            where=ROME,
            keywords=("city", "sunset"),
            rating=4,
        ),
        italy("Pizza in Trastevere", still.pizza, summer, 21.3, where=ROME, keywords=("food", "pizza"), people=(BOB,)),
        italy(
            "Roofs of Rome",
            partial(s.city, light="day", old=True),
            summer - 1,
            9.8,
            where=ROME,
            keywords=("city", "roofs"),
            shape="tall",
            turned=8,
        ),
        italy(
            "Lagoon",
            partial(s.sea, light="dawn"),
            summer - 4,
            6.2,
            where=VENICE,
            keywords=("sea", "sunrise", "boat"),
            rating=5,
        ),
        italy("Lido", s.beach, summer - 4, 13.5, where=VENICE, keywords=("beach", "umbrella", "sea")),
        italy(
            "Alice on the beach",
            partial(still.people, faces=1),
            summer - 5,
            12.2,
            where=VENICE,
            people=(ALICE,),
            keywords=("beach",),
            shape="tall",
        ),
        italy("Evening espresso", still.coffee, summer - 5, 18.0, where=VENICE, keywords=("coffee",)),
        norway(
            "Northern lights",
            partial(s.night, aurora=True),
            winter,
            22.9,
            keywords=("aurora", "night", "stars"),
            rating=5,
        ),
        norway(
            "Aurora again",
            partial(s.night, aurora=True),
            winter - 1,
            23.4,
            keywords=("aurora", "night"),
            shape="tall",
            turned=6,
        ),
        norway("Our snowman", s.snow, winter - 1, 12.3, keywords=("snow", "snowman", "winter"), rating=4),
        norway("Fjord", partial(s.lake, light="dusk"), winter - 2, 13.1, keywords=("fjord", "water")),
        norway(
            "Peaks",
            partial(s.mountains, light="dawn"),
            winter - 2,
            9.7,
            keywords=("mountains", "snow"),
            shape="classic",
        ),
        luna("Luna on the rug", cat, 6, 17.2, keywords=("cat", "Luna", "pet"), rating=5, shape="tall", turned=6),
        luna("Luna asleep", partial(cat, sleepy=True), 9, 14.4, keywords=("cat", "Luna", "sleeping")),
        luna(
            "Visitor",
            partial(cat, fur=(96, 98, 106), wall=(196, 156, 130)),
            12,
            18.9,
            keywords=("cat", "grey cat"),
            shape="square",
        ),
        luna(
            "Midnight",
            partial(cat, fur=(58, 54, 60), wall=(170, 150, 186)),
            20,
            20.2,
            keywords=("cat", "black cat"),
            turned=3,
        ),
        party("The cake", still.cake, 33, 19.2, keywords=("cake", "birthday", "candles"), people=(), rating=4),
        party(
            "Priya and the crowd",
            partial(still.people, faces=4, place="party"),
            33,
            19.6,
            people=(PRIYA, ALICE, BOB),
            keywords=("birthday", "party"),
            rating=5,
        ),
        party(
            "Priya",
            partial(still.people, faces=1, place="party"),
            33,
            20.0,
            people=(PRIYA,),
            keywords=("birthday", "portrait"),
            shape="tall",
            turned=8,
        ),
        party("Fireworks", s.fireworks, 33, 23.0, keywords=("fireworks", "night")),
        lisbon("Alfama", partial(s.city, light="day", old=True), 400, 11.3, keywords=("city", "roofs")),
        lisbon("The river", partial(s.sea, light="dusk", boat=False), 401, 19.8, keywords=("sunset", "river")),
        lisbon("Balloons", s.balloons, 402, 8.4, keywords=("balloons", "sky"), rating=4),
        Shot(
            "Autumn Walk",
            "Golden path",
            s.woods,
            autumn,
            15.1,
            PIXEL,
            BERLIN,
            keywords=("trees", "leaves", "autumn"),
            rating=4,
        ),
        Shot(
            "Autumn Walk",
            "Under the trees",
            s.woods,
            autumn,
            15.4,
            PIXEL,
            BERLIN,
            keywords=("trees", "leaves"),
            shape="tall",
            turned=6,
        ),
        Shot(
            "Autumn Walk",
            "Green corner",
            partial(s.woods, autumn=False),
            autumn,
            15.8,
            PIXEL,
            BERLIN,
            keywords=("trees", "forest"),
        ),
    ]


def _latest(now: dt.datetime, month: int, day: int) -> dt.date:
    date = now.date().replace(month=month, day=day)
    return date if date < now.date() - dt.timedelta(14) else date.replace(year=date.year - 1)
