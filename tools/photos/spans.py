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
