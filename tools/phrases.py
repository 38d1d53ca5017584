"""The words of time: numbers, months, weekdays, parts of the day, clock times, feasts. English.

What a date-parsing library leaves out. Shared by what looks back (photos) and what looks ahead (reminders). All values
are naive and local; the callers know the zone.
"""

from __future__ import annotations

import calendar
import datetime as dt
import re

UNIT_WORDS = """zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen
seventeen eighteen nineteen"""
TEN_WORDS = "twenty thirty forty fifty sixty seventy eighty ninety"
ORDINAL_WORDS = """first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth thirteenth
fourteenth fifteenth sixteenth seventeenth eighteenth nineteenth twentieth"""
UNITS = {w: n for n, w in enumerate(UNIT_WORDS.split())}
TENS = {w: 10 * n for n, w in enumerate(TEN_WORDS.split(), 2)}
ORDINALS = {w: n for n, w in enumerate(ORDINAL_WORDS.split(), 1)} | {"thirtieth": 30}
WEEKDAYS = {w.lower(): n for n, w in enumerate(calendar.day_name)}
WEEKDAYS |= {w: n for n, ws in enumerate(["mon", "tue tues", "wed", "thu thur thurs", "fri", "sat", "sun"])
             for w in ws.split()}  # fmt: skip
MONTHS = {w.lower(): n for n, w in enumerate(calendar.month_name) if w}
MONTHS |= {w[:3]: n for w, n in MONTHS.items()} | {"sept": 9}
SEASONS = {"spring": 3, "summer": 6, "autumn": 9, "fall": 9, "winter": 12}  # of the northern half, by first month
WEEKDAY = "|".join(sorted(WEEKDAYS, key=len, reverse=True))
MONTH = "|".join(sorted(MONTHS, key=len, reverse=True))
SEASON = "|".join(SEASONS)
UNIT = "second|minute|hour|day|night|evening|morning|week|weekend|fortnight|month|quarter|year|decade"
PARTS = {  # of the day: (first hour, last hour), hours after midnight of that day
    "dawn": (4, 8), "sunrise": (4, 9), "breakfast": (5, 11), "morning": (4, 12), "noon": (11, 14), "midday": (11, 14),
    "lunchtime": (11, 15), "lunch": (11, 15), "afternoon": (12, 18), "sunset": (16, 22), "dusk": (16, 22),
    "dinner": (17, 24), "evening": (17, 24), "midnight": (23, 25), "night": (18, 30), "middle of the night": (22, 30),
}  # fmt: skip
PART = "|".join(sorted(PARTS, key=len, reverse=True))


class Unclear(ValueError):
    """A phrase of time that cannot be understood; the message names it and says how to put it."""


def normal(phrase: str) -> str:
    """Lower case, numbers as digits ("twenty five" → "25", "twenty first" → "21st"), no punctuation but : / . -"""
    text = phrase.casefold().replace("’", "'").replace("o'clock", "oclock").replace("'s", "s").replace("'", "")
    text = re.sub(r"(?<![a-z])([ap])\.\s?m\b\.?", r"\1m", text)
    text = re.sub(r"(?<!\d)-|-(?!\d)", " ", text)
    words = re.findall(r"[\w:./]+(?:-\d+)*", text)
    out: list[str] = []
    for i, word in enumerate(words):
        word = word.rstrip(".:/")
        joined = out and out[-1].isdigit() and i and words[i - 1] in TENS
        unit = word == "second" and i and (words[i - 1] in ("a", "per", "one") or words[i - 1].isdigit())
        if word in UNITS and not (joined and UNITS[word] > 9):
            out[-1:] = [str(int(out[-1]) + UNITS[word])] if joined else [*out[-1:], str(UNITS[word])]
        elif word in TENS:
            out.append(str(TENS[word]))
        elif word in ORDINALS and not unit:
            number = ORDINALS[word] + (int(out.pop()) if joined and ORDINALS[word] < 10 else 0)
            out.append(f"{number}th")
        elif word:
            out.append(re.sub(r"^(\d+)(st|nd|rd)$", r"\1th", word))
    return " ".join(out)


def date(year: int, month: int, day: int) -> dt.date | None:
    """A date, or None where the calendar has none (30 February)."""
    try:
        return dt.date(year, month, day)
    except ValueError:
        return None


def add_months(day: dt.date, months: int) -> dt.date:
    """The same day some months on, or the month's last."""
    year, month = divmod(day.year * 12 + day.month - 1 + months, 12)
    return dt.date(year, month + 1, min(day.day, calendar.monthrange(year, month + 1)[1]))


