"""What the rest of the assistant uses: a recogniser that takes recordings or a live stream."""

from __future__ import annotations

import asyncio
import logging
import multiprocessing
import time
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal, TypeVar

import numpy as np

from . import weights, worker
from .decode import Runner, decode
from .endpoint import LONGEST, Endpointer
from .errors import ModelUnavailable, NothingHeard, RecogniserDied
from .types import SAMPLE_RATE, DecodeLimits, Expected, Hints, Transcript
from .vad import level

T = TypeVar("T")
log = logging.getLogger(__name__)

PARTIAL_EVERY = 0.8  # seconds of speech between partial transcripts
DEFAULT_MODEL = "base"


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One thing that happened in a live stream.

    kind: "level" (level 0–1), "speech_start", "partial" (text so far, unjudged), "speech_end", then "final"
    (transcript) or "nothing" (text says why).
    """

    kind: Literal["level", "speech_start", "partial", "speech_end", "final", "nothing"]
    text: str = ""
    level: float = 0.0
    transcript: Transcript | None = None


class Recogniser:
    """Keeps one model warm in a process of its own. Close it, or use it as an async context manager."""

    def __init__(
        self,
        spec: worker.EngineSpec,
        hints: Hints,
        run: Runner | None = None,
        limits: DecodeLimits | None = None,
        fallback: worker.EngineSpec | None = None,
        language: str | None = None,
    ) -> None:
        """fallback: the engine to change to when that of `spec` cannot be loaded. language: of calls that name none."""
        self._spec = spec
        self._language = language
        self._limits = limits or DecodeLimits()
        self._run = run
        self._fallback = fallback
        self._pool: ProcessPoolExecutor | None = None
        self._learner: ProcessPoolExecutor | None = None  # makes the model of other hints while the pool recognises
        self.hints = hints

    @property
    def engine(self) -> str:
        """Label of the engine, as transcripts carry it: "whisper:base", "pocketsphinx"."""
        return self._spec.label

    async def __aenter__(self) -> Recogniser:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop the processes, whatever they are doing: a model may take half a minute to build."""
        for pool in filter(None, (self._pool, self._learner)):
            _stop(pool)
        self._pool = self._learner = None

    async def warm(self, hints: Hints | None = None) -> None:
        """Load the model now. Given hints become the default; what is said while they are learned is still heard with
        the old ones. Raises ModelUnavailable."""
        if hints is not None:
            if self._pool is not None and self._spec.kind == "pocketsphinx":  # Whisper has nothing to build
                await self._learn(hints)
            self.hints = hints
        await self._call(worker.start, self.hints)

    async def _learn(self, hints: Hints) -> None:
        self._learner = learner = _process()
        try:
            await asyncio.get_running_loop().run_in_executor(learner, worker.learn, self._spec, hints)
        except BrokenProcessPool as error:
            raise RecogniserDied("the process that learns new names died") from error
        finally:
            _stop(learner)
            self._learner = None

    async def transcribe(
        self,
        audio: bytes,
        *,
        language: str | None = None,
        hints: Hints | None = None,
        expected: Expected = "command",
    ) -> Transcript:
        """Transcript of a recording in any accepted format, which is told from its bytes. Raises SpeechError.

        language: ISO 639-1, None takes the recogniser's or detects it. hints: instead of the recogniser's own.
        expected: what is waited for.
        """
        began = time.perf_counter()
        samples = await asyncio.to_thread(decode, audio, self._run, self._limits)
        return await self.transcribe_samples(samples, language=language, hints=hints, expected=expected, began=began)

    async def transcribe_samples(
        self,
        samples: np.ndarray,
        *,
        language: str | None = None,
        hints: Hints | None = None,
        expected: Expected = "command",
        began: float | None = None,
    ) -> Transcript:
        """Transcript of float32 samples at 16 kHz, shape [n]. began: `time.perf_counter()` of the request."""
        now = time.perf_counter()
        began = now if began is None else began
        answer = await self._call(worker.transcribe, hints or self.hints, samples, language or self._language, expected)
        end = time.perf_counter()
        timings = {"decode_ms": (now - began) * 1000, **answer.timings, "total_ms": (end - began) * 1000}
        return Transcript(
            text=answer.text,
            language=answer.language,
            confidence=round(answer.confidence, 3),
            engine=self.engine,
            words=answer.words,
            duration=round(len(samples) / SAMPLE_RATE, 3),
            timings=MappingProxyType({stage: round(ms, 1) for stage, ms in timings.items()}),
        )

    async def stream(
        self,
        chunks: AsyncIterator[np.ndarray],
        *,
        language: str | None = None,
        hints: Hints | None = None,
        expected: Expected = "command",
        trailing_silence: float = 0.5,
        longest: float = LONGEST,
    ) -> AsyncIterator[StreamEvent]:
        """Events of live audio: float32 chunks of any length at 16 kHz, until they end.

        trailing_silence: seconds that end an utterance. longest: seconds after which it ends anyway.
        """
        endpointer = await asyncio.to_thread(Endpointer, trailing_silence, longest)
        partial: asyncio.Task[str] | None = None
        asked = 0
        async for chunk in chunks:
            yield StreamEvent("level", level=min(1.0, level(chunk)))
            pending: np.ndarray = chunk
            while True:
                changes = endpointer.feed(pending)
                if "speech_start" in changes:
                    asked = 0
                    yield StreamEvent("speech_start")
                if "speech_end" not in changes:
                    break
                async for event in self._finish(endpointer, partial, language, hints, expected):
                    yield event
                partial, pending = None, np.zeros(0, np.float32)  # feed what the endpointer still holds
            if partial is not None and partial.done():
                if not partial.cancelled() and partial.exception() is None and endpointer.speaking:
                    yield StreamEvent("partial", text=partial.result())
                partial = None
            if endpointer.speaking and partial is None:
                samples = endpointer.utterance
                if len(samples) - asked >= PARTIAL_EVERY * SAMPLE_RATE:
                    asked = len(samples)
                    call = self._call(worker.partial, hints or self.hints, samples, language or self._language)
                    partial = asyncio.ensure_future(call)
        if endpointer.finish():
            async for event in self._finish(endpointer, partial, language, hints, expected):
                yield event
        elif partial is not None:
            partial.cancel()

    async def _finish(
        self,
        endpointer: Endpointer,
        partial: asyncio.Task[str] | None,
        language: str | None,
        hints: Hints | None,
        expected: Expected,
    ) -> AsyncIterator[StreamEvent]:
        if partial is not None:
            partial.cancel()
        yield StreamEvent("speech_end")
        try:
            transcript = await self.transcribe_samples(
                endpointer.utterance, language=language, hints=hints, expected=expected
            )
        except NothingHeard as nothing:
            yield StreamEvent("nothing", text=str(nothing))
        else:
            yield StreamEvent("final", text=transcript.text, transcript=transcript)

    async def _call(self, function: Callable[..., T], *arguments: Any) -> T:
        """One of the worker's functions with the engine's specification and these arguments."""
        try:
            return await self._in_process(function, self._spec, *arguments)
        except ModelUnavailable as error:
            if self._fallback is None:
                raise
            log.warning("%s; using %s instead", error, self._fallback.label)
            self._spec, self._fallback = self._fallback, None
            return await self._in_process(function, self._spec, *arguments)

    async def _in_process(self, function: Callable[..., T], *arguments: Any) -> T:
        if self._pool is None:
            self._pool = _process()
        pool = self._pool
        try:
            return await asyncio.get_running_loop().run_in_executor(pool, function, *arguments)
        except BrokenProcessPool as error:
            if self._pool is pool:  # else another call that it broke has replaced it already
                self._pool = None
            raise RecogniserDied("the recogniser's process died and was replaced; send it again") from error


