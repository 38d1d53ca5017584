"""The microphone: talk to the assistant and watch it work. `assistant listen`, or `python -m assistant.listen`.

Hands-free, an utterance ends with half a second of silence; with --push-to-talk it begins and ends with Enter. A
message is sent only after a spoken or typed "yes"; what is not clearly a yes is none. Recordings (--file) run through
the same code: each is one utterance, pauses and all; a command and its confirmation are two files.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from rich.console import Console
from rich.live import Live
from rich.text import Text

from assistant.cli import exits
from assistant.command import CommandError
from assistant.config import Settings
from assistant.execution.answers import understand
from assistant.execution.errand import AnswerError, NotAsked
from assistant.execution.sandbox import SandboxError
from assistant.hearing import NotUnderstood
from assistant.speech import NothingHeard, Recogniser, SpeechError, StreamEvent, Transcript
from assistant.speech.decode import decode
from assistant.speech.endpoint import LONGEST
from assistant.speech.errors import RecogniserDied
from assistant.speech.sources import microphone, recording
from assistant.speech.types import SAMPLE_RATE, Expected
from assistant.speech.vad import VoiceDetector

if TYPE_CHECKING:
    from assistant.assistant import Assistant
    from assistant.command import Command

ATTEMPTS = 3  # at an answer that is understood
METER = 24  # characters of the level meter


@dataclass(frozen=True)
class Options:
    """files: recordings instead of the microphone. speak: read replies aloud with espeak-ng, if it is there."""

    files: tuple[Path, ...] = ()
    device: str | int | None = None
    push_to_talk: bool = False
    once: bool = False
    speak: bool = False


class Ears:
    """One utterance after another, shown while it is spoken."""

    def __init__(self, recogniser: Recogniser, options: Options, console: Console) -> None:
        self._recogniser = recogniser
        self._options = options
        self._console = console
        self._files = list(options.files)

    async def utterance(self, question: str = "", expected: Expected = "command") -> Transcript | None:
        """What is said next; None when the recordings are used up. Raises NothingHeard, SpeechError."""
        if self._options.files:
            if not self._files:
                return None
            samples = await asyncio.to_thread(lambda f: decode(f.read_bytes()), self._files.pop(0))
            whole = len(samples) / SAMPLE_RATE + 2
            # Half of what was recorded is another command, so neither a pause nor the usual length ends it.
            events = self._recogniser.stream(
                recording(samples), expected=expected, trailing_silence=whole, longest=whole
            )
            return await self._streamed(events, question)
        source = microphone(self._options.device)
        if self._options.push_to_talk:
            return await self._pushed(source, question, expected)
        return await self._streamed(self._recogniser.stream(source, expected=expected), question)

    async def _streamed(self, events: AsyncIterator[StreamEvent], question: str) -> Transcript:
        shown, level = question or "listening", 0.0
        with Live(console=self._console, refresh_per_second=12, transient=True) as live:
            async for event in events:
                if event.kind == "final":
                    assert event.transcript is not None
                    return event.transcript
                if event.kind == "nothing":
                    raise NothingHeard(event.text)
                level = max(event.level, level * 0.8)
                shown = {"partial": event.text, "speech_start": "…", "speech_end": "thinking"}.get(event.kind, shown)
                live.update(meter(level, shown))
        raise NothingHeard("nothing heard: there is no speech in the recording")

    async def _pushed(self, source: AsyncIterator[np.ndarray], question: str, expected: Expected) -> Transcript:
        await _enter(self._console, f"{question or 'Press Enter and speak'}; Enter again when you are done. ")
        blocks: list[np.ndarray] = []
        collecting = asyncio.create_task(_collect(source, blocks))
        pressed = asyncio.create_task(_enter(self._console, "recording … "))
        done, _ = await asyncio.wait({collecting, pressed}, return_when=asyncio.FIRST_COMPLETED)
        collecting.cancel()
        pressed.cancel()
        for task in done:
            task.result()  # raises when the microphone or the keyboard has failed
        if pressed not in done:
            self._console.print(f"{LONGEST:.0f} s are over: no more than that is heard at once.")
        if not blocks:
            raise NothingHeard("nothing heard: the key was released at once")
        return await self._recogniser.transcribe_samples(np.concatenate(blocks), expected=expected)


class Conversation:
    """Commands, their questions and their replies, for one person."""

    def __init__(
        self, assistant: Assistant, ears: Ears, console: Console, say: Callable[[str], Awaitable[None]]
    ) -> None:
        self._assistant, self._ears, self._console, self._say = assistant, ears, console, say
        self._session: str | None = None

    async def turn(self) -> Command | None:
        """One command from the first word to the reply; None when there is nothing more to hear."""
        said = await self._ears.utterance()
        if said is None:
            return None
        self._console.print(Text(f"“{said.text}”", "bold"), Text(f"{said.engine}, {said.confidence:.0%} sure", "dim"))
        command = await self._assistant.command(text=said.text, session=self._session, wait=0)
        self._session = command.session
        shown: set[tuple[str, str]] = set()
        while True:
            command = await self._assistant.rest(command.id, 0.3)
            self._show_steps(command, shown)
            if command.question is not None:
                answered = await self._answer(command)
                if answered is None:
                    break
                command = answered
            elif command.status != "running":
                break
        if command.reply:
            self._console.print(Text(command.reply))
            await self._say(command.reply)
        return command

    def _show_steps(self, command: Command, shown: set[tuple[str, str]]) -> None:
        for step in command.steps:
            key = str(step.get("id")), str(step.get("status"))
            if key not in shown:
                shown.add(key)
                self._console.print(Text(f"  {step.get('tool')} {key[1]} {step.get('summary') or ''}".rstrip(), "cyan"))

    async def _answer(self, command: Command) -> Command | None:
        """Ask until the answer is understood; None leaves the question open."""
        question = command.question or {}
        text, kind, choices = str(question.get("text", "")), str(question.get("kind")), question.get("choices") or []
        self._console.print(Text(text, "yellow"))
        for number, choice in enumerate(choices, 1):
            self._console.print(Text(f"  {number}. {choice}"))
        await self._say(text)
        for _ in range(ATTEMPTS):
            try:
                said = await self._ears.utterance(text, "consent" if kind == "confirm" else "answer")
                if said is None:
                    return None
                self._console.print(Text(f"“{said.text}”", "bold"))
                if given := meaning(said.text, kind, choices):
                    return await self._assistant.answer(command.id, asked=text, wait=0, **given)
                wanted = "yes or no" if kind == "confirm" else "the number of one of them"
                self._console.print(f"Please say {wanted}.")
            except NotAsked as late:
                self._console.print(Text(str(late), "dim"))
                return await self._assistant.rest(command.id, 0)
            except (NothingHeard, RecogniserDied, AnswerError) as problem:
                self._console.print(Text(str(problem), "dim"))
        self._console.print("No clear answer: nothing is done.")
        return await self._assistant.cancel(command.id)


def meaning(text: str, kind: str, choices: list[str]) -> dict[str, Any]:
    """What was said, as the answer to a question of this kind; empty when it is none."""
    if kind == "confirm":
        return {} if (confirmed := consent(text)) is None else {"confirm": confirmed}
    if kind == "choose":
        return {} if (number := chosen(text, choices)) is None else {"choice": number}
    return {"text": text}


def consent(text: str) -> bool | None:
    """True for a clear yes, False for a clear no, None for everything else."""
    try:
        return bool(understand("confirm", (), confirm=None, choice=None, text=text)["confirm"])
    except AnswerError:
        return None


def chosen(text: str, choices: list[str]) -> int | None:
    """Number (from 1) of the choice that was named by its place or by its own words."""
    try:
        return understand("choose", choices, confirm=None, choice=None, text=text).get("choice")
    except AnswerError:
        return None


def meter(level: float, text: str) -> Text:
    """Level (0–1, on a scale of 60 dB) as a bar, and what is heard so far."""
    filled = round(METER * max(0.0, 1 + np.log10(max(level, 1e-6)) / 3))
    return Text.assemble(("█" * filled, "green"), ("░" * (METER - filled), "dim"), " ", text)


async def _collect(source: AsyncIterator[np.ndarray], blocks: list[np.ndarray]) -> None:
    """Blocks of a source, until there is as much as one utterance may hold."""
    async for block in source:
        blocks.append(block)
        if sum(map(len, blocks)) >= LONGEST * SAMPLE_RATE:
            return


async def _enter(console: Console, prompt: str) -> None:
    console.print(prompt, end="")
    loop = asyncio.get_running_loop()
    pressed: asyncio.Future[None] = loop.create_future()
    loop.add_reader(sys.stdin, _resolve, pressed)
    try:
        await pressed
        if not sys.stdin.readline():
            raise SpeechError("nobody can press Enter here (standard input has ended); leave out --push-to-talk")
    finally:
        loop.remove_reader(sys.stdin)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def speaker(wanted: bool, console: Console) -> Callable[[str], Awaitable[None]]:
    """Reads text aloud, where that is wanted and espeak-ng is installed."""
    program = shutil.which("espeak-ng") if wanted else None
    if wanted and program is None:
        console.print("Replies cannot be spoken: sudo apt-get install espeak-ng")

    async def say(text: str) -> None:
        if program is not None:
            process = await asyncio.create_subprocess_exec(program, "--stdin", stdin=asyncio.subprocess.PIPE)
            try:
                with contextlib.suppress(TimeoutError):  # a sound device may hang
                    await asyncio.wait_for(process.communicate(text.encode()), 60 + len(text) / 10)
            finally:
                if process.returncode is None:
                    process.kill()

    return say


async def listen(assistant: Assistant, options: Options, console: Console) -> int:
    """Take turns until the recordings end or Ctrl-C. The exit code of the last command."""
    recogniser = await assistant.hearing.recogniser()
    await asyncio.to_thread(VoiceDetector)  # its network is loaded before anybody is told to speak
    console.print(Text(f"Listening with {recogniser.engine}. Ctrl-C ends.", "dim"))
    talk = Conversation(assistant, Ears(recogniser, options, console), console, speaker(options.speak, console))
    code = exits.FAILED
    while True:
        try:
            command = await talk.turn()
        except (NothingHeard, RecogniserDied, AnswerError, CommandError) as problem:
            console.print(Text(str(problem), "dim"))
            code = exits.FAILED
        else:
            if command is None:
                return code
            code = exits.of(command.status)
        if options.once:
            return code


async def run(settings: Settings, options: Options, console: Console | None = None) -> int:
    """Start an assistant and listen; the exit code. Ends the command with one line when that is not possible."""
    from assistant.assistant import Assistant

    assistant = Assistant(settings)
    try:
        await assistant.start()
    except (OSError, RuntimeError, ValueError, SandboxError) as error:
        exits.leave(f"{error} (`assistant doctor` says more)", exits.UNAVAILABLE)
    try:
        return await listen(assistant, options, console or Console())
    except (NotUnderstood, SpeechError) as error:
        exits.leave(str(error), exits.UNAVAILABLE if error.status >= 500 else exits.USAGE)
    except OSError as error:  # of a recording's file
        exits.leave(str(error), exits.USAGE)
    finally:
        await assistant.aclose()


if __name__ == "__main__":
    from assistant.cli import app

    app(["listen", *sys.argv[1:]])
