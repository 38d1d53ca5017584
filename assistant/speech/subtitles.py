"""Transcripts as SubRip and WebVTT, cut into lines of a few words."""

from __future__ import annotations

from collections.abc import Iterator

from .types import Transcript, Word

LONGEST = 7.0  # seconds of one subtitle
MOST_WORDS = 12


def srt(transcript: Transcript) -> str:
    """SubRip: numbered, with a comma before the milliseconds."""
    blocks = (
        f"{number}\n{_time(start, ',')} --> {_time(end, ',')}\n{text}\n"
        for number, (start, end, text) in enumerate(lines(transcript), 1)
    )
    return "\n".join(blocks)


def vtt(transcript: Transcript) -> str:
    """WebVTT."""
    blocks = (f"{_time(start, '.')} --> {_time(end, '.')}\n{text}\n" for start, end, text in lines(transcript))
    return "WEBVTT\n\n" + "\n".join(blocks)


def lines(transcript: Transcript) -> list[tuple[float, float, str]]:
    """(start, end, text) of each subtitle; the whole text in one when the words have no times."""
    if not transcript.words:
        return [(0.0, transcript.duration, transcript.text)]
    found, end = [], 0
    for group in _groups(transcript.words):
        text, end = _written(transcript.text, group, end)
        found.append((group[0].start, group[-1].end, text))
    return found


def _written(text: str, words: list[Word], start: int) -> tuple[str, int]:
    """These words as `text` writes them from `start` on (not every script has spaces between words), and where they
    end there; with spaces when they are not found."""
    begin, end = -1, start
    for word in words:
        at = text.find(word.word, end)
        if at < 0:
            return " ".join(w.word for w in words), start
        begin, end = at if begin < 0 else begin, at + len(word.word)
    return text[begin:end], end


def _groups(words: tuple[Word, ...]) -> Iterator[list[Word]]:
    group: list[Word] = []
    for word in words:
        if group and (len(group) == MOST_WORDS or word.end - group[0].start > LONGEST):
            yield group
            group = []
        group.append(word)
    yield group


def _time(seconds: float, point: str) -> str:
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02}:{minutes % 60:02}:{milliseconds // 1000:02}{point}{milliseconds % 1000:03}"