def _process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))


def _stop(pool: ProcessPoolExecutor) -> None:
    for process in list((pool._processes or {}).values()):  # Python 3.14 has a method for it
        process.terminate()
    pool.shutdown(wait=False, cancel_futures=True)


def open_recogniser(
    engine: Literal["auto", "whisper", "pocketsphinx"] = "auto",
    model: str | None = None,
    cache_dir: Path | str | None = None,
    hints: Hints | None = None,
    *,
    language: str | None = None,
    run: Runner | None = None,
    limits: DecodeLimits | None = None,
    device: str | None = None,
) -> Recogniser:
    """The recogniser for these settings; loads nothing yet (see `Recogniser.warm`).

    engine: "auto" takes Whisper when its weights are on this machine or can be fetched, else PocketSphinx. model: a
    Whisper name ("base", "small.en", "turbo") or a checkpoint file. cache_dir: folder for the generated language
    model (Whisper's own weights live where `openai-whisper` keeps them). language: ISO 639-1 code of what is spoken;
    None detects it. run: confines the decoder (see `decode`).
    Raises ModelUnavailable when Whisper is demanded and cannot be had, or `model` is a file that is not there.
    """
    folder = Path(cache_dir).expanduser() if cache_dir else Path("~/.cache/voice-errands/speech").expanduser()
    name = model or DEFAULT_MODEL
    if weights.demanded(engine, name):
        weights.check(name)
    offline = worker.EngineSpec("pocketsphinx", None, folder)
    fallback = offline if engine == "auto" else None
    if engine == "auto":
        engine = "whisper" if weights.installed(name) or weights.fetchable(name) else "pocketsphinx"
    elif engine not in ("whisper", "pocketsphinx"):
        raise ModelUnavailable(f"unknown speech engine {engine!r}; choose auto, whisper or pocketsphinx")
    spec = worker.EngineSpec("whisper", name, folder, device) if engine == "whisper" else offline
    return Recogniser(spec, hints or Hints(), run, limits, fallback if spec != offline else None, language)
