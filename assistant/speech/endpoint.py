"""Live speech: when an utterance starts, and when the speaker has finished.

Fed with chunks of any length; cuts them into the detector's 32 ms itself.
"""

from __future__ import annotations

from collections import deque
from typing import Literal

import numpy as np

from .types import SAMPLE_RATE
from .vad import CHUNK, START_PROBABILITY, STAY_PROBABILITY, VoiceDetector

Change = Literal["speech_start", "speech_end"]

LONGEST = 30.0  # seconds of one utterance
PRE_ROLL = 0.3  # seconds kept from before the start: the first consonant is quiet
START_CHUNKS = 3  # about 100 ms of speech in a row; less is a click


class Endpointer:
    """Collects one utterance after another.

    trailing_silence: seconds of silence that end an utterance (0.3–0.7 is usual). longest: cap in seconds.
    """

    def __init__(self, trailing_silence: float = 0.5, longest: float = LONGEST) -> None:
        self._detector = VoiceDetector()
        self._patience = max(1, round(trailing_silence * SAMPLE_RATE / CHUNK))
        self._longest = round(longest * SAMPLE_RATE / CHUNK)
        self._rest = np.zeros(0, np.float32)
        self._before: deque[np.ndarray] = deque(maxlen=round(PRE_ROLL * SAMPLE_RATE / CHUNK) + START_CHUNKS)
        self._utterance: list[np.ndarray] = []
        self._run = 0  # chunks of speech (before the start) or of silence (after it) in a row
        self.speaking = False

    @property
    def utterance(self) -> np.ndarray:
        """Samples of the utterance, so far or just ended: float32, 16 kHz."""
        return np.concatenate(self._utterance) if self._utterance else np.zeros(0, np.float32)

    def feed(self, samples: np.ndarray) -> list[Change]:
        """What changed during these samples. After "speech_end", read `utterance` before feeding on."""
        self._rest = np.concatenate([self._rest, samples.astype(np.float32, copy=False)])
        changes: list[Change] = []
        while len(self._rest) >= CHUNK and "speech_end" not in changes:
            chunk, self._rest = self._rest[:CHUNK], self._rest[CHUNK:]
            if change := self._step(chunk):
                changes.append(change)
        return changes

    def finish(self) -> bool:
        """The source has ended. True when an utterance was going on, which is then complete."""
        was, self.speaking = self.speaking, False
        return was

    def _step(self, chunk: np.ndarray) -> Change | None:
        probability = self._detector.feed(chunk)
        if not self.speaking:
            self._before.append(chunk)
            self._run = self._run + 1 if probability >= START_PROBABILITY else 0
            if self._run < START_CHUNKS:
                return None
            self.speaking, self._run = True, 0
            self._utterance = list(self._before)
            self._before.clear()
            return "speech_start"
        self._utterance.append(chunk)
        self._run = self._run + 1 if probability < STAY_PROBABILITY else 0
        if self._run < self._patience and len(self._utterance) < self._longest:
            return None
        self.speaking, self._run = False, 0
        return "speech_end"
