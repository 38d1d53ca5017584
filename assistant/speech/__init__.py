"""Audio → Transcript: decoding, voice activity, Whisper, and an offline recogniser of the assistant's own domain.

| file | role |
|---|---|
| `types.py`, `errors.py` | transcript, hints, limits; what can go wrong, each with an HTTP status |
| `decode.py`, `containers.py` | hostile container bytes → 16 kHz mono samples, in a confined process |
| `vad.py`, `endpoint.py` | where somebody speaks; live: when the utterance starts and ends |
| `recogniser.py` | what callers use: `open_recogniser`, `Recogniser.transcribe`, `Recogniser.stream` |
| `weights.py`, `whisper_engine.py` | Whisper: finding checkpoints, short-window decoding, gates, word times |
| `sphinx_engine.py` | PocketSphinx with a language model of what the assistant can do, and a rejection threshold |
| `language_model.py`, `phrases.py`, `spoken.py`, `lexicon.py`, `g2p.py` | its sentences, n-grams, pronunciations |
| `openai.py`, `subtitles.py` | `POST /v1/audio/transcriptions` |

Names are imported on first use, so that the decoder's process starts without numpy, torch or onnxruntime.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .errors import (
        AudioTooLarge,
        AudioTooLong,
        ModelUnavailable,
        NothingHeard,
        SpeechError,
        UnsupportedAudio,
    )
    from .recogniser import Recogniser, StreamEvent, open_recogniser
    from .types import Hints, Transcript, Word

_HOMES = {
    "Recogniser": "recogniser", "StreamEvent": "recogniser", "open_recogniser": "recogniser",
    "Hints": "types", "Transcript": "types", "Word": "types",
    "AudioTooLarge": "errors", "AudioTooLong": "errors", "ModelUnavailable": "errors", "NothingHeard": "errors",
    "SpeechError": "errors", "UnsupportedAudio": "errors",
}  # fmt: skip

__all__ = [
    "AudioTooLarge", "AudioTooLong", "Hints", "ModelUnavailable", "NothingHeard", "Recogniser", "SpeechError",
    "StreamEvent", "Transcript", "UnsupportedAudio", "Word", "open_recogniser",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)
