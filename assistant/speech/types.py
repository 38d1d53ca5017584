"""The values that speech gives and takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal, NamedTuple

SAMPLE_RATE = 16_000

# What is waited for: any command, yes or no, or the answer to another question. A recogniser is lenient only with
# what it waits for.
Expected = Literal["command", "consent", "answer"]


class Word(NamedTuple):
    """One word of a transcript; times in seconds from the start of the recording, confidence 0–1."""

    word: str
    start: float
    end: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What was said.

    language: ISO 639-1. confidence: 0–1, how much the engine vouches for the text as a whole.
    engine: "whisper:base", "pocketsphinx". duration: seconds of the recording.
    timings: milliseconds spent, by stage ("decode_ms", "vad_ms", "recognise_ms", "total_ms").
    """

    text: str
    language: str
    confidence: float
    engine: str
    words: tuple[Word, ...] = ()
    duration: float = 0.0
    timings: Mapping[str, float] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class Hints:
    """What the user is likely to say, as plain strings.

    contacts: names of people and groups, as written ("Alice Chen"). albums: album names.
    examples: utterances of the installed tools ("make a GIF of them"); contact names, album names and numbers in
    them stand for all others. vocabulary: further words and short phrases (enumeration values, channel names).
    """

    contacts: tuple[str, ...] = ()
    albums: tuple[str, ...] = ()
    examples: tuple[str, ...] = ()
    vocabulary: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DecodeLimits:
    """What a recording, and the process that decodes it, may use.

    file_bytes: size of the upload. seconds: duration of the decoded sound. channels, sample_rate: highest accepted.
    memory_bytes, cpu_seconds, wall_seconds: of the confined process.
    """

    file_bytes: int = 25 * 1024 * 1024
    seconds: float = 120.0
    channels: int = 8
    sample_rate: int = 384_000
    memory_bytes: int = 512 * 1024 * 1024
    cpu_seconds: int = 20
    wall_seconds: float = 30.0
