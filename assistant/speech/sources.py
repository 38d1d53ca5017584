"""Where live audio comes from: a microphone, or a recording played as if it were one."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator
from typing import Any

import numpy as np

from .errors import SpeechError
from .types import SAMPLE_RATE

BLOCK = 512  # samples: 32 ms
BACKLOG = 1000  # blocks (32 s) that may wait; beyond, the oldest are dropped


class NoMicrophone(SpeechError):
    """Sound cannot be recorded here; the message is the fix."""

    status = 503


async def recording(samples: np.ndarray, *, silence: float = 1.0) -> AsyncIterator[np.ndarray]:
    """Blocks of a recording (float32, 16 kHz) and `silence` seconds of quiet, as fast as they are read."""
    quiet = np.zeros(round(silence * SAMPLE_RATE), np.float32)
    padded = np.concatenate([samples.astype(np.float32), quiet])
    for start in range(0, len(padded), BLOCK):
        yield padded[start : start + BLOCK]
        await asyncio.sleep(0)


async def microphone(device: str | int | None = None) -> AsyncIterator[np.ndarray]:
    """Blocks from a microphone (float32, 16 kHz), until the caller stops. Raises NoMicrophone.

    device: number or part of the name, None takes the system's default.
    """
    sounddevice = _sounddevice()
    loop = asyncio.get_running_loop()
    blocks: asyncio.Queue[np.ndarray] = asyncio.Queue()

    def put(block: np.ndarray) -> None:
        if blocks.qsize() >= BACKLOG:
            blocks.get_nowait()
        blocks.put_nowait(block)

    # Devices that cannot record at 16 kHz are read at their own rate and thinned out.
    rate = _rate(sounddevice, device)

    def heard(data: np.ndarray, _frames: int, _time: Any, _status: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has ended
            loop.call_soon_threadsafe(put, data[:, 0].copy())

    try:
        stream = sounddevice.InputStream(
            samplerate=rate, blocksize=BLOCK * rate // SAMPLE_RATE, device=device, channels=1, dtype="float32",
            callback=heard,
        )  # fmt: skip
        stream.start()
    except (sounddevice.PortAudioError, ValueError) as error:
        raise NoMicrophone(f"the microphone cannot be opened ({error}); choose another with --device") from error
    resampler = Resampler(rate)
    try:
        while True:
            yield resampler.feed(await blocks.get())
    finally:
        stream.close()


def _sounddevice() -> Any:
    try:
        import sounddevice
    except ImportError as error:
        raise NoMicrophone("recording needs the package sounddevice; run: pip install sounddevice") from error
    except OSError as error:
        raise NoMicrophone("recording needs PortAudio; run: sudo apt-get install libportaudio2") from error
    return sounddevice


def _rate(sounddevice: Any, device: str | int | None) -> int:
    """16 kHz where the device can, else its own rate."""
    try:
        sounddevice.check_input_settings(device=device, channels=1, dtype="float32", samplerate=SAMPLE_RATE)
        return SAMPLE_RATE
    except (sounddevice.PortAudioError, ValueError):
        pass
    try:
        info = sounddevice.query_devices(device, "input")
    except (sounddevice.PortAudioError, ValueError) as error:
        fix = "plug one in, or name it with --device (python -m sounddevice lists them)"
        raise NoMicrophone(f"there is no microphone here; {fix}") from error
    return int(info["default_samplerate"])


class Resampler:
    """Streams of any rate to 16 kHz: windowed-sinc low pass, evaluated at the output's instants."""

    TAPS = 32  # input samples on each side at equal rates

    def __init__(self, rate: int) -> None:
        self._step = rate / SAMPLE_RATE
        self._reach = math.ceil(self.TAPS * max(1.0, self._step))
        self._held = np.zeros(self._reach, np.float32)
        self._next = float(self._reach)  # position of the next output in the held input

    def feed(self, block: np.ndarray) -> np.ndarray:
        """The output that this input completes."""
        if self._step == 1.0:
            return block
        held = np.concatenate([self._held, block])
        count = max(0, math.ceil((len(held) - self._reach - self._next) / self._step))
        positions = self._next + self._step * np.arange(count)
        whole = np.floor(positions).astype(int)
        offsets = np.arange(1 - self._reach, self._reach + 1)
        distance = (whole[:, None] + offsets[None]) - positions[:, None]
        cut = 1.0 / max(1.0, self._step)
        kernel = cut * np.sinc(cut * distance) * np.cos(np.pi * distance / (2 * self._reach + 2)) ** 2
        out = (held[whole[:, None] + offsets[None]] * kernel).sum(1)
        self._next += self._step * count
        drop = int(self._next) - self._reach
        self._held, self._next = held[drop:], self._next - drop
        return out.astype(np.float32)
