"""The microphone's conversation, with recordings instead of a microphone and a scripted assistant behind it."""

import asyncio
import contextlib
import datetime as dt
import fcntl
import io
import os
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import soundfile
from rich.console import Console

from assistant.cli import exits, main
from assistant.command import Command
from assistant.execution.answers import same, understand
from assistant.listen import Conversation, Ears, Options, chosen, consent, listen, meter, speaker
from assistant.speech import NothingHeard, open_recogniser, worker
from assistant.speech.errors import RecogniserDied
from assistant.speech.sources import BLOCK, NoMicrophone, Resampler, microphone, recording
from assistant.speech.types import Expected, Transcript


@pytest.mark.parametrize(
    ("said", "means"),
    [
        ("Yes.", True), ("yes, send it", True), ("go ahead", True), ("no", False), ("don't send it", False),
        ("yes but to Ben", None), ("yesterday", None), ("no idea, yes", None), ("", None),
    ],
)  # fmt: skip
def test_only_a_clear_yes_is_one(said, means):
    assert consent(said) is means


def test_choices_are_named_by_number_or_words():
    people = ["Alice Chen (a@example.org)", "Alice Wong", "Ben"]
    assert [chosen(t, people) for t in ("The second one.", "two", "2", "alice wong", "Ben")] == [2, 2, 2, 2, 3]
    assert [chosen(t, people) for t in ("the first one", "number one, please", "Alice Chen")] == [1, 1, 1]
    assert [chosen(t, people) for t in ("alice", "the fourth one", "one or two of them", "")] == [None] * 4


def test_the_meter_spans_sixty_decibels():
    bars = [str(meter(level, "")).count("█") for level in (0.0, 0.001, 0.03, 1.0)]
    assert bars[0] == bars[1] == 0 and bars[-1] == 24 and 8 < bars[2] < 16


@dataclass
class Script:
    """An assistant that asks before it sends; `Conversation` uses no more of the façade than this."""

    question: dict[str, Any]
    answers: list[dict[str, Any]] = field(default_factory=list)
    cancelled: bool = False

    def _command(self, status: str, **more: Any) -> Command:
        return Command("c1", "s1", status, dt.datetime.now(dt.UTC), **more)

    async def command(self, text: str, session: str | None, wait: float) -> Command:
        self.text = text
        return self._command("running")

    async def rest(self, id: str, seconds: float) -> Command:
        if self.cancelled:
            return self._command("cancelled", reply="Cancelled.")
        if self.answers:
            return self._command("done", reply="Sent to Alice Chen.")
        return self._command("needs_confirmation", question=self.question)

    async def answer(
        self, id: str, *, confirm: bool | None = None, choice: int | None = None, text: str | None = None,
        asked: str | None = None, wait: float = 0,
    ) -> Command:  # fmt: skip
        """Takes and refuses what the executor does."""
        same(asked, self.question["text"])
        kind, choices = self.question["kind"], self.question["choices"]
        self.answers.append(understand(kind, choices, confirm=confirm, choice=choice, text=text))
        return self._command("running")

    async def cancel(self, id: str) -> Command:
        self.cancelled = True
        return self._command("cancelled")


class Voice:
    """Says one line after another; an empty one is silence, an error is raised."""

    def __init__(self, *lines: str | Exception) -> None:
        self.lines = list(lines)
        self.expected: list[Expected] = []

    async def utterance(self, question: str = "", expected: Expected = "command") -> Transcript | None:
        self.expected.append(expected)
        if not self.lines:
            return None
        if isinstance(line := self.lines.pop(0), Exception):
            raise line
        if not line:
            raise NothingHeard("nothing heard")
        return Transcript(line, "en", 0.9, "pocketsphinx")


async def _talk(script: Script, *lines: str | Exception) -> tuple[Command | None, str]:
    out = io.StringIO()
    talk = Conversation(script, Voice(*lines), Console(file=out, width=120), speaker(False, Console()))  # type: ignore[arg-type]
    return await talk.turn(), out.getvalue()


CONFIRM = {"kind": "confirm", "text": "Send one GIF to Alice Chen?", "choices": []}


