"""Calendar arithmetic: days, weeks, weekends and months as half-open spans of naive local time."""

from __future__ import annotations

import datetime as dt

from .. import phrases as p

Span = tuple[dt.datetime, dt.datetime]
DAY = dt.timedelta(1)


def day_span(date: dt.date | dt.datetime, days: float = 1) -> Span:
    """`days` days from the morning of a date."""
    start = dt.datetime(date.year, date.month, date.day)
    return start, start + days * DAY


def months_span(date: dt.date, months: int = 1) -> Span:
    """`months` calendar months, the first that of a date."""
    first = dt.date(date.year, date.month, 1)
    return day_span(first)[0], day_span(p.add_months(first, months))[0]


def week_span(date: dt.date | dt.datetime, weeks: int = 0) -> Span:
    """The week of a date, from Monday, moved by `weeks`."""
    start = day_span(date)[0] + (7 * weeks - date.weekday()) * DAY
    return start, start + 7 * DAY


def weekend_span(now: dt.datetime, back: int) -> Span:
    """Friday evening to Sunday night. back = 0: the latest that has begun; 1: the latest that is over; and so on."""
    evening = dt.timedelta(hours=18)
    friday = week_span(now)[0] + 4 * DAY
    friday -= 7 * DAY if now < friday + evening else 0 * DAY
    over = now >= friday + 3 * DAY
    friday -= 7 * max(0, back - 1 if over else back) * DAY
    return friday + evening, friday + 3 * DAY


def portion(span: Span, part: str) -> Span:
    """The part of a span that words such as "early", "middle", "end" or "2th half" name, in whole days."""
    length = span[1] - span[0]
    first, last = 0.0, 0.34
    if "half" in part:
        first, last = (0, 0.5) if part.startswith("1") else (0.5, 1)
    elif part in ("beginning", "start") and length > 60 * DAY:
        last = 0.17
    elif part in ("end", "back end") and length > 60 * DAY:
        first, last = 0.83, 1
    elif part in ("mid", "middle"):
        first, last = 0.33, 0.67
    elif part.startswith(("late", "end", "back", "final", "last")):
        first, last = 0.66, 1
    return day_span(span[0] + first * length)[0], span[1] if last == 1 else day_span(span[0] + last * length)[1]
