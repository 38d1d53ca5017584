"""XMP packets: keywords, titles, people, places, ratings and dates, wherever the common programs write them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

MAX_PACKET = 1 << 20
KEYWORDS = {"subject"}
CAPTIONS = {"title", "description", "Headline"}
TREES = {"hierarchicalSubject", "TagsList", "CatalogSets"}  # "People|Alice", "Places/Lisbon"
PEOPLE = {"PersonInImage", "PersonDisplayName"}
PLACES = {"City", "State", "Country", "Location", "Sublocation", "CountryName", "ProvinceState"}
DATES = ("DateTimeOriginal", "DateCreated", "CreateDate")
PEOPLE_BRANCHES = {"people", "person", "persons", "personen", "who"}


@dataclass
class Xmp:
    """What one packet says."""

    keywords: list[str] = field(default_factory=list)
    captions: list[str] = field(default_factory=list)
    people: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    dates: list[str] = field(default_factory=list)
    rating: int | None = None

    def extend(self, other: Xmp) -> None:
        for name in ("keywords", "captions", "people", "places", "dates"):
            getattr(self, name).extend(getattr(other, name))
        self.rating = other.rating if other.rating is not None else self.rating


def parse(packet: bytes) -> Xmp:
    """The facts of a packet; a broken one says nothing. Entities are refused, so that a small packet stays small."""
    from defusedxml.ElementTree import fromstring

    packet = packet.strip(b"\0 \r\n\t")
    if not packet or len(packet) > MAX_PACKET:
        return Xmp()
    try:
        root = fromstring(packet)
    except Exception:  # ParseError, and defusedxml's own refusals
        return Xmp()
    xmp = Xmp()
    dates: dict[str, str] = {}
    for name, values, element in _properties(root):
        if name in KEYWORDS:
            xmp.keywords += values
        elif name in CAPTIONS:
            xmp.captions += values
        elif name in PEOPLE:
            xmp.people += values
        elif name in PLACES:
            xmp.places += values
        elif name in TREES:
            _branches(values, xmp)
        elif name == "Name" and _is_face(element):
            xmp.people += values
        elif name == "Rating" and values:
            with contextlib.suppress(ValueError):
                xmp.rating = int(float(values[0]))
        elif name in DATES and values:
            dates.setdefault(name, values[0])
    xmp.dates = [dates[name] for name in DATES if name in dates]
    return xmp


def _properties(root: Any) -> Iterator[tuple[str, list[str], Any]]:
    """(local name, texts, the element it belongs to) of every property, written as attribute or as element."""
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in root.iter():
        name = _local(element.tag)
        if name not in ("li", "Bag", "Seq", "Alt", "RDF", "Description", "xmpmeta"):
            texts = [t.text.strip() for t in element.iter() if t.text and t.text.strip() and _own(t, element)]
            yield name, texts, parents.get(element)
        for key, value in element.attrib.items():
            yield _local(key), [value], element


def _own(part: Any, element: Any) -> bool:
    return part is element or _local(part.tag) == "li"


def _is_face(region: Any) -> bool:
    """Regions of mwg-rs also mark pets, focus points and bar codes."""
    if region is None:
        return False
    parts = {_local(k): v for k, v in region.attrib.items()} | {_local(c.tag): c.text for c in region}
    return parts.get("Type", "Face") in ("Face", "Pet")


def _branches(values: list[str], xmp: Xmp) -> None:
    for value in values:
        branch = [part.strip() for part in value.replace("/", "|").split("|") if part.strip()]
        if len(branch) > 1 and branch[0].casefold() in PEOPLE_BRANCHES:
            xmp.people.append(branch[-1])
        xmp.keywords += branch


def _local(tag: Any) -> str:
    return tag.rpartition("}")[2] if isinstance(tag, str) else ""
