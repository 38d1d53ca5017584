"""Phrases for a moment to come ("tomorrow at half past nine", "in two hours", "next Friday evening") as a time.

A phrase is a day, a time of day, or both. Choices: an hour without "am" or "pm" is the next one in waking hours, a day
without an hour means its morning, and what depends on an event ("when I land") is refused, because no clock knows it.
Dates in digits have the day first, unless only the month can be.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable

from assistant.plugin import context

from .. import phrases as p

DAY = dt.timedelta(1)
DAWN = 5  # the hour at which a night ends
MORNING = 9 * 60  # minutes after midnight of a day that is said without an hour
HABITS = {  # minutes after midnight
    "1th thing": 8 * 60, "1th thing in morning": 8 * 60, "1th thing in the morning": 8 * 60,
    "dawn": 6 * 60, "sunrise": 6 * 60 + 30, "breakfast": 8 * 60, "early morning": 7 * 60,
    "early": 7 * 60, "after breakfast": 9 * 60, "daybreak": 6 * 60,
    "morning": 9 * 60, "elevenses": 11 * 60, "noon": 12 * 60, "midday": 12 * 60, "lunch": 12 * 60 + 30,
    "lunchtime": 12 * 60 + 30, "lunch time": 12 * 60 + 30, "after lunch": 13 * 60 + 30,
    "late morning": 11 * 60, "early afternoon": 14 * 60, "late afternoon": 17 * 60,
    "afternoon": 15 * 60, "teatime": 16 * 60,
    "after school": 16 * 60, "end of day": 17 * 60, "end of the day": 17 * 60, "after work": 18 * 60,
    "early evening": 18 * 60, "dinner": 19 * 60, "dinnertime": 19 * 60, "dinner time": 19 * 60,
    "evening": 19 * 60, "sunset": 19 * 60,
    "dusk": 19 * 60, "after dinner": 20 * 60, "tonight": 20 * 60, "night": 21 * 60, "bedtime": 22 * 60, "late": 22 * 60,
    "before bed": 22 * 60, "bed": 22 * 60, "midnight": 24 * 60,
}  # fmt: skip
LATE = ("afternoon", "early afternoon", "late afternoon", "evening", "dinner", "after work", "early evening")
BEFORE = re.compile(r"(?:the )?(?:(?P<n>\d+) )?days? before (?!yesterday)")
HABIT = "|".join(sorted(HABITS, key=len, reverse=True))
FILLER = r"(?:(?:at|on|by|in|around|about|for|from|of|the|this|before|just|right|come|until|and|day|that|later) )*"
AMOUNT = r"(\d+(?:\.\d+)?|an?|half an?|a couple(?: of)?|a few|3 quarters of an|a quarter of an)"
UNITS = {"second": 1, "minute": 60, "min": 60, "hour": 3600, "day": 86400, "week": 604800, "fortnight": 1209600}
AFTER = re.compile(
    rf"(?:in |after )?(?:about )?{AMOUNT} (second|minute|min|hour|day|week|fortnight|month|year)s?(?: and a half)?"
    rf"(?: (?:and )?(\d+) (minute|min|second|hour|day)s?)?(?: from now| time)?"
)


def future(phrase: str) -> dt.datetime:
    """The moment that a phrase means, aware, in the user's zone. Raises phrases.Unclear, naming the phrase."""
    here = context()
    now = here.now.astimezone(here.zone).replace(tzinfo=None)
    text = re.sub(r"\bhours time\b", "hours", p.normal(phrase))
    try:
        moment = _after(text, now) or _day_and_time(text, now)
    except (OverflowError, ValueError):  # beyond the calendar's end
        moment = None
    if moment is None:
        raise p.Unclear(f"it is not clear when {phrase!r} is; say a time such as “tomorrow at 9” or “in two hours”")
    aware = moment.replace(tzinfo=here.zone)
    if aware.astimezone(dt.UTC) <= here.now:
        raise p.Unclear(f"{phrase!r} is in the past ({moment:%-d %B %Y, %H:%M}); say a time that is still to come")
    return aware


def _number(text: str) -> float:
    words = {"a": 1, "an": 1, "half a": 0.5, "half an": 0.5, "a couple": 2, "a few": 3, "3 quarters of an": 0.75,
             "a quarter of an": 0.25}  # fmt: skip
    return words.get(text.removesuffix(" of")) or float(text)