async def test_a_spoken_yes_sends():
    script = Script(CONFIRM)
    command, shown = await _talk(script, "make a gif and send it to Alice", "yes")
    assert script.answers == [{"confirm": True}]
    assert command is not None and command.status == "done"
    assert "Send one GIF to Alice Chen?" in shown and "Sent to Alice Chen." in shown and "90% sure" in shown


@pytest.mark.parametrize(("kind", "expected"), [("confirm", "consent"), ("choose", "answer"), ("missing", "answer")])
async def test_the_recogniser_is_told_what_is_waited_for(kind, expected):
    voice = Voice("send it")
    talk = Conversation(
        Script({**CONFIRM, "kind": kind}), voice, Console(file=io.StringIO()), speaker(False, Console())
    )  # type: ignore[arg-type]
    await talk.turn()
    assert voice.expected == ["command", expected]


async def test_what_is_no_clear_yes_never_sends():
    script = Script(CONFIRM)
    command, shown = await _talk(script, "send it", "perhaps", "", "maybe yes")
    assert script.answers == [] and script.cancelled
    assert command is not None and command.status == "cancelled" and "nothing is done" in shown


async def test_without_an_answer_the_question_stays_open():
    script = Script(CONFIRM)
    command, _ = await _talk(script, "send it")
    assert script.answers == [] and not script.cancelled
    assert command is not None and command.status == "needs_confirmation"


async def test_what_is_shown_is_no_markup():
    script = Script({"kind": "choose", "text": "Which [red]?", "choices": ["photos [/tmp]", "[/] [bold]two"]})
    _, shown = await _talk(script, "send it to [Alice]", "the second one")
    assert "photos [/tmp]" in shown and "[/] [bold]two" in shown and "Which [red]?" in shown


async def test_a_choice():
    script = Script({"kind": "choose", "text": "Which Alice?", "choices": ["Alice Chen", "Alice Wong"]})
    await _talk(script, "send it to Alice", "the third one", "the second one")
    assert script.answers == [{"choice": 2}]


async def test_faults_on_the_way_to_an_answer_do_not_end_the_conversation():
    script = Script(CONFIRM)
    _, shown = await _talk(script, "send it", RecogniserDied("the process died"), "yes")
    assert script.answers == [{"confirm": True}] and "the process died" in shown
    late = Script(CONFIRM)

    async def changed(question: str = "", expected: Expected = "command") -> Transcript | None:
        if expected == "consent" and late.question is CONFIRM:
            late.question = {**CONFIRM, "text": "Send it to Bob?"}
        elif expected == "consent":
            return None
        return Transcript("yes", "en", 0.9, "pocketsphinx")

    out = io.StringIO()
    talk = Conversation(late, SimpleNamespace(utterance=changed), Console(file=out), speaker(False, Console()))  # type: ignore[arg-type]
    await talk.turn()
    assert late.answers == [] and "another question is open" in out.getvalue() and "Send it to Bob?" in out.getvalue()


async def test_the_session_goes_on_when_the_recogniser_dies(monkeypatch):
    voice = Voice(RecogniserDied("the process died"), "send it", "yes")
    monkeypatch.setattr("assistant.listen.Ears", lambda *_: voice)

    async def recogniser():
        return SimpleNamespace(engine="pocketsphinx")

    script, out = Script(CONFIRM), io.StringIO()
    script.hearing = SimpleNamespace(recogniser=recogniser)
    assert await listen(script, Options(), Console(file=out)) == exits.DONE
    assert script.answers == [{"confirm": True}] and "the process died" in out.getvalue()


@pytest.mark.parametrize(
    ("locked", "says"), [(True, "another assistant works with the data folder"), (False, "checkpoint cannot be opened")]
)
def test_what_stands_in_the_way_is_one_line_about_the_folder_that_was_named(
    locked, says, tmp_path, monkeypatch, capsys
):
    for name in [n for n in os.environ if n.startswith("ASSISTANT_")]:
        monkeypatch.delenv(name)
    home = tmp_path / "here"
    home.mkdir()
    (home / "config.toml").write_text(f'model = "{tmp_path}/no-model"\n')
    if locked:  # what comes before it, the planner, takes long to load
        monkeypatch.setattr("assistant.assistant.Assistant._load_planner", lambda self: None)
    monkeypatch.setattr("sys.argv", ["assistant", "--home", str(home), "listen", "--once"])
    with (home / "executor.lock").open("w") as lock, pytest.raises(SystemExit) as end:
        if locked:
            fcntl.flock(lock, fcntl.LOCK_EX)
        main()
    told = capsys.readouterr().err
    assert end.value.code == exits.UNAVAILABLE and says in told and str(tmp_path) in told and told.count("\n") == 1


