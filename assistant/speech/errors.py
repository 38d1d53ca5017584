"""What can go wrong between a recording and its transcript. `status` is the HTTP status that fits."""

from __future__ import annotations


class SpeechError(Exception):
    """A recording has no trustworthy transcript. The message says what is wrong and what to do."""

    status = 422

    def __init__(self, message: str, *, status: int | None = None) -> None:
        super().__init__(message)
        if status is not None:
            self.status = status


class UnsupportedAudio(SpeechError):
    """Not a format that is accepted (415), or a damaged recording of one that is (422)."""

    status = 415


class AudioTooLong(SpeechError):
    """The decoded sound is longer than the limit."""

    status = 413


class AudioTooLarge(SpeechError):
    """The file has more bytes than the limit."""

    status = 413


class NothingHeard(SpeechError):
    """There is sound, or silence, but no speech that the recogniser vouches for."""

    status = 422


class ModelUnavailable(SpeechError):
    """The recogniser's weights are neither on this machine nor to be fetched."""

    status = 503


class RecogniserDied(SpeechError):
    """The recogniser's process died over a recording, and was replaced; the same again may well succeed."""

    status = 503


class DecoderFailed(Exception):
    """The confined decoder died or exceeded its limits. Runners given to `decode` raise it for such input."""
