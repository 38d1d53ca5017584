"""Written text → the words that are spoken: numbers, times and dates in words, accents and punctuation removed."""

from __future__ import annotations

import re
import unicodedata

_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_ORDINALS = {
    "one": "first", "two": "second", "three": "third", "five": "fifth", "eight": "eighth", "nine": "ninth",
    "twelve": "twelfth",
}  # fmt: skip
_LETTERS = str.maketrans({"ø": "o", "ł": "l", "ß": "ss", "æ": "ae", "œ": "oe", "đ": "d", "ð": "d", "þ": "th", "ı": "i"})
_HOURS = "|".join(_ONES[1:13])
_SYMBOLS = {
    "&": " and ", "@": " at ", "%": " percent ", "€": " euros ", "£": " pounds ", "$": " dollars ", "+": " plus ",
}  # fmt: skip


def cardinal(number: int) -> str:
    """5 → "five", 120 → "one hundred and twenty"; 0 ≤ number < 1,000,000."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (f" {_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{_ONES[number // 100]} hundred" + (f" and {cardinal(number % 100)}" if number % 100 else "")
    return f"{cardinal(number // 1000)} thousand" + (f" {cardinal(number % 1000)}" if number % 1000 else "")


def ordinal(number: int) -> str:
    """3 → "third", 21 → "twenty first"."""
    *head, last = cardinal(number).split()
    if last in _ORDINALS:
        last = _ORDINALS[last]
    else:
        last = last[:-1] + "ieth" if last.endswith("y") else last + "th"
    return " ".join([*head, last])


def _number(digits: str) -> str:
    """Years in pairs, long or zero-led numbers digit by digit, the rest as cardinals."""
    if len(digits) == 4 and digits[:2] in ("19", "20"):
        if digits[2] == "0":
            return cardinal(int(digits))
        return f"{cardinal(int(digits[:2]))} {cardinal(int(digits[2:]))}"
    if len(digits) >= 4 or (digits[0] == "0" and len(digits) > 1):
        return " ".join(_ONES[int(d)] for d in digits)
    return cardinal(int(digits))


def _clock(match: re.Match[str]) -> str:
    hour, minute = int(match[1]), int(match[2])
    minutes = "o'clock" if not minute else f"oh {cardinal(minute)}" if minute < 10 else cardinal(minute)
    return f" {cardinal(hour)} {minutes} "


def spoken(text: str) -> str:
    """Lower-case words of ASCII letters and apostrophes, single spaces: "At 9:30, José!" → "at nine thirty jose"."""
    text = unicodedata.normalize("NFKD", text.lower().replace("’", "'"))
    text = "".join(c for c in text if not unicodedata.combining(c)).translate(_LETTERS)
    for symbol, words in _SYMBOLS.items():
        text = text.replace(symbol, words)
    # "9 am", "9:30pm", "nine p.m.", but not "I am".
    text = re.sub(r"\b([ap])\.\s?m\b\.?", r"\1 m", text)
    text = re.sub(rf"(\d|\b(?:{_HOURS}|o'clock)\b)\s?([ap])m\b", r"\1 \2 m", text)
    text = re.sub(r"\b([01]?\d|2[0-3])[:.]([0-5]\d)\b", _clock, text)
    text = re.sub(r"(\d+)(?:st|nd|rd|th)\b", lambda m: f" {ordinal(int(m[1][:5]))} ", text)
    text = re.sub(r"(\d)\.(\d)", r"\1 point \2", text)
    text = re.sub(r"\d+", lambda m: f" {_number(m[0])} ", text)
    text = re.sub(r"[^a-z' ]", " ", text)
    return " ".join(re.sub(r"(?<![a-z])'|'(?![a-z])", " ", text).split())