def nth_weekday(year: int, month: int, weekday: int, n: int) -> dt.date:
    """The n-th weekday of a month; n = -1 is the last."""
    days = [w[weekday] for w in calendar.monthcalendar(year, month) if w[weekday]]
    return dt.date(year, month, days[n - 1 if n > 0 else n])


FIXED = {
    "new years eve": (12, 31), "new years day": (1, 1), "new years": (1, 1), "new year": (1, 1), "epiphany": (1, 6),
    "12th night": (1, 5), "australia day": (1, 26), "valentines day": (2, 14), "valentines": (2, 14),
    "saint patricks day": (3, 17), "st patricks day": (3, 17), "april fools day": (4, 1), "april fools": (4, 1),
    "kings day": (4, 27), "may day": (5, 1), "juneteenth": (6, 19), "midsummer": (6, 21),
    "canada day": (7, 1), "independence day": (7, 4), "bastille day": (7, 14), "halloween": (10, 31),
    "all saints day": (11, 1), "bonfire night": (11, 5), "guy fawkes night": (11, 5), "veterans day": (11, 11),
    "armistice day": (11, 11), "st nicholas day": (12, 6), "christmas eve": (12, 24), "christmas day": (12, 25),
    "christmas": (12, 25), "xmas": (12, 25), "boxing day": (12, 26),
}  # fmt: skip
NTH = {
    "thanksgiving": (11, 3, 4), "labor day": (9, 0, 1), "labour day": (9, 0, 1), "memorial day": (5, 0, -1),
    "columbus day": (10, 0, 2), "martin luther king day": (1, 0, 3), "presidents day": (2, 0, 3),
    "fathers day": (6, 6, 3), "mothers day": (5, 6, 2), "remembrance sunday": (11, 6, 2),
}  # fmt: skip
EASTER = {"ash wednesday": -46, "palm sunday": -7, "good friday": -2, "easter": 0, "easter sunday": 0,
          "easter monday": 1, "ascension day": 39, "pentecost": 49, "whit monday": 50, "pancake day": -47,
          "shrove tuesday": -47, "carnival": -48}  # fmt: skip
FEAST = "|".join(sorted([*FIXED, *NTH, *EASTER], key=len, reverse=True))


def feast(name: str, year: int) -> dt.date:
    """The day of a feast in a year; `name` as `normal` writes it, one of FEAST."""
    if name in FIXED:
        return dt.date(year, *FIXED[name])
    if name in NTH:
        return nth_weekday(year, *NTH[name])
    from dateutil.easter import easter

    return easter(year) + dt.timedelta(EASTER[name])


CLOCK = re.compile(
    r"(?:(?P<half>half|quarter|a quarter|\d{1,2})(?: minutes?)? (?P<way>past|to|after|till|before) (?P<base>\d{1,2})"
    r"|half (?P<british>\d{1,2})"
    r"|(?P<h>[0-2]?\d)(?:(?P<sep>[:.])(?P<m>[0-5]\d)| (?P<spoken>oh \d|[0-5]\d))?"
    r"|(?P<word>noon|midday|midnight))"
    r"(?: ?(?:oclock|sharp))*(?: ?(?P<half_day>am|pm))?"
)


def clock(text: str) -> tuple[int, int, bool] | None:
    """(hour, minute, whether the half of the day is known) of a clock time as `normal` writes it, else None."""
    match = CLOCK.fullmatch(text)
    if not match:
        return None
    if match["word"]:
        return (0 if match["word"] == "midnight" else 12), 0, True
    if match["half"]:
        minutes = {"half": 30, "quarter": 15, "a quarter": 15}.get(match["half"]) or int(match["half"])
        hour = int(match["base"])
        total = hour * 60 + (minutes if match["way"] in ("past", "after") else -minutes)
        hour, minute = divmod(total % (24 * 60), 60)
    elif match["british"]:
        hour, minute = int(match["british"]), 30
    else:
        hour, minute = int(match["h"]), int((match["m"] or match["spoken"] or "0").removeprefix("oh "))
    if hour > 23 or minute > 59:
        return None
    if match["half_day"]:
        if hour > 12:
            return hour, minute, True
        return hour % 12 + (12 if match["half_day"] == "pm" else 0), minute, True
    known = hour > 12 or bool(match["h"] and match["h"].startswith("0"))
    return hour, minute, known