async def test_push_to_talk_ends_at_the_longest_utterance(monkeypatch):
    """Enter is pressed once and never again, while the microphone goes on."""
    heard: list[int] = []

    async def transcribe(samples: np.ndarray, expected: Expected) -> Transcript:
        heard.append(len(samples))
        return Transcript("make a gif", "en", 0.9, "pocketsphinx")

    keys, hand = os.pipe()
    out = io.StringIO()
    recogniser = SimpleNamespace(transcribe_samples=transcribe)
    ears = Ears(recogniser, Options(push_to_talk=True), Console(file=out))  # type: ignore[arg-type]
    monkeypatch.setattr("assistant.listen.microphone", lambda device: recording(np.zeros(16_000 * 60, np.float32)))
    with contextlib.ExitStack() as stack:
        monkeypatch.setattr("sys.stdin", stack.enter_context(os.fdopen(keys)))
        os.write(stack.enter_context(os.fdopen(hand, "wb")).fileno(), b"\n")
        said = await asyncio.wait_for(ears.utterance(), 30)
    assert said is not None and said.text == "make a gif"
    assert 0 <= heard[0] - 30 * 16_000 < BLOCK and "30 s are over" in out.getvalue()


async def test_a_recording_is_heard_whole_whatever_its_pauses_and_length(tmp_path, monkeypatch, voice):
    """The command, two seconds of nothing, the command again, and once more half a minute later."""
    pause = np.zeros(2 * 16_000, np.float32)
    soundfile.write(tmp_path / "c.wav", np.concatenate([voice, pause, voice, np.tile(pause, 14), voice]), 16_000)
    heard: list[int] = []

    async def call(self, function, *arguments):
        if function is worker.transcribe:
            heard.append(len(arguments[1]))
            return worker.Answer("make a gif", "en", 0.9, (), {})
        return ""

    monkeypatch.setattr("assistant.speech.Recogniser._call", call)
    recogniser = open_recogniser("pocketsphinx", cache_dir=tmp_path)
    ears = Ears(recogniser, Options(files=(tmp_path / "c.wav",)), Console(file=io.StringIO()))
    said = await ears.utterance()
    assert said is not None and said.text == "make a gif"
    assert len(heard) == 1 and heard[0] > 3 * len(voice) + 29 * 16_000


async def test_recordings_that_are_used_up_end_the_conversation():
    ears = Ears(None, Options(files=()), Console(file=io.StringIO()))  # type: ignore[arg-type]
    ears._options = Options(files=(None,))  # type: ignore[arg-type]
    assert await ears.utterance() is None


async def test_a_recording_plays_in_blocks_with_silence_after_it():
    blocks = [block async for block in recording(np.ones(1000, np.float32), silence=0.1)]
    joined = np.concatenate(blocks)
    assert all(len(block) <= BLOCK for block in blocks)
    assert joined[:1000].all() and not joined[1000:].any() and len(joined) == 2600


async def test_a_machine_without_a_microphone_says_how_to_get_one():
    with pytest.raises(NoMicrophone) as caught:
        async for _ in microphone("no such device"):
            break
    assert any(word in str(caught.value) for word in ("apt-get install", "pip install", "--device"))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("rate", [44_100, 48_000, 8_000])
@pytest.mark.parametrize("size", [100, 1411])
def test_other_rates_become_16_khz(rate, size):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate) / rate).astype(np.float32)
    resampler = Resampler(rate)
    out = np.concatenate([resampler.feed(tone[start : start + size]) for start in range(0, rate, size)])
    assert abs(len(out) - 16_000) < 200
    spectrum = np.abs(np.fft.rfft(out[2000:10_000] * np.hanning(8000)))
    assert spectrum.argmax() * 2 == pytest.approx(440, abs=3)
    assert np.abs(out[2000:10_000]).max() == pytest.approx(1, abs=0.02)


async def test_without_espeak_replies_are_only_shown(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    out = io.StringIO()
    await speaker(True, Console(file=out))("hello")
    assert "espeak-ng" in out.getvalue()
