"""Recordings that the speech tests share, made from the command that ships with the package."""

from __future__ import annotations

import io
from importlib.resources import files

import av
import numpy as np
import pytest
import soundfile

from assistant.speech.types import Hints

DEMO = "make a gif of my five most recent photos and send it to alice"
HINTS = Hints(
    contacts=("Alice Chen", "Ben Okafor", "Priya", "Tom"),
    albums=("Garden", "Lisbon"),
    examples=(
        "make a GIF of them", "send it to Alice", "my five most recent photos", "remind me to call Ben tonight",
        "put my last six photos in a collage with three columns",
    ),
)  # fmt: skip


def encode(samples: np.ndarray, container: str, codec: str, rate: int, channels: int = 1) -> bytes:
    """A recording in any container that PyAV can write. Samples: float32, 16 kHz."""
    out = io.BytesIO()
    layout = {1: "mono", 2: "stereo"}[channels]
    with av.open(out, "w", format=container) as file:
        stream = file.add_stream(codec, rate=rate, layout=layout)
        resampler = av.AudioResampler(stream.codec_context.format, stream.codec_context.layout, rate)
        frame = av.AudioFrame.from_ndarray((samples * 32767).astype(np.int16)[None], "s16", "mono")
        frame.sample_rate = 16_000
        fifo = av.AudioFifo()
        for piece in (*resampler.resample(frame), *resampler.resample(None)):
            fifo.write(piece)
        size = stream.codec_context.frame_size or 1024
        while piece := fifo.read(size) or fifo.read(size, True):
            file.mux(stream.encode(piece))
        file.mux(stream.encode(None))
    return out.getvalue()


def wav(samples: np.ndarray, rate: int = 16_000, subtype: str = "PCM_16") -> bytes:
    out = io.BytesIO()
    soundfile.write(out, samples, rate, format="WAV", subtype=subtype)
    return out.getvalue()


@pytest.fixture(scope="session")
def demo() -> bytes:
    """The recorded command that ships with the package, a FLAC."""
    return files("assistant.speech").joinpath("data/demo-command.flac").read_bytes()


@pytest.fixture(scope="session")
def voice(demo: bytes) -> np.ndarray:
    """The same as samples: float32, 16 kHz."""
    samples, _ = soundfile.read(io.BytesIO(demo), dtype="float32")
    return samples
