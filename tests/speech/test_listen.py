"""The microphone's conversation, with recordings instead of a microphone and a scripted assistant behind it."""

import datetime as dt
import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from assistant.command import Command
from assistant.listen import Conversation, Ears, Options, chosen, consent, meter, speaker
from assistant.speech import NothingHeard
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
    people = ["Alice Chen", "Alice Wong", "Ben"]
    assert [chosen(t, people) for t in ("the second one", "two", "alice wong", "Ben")] == [1, 1, 1, 2]
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

    async def answer(self, id: str, wait: float, **answer: Any) -> Command:
        self.answers.append(answer)
        return self._command("running")

    async def cancel(self, id: str) -> Command:
        self.cancelled = True
        return self._command("cancelled")


class Voice:
    """Says one line after another; an empty one is silence."""

    def __init__(self, *lines: str) -> None:
        self.lines = list(lines)
        self.expected: list[Expected] = []

    async def utterance(self, question: str = "", expected: Expected = "command") -> Transcript | None:
        self.expected.append(expected)
        if not self.lines:
            return None
        if not (line := self.lines.pop(0)):
            raise NothingHeard("nothing heard")
        return Transcript(line, "en", 0.9, "pocketsphinx")


async def _talk(script: Script, *lines: str) -> tuple[Command | None, str]:
    out = io.StringIO()
    talk = Conversation(script, Voice(*lines), Console(file=out, width=120), lambda text: None)  # type: ignore[arg-type]
    return await talk.turn(), out.getvalue()


CONFIRM = {"kind": "confirm", "text": "Send one GIF to Alice Chen?", "choices": []}


async def test_a_spoken_yes_sends():
    script = Script(CONFIRM)
    command, shown = await _talk(script, "make a gif and send it to Alice", "yes")
    assert script.answers == [{"confirm": True, "asked": CONFIRM["text"]}]
    assert command is not None and command.status == "done"
    assert "Send one GIF to Alice Chen?" in shown and "Sent to Alice Chen." in shown and "90% sure" in shown


@pytest.mark.parametrize(("kind", "expected"), [("confirm", "consent"), ("choose", "answer"), ("missing", "answer")])
async def test_the_recogniser_is_told_what_is_waited_for(kind, expected):
    voice = Voice("send it")
    talk = Conversation(Script({**CONFIRM, "kind": kind}), voice, Console(file=io.StringIO()), lambda text: None)  # type: ignore[arg-type]
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


async def test_a_choice():
    script = Script({"kind": "choose", "text": "Which Alice?", "choices": ["Alice Chen", "Alice Wong"]})
    await _talk(script, "send it to Alice", "the second one")
    assert script.answers == [{"choice": 1, "asked": "Which Alice?"}]


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


def test_without_espeak_replies_are_only_shown(monkeypatch):
    monkeypatch.setattr("shutil.which", lambda name: None)
    out = io.StringIO()
    speaker(True, Console(file=out))("hello")
    assert "espeak-ng" in out.getvalue()
