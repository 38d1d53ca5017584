import numpy as np
import pytest

from assistant.speech.endpoint import Endpointer
from assistant.speech.types import SAMPLE_RATE
from assistant.speech.vad import CHUNK, speech_segments

rng = np.random.default_rng(7)
TIME = np.arange(6 * SAMPLE_RATE) / SAMPLE_RATE


def _pink() -> np.ndarray:
    spectrum = np.fft.rfft(rng.normal(0, 1, len(TIME)))
    noise = np.fft.irfft(spectrum / np.sqrt(np.arange(1, len(spectrum) + 1)), len(TIME))
    return noise / np.abs(noise).max() * 0.6


def _melody() -> np.ndarray:
    notes = rng.choice([220, 247, 262, 294, 330, 349, 392, 440], 20)
    return np.concatenate([0.5 * np.sin(2 * np.pi * n * np.arange(4800) / SAMPLE_RATE) for n in notes])


NOISES = {
    "digital silence": np.zeros(len(TIME)),
    "quiet room": rng.normal(0, 0.001, len(TIME)),
    "white noise": rng.normal(0, 0.3, len(TIME)),
    "pink noise": _pink(),
    "pulsing noise": rng.normal(0, 0.2, len(TIME)) * (1 + np.sin(2 * np.pi * 4 * TIME)),
    "mains hum": 0.2 * np.sign(np.sin(2 * np.pi * 50 * TIME)),
    "clicks": (rng.random(len(TIME)) < 0.0005) * 0.9,
    "tone": 0.5 * np.sin(2 * np.pi * 440 * TIME),
    "chords": sum(np.sin(2 * np.pi * f * TIME) for f in (262, 330, 392)) * np.exp(-4 * (TIME % 0.5)) * 0.3,
    "melody": _melody(),
}


@pytest.mark.parametrize("name", NOISES)
def test_what_is_no_speech_is_not_heard(name):
    assert speech_segments(NOISES[name].astype(np.float32)) == []


@pytest.mark.parametrize("noise", [0.0, 0.01])
def test_speech_is_found_where_it_is(voice, noise):
    padded = np.pad(voice, (2 * SAMPLE_RATE, 3 * SAMPLE_RATE)) + rng.normal(
        0, noise or 1e-6, len(voice) + 5 * SAMPLE_RATE
    )
    found = speech_segments(padded.astype(np.float32))
    assert 1.6 < found[0].start / SAMPLE_RATE < 2.6
    assert abs(found[-1].end / SAMPLE_RATE - (2 + len(voice) / SAMPLE_RATE)) < 0.8


def test_speech_below_the_energy_floor_is_silence(voice):
    assert speech_segments(voice * 1e-4) == []


def _run(endpointer: Endpointer, samples: np.ndarray, size: int) -> list[tuple[str, float]]:
    events = []
    for start in range(0, len(samples), size):
        pending = samples[start : start + size]
        while changes := endpointer.feed(pending):
            events += [(change, start / SAMPLE_RATE) for change in changes]
            pending = np.zeros(0, np.float32)
    return events


@pytest.mark.parametrize("size", [160, CHUNK, 4000])
def test_an_utterance_ends_with_trailing_silence(voice, size):
    endpointer = Endpointer(trailing_silence=0.5)
    twice = np.concatenate([np.pad(voice, (SAMPLE_RATE, 2 * SAMPLE_RATE)), np.pad(voice, (0, 2 * SAMPLE_RATE))])
    events = _run(endpointer, twice.astype(np.float32), size)
    assert [name for name, _ in events] == ["speech_start", "speech_end"] * 2
    silence = events[1][1] - (1 + len(voice) / SAMPLE_RATE)
    assert -0.7 < silence < 0.9
    assert not endpointer.finish()


def test_an_utterance_is_capped(voice):
    endless = np.tile(voice[4000:-8000], 4)
    events = _run(Endpointer(longest=5.0), endless, CHUNK)
    assert events[1][0] == "speech_end" and 4.5 < events[1][1] - events[0][1] < 5.5


def test_a_stream_that_ends_in_a_word_is_complete(voice):
    endpointer = Endpointer()
    _run(endpointer, voice[: 2 * SAMPLE_RATE], CHUNK)
    assert endpointer.finish() and len(endpointer.utterance) > SAMPLE_RATE
