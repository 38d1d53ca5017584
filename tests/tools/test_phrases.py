"""Phrases of time: periods that lie behind, and moments to come. `NOW` is Wednesday, 25 November 2026, 15:30."""

from __future__ import annotations

import datetime as dt
from zoneinfo import ZoneInfo

import pytest

from assistant.plugin import AddReminder, Spoken
from tools import reminders
from tools.photos.period import period
from tools.phrases import Unclear, normal
from tools.reminders.moment import future

from .conftest import BERLIN, NOW

PERIODS = """
last weekend               | 2026-11-20 18:00 | 2026-11-23 00:00
the weekend before last    | 2026-11-13 18:00 | 2026-11-16 00:00
yesterday                  | 2026-11-24 00:00 | 2026-11-25 00:00
this morning               | 2026-11-25 04:00 | 2026-11-25 12:00
last night                 | 2026-11-24 18:00 | 2026-11-25 06:00
on Saturday                | 2026-11-21 00:00 | 2026-11-22 00:00
Wednesday                  | 2026-11-25 00:00 | 2026-11-26 00:00
last Wednesday             | 2026-11-18 00:00 | 2026-11-19 00:00
two tuesdays ago           | 2026-11-17 00:00 | 2026-11-18 00:00
last Sunday afternoon      | 2026-11-22 12:00 | 2026-11-22 18:00
the past week              | 2026-11-18 00:00 | 2026-11-25 15:31
last week                  | 2026-11-16 00:00 | 2026-11-23 00:00
the last three days        | 2026-11-22 00:00 | 2026-11-25 15:31
three days ago             | 2026-11-22 00:00 | 2026-11-23 00:00
summer 2023                | 2023-06-01 00:00 | 2023-09-01 00:00
the summer of 2019         | 2019-06-01 00:00 | 2019-09-01 00:00
last winter                | 2025-12-01 00:00 | 2026-03-01 00:00
March                      | 2026-03-01 00:00 | 2026-04-01 00:00
last November              | 2025-11-01 00:00 | 2025-12-01 00:00
January last year          | 2025-01-01 00:00 | 2025-02-01 00:00
between Monday and Wednesday  | 2026-11-23 00:00 | 2026-11-26 00:00
from November to January   | 2025-11-01 00:00 | 2026-02-01 00:00
between Christmas and New Year | 2025-12-25 00:00 | 2026-01-02 00:00
yesterday between two and four | 2026-11-24 14:00 | 2026-11-24 16:00
the 12th of May            | 2026-05-12 00:00 | 2026-05-13 00:00
8 March 2020               | 2020-03-08 00:00 | 2020-03-09 00:00
17/08/2023                 | 2023-08-17 00:00 | 2023-08-18 00:00
2023-08-17                 | 2023-08-17 00:00 | 2023-08-18 00:00
the 31st                   | 2026-10-31 00:00 | 2026-11-01 00:00
february 29                | 2024-02-29 00:00 | 2024-03-01 00:00
Friday the 13th            | 2026-11-13 00:00 | 2026-11-14 00:00
easter                     | 2026-04-05 00:00 | 2026-04-06 00:00
Thanksgiving               | 2025-11-27 00:00 | 2025-11-28 00:00
the nineties               | 1990-01-01 00:00 | 2000-01-01 00:00
2021                       | 2021-01-01 00:00 | 2022-01-01 00:00
the end of August          | 2026-08-21 00:00 | 2026-09-01 00:00
the last week of 2023      | 2023-12-25 00:00 | 2024-01-01 00:00
the final week of April    | 2026-04-24 00:00 | 2026-05-01 00:00
the last weeks of 2023     | 2023-08-29 00:00 | 2024-01-01 00:00
last night at 1            | 2026-11-25 00:30 | 2026-11-25 01:30
last night at nine         | 2026-11-24 20:30 | 2026-11-24 21:30
Thanksgiving weekend       | 2025-11-27 00:00 | 2025-12-01 00:00
Memorial Day weekend       | 2026-05-23 00:00 | 2026-05-26 00:00
before noon today          | 2026-11-25 00:00 | 2026-11-25 11:00
over the weekend           | 2026-11-20 18:00 | 2026-11-23 00:00
since the weekend          | 2026-11-20 18:00 | 2026-11-26 15:30
from March until now       | 2026-03-01 00:00 | 2026-11-25 15:31
"""