def _after(text: str, now: dt.datetime) -> dt.datetime | None:
    """A distance from now: "in two and a half hours", "an hour and ten minutes from now"."""
    text = re.sub(r"(\d+|an?) (\w+) and a half", lambda m: f"{_number(m[1]) + 0.5} {m[2]}", text)
    text = re.sub(r"(\d+) and a half", r"\1.5", text)
    text = re.sub(r"^in (\d+)$", r"in \1 minutes", text)
    if text in ("later today", "this time tomorrow"):
        return now + (dt.timedelta(hours=3) if text == "later today" else DAY)
    match = AFTER.fullmatch(text)
    if not match or not re.search(r"^(in|after)|from now|time$", text):
        return None
    number, unit = _number(match[1]), match[2]
    if unit in ("month", "year"):
        months = number * (12 if unit == "year" else 1)
        day = p.add_months(now.date(), int(months)) + (months % 1) * 30 * DAY
        return dt.datetime.combine(day, now.time())
    distance = dt.timedelta(seconds=number * UNITS[unit] + (int(match[3]) * UNITS[match[4]] if match[3] else 0))
    if UNITS[unit] >= UNITS["day"]:
        return now + distance  # the same time of day, also when the clocks change in between
    zone = context().zone
    return (now.replace(tzinfo=zone).astimezone(dt.UTC) + distance).astimezone(zone).replace(tzinfo=None)


def _day_and_time(text: str, now: dt.datetime) -> dt.datetime | None:
    """One day and one time of day, in either order; the rest must be filler."""
    if before := BEFORE.search(text):
        moment = _day_and_time(text[: before.start()] + text[before.end() :], now)
        return moment and moment - int(before["n"] or 1) * DAY
    for pattern, rule in DAYS:
        for match in pattern.finditer(text):
            day = rule(match, now)
            rest = f"{text[: match.start()]} {text[match.end() :]}"
            if match[0] == "tonight" and (moment := _in_the_night(_strip(rest), now)):
                return moment
            if day and (minutes := _time(rest, now, day)) is not None:
                moment = dt.datetime.combine(day, dt.time()) + dt.timedelta(minutes=minutes)
                said = match.groupdict()
                if moment <= now and said.get("weekend") and day.weekday() == 5:
                    return moment + DAY  # Sunday is of the weekend, too
                return moment + 7 * DAY if said.get("weekly") and moment <= now else moment
    return _bare_time(text, now)


def _in_the_night(text: str, now: dt.datetime) -> dt.datetime | None:
    """ "Tonight", alone or with a clock time: from five in the afternoon to five in the morning, which is of the next
    day. After midnight the small hours of "tonight" are those that go on, and its evening is the one to come."""
    if text in ("", "early"):
        usual = 19 if text else 20
        return dt.datetime.combine(now, dt.time(usual)) if now.hour < usual else now + dt.timedelta(hours=1)
    if (time := p.clock(text)) is None:
        return None
    hour, minute, known = time
    if not known and hour <= 12:
        hour = hour % 12 + (12 if hour % 12 >= DAWN else 0)
    moment = dt.datetime.combine(now, dt.time(hour % 24, minute))
    return moment + DAY if moment <= now and moment.hour < DAWN else moment


def _bare_time(text: str, now: dt.datetime) -> dt.datetime | None:
    """A time of day without a day: the next one."""
    today = _time(text, now, None)
    if today is None or not _strip(text):
        return None
    moment = dt.datetime.combine(now.date(), dt.time()) + dt.timedelta(minutes=today)
    return moment if moment > now else moment + DAY


def _strip(text: str) -> str:
    text = re.sub(rf"^{FILLER}", "", " ".join(text.split()) + " ").strip()
    return re.sub(r"(?: (?:at|on|by|in|the|around|of|this|for|a))+$|^(?:at|on|by|in|the|around|of|this|for)$", "", text)


