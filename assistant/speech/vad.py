"""Where somebody speaks: Silero's voice activity detector, and an energy floor under it.

The network comes with the `silero-vad` wheel and runs on onnxruntime (the package itself would import torch). It
judges chunks of 512 samples (32 ms); whatever it thinks, a chunk below `ENERGY_FLOOR` is silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from .errors import ModelUnavailable
from .types import SAMPLE_RATE

CHUNK = 512
CONTEXT = 64  # samples of the previous chunk that the network sees again
ENERGY_FLOOR = 10 ** (-55 / 20)  # root mean square, of full scale

START_PROBABILITY = 0.5
STAY_PROBABILITY = 0.35  # speech goes on until the probability falls below this one
LONGEST_GAP = 0.6  # seconds of silence that do not split a segment
SHORTEST_SPEECH = 0.2  # seconds; less is a click or a cough
PADDING = 0.25  # seconds kept around speech: the first consonant is quiet


@dataclass(frozen=True, slots=True)
class Segment:
    """Speech from `start` to `end`, in samples."""

    start: int
    end: int


@cache
def _session() -> Any:
    import onnxruntime

    spec = find_spec("silero_vad")
    if spec is None or not spec.submodule_search_locations:
        raise ModelUnavailable("voice detection needs the package silero-vad; run: pip install silero-vad")
    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = options.intra_op_num_threads = 1
    file = Path(spec.submodule_search_locations[0]) / "data" / "silero_vad.onnx"
    return onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])


class VoiceDetector:
    """Speech probability of consecutive chunks; keeps the network's state between them."""

    def __init__(self) -> None:
        self._network = _session()
        self.reset()

    def reset(self) -> None:
        """Forget the past: the next chunk starts another recording."""
        self._state = np.zeros((2, 1, 128), np.float32)
        self._context = np.zeros(CONTEXT, np.float32)

    def feed(self, chunk: np.ndarray) -> float:
        """Probability (0–1) that a chunk of 512 samples, float32 at 16 kHz, holds speech."""
        inputs = {
            "input": np.concatenate([self._context, chunk])[None],
            "state": self._state,
            "sr": np.array(SAMPLE_RATE, np.int64),
        }
        probability, self._state = self._network.run(None, inputs)
        self._context = chunk[-CONTEXT:]
        return float(probability[0, 0]) if level(chunk) > ENERGY_FLOOR else 0.0


def level(samples: np.ndarray) -> float:
    """Root mean square of the samples, 0–1."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def speech_segments(samples: np.ndarray) -> list[Segment]:
    """Stretches of speech in float32 samples at 16 kHz, in order, padded; empty when nobody speaks."""
    detector = VoiceDetector()
    padded = np.pad(samples.astype(np.float32), (0, -len(samples) % CHUNK))
    probabilities = [detector.feed(chunk) for chunk in padded.reshape(-1, CHUNK)]
    return [
        Segment(max(0, start - round(PADDING * SAMPLE_RATE)), min(len(samples), end + round(PADDING * SAMPLE_RATE)))
        for start, end in _stretches(probabilities)
        if end - start >= SHORTEST_SPEECH * SAMPLE_RATE
    ]


def _stretches(probabilities: list[float]) -> list[tuple[int, int]]:
    """(start, end) in samples of what stays above the thresholds, gaps up to LONGEST_GAP closed."""
    found: list[tuple[int, int]] = []
    start = None
    for index, probability in enumerate([*probabilities, 0.0]):
        if start is None and probability >= START_PROBABILITY:
            start = index
        elif start is not None and probability < STAY_PROBABILITY:
            found.append((start * CHUNK, index * CHUNK))
            start = None
    joined: list[tuple[int, int]] = []
    for begin, end in found:
        if joined and begin - joined[-1][1] <= LONGEST_GAP * SAMPLE_RATE:
            joined[-1] = (joined[-1][0], end)
        else:
            joined.append((begin, end))
    return joined
