"""The process that keeps one model warm. Its functions are called through a pool of one by `recogniser.py`.

A process and not a thread: PocketSphinx holds the interpreter's lock while it searches, and would stop the service.
"""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from . import weights
from .errors import ModelUnavailable, NothingHeard
from .types import SAMPLE_RATE, Expected, Hints, Word
from .vad import speech_segments

SILENCE = "nothing heard: there is no speech in the recording; move closer to the microphone and say it again"


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """Which engine the process holds. model: Whisper name or checkpoint file."""

    kind: str
    model: str | None
    cache_dir: Path
    device: str | None = None

    @property
    def label(self) -> str:
        """What transcripts say: "whisper:base", "pocketsphinx"."""
        return self.kind if self.kind == "pocketsphinx" else f"whisper:{weights.label(str(self.model))}"


@dataclass(frozen=True, slots=True)
class Answer:
    """Transcript without what only the caller knows."""

    text: str
    language: str
    confidence: float
    words: tuple[Word, ...]
    timings: dict[str, float]


class Engine(Protocol):
    """What both recognisers do. Samples are float32 at 16 kHz."""

    def use_hints(self, hints: Hints) -> None: ...

    def transcribe(self, samples: np.ndarray, language: str | None, expected: Expected) -> Any: ...

    def partial(self, samples: np.ndarray, language: str | None) -> str: ...


_engine: Engine | None = None
_hints: Hints | None = None
_spec: EngineSpec | None = None


def start(spec: EngineSpec, hints: Hints) -> None:
    """Load the model, or switch to other hints. Raises ModelUnavailable."""
    global _engine, _hints, _spec
    if _engine is None or spec != _spec:
        if spec.kind == "pocketsphinx":
            from .sphinx_engine import SphinxEngine

            _engine = SphinxEngine(hints, spec.cache_dir)
        else:
            from .whisper_engine import WhisperEngine

            if spec.model is None:
                raise ModelUnavailable("no Whisper model is named")
            _engine = WhisperEngine(spec.model, hints, spec.cache_dir, spec.device)
        _spec = spec
    elif hints != _hints:
        _engine.use_hints(hints)
    _hints = hints


def learn(spec: EngineSpec, hints: Hints) -> None:
    """Make what PocketSphinx will need for these hints, in a process of its own that leaves the processor to others."""
    from .sphinx_engine import build

    os.nice(10)
    build(hints, spec.cache_dir)


def transcribe(spec: EngineSpec, hints: Hints, samples: np.ndarray, language: str | None, expected: Expected) -> Answer:
    """Voice activity, then recognition of what lies between the first and the last word."""
    began = time.perf_counter()
    start(spec, hints)
    assert _engine is not None
    loaded = time.perf_counter()
    segments = speech_segments(samples)
    if not segments:
        raise NothingHeard(SILENCE)
    first, last = segments[0].start, segments[-1].end
    found = time.perf_counter()
    heard = _engine.transcribe(samples[first:last], language, expected)
    offset = first / SAMPLE_RATE
    words = tuple(w._replace(start=round(w.start + offset, 3), end=round(w.end + offset, 3)) for w in heard.words)
    timings = {
        "load_ms": (loaded - began) * 1000,
        "vad_ms": (found - loaded) * 1000,
        "recognise_ms": (time.perf_counter() - found) * 1000,
    }
    return Answer(heard.text, getattr(heard, "language", "en"), heard.confidence, words, timings)


def partial(spec: EngineSpec, hints: Hints, samples: np.ndarray, language: str | None) -> str:
    """Text of an utterance that is still going on; unjudged."""
    start(spec, hints)
    assert _engine is not None
    return _engine.partial(samples, language)