def _time(text: str, now: dt.datetime, day: dt.date | None) -> int | None:
    """Minutes after midnight of a text that holds nothing but a time of day; MORNING for an empty one."""
    text = _strip(text)
    if not text:
        return MORNING
    if text in HABITS:
        return HABITS[text]
    match = CLOCK_IN_PART.fullmatch(text)
    time = p.clock(match["clock"].removeprefix("after ")) if match else None
    if match is None or time is None:
        return None
    hour, minute, known = time
    part = match["before"] or match["after"]
    if part == "midnight":
        return 24 * 60
    if part == "night":  # its small hours are of the next day
        small = hour < DAWN if known else hour % 12 < DAWN
        return ((24 if day else 0) + hour % 12 if small else hour if known else hour % 12 + 12) * 60 + minute
    hour = hour if known or hour else 12  # a quarter to one
    if known or hour >= 13:
        return hour * 60 + minute
    if part:
        return (hour + 12 if part in LATE and hour < 12 else hour) * 60 + minute
    if day and day > now.date():
        return (hour + 12 if hour < 7 else hour) * 60 + minute
    for candidate in (hour % 12, hour % 12 + 12):  # the next one today, in waking hours
        if candidate >= 6 and candidate * 60 + minute > now.hour * 60 + now.minute:
            return candidate * 60 + minute
    return (hour + 12 if hour < 7 else hour) * 60 + minute


CLOCK_IN_PART = re.compile(
    rf"(?:(?P<before>{HABIT}) (?:at |around |by )?)?(?P<clock>.+?)"
    rf"(?: (?:in |at )?(?:the )?(?:this )?(?P<after>{HABIT}))?"
)
DayRule = Callable[[re.Match[str], dt.datetime], "dt.date | None"]
DAYS: list[tuple[re.Pattern[str], DayRule]] = []


def _rule(pattern: str) -> Callable[[DayRule], DayRule]:
    def add(rule: DayRule) -> DayRule:
        DAYS.append((re.compile(rf"\b(?:{pattern})\b"), rule))
        return rule

    return add