MOMENTS = """
tomorrow at nine           | 2026-11-26 09:00
in twenty minutes          | 2026-11-25 15:50
in half an hour            | 2026-11-25 16:00
in an hour and ten minutes | 2026-11-25 16:40
in two and a half hours    | 2026-11-25 18:00
in five                    | 2026-11-25 15:35
tonight                    | 2026-11-25 20:00
tonight at ten             | 2026-11-25 22:00
at 7:30                    | 2026-11-25 19:30
at half past eight         | 2026-11-25 20:30
at quarter to five         | 2026-11-25 16:45
at noon                    | 2026-11-26 12:00
at 06:05                   | 2026-11-26 06:05
this evening               | 2026-11-25 19:00
tomorrow morning           | 2026-11-26 09:00
first thing tomorrow       | 2026-11-26 08:00
on friday                  | 2026-11-27 09:00
next friday evening        | 2026-12-04 19:00
thursday next week         | 2026-12-03 09:00
Wednesday at 3             | 2026-12-02 15:00
on the 3rd at half past four  | 2026-12-03 16:30
saturday at quarter to one | 2026-11-28 12:45
the last day of the month  | 2026-11-30 09:00
on the first of march      | 2027-03-01 09:00
the first monday in august | 2027-08-02 09:00
on christmas day           | 2026-12-25 09:00
in three weeks             | 2026-12-16 15:30
31/12/2026 at 18:00        | 2026-12-31 18:00
31/12                      | 2026-12-31 09:00
31/12 at 5                 | 2026-12-31 17:00
12/25                      | 2026-12-25 09:00
2026-12-31                 | 2026-12-31 09:00
31.12.2026                 | 2026-12-31 09:00
at 9.30                    | 2026-11-25 21:30
tomorrow at 12:30 am       | 2026-11-26 00:30
friday at 00:15            | 2026-11-27 00:15
2 at night                 | 2026-11-26 02:00
tomorrow night at 1        | 2026-11-27 01:00
tomorrow night at midnight | 2026-11-27 00:00
friday night at 12         | 2026-11-28 00:00
friday night at 10         | 2026-11-27 22:00
early tonight              | 2026-11-25 19:00
Monday, December 7         | 2026-12-07 09:00
Monday 7 December at 9     | 2026-12-07 09:00
the day before Christmas   | 2026-12-24 09:00
two days before Friday at 6 pm | 2026-11-25 18:00
first thing in the morning | 2026-11-26 08:00
late afternoon             | 2026-11-25 17:00
tomorrow at 9a.m.          | 2026-11-26 09:00
"""

WEEKENDS = """
2026-11-28 10:00 | next Monday        | 2026-11-30 09:00
2026-11-29 10:00 | next Monday        | 2026-11-30 09:00
2026-11-27 10:00 | next Saturday      | 2026-12-05 09:00
2026-11-28 10:00 | this weekend       | 2026-11-29 09:00
2026-11-28 10:00 | this weekend at 5 pm | 2026-11-28 17:00
2026-11-29 10:00 | this weekend at 5 pm | 2026-11-29 17:00
2026-11-29 10:00 | next weekend       | 2026-12-05 09:00
2026-11-25 10:00 | at the weekend     | 2026-11-28 09:00
"""


def rows(table: str) -> list[list[str]]:
    return [[cell.strip() for cell in line.split("|")] for line in table.strip().splitlines()]


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text).replace(tzinfo=BERLIN)


@pytest.mark.parametrize(("phrase", "start", "end"), rows(PERIODS))
def test_periods(phrase: str, start: str, end: str) -> None:
    assert period(phrase, NOW, BERLIN) == (at(start), at(end))


@pytest.mark.parametrize(("phrase", "moment"), rows(MOMENTS))
def test_moments(surround, phrase: str, moment: str) -> None:
    assert future(phrase) == at(moment)


@pytest.mark.parametrize(("clock", "phrase", "moment"), rows(WEEKENDS))
def test_at_the_weekend_the_next_week_is_near(surround, clock: str, phrase: str, moment: str) -> None:
    surround(now=at(clock))
    assert future(phrase) == at(moment)


