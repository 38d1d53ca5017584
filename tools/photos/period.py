"""Phrases for a time in the past ("last weekend", "summer 2023", "between Monday and Wednesday") as a range of time.

Calendar arithmetic comes first, because date-parsing libraries know points in time and people ask for periods; written
dates go to dateparser. A name without a year or a week is the latest one that has begun. Spans are naive and local
until the end. "Autumn" is that of the northern half of the globe.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from zoneinfo import ZoneInfo

from .. import phrases as p
from .spans import DAY, Span, day_span, months_span, portion, week_span, weekend_span

Rule = Callable[[re.Match[str], dt.datetime], "Span | None"]
EPOCH = dt.datetime(1826, 1, 1)
RULES: list[tuple[re.Pattern[str], Rule]] = []
LENGTHS = {"second": dt.timedelta(seconds=1), "minute": dt.timedelta(minutes=1), "hour": dt.timedelta(hours=1),
           "day": DAY, "week": 7 * DAY, "fortnight": 14 * DAY}  # fmt: skip
AMOUNT = r"(?P<n>\d+|an?|half an?|a couple(?: of)?|couple(?: of)?|a few|few|several|3 quarters of an)"


def period(phrase: str, now: dt.datetime, zone: ZoneInfo) -> tuple[dt.datetime, dt.datetime]:
    """The half-open range of time [start, end) that a phrase means, aware. Raises phrases.Unclear."""
    local = now.astimezone(zone).replace(tzinfo=None)
    text = re.sub(r"^(?:(?:taken|made|shot|from|on|in|during|over|at|around|about) )+(?!.* to )", "", p.normal(phrase))
    try:
        span = _span(text, local)
    except (OverflowError, ValueError):  # before the calendar's beginning
        span = None
    if span is None:
        raise p.Unclear(f"it is not clear when {phrase!r} was; say a day, a month or words like “last weekend”")
    start, end = (t.replace(tzinfo=zone) for t in span)
    if start > now:
        raise p.Unclear(f"{phrase!r} lies in the future; photos are from the past")
    return start, end


def _span(text: str, now: dt.datetime) -> Span | None:
    text = re.sub(r"^(?:(?:the|all|whole|of|that|on|in) )+", "", text.strip())
    for pattern, rule in RULES:
        match = pattern.fullmatch(text)
        if match and (span := rule(match, now)):
            return span
    return _written(text, now)


def _rule(pattern: str) -> Callable[[Rule], Rule]:
    def add(rule: Rule) -> Rule:
        RULES.append((re.compile(pattern), rule))
        return rule

    return add


@_rule(r"(?:between|from) (?P<a>.+?) (?:and|to|until|till) (?P<b>.+)|(?P<c>.+?) (?:to|until|till|through) (?P<d>.+)")
def _between(match: re.Match[str], now: dt.datetime) -> Span | None:
    first, second = match["a"] or match["c"], match["b"] or match["d"]
    if first in ("10", "5", "20", "25", "quarter", "a quarter"):
        return None  # "ten to six"
    b = _span(second, now)
    a = _span(first, now)
    if a is None or b is None:
        return None
    if a[0] >= b[1]:  # "November to January", "Friday to Monday": the start is the one before the end
        a = _span(first, b[0])
    return (a[0], b[1]) if a and a[0] < b[1] else None


@_rule(r"(?P<day>.+?),? between (?P<a>.+) and (?P<b>.+)")
def _clocks(match: re.Match[str], now: dt.datetime) -> Span | None:
    day, a, b = _span(match["day"], now), p.clock(match["a"]), p.clock(match["b"])
    if not day or not a or not b:
        return None
    hours = [h + (12 if not known and h < 8 else 0) + m / 60 for h, m, known in (a, b)]
    return day[0] + hours[0] * DAY / 24, day[0] + hours[1] * DAY / 24


RELATIVE_YEARS = {"last year": 1, "this year": 0, "the year before last": 2}
YEAR = r"(?:(?:of |in )?(?P<year>(?:18|19|20)\d\d|last year|this year|the year before last)|(?P<ago>\d+) years ago)"


def _years(match: re.Match[str], now: dt.datetime, begun: Callable[[int], dt.date]) -> int | None:
    """The year that was said, or the latest in which the thing (its first day by year) has begun."""
    said = match["year"]
    if said and said.isdigit():
        return int(said)
    if said or match["ago"]:
        return now.year - (RELATIVE_YEARS[said] if said else int(match["ago"]))
    return now.year if begun(now.year) <= now.date() else now.year - 1


@_rule(rf"(?P<last>last |this past |this )?(?P<name>{p.FEAST})(?: day)?(?: {YEAR})?"
       rf"|(?P<n>\d+) (?P<plural>{p.FEAST})e?s ago")  # fmt: skip
def _feast(match: re.Match[str], now: dt.datetime) -> Span | None:
    name = match["name"] or match["plural"]
    year = _years(match, now, lambda y: p.feast(name, y))
    if year is None:
        return None
    return day_span(p.feast(name, year - (int(match["n"]) - 1 if match["n"] else 0)))


@_rule(r"(?P<way>since|before|after|until) (?P<rest>.+)")
def _open(match: re.Match[str], now: dt.datetime) -> Span | None:
    if match["way"] == "after" and match["rest"].startswith("lunch"):
        return None
    span = _span(match["rest"], now)
    if span is None:
        return None
    start, end = span
    if match["way"] in ("since", "after"):
        return start if match["way"] == "since" else end, now + DAY
    same_day = end - start < DAY and not match["rest"].startswith("last")  # "before noon today"
    return day_span(start)[0] if same_day else EPOCH, start


@_rule(r"(?:(?P<near>just now|a (?:moment|minute) ago|right now|now)|(?:earlier )?(?P<word>today|yesterday|tonight))")
def _near(match: re.Match[str], now: dt.datetime) -> Span:
    if match["near"]:
        return now - dt.timedelta(minutes=15), now + dt.timedelta(minutes=1)
    if match["word"] == "tonight":
        return _latest(now, "night")
    return day_span(now - (DAY if match["word"] == "yesterday" else 0 * DAY))


@_rule(r"(?:a )?day before (?P<rest>.+)|(?:a )?day after (?P<next>.+)")
def _beside(match: re.Match[str], now: dt.datetime) -> Span | None:
    span = _span(match["rest"] or match["next"], now)
    return span and day_span(span[0] - DAY if match["rest"] else span[1])


def _part(day: Span, part: str) -> Span:
    first, last = p.PARTS[part]
    return day[0] + first * DAY / 24, day[0] + last * DAY / 24


def _latest(now: dt.datetime, part: str) -> Span:
    """A part of today; after midnight, the evening and the night are those that have just been."""
    over = now.hour < 6 and part in ("night", "evening", "dinner", "sunset", "dusk")
    return _part(day_span(now - DAY if over else now), part)


@_rule(r"(?:late |early )?(?:last|yesterday) night|night before(?P<before> last)?|evening before last")
def _last_night(match: re.Match[str], now: dt.datetime) -> Span:
    back = 2 if "before" in match[0] else 1
    return _part(day_span(now - back * DAY), "night")


@_rule(rf"(?P<early>early |late |earlier )?this (?P<part>{p.PART})|(?P<part2>{p.PART}) today")
def _this_part(match: re.Match[str], now: dt.datetime) -> Span:
    return _latest(now, match["part"] or match["part2"])


@_rule(rf"(?:around )?(?P<part>{p.PART})")
def _bare_part(match: re.Match[str], now: dt.datetime) -> Span:
    today = _part(day_span(now), match["part"])
    return today if today[0] <= now else _part(day_span(now - DAY), match["part"])


@_rule(r"year|month|week|weekend|quarter")
def _current(match: re.Match[str], now: dt.datetime) -> Span:
    return _back(now, match[0], 0)


@_rule(rf"1 (?:{p.PART}|day|{p.WEEKDAY}) (?:in |of )?(?P<rest>.+)")
def _some(match: re.Match[str], now: dt.datetime) -> Span | None:
    return _span(match["rest"], now)


@_rule(rf"(?P<feast>{p.FEAST}) weekend")
def _feast_weekend(match: re.Match[str], now: dt.datetime) -> Span | None:
    """Saturday and Sunday next to a feast, and the feast itself with the days between."""
    feast = _span(match["feast"], now)
    if feast is None:
        return None
    evening, end = weekend_span(feast[0] + 3.5 * DAY, 0)
    saturday = evening + DAY / 4
    return feast[0] if 0 * DAY < saturday - feast[0] <= 2 * DAY else saturday, max(end, feast[1])


@_rule(
    rf"(?:late |early )?(?P<part>{p.PART}) (?:of |on )?(?P<day>.+)"
    rf"|(?P<day2>.+?)(?: at| around| after|,)? (?P<part2>{p.PART})"
)
def _part_of(match: re.Match[str], now: dt.datetime) -> Span | None:
    part, text = match["part"] or match["part2"], match["day"] or match["day2"]
    text = {"last night": "yesterday", "this morning": "today", "this evening": "today"}.get(text, text)
    day = _span(text, now)
    if day is None or day[1] - day[0] > 1.5 * DAY:
        return None
    span = _part(day_span(day[0]), part)
    if span[0] > now and text in p.WEEKDAYS:  # "Wednesday evening", said on a Wednesday at noon
        return span[0] - 7 * DAY, span[1] - 7 * DAY
    return span


@_rule(r"(?P<day>yesterday|today|this morning|last night|this evening|this afternoon|.*day)(?: at| around| about)? "
       r"(?P<clock>\d.*|half .*|quarter .*)|(?P<clock2>\d.*|half .*|quarter .*) (?P<day2>yesterday|today|this morning|"
       r"last night|this evening|this afternoon)")  # fmt: skip
def _clock(match: re.Match[str], now: dt.datetime) -> Span | None:
    text, time = match["day"] or match["day2"], p.clock(match["clock"] or match["clock2"])
    day = _span({"last night": "yesterday"}.get(text, text), now)
    if day is None or time is None:
        return None
    hour, minute, known = time
    if text == "last night" and (hour < 6 or (hour == 12 and not known)):  # its small hours are today's
        day, hour, known = day_span(now), hour % 12, True
    late = text in ("last night", "this evening", "this afternoon") or hour < 7
    hour += 12 if late and not known and text != "this morning" else 0
    start = day_span(day[0])[0] + dt.timedelta(hours=hour, minutes=minute)
    return start - DAY / 48, start + DAY / 48


def _amount(text: str) -> tuple[float, float]:
    """The least and the greatest number that an amount means."""
    text = text.removesuffix(" of")
    loose = {"a couple": (2, 2), "couple": (2, 2), "a few": (2, 5), "few": (2, 5), "several": (3, 8), "an": (1, 1),
             "a": (1, 1), "half a": (0.5, 0.5), "half an": (0.5, 0.5), "3 quarters of an": (0.75, 0.75)}  # fmt: skip
    return loose.get(text) or (float(text), float(text))


@_rule(rf"(?:about |around |over )?{AMOUNT} (?P<unit>{p.UNIT})s? (?:ago|back)(?P<today> today)?")
def _ago(match: re.Match[str], now: dt.datetime) -> Span | None:
    (least, most), unit = _amount(match["n"]), match["unit"]
    if unit in ("second", "minute", "hour"):
        slack = LENGTHS[unit] * (0.5 if unit == "hour" else max(2, 0.2 * most))
        return now - most * LENGTHS[unit] - slack, now - least * LENGTHS[unit] + slack
    far, near = int(most), int(least)
    if match["today"]:
        months = {"month": 1, "year": 12}.get(unit)
        return day_span(p.add_months(now.date(), -far * months) if months else now - far * LENGTHS.get(unit, DAY))
    return _back(now, unit, far)[0], _back(now, unit, near)[1]


def _back(now: dt.datetime, unit: str, n: int) -> Span:
    """The calendar unit that lies n units back; n = 0 is the current one."""
    if unit in ("day", "night", "evening", "morning"):
        day = day_span(now - n * DAY)
        return day if unit == "day" else _part(day, unit)
    if unit in ("week", "fortnight"):
        weeks = n * (2 if unit == "fortnight" else 1)
        return week_span(now, -weeks)
    if unit == "weekend":
        return weekend_span(now, n)
    if unit == "month":
        return months_span(p.add_months(now.date(), -n))
    if unit == "quarter":
        first = dt.date(now.year, (now.month - 1) // 3 * 3 + 1, 1)
        return months_span(p.add_months(first, -3 * n), 3)
    years = 10 if unit == "decade" else 1
    first = dt.date(now.year // years * years - n * years, 1, 1)
    return months_span(first, 12 * years)


@_rule(rf"(?:the )?(?:last|past) {AMOUNT} (?P<unit>{p.UNIT})s?|(?:last|past) (?P<half>half hour|half year)")
def _lately(match: re.Match[str], now: dt.datetime) -> Span | None:
    end = now + dt.timedelta(minutes=1)
    if match["half"]:
        return (now - DAY / 48 if match["half"] == "half hour" else now - 183 * DAY), end
    number, unit = _amount(match["n"])[1], match["unit"]
    if unit in ("second", "minute", "hour"):
        return now - number * LENGTHS[unit], end
    if unit == "weekend":
        return weekend_span(now, int(number))[0], end
    months = {"month": 1, "quarter": 3, "year": 12, "decade": 120}.get(unit)
    start = p.add_months(now.date(), -int(number * months)) if months else now - number * LENGTHS.get(unit, DAY)
    return day_span(start)[0], end


@_rule(rf"(?P<which>last|this past|past|previous|this|current|earlier this) (?P<unit>{p.UNIT})(?P<or> or so)?"
       rf"|(?P<unit2>{p.UNIT}) before last")  # fmt: skip
def _which(match: re.Match[str], now: dt.datetime) -> Span | None:
    unit, which = match["unit"] or match["unit2"], match["which"]
    if (which in ("past", "this past") and unit != "weekend") or unit == "fortnight" or match["or"]:
        return _span(f"past 1 {unit}", now)
    if unit in ("second", "minute", "hour"):
        return now - LENGTHS[unit], now + dt.timedelta(minutes=1)
    n = 2 if which is None else 0 if which in ("this", "current", "earlier this") else 1
    return _back(now, unit, n)


@_rule(rf"(?P<which>last |this past |this |previous )?(?P<day>{p.WEEKDAY})s?(?P<last> last week| before last| last)?"
       rf"(?: the (?P<number>\d+)th)?|(?P<n>\d) (?P<day2>{p.WEEKDAY})s (?:ago|back)")  # fmt: skip
def _weekday(match: re.Match[str], now: dt.datetime) -> Span | None:
    weekday = p.WEEKDAYS[match["day"] or match["day2"]]
    if match["number"]:
        days = (now - n * DAY for n in range(3000))
        return next((day_span(d) for d in days if d.weekday() == weekday and d.day == int(match["number"])), None)
    back = (now.weekday() - weekday) % 7
    if match["last"] == " last week":
        return day_span(week_span(now, -1)[0] + weekday * DAY)
    strictly_before = bool(match["which"] and match["which"] != "this ") or bool(match["last"]) or bool(match["n"])
    back += 7 if strictly_before and back == 0 else 0
    back += 7 if match["last"] == " before last" else 7 * (int(match["n"]) - 1) if match["n"] else 0
    return day_span(now - back * DAY)


@_rule(rf"(?P<last>last |this past |this )?(?P<month>{p.MONTH})(?: {YEAR})?")
def _month(match: re.Match[str], now: dt.datetime) -> Span | None:
    month = p.MONTHS[match["month"]]
    year = _years(match, now, lambda y: dt.date(y, month, 1))
    if year is None:
        return None
    current = (year, month) == (now.year, now.month)
    return months_span(dt.date(year - (current and match["last"] in ("last ", "this past ")), month, 1))


@_rule(rf"(?P<last>last |this past |this |past )?(?P<season>{p.SEASON})(?: {YEAR})?"
       rf"|(?P<n>\d+) (?P<season2>{p.SEASON})s (?:ago|back)")  # fmt: skip
def _season(match: re.Match[str], now: dt.datetime) -> Span | None:
    first = p.SEASONS[match["season"] or match["season2"]]
    year = _years(match, now, lambda y: dt.date(y, first, 1))
    if year is None:
        return None
    span = months_span(dt.date(year, first, 1), 3)
    back = int(match["n"]) - 1 if match["n"] else 0
    if (match["last"] == "last " or match["n"]) and span[1] > now:
        back += 1  # "last summer", said in summer
    return months_span(dt.date(year - back, first, 1), 3) if back else span


DECADES = ["twenties", "thirties", "forties", "fifties", "sixties", "seventies", "eighties", "nineties"]


@_rule(r"(?:year )?(?P<year>(?:18|19|20)\d\d)|(?P<century>18|19|20) ?(?P<short>[1-9]\d)|(?P<decade>(?:18|19|20)?\d0)s"
       rf"|turn of (?:the )?millennium|(?P<word>{'|'.join(DECADES)})")  # fmt: skip
def _year(match: re.Match[str], now: dt.datetime) -> Span | None:
    if "millennium" in match[0]:
        return months_span(dt.date(1999, 7, 1), 12)
    decade = match["decade"] or (str(20 + 10 * DECADES.index(match["word"])) if match["word"] else None)
    if decade:
        first = int(decade) if len(decade) == 4 else 1900 + int(decade) + (100 if 2000 + int(decade) <= now.year else 0)
        return months_span(dt.date(first, 1, 1), 120)
    year = int(match["year"] or match["century"] + match["short"])
    return months_span(dt.date(year, 1, 1), 12) if 1826 <= year <= 9998 else None


@_rule(r"(?P<part>early|late|mid|beginning|start|1th half|1th months|1th days|2th half|middle|end|back end|final weeks"
       r"|last weeks)(?: of)?(?: the)? (?P<rest>.+)")  # fmt: skip
def _portion(match: re.Match[str], now: dt.datetime) -> Span | None:
    span = _span(match["rest"], now)
    if span is None or span[1] - span[0] < 5 * DAY:
        return None
    return portion(span, match["part"])


@_rule(rf"(?P<n>\d+)th (?P<unit>week|weekend|day|{p.WEEKDAY}) (?:of|in) (?P<rest>.+)"
       rf"|(?:last|final) (?P<unit2>week|weekend|day|{p.WEEKDAY}) (?:of|in) (?P<rest2>.+)"
       r"|week (?:of|with) (?P<week>.+)|weekend of (?P<weekend>.+)")  # fmt: skip
def _nth(match: re.Match[str], now: dt.datetime) -> Span | None:
    if text := match["week"] or match["weekend"]:
        span = _span(text, now)
        if span is None or span[1] - span[0] > 3 * DAY:
            return None
        return week_span(span[0]) if match["week"] else weekend_span(span[0] + 3 * DAY / 4, 0)
    span, unit = _span(match["rest"] or match["rest2"], now), match["unit"] or match["unit2"]
    if span is None:
        return None
    n = int(match["n"]) if match["n"] else 0
    if unit == "week":
        start = span[0] + 7 * (n - 1) * DAY if n else span[1] - 7 * DAY
        return start, start + 7 * DAY
    weekday = {"weekend": 5, "day": None}.get(unit, p.WEEKDAYS.get(unit))
    days = [span[0] + i * DAY for i in range((span[1] - span[0]).days)]
    days = [d for d in days if weekday is None or d.weekday() == weekday]
    if n > len(days):
        return None
    day = days[n - 1 if n else -1]
    return day_span(day, 2 if unit == "weekend" else 1)


@_rule(r"(?P<day>\d{1,2})th(?: of (?P<rest>last month|this month|the month))?")
def _of_month(match: re.Match[str], now: dt.datetime) -> Span | None:
    """The latest day of that number."""
    for back in range(1 if match["rest"] == "last month" else 0, 13):
        first = p.add_months(now.date().replace(day=1), -back)
        day = p.date(first.year, first.month, int(match["day"]))
        if day and day <= now.date():
            return day_span(day)
    return None


@_rule(rf"(?:(?P<weekday>{p.WEEKDAY}) (?:the )?)?(?:(?P<day>\d{{1,2}})(?:th)?(?: of)? (?P<month>{p.MONTH})"
       rf"|(?P<month2>{p.MONTH}) (?:the )?(?P<day2>\d{{1,2}})(?:th)?)(?: {YEAR})?")  # fmt: skip
def _date(match: re.Match[str], now: dt.datetime) -> Span | None:
    month, number = p.MONTHS[match["month"] or match["month2"]], int(match["day"] or match["day2"])
    if match["year"] or match["ago"]:
        year = _years(match, now, lambda y: dt.date(y, month, 1)) or now.year
        day = p.date(year, month, number)
    else:  # the latest year that has this day, so that February 29 is found
        days = (p.date(now.year - n, month, number) for n in range(9))
        day = next((d for d in days if d and d <= now.date()), None)
    return day_span(day) if day else None


def _written(text: str, now: dt.datetime) -> Span | None:
    """Dates in digits and in other forms, by dateparser. Only full dates: it is generous with everything else."""
    if not re.fullmatch(rf"\d{{1,4}}[/.-]\d{{1,2}}([/.-]\d{{1,4}})?|.*\b({p.MONTH})\b.*\d.*", text):
        return None
    from dateparser.date import DateDataParser

    order = "YMD" if re.match(r"\d{4}", text) else "DMY"
    settings = {"PREFER_DATES_FROM": "past", "RELATIVE_BASE": now, "DATE_ORDER": order, "STRICT_PARSING": True,
                "RETURN_AS_TIMEZONE_AWARE": False}  # fmt: skip
    data = DateDataParser(languages=["en"], settings=settings).get_date_data(text)
    if data.date_obj is None:
        return None
    day = data.date_obj.date()
    if data.period == "month":
        return months_span(day)
    return months_span(day.replace(month=1, day=1), 12) if data.period == "year" else day_span(day)