@_rule(
    r"(?P<iso>\d{4}-\d{1,2}-\d{1,2})"
    r"|(?P<a>\d{1,2})(?P<sign>[/.-])(?P<b>\d{1,2})(?:(?P=sign)(?P<year>\d{4}|\d\d))?(?![:\d])"
)
def _in_digits(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    if match["iso"]:
        return p.date(*map(int, match["iso"].split("-")))
    a, b = int(match["a"]), int(match["b"])
    if not match["year"] and match["sign"] != "/" and a < 24:
        return None  # 9.30 is a time, 9-10 a span
    years = [int(match["year"]) % 2000 + 2000] if match["year"] else [now.year + n for n in range(9)]
    days = [p.date(y, month, day) for day, month in ((a, b), (b, a)) for y in years]
    return next((d for d in days if d and (match["year"] or d >= now.date())), None)


@_rule(rf"{AMOUNT} (day|week|month)s?(?: from (?P<base>tomorrow|today|now))?")
def _days_on(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    if not re.search(r"\bin $|^$", match.string[: match.start()][-3:]):
        return None
    number, unit = _number(match[1]), match[2]
    start = now.date() + (DAY if match["base"] == "tomorrow" else 0 * DAY)
    return p.add_months(start, int(number)) if unit == "month" else start + number * (7 if unit == "week" else 1) * DAY


@_rule(r"(?:the )?day after tomorrow|tomorrow|today|later today")
def _tomorrow(match: re.Match[str], now: dt.datetime) -> dt.date:
    return now.date() + (2 if "after" in match[0] else 1 if "tomorrow" in match[0] else 0) * DAY


@_rule(rf"(?P<two>2|two) weeks on (?P<later>{p.WEEKDAY})|(?P<mon>{p.WEEKDAY}) in (?P<n>\d+) weeks"
       rf"|(?P<named>{p.WEEKDAY}) (?:the )?(?P<number>\d+)th")  # fmt: skip
def _weeks_on(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    if match["named"]:
        weekday, number = p.WEEKDAYS[match["named"]], int(match["number"])
        days = (now.date() + n * DAY for n in range(3000))
        return next((d for d in days if d.weekday() == weekday and d.day == number), None)
    weekday = p.WEEKDAYS[match["later"] or match["mon"]]
    return now.date() + ((weekday - now.weekday()) % 7 + 7 * int(match["n"] or 2)) * DAY


@_rule(rf"(?P<nth>\d|last)(?:th)? (?P<day>{p.WEEKDAY}) (?:of|in) (?:the |this )?"
       rf"(?:(?P<month>{p.MONTH})|(?P<next>next )?month)")  # fmt: skip
def _nth_weekday(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    n, weekday = -1 if match["nth"] == "last" else int(match["nth"]), p.WEEKDAYS[match["day"]]
    first = now.date().replace(day=1)
    if match["month"]:
        first = first.replace(month=p.MONTHS[match["month"]])
    elif match["next"]:
        first = p.add_months(first, 1)
    step = 12 if match["month"] else 1
    try:
        days = [p.nth_weekday(d.year, d.month, weekday, n) for d in (first, p.add_months(first, step))]
    except IndexError:
        return None
    return next((d for d in days if d >= now.date()), None)


@_rule(rf"(?P<which>next |this coming |this |coming )?(?P<weekly>{p.WEEKDAY})(?P<week> week| next week| after next)?")
def _weekday(match: re.Match[str], now: dt.datetime) -> dt.date:
    """The next such day; "next Friday" is that of next week when this week's is still to come within two days, but
    on a Sunday "next Monday" is tomorrow."""
    ahead = (p.WEEKDAYS[match["weekly"]] - now.weekday()) % 7
    if match["week"] == " next week":
        return now.date() + (7 - now.weekday() + p.WEEKDAYS[match["weekly"]]) * DAY
    if match["which"] == "next " and ahead <= 2 and now.weekday() + ahead < 7:
        ahead += 7
    return now.date() + (ahead + (7 if match["week"] else 0)) * DAY


@_rule(r"(?P<which>next |this |at the |the )?(?P<weekend>weekend)|(?:the )?(?:start of |beginning of )?next week"
       r"|(?:the )?end of (?:the |this )?week")  # fmt: skip
def _week(match: re.Match[str], now: dt.datetime) -> dt.date:
    monday = now.date() - now.weekday() * DAY
    if "weekend" in match[0]:
        if match["which"] == "next ":
            return monday + 12 * DAY
        return max(monday + 5 * DAY, now.date())
    if match[0].endswith("next week"):
        return monday + 7 * DAY
    friday = monday + 4 * DAY
    return friday if friday >= now.date() else friday + 7 * DAY


@_rule(r"(?:the )?(?P<last>last day of|end of) (?:the |this )?(?P<next>next )?month"
       r"|(?:1th of (?:the |next )|next )month|(?P<year>next year)")  # fmt: skip
def _month(match: re.Match[str], now: dt.datetime) -> dt.date:
    first = p.add_months(now.date().replace(day=1), 1)
    if match["year"]:
        return dt.date(now.year + 1, 1, 1)
    return p.add_months(first, 1 if match["next"] else 0) - DAY if match["last"] else first


@_rule(rf"(?:(?:{p.WEEKDAY}) (?:the )?)?(?:(?P<day>\d{{1,2}})(?:th)?(?: of)? (?P<month>{p.MONTH})"
       rf"|(?P<month2>{p.MONTH}) (?:the )?(?P<day2>\d{{1,2}})(?:th)?(?![:\d]))(?:,? (?P<year>20\d\d))?")  # fmt: skip
def _date(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    month, day = p.MONTHS[match["month"] or match["month2"]], int(match["day"] or match["day2"])
    if match["year"]:
        return p.date(int(match["year"]), month, day)
    days = (p.date(now.year + n, month, day) for n in range(9))
    return next((d for d in days if d and d >= now.date()), None)


@_rule(rf"(?P<feast>{p.FEAST})")
def _feast(match: re.Match[str], now: dt.datetime) -> dt.date:
    this = p.feast(match["feast"], now.year)
    return this if this >= now.date() else p.feast(match["feast"], now.year + 1)


@_rule(r"(?:the )?(?P<day>\d{1,2})th")
def _of_month(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    for n in range(13):
        first = p.add_months(now.date().replace(day=1), n)
        day = p.date(first.year, first.month, int(match["day"]))
        if day and day >= now.date():
            return day
    return None


@_rule(rf"(?:in (?:the )?|next |this )(?P<season>{p.SEASON})|in (?P<month>{p.MONTH})|next (?P<month2>{p.MONTH})")
def _season(match: re.Match[str], now: dt.datetime) -> dt.date:
    month = p.SEASONS[match["season"]] if match["season"] else p.MONTHS[match["month"] or match["month2"]]
    first = dt.date(now.year, month, 1)
    return first if first > now.date() else first.replace(year=now.year + 1)


@_rule("tonight|this (?=evening|afternoon|morning|night)")
def _tonight(match: re.Match[str], now: dt.datetime) -> dt.date | None:
    return now.date()
