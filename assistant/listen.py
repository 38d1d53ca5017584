"""The microphone: talk to the assistant and watch it work. `assistant listen`, or `python -m assistant.listen`.

Hands-free, an utterance ends with half a second of silence; with --push-to-talk it begins and ends with Enter. A
message is sent only after a spoken or typed "yes"; what is not clearly a yes is none. Recordings (--file) run through
the same code: each is one utterance, so that a command and its confirmation can be two files.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from assistant.speech import NothingHeard, Recogniser, SpeechError, Transcript
from assistant.speech.decode import decode
from assistant.speech.phrases import NO, YES
from assistant.speech.sources import microphone, recording
from assistant.speech.spoken import spoken
from assistant.speech.types import Expected
from assistant.speech.vad import VoiceDetector

if TYPE_CHECKING:
    from assistant.assistant import Assistant
    from assistant.command import Command

ATTEMPTS = 3  # at an answer that is understood
METER = 24  # characters of the level meter
ORDINALS = ("first", "second", "third", "fourth", "fifth")


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
            source = recording(await asyncio.to_thread(lambda f: decode(f.read_bytes()), self._files.pop(0)))
        else:
            source = microphone(self._options.device)
        if self._options.push_to_talk and not self._options.files:
            return await self._pushed(source, question, expected)
        return await self._hands_free(source, question, expected)

    async def _hands_free(self, source: AsyncIterator[np.ndarray], question: str, expected: Expected) -> Transcript:
        shown, level = question or "listening", 0.0
        with Live(console=self._console, refresh_per_second=12, transient=True) as live:
            async for event in self._recogniser.stream(source, expected=expected):
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

        async def collect() -> None:
            async for block in source:
                blocks.append(block)

        collecting = asyncio.create_task(collect())
        pressed = asyncio.create_task(_enter(self._console, "recording … "))
        await asyncio.wait({collecting, pressed}, return_when=asyncio.FIRST_COMPLETED)
        collecting.cancel()
        if collecting.done() and not collecting.cancelled():
            pressed.cancel()
            collecting.result()
        if not blocks:
            raise NothingHeard("nothing heard: the key was released at once")
        return await self._recogniser.transcribe_samples(np.concatenate(blocks), expected=expected)


class Conversation:
    """Commands, their questions and their replies, for one person."""

    def __init__(self, assistant: Assistant, ears: Ears, console: Console, say: Callable[[str], None]) -> None:
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
            self._console.print(command.reply)
            self._say(command.reply)
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
        text, kind, choices = str(question.get("text", "")), question.get("kind"), question.get("choices") or []
        self._console.print(Text(text, "yellow"))
        for number, choice in enumerate(choices, 1):
            self._console.print(f"  {number}. {choice}")
        self._say(text)
        for _ in range(ATTEMPTS):
            try:
                said = await self._ears.utterance(text, "consent" if kind == "confirm" else "answer")
            except NothingHeard as nothing:
                self._console.print(Text(str(nothing), "dim"))
                continue
            if said is None:
                return None
            self._console.print(Text(f"“{said.text}”", "bold"))
            if kind == "confirm":
                if (confirmed := consent(said.text)) is not None:
                    return await self._assistant.answer(command.id, confirm=confirmed, asked=text, wait=0)
            elif kind == "choose":
                if (index := chosen(said.text, [str(choice) for choice in choices])) is not None:
                    return await self._assistant.answer(command.id, choice=index, asked=text, wait=0)
            else:
                return await self._assistant.answer(command.id, text=said.text, asked=text, wait=0)
            wanted = "yes or no" if kind == "confirm" else "the number of one of them"
            self._console.print(f"Please say {wanted}.")
        self._console.print("No clear answer: nothing is done.")
        return await self._assistant.cancel(command.id)


def consent(text: str) -> bool | None:
    """True for a clear yes, False for a clear no, None for everything else."""
    words = spoken(text)
    return True if words in YES else False if words in NO else None


def chosen(text: str, choices: list[str]) -> int | None:
    """Index of the choice that was named by its number or by its own words."""
    from assistant.speech.spoken import cardinal

    words = spoken(text).split()
    named = [
        index
        for index, choice in enumerate(choices)
        if (cardinal(index + 1) in words and len(words) <= 2)
        or (index < len(ORDINALS) and ORDINALS[index] in words)
        or spoken(choice) == " ".join(words)
    ]  # fmt: skip
    return named[0] if len(named) == 1 else None


def meter(level: float, text: str) -> Text:
    """Level (0–1, on a scale of 60 dB) as a bar, and what is heard so far."""
    filled = round(METER * max(0.0, 1 + np.log10(max(level, 1e-6)) / 3))
    return Text.assemble(("█" * filled, "green"), ("░" * (METER - filled), "dim"), " ", text)


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


def speaker(wanted: bool, console: Console) -> Callable[[str], None]:
    """Reads text aloud, where that is wanted and espeak-ng is installed."""
    program = shutil.which("espeak-ng") if wanted else None
    if wanted and program is None:
        console.print("Replies cannot be spoken: sudo apt-get install espeak-ng")
    if program is None:
        return lambda text: None

    def say(text: str) -> None:
        import subprocess

        subprocess.run([program, "--stdin"], input=text.encode(), check=False, timeout=60)

    return say


async def listen(assistant: Assistant, options: Options, console: Console) -> int:
    """Take turns until the recordings end or Ctrl-C. The exit status: 0 when the last command was carried out."""
    recogniser = await assistant.hearing.recogniser()
    await asyncio.to_thread(VoiceDetector)  # its network is loaded before anybody is told to speak
    console.print(Text(f"Listening with {recogniser.engine}. Ctrl-C ends.", "dim"))
    talk = Conversation(assistant, Ears(recogniser, options, console), console, speaker(options.speak, console))
    status = 1
    while True:
        try:
            command = await talk.turn()
        except NothingHeard as nothing:
            console.print(Text(str(nothing), "dim"))
            status = 1
        else:
            if command is None:
                return status
            status = 0 if command.status == "done" else 1
        if options.once:
            return status


async def run(options: Options, console: Console | None = None) -> int:
    """Start an assistant with the user's settings and listen. Faults are told in one line."""
    from assistant.assistant import Assistant
    from assistant.config import load_settings

    console = console or Console()
    assistant = Assistant(load_settings())
    await assistant.start()
    try:
        return await listen(assistant, options, console)
    except (SpeechError, OSError) as error:
        console.print(Text(str(error), "red"))
        return 2
    finally:
        await assistant.aclose()


def main(
    file: Annotated[
        list[Path] | None, typer.Option(help="a recording instead of the microphone; may be repeated")
    ] = None,
    device: Annotated[str | None, typer.Option(help="microphone, by number or name: python -m sounddevice")] = None,
    push_to_talk: Annotated[bool, typer.Option("--push-to-talk", help="Enter begins and ends an utterance")] = False,
    once: Annotated[bool, typer.Option("--once", help="end after one command")] = False,
    speak: Annotated[bool, typer.Option("--speak", help="read replies aloud (needs espeak-ng)")] = False,
) -> None:
    """Talk to the assistant and watch it work."""
    named = int(device) if device and device.isdecimal() else device
    try:
        raise typer.Exit(asyncio.run(run(Options(tuple(file or ()), named, push_to_talk, once, speak))))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


if __name__ == "__main__":
    typer.run(main)