NIGHT = """
00:30 | tonight               | 2026-11-25 20:00
00:30 | tonight at ten        | 2026-11-25 22:00
00:30 | tonight at one        | 2026-11-25 01:00
00:30 | tonight at half past twelve | 2026-11-26 00:30
00:30 | at 3 am tonight       | 2026-11-25 03:00
03:00 | tonight at two        | 2026-11-26 02:00
15:30 | at one tonight        | 2026-11-26 01:00
15:30 | tonight at 22:00      | 2026-11-25 22:00
15:30 | late tonight          | 2026-11-25 22:00
23:30 | tonight               | 2026-11-26 00:30
23:30 | tonight at one        | 2026-11-26 01:00
23:30 | tonight at midnight   | 2026-11-26 00:00
"""


@pytest.mark.parametrize(("clock", "phrase", "moment"), rows(NIGHT))
def test_tonight_on_both_sides_of_midnight(surround, clock: str, phrase: str, moment: str) -> None:
    surround(now=at(f"2026-11-25 {clock}"))
    assert future(phrase) == at(moment)


@pytest.mark.parametrize(
    "phrase", ["when I was in college", "the wedding weekend", "ages ago", "blue", "", "99/99/2020", "5000 years ago"]
)
def test_unclear_periods_are_named(phrase: str) -> None:
    with pytest.raises(Unclear, match="not clear when"):
        period(phrase, NOW, BERLIN)


@pytest.mark.parametrize("phrase", ["when I land", "before the bus comes", "soon", "", "at 25:00", "in 99999999 days"])
def test_unclear_moments_are_named(surround, phrase: str) -> None:
    with pytest.raises(Unclear) as caught:
        future(phrase)
    assert repr(phrase) in str(caught.value)


def test_a_moment_in_the_past_is_refused(surround) -> None:
    with pytest.raises(Unclear, match="in the past"):
        future("today at 9 am")
    with pytest.raises(Unclear, match="future"):
        period("christmas 2027", NOW, BERLIN)


@pytest.mark.parametrize("hours", range(0, 24 * 9, 7))
def test_last_weekend_is_over_and_near_at_any_time_of_the_week(hours: int) -> None:
    now = NOW + dt.timedelta(hours=hours)
    start, end = period("last weekend", now, BERLIN)
    assert end <= now and (now - end).days < 8 and start.weekday() == 4 and end.weekday() == 0


@pytest.mark.parametrize("phrase", ["tonight", "this evening"])
def test_after_midnight_the_evening_is_the_one_that_was(phrase: str) -> None:
    start, _ = period(phrase, at("2026-11-25 00:30"), BERLIN)
    assert start.date() == dt.date(2026, 11, 24)


def test_the_zone_of_the_user_counts() -> None:
    tokyo = ZoneInfo("Asia/Tokyo")  # where it is already Thursday half past eleven at night… of the same Wednesday
    start, _ = period("today", NOW, tokyo)
    assert start == dt.datetime(2026, 11, 25, tzinfo=tokyo)


def test_summer_time_keeps_the_clock(surround) -> None:
    surround(now=dt.datetime(2026, 10, 24, 12, tzinfo=BERLIN))
    assert future("tomorrow at nine").utcoffset() == dt.timedelta(hours=1)  # the clocks change in the night
    surround(now=dt.datetime(2027, 3, 27, 20, tzinfo=BERLIN))
    assert future("in 12 hours") == dt.datetime(2027, 3, 28, 9, tzinfo=BERLIN)
    assert future("in 2 days").hour == 20
    surround(now=dt.datetime(2026, 10, 25, 2, 40, tzinfo=BERLIN))
    assert future("in 30 minutes").astimezone(dt.UTC) == dt.datetime(2026, 10, 25, 1, 10, tzinfo=dt.UTC)
    start, end = period("yesterday", dt.datetime(2026, 10, 26, 12, tzinfo=BERLIN), BERLIN)
    assert (end.astimezone(dt.UTC) - start.astimezone(dt.UTC)) == dt.timedelta(hours=25)


def test_numbers() -> None:
    assert normal("Twenty-five past ten") == "25 past 10"
    assert normal("the twenty first, 5 p.m.") == "the 21th 5 pm"


def test_a_reminder_is_a_wish(surround) -> None:
    assert reminders.add(Spoken("call Ben"), Spoken("tomorrow at 9")) == AddReminder("call Ben", at("2026-11-26 09:00"))
    with pytest.raises(ValueError, match="no text"):
        reminders.add(Spoken(" "), Spoken("tomorrow"))
