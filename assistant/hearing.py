"""Recordings that wait to be understood, and the recogniser that understands them.

A recording is kept in the data folder until its transcript is committed, so that a restart does not lose a command.
The recogniser is opened beside the start of the service: typed commands need not wait for its weights.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .command import CommandError
from .config import Settings
from .execution.contacts import AddressBook
from .execution.private import write_private
from .execution.sandbox import Limits, Sandbox, SandboxError, SandboxUnavailable
from .plugin.registry import Registry
from .speech import Recogniser, open_recogniser
from .speech.errors import DecoderFailed, ModelUnavailable, RecogniserDied, SpeechError
from .speech.types import DecodeLimits, Expected, Hints, Transcript

log = logging.getLogger(__name__)
RENEW_S = 20.0  # how often contacts and albums are looked at for new names


class NotUnderstood(CommandError):
    """A recording has no trustworthy transcript."""

    title = "The recording could not be understood"

    def __init__(self, error: SpeechError) -> None:
        super().__init__(str(error))
        self.status = error.status


class Hearing:
    """The recogniser and the recordings of one assistant. `start` before use, `aclose` after."""

    def __init__(self, settings: Settings, sandbox: Sandbox, registry: Registry, book: AddressBook) -> None:
        self._settings, self._sandbox, self._registry, self._book = settings, sandbox, registry, book
        self._folder = settings.home / "recordings"
        self._opening: asyncio.Task[Recogniser] | None = None
        self._renewing: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to open the recogniser."""
        self._opening = asyncio.create_task(self._open())
        self._renewing = asyncio.create_task(self._renew())

    async def aclose(self) -> None:
        """Close the recogniser."""
        if self._opening is None:
            return
        if self._renewing is not None:
            self._renewing.cancel()
        self._opening.cancel()
        [opened] = await asyncio.gather(self._opening, return_exceptions=True)
        if isinstance(opened, Recogniser):
            opened.close()

    @property
    def engine(self) -> str | None:
        """Such as "whisper:base" or "pocketsphinx"; None while it opens or when it cannot be opened."""
        opening = self._opening
        if opening is None or not opening.done() or opening.cancelled() or opening.exception() is not None:
            return None
        return opening.result().engine

    @property
    def problem(self) -> str | None:
        """Why there is no recogniser."""
        if self._opening is None or not self._opening.done() or self._opening.cancelled():
            return None
        error = self._opening.exception()
        return None if error is None else str(error)

    async def recogniser(self) -> Recogniser:
        """The recogniser, once it is open. Raises NotUnderstood when it cannot be opened."""
        assert self._opening is not None
        try:
            return await asyncio.shield(self._opening)
        except SpeechError as error:
            raise NotUnderstood(error) from error

    async def transcribe(self, id: str, *, expected: Expected = "command") -> dict[str, Any]:
        """The transcript of a kept recording: text, language, confidence, engine. Raises NotUnderstood.

        expected: "consent" or "answer" when a question is open, which the recogniser then listens for.
        """
        recogniser = await self.recogniser()
        try:
            audio = await asyncio.to_thread((self._folder / id).read_bytes)
            found = await _heard(recogniser, audio, expected)
        except FileNotFoundError:
            raise NotUnderstood(SpeechError("the recording is gone; record it again")) from None
        except SpeechError as error:
            raise NotUnderstood(error) from error
        return {"text": found.text, "language": found.language, "confidence": round(found.confidence, 3),
                "engine": found.engine}  # fmt: skip

    def keep(self, id: str, audio: bytes) -> None:
        """Put a recording aside until it is understood."""
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(self._folder / id, audio)

    def sweep(self, keep: set[str]) -> None:
        """Delete the recordings that no command waits for."""
        for file in self._folder.glob("*"):
            if file.name not in keep:
                self.forget(file.name)

    def forget(self, id: str) -> None:
        """Delete a recording."""
        with contextlib.suppress(OSError):
            (self._folder / id).unlink()

    async def _renew(self) -> None:
        """Have the recogniser learn new contacts and albums, soon after they come."""
        try:
            recogniser = await self.recogniser()
        except NotUnderstood:
            return  # it will not be opened again
        while True:
            await asyncio.sleep(RENEW_S)
            try:
                if (hints := await asyncio.to_thread(self.hints)) != recogniser.hints:
                    await recogniser.warm(hints)
            except Exception as error:
                log.warning("the recogniser did not learn new names: %s", error)

    async def _open(self) -> Recogniser:
        try:
            hints = await asyncio.to_thread(self.hints)
            recogniser = await asyncio.to_thread(
                open_recogniser, self._settings.speech_engine, self._settings.speech_model,
                self._settings.home / "speech", hints, language=self._settings.speech_language, run=self.decode,
            )  # fmt: skip
            try:
                await recogniser.warm()
            except BaseException:
                recogniser.close()
                raise
            return recogniser
        except SpeechError as error:
            log.warning("no recogniser: %s", error)
            raise
        except Exception as error:
            log.exception("opening the recogniser")
            raise ModelUnavailable(f"the recogniser cannot be opened ({type(error).__name__}: {error})") from error

    def decode(self, target: str, payload: bytes, limits: DecodeLimits) -> bytes:
        """Runs the decoder of recordings, which are hostile input, in the sandbox. Raises DecoderFailed, and
        SpeechError when the sandbox, rather than the recording, is at fault."""
        confined = Limits(wall_s=limits.wall_seconds, cpu_s=limits.cpu_seconds, memory_bytes=limits.memory_bytes)
        try:
            return self._sandbox.run_sync(target, payload, confined)
        except SandboxUnavailable as error:
            raise SpeechError(f"recordings cannot be opened now: {error}; try again", status=503) from error
        except SandboxError as error:
            raise DecoderFailed(str(error)) from error

    def hints(self) -> Hints:
        """What the user is likely to say, from contacts, albums and tools."""
        people = self._book.people
        names = [n for p in people for n in (p.name, p.given, *p.names, *p.groups) if n]
        specs = list(self._registry.values())
        words = [c.replace("_", " ") for s in specs for p in s.parameters for c in (p.type.item or p.type).choices]
        return Hints(
            contacts=tuple(dict.fromkeys(names)), albums=tuple(dict.fromkeys(_albums(self._settings.photos))),
            examples=tuple(e for s in specs for e in s.examples), vocabulary=tuple(dict.fromkeys(words)),
        )  # fmt: skip


async def _heard(recogniser: Recogniser, audio: bytes, expected: Expected) -> Transcript:
    """Tried twice when the recogniser's process dies: it may have been killed for reasons of its own."""
    try:
        return await recogniser.transcribe(audio, expected=expected)
    except RecogniserDied as error:
        log.warning("%s", error)
        return await recogniser.transcribe(audio, expected=expected)


def _albums(folders: Iterable[Path]) -> list[str]:
    """The names of the folders in the photo library, which are its albums."""
    found: list[str] = []
    for folder in folders:
        with contextlib.suppress(OSError):
            found += [entry.name for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith(".")]
    return found[:500]
