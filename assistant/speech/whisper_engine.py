"""Whisper, through `openai-whisper`, on no more audio than there is.

Whisper encodes 30 seconds however short the command. Here the encoder sees the speech and a margin of silence; when
one of the gates (repetition, low probability, no speech) fails on that, the full window is tried before the
temperature is raised. A window of w seconds gives exactly what `whisper.decode` gives for a checkpoint whose
`n_audio_ctx` is 50·w.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from . import weights
from .consent import says_yes
from .errors import NothingHeard, SpeechError
from .spoken import spoken
from .types import SAMPLE_RATE, Expected, Hints, Word
from .vad import speech_segments

HOP = 160  # samples of one mel frame
MARGIN = 128 * 2 * HOP  # samples after the speech: 2.56 s, what whisper.cpp's users settled on
STEP = SAMPLE_RATE // 2  # windows are whole half seconds, so that few shapes occur

TEMPERATURES = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
MOST_REPETITIVE = 2.4  # gzip compression ratio
LEAST_PROBABLE = -1.0  # mean log probability of a token
NO_SPEECH = 0.6
SURE = -0.5  # mean log probability from which words count in spite of signs that nobody spoke
SURE_YES = 0.6  # least confidence of a yes where one is waited for; not measured with trained weights
QUIET = 20  # mel frames over which a pause is looked for
PROMPT_TOKENS = 100

# What Whisper writes for silence, music and noise; believed only when everything else speaks for it.
_INVENTED = """
thank you
thank you for watching
thanks for watching
thank you so much for watching
please subscribe
thank you for watching please subscribe
like and subscribe
subscribe
you
bye
bye bye
music
applause
the end
subtitles by the amara org community
i'll see you next time
see you next time
see you in the next video
"""
HALLUCINATIONS = frozenset(_INVENTED.strip().splitlines())
UNCLEAR = "nothing heard: Whisper is not sure that anything was said; move closer to the microphone and say it again"


@dataclass(frozen=True, slots=True)
class Heard:
    """Text of some samples, its language, its words with times, and a confidence (0–1)."""

    text: str
    words: tuple[Word, ...]
    confidence: float
    language: str


class WhisperEngine:
    """Keeps one checkpoint warm. Not thread-safe: one utterance at a time.

    window: "auto" encodes the audio that is there, "full" the checkpoint's whole context.
    """

    def __init__(
        self,
        model: str,
        hints: Hints,
        cache_dir: Path | None = None,
        device: str | None = None,
        window: Literal["auto", "full"] = "auto",
    ) -> None:
        self.name = f"whisper:{weights.label(model)}"
        self.model = weights.load(model, device)
        self._auto = window == "auto"
        self.sample_len: int | None = None  # most tokens of one piece; None is half the decoder's context
        self._longest = self.model.dims.n_audio_ctx * 2 * HOP
        _accept_short_windows(self.model.encoder)
        _score_what_is_used(self.model)
        self.use_hints(hints)

    def use_hints(self, hints: Hints) -> None:
        """Bias the decoder towards these names and words."""
        self._prompt = prompt(hints)

    def transcribe(self, samples: np.ndarray, language: str | None = None, expected: Expected = "command") -> Heard:
        """Samples: float32 at 16 kHz. Raises NothingHeard when the gates refuse what was decoded."""
        pieces: list[Heard] = []
        cut = list(_pieces(samples, self._longest))
        for start, piece in cut:
            try:
                heard = self._piece(piece, language)
            except NothingHeard:
                if len(cut) == 1 or speech_segments(piece):
                    raise  # without the words of this piece, the others may say another thing
                continue  # a pause between the pieces of a long recording
            language = heard.language
            at = start / SAMPLE_RATE
            moved = (word._replace(start=word.start + at, end=word.end + at) for word in heard.words)
            pieces.append(Heard(heard.text, tuple(moved), heard.confidence, heard.language))
        if not pieces:
            raise NothingHeard(UNCLEAR)
        heard = Heard(
            " ".join(piece.text for piece in pieces),
            tuple(word for piece in pieces for word in piece.words),
            min(piece.confidence for piece in pieces),
            pieces[0].language,
        )
        if expected == "consent" and heard.confidence < SURE_YES and says_yes(heard.text):
            raise NothingHeard(UNCLEAR)
        return heard

    def partial(self, samples: np.ndarray, language: str | None = None) -> str:
        """Text of the last window, greedily, without judging it."""
        samples = samples[-self._longest :]
        return str(self.decode(samples, language, 0.0, self._window(samples)).text)

    def decode(self, samples: np.ndarray, language: str | None, temperature: float, window: int) -> Any:
        """`whisper.decode` (a DecodingResult) of samples padded to `window` samples."""
        import torch
        import whisper

        if language is not None and language not in whisper.tokenizer.LANGUAGES:
            raise SpeechError(f"Whisper does not know the language {language!r}; give an ISO 639-1 code such as en")
        half = self.model.device.type == "cuda"
        padded = np.pad(samples[:window], (0, max(0, window - len(samples))))
        mel = whisper.log_mel_spectrogram(torch.from_numpy(padded), self.model.dims.n_mels).to(self.model.device)
        options = whisper.DecodingOptions(
            language=language if self.model.is_multilingual else "en",
            temperature=temperature,
            prompt=self._prompt or None,
            without_timestamps=True,
            sample_len=self.sample_len,
            fp16=half,
        )
        return whisper.decode(self.model, mel, options)

    def _piece(self, samples: np.ndarray, language: str | None) -> Heard:
        result, window = self._decode_with_fallback(samples, language)
        if _silent(result) or _fails(result) or not result.text.strip():
            raise NothingHeard(UNCLEAR)
        doubtful = result.no_speech_prob > 0.2 or result.avg_logprob < SURE or len(samples) < SAMPLE_RATE
        if doubtful and spoken(result.text) in HALLUCINATIONS:
            raise NothingHeard(UNCLEAR)
        words = tuple(self._words(result, len(samples), window))
        return Heard(result.text.strip(), words, math.exp(result.avg_logprob), result.language)

    def _decode_with_fallback(self, samples: np.ndarray, language: str | None) -> tuple[Any, int]:
        """The first result that passes the gates, or the most probable one, and its window."""
        short = self._window(samples)
        attempts = [(0.0, short)] + ([(0.0, self._longest)] if short < self._longest else [])
        attempts += [(temperature, self._longest) for temperature in TEMPERATURES[1:]]
        best: tuple[Any, int] | None = None
        for temperature, window in attempts:
            result = self.decode(samples, language, temperature, window)
            if not _fails(result):
                return result, window
            if best is None or result.avg_logprob > best[0].avg_logprob:
                best = result, window
            if window == self._longest and result.no_speech_prob > NO_SPEECH:
                break  # silence: other temperatures only invent other sentences
        assert best is not None
        return best

    def _window(self, samples: np.ndarray) -> int:
        if not self._auto:
            return self._longest
        return min(self._longest, -(-(len(samples) + MARGIN) // STEP) * STEP)

    def _words(self, result: Any, length: int, window: int) -> Iterator[Word]:
        """Word times from the cross-attention, on the features that are already encoded."""
        from whisper.timing import find_alignment, merge_punctuations
        from whisper.tokenizer import get_tokenizer

        tokenizer = get_tokenizer(
            self.model.is_multilingual, num_languages=self.model.num_languages, language=result.language
        )
        tokens = [token for token in result.tokens if token < tokenizer.eot]
        frames = min(window, length + MARGIN) // HOP // 2 * 2
        alignment = find_alignment(self.model, tokenizer, tokens, result.audio_features, frames)
        merge_punctuations(alignment, "\"'“¿([{-", "\"'.。,，!！?？:：”)]}、")
        for timing in alignment:
            word = timing.word.strip()
            if word:
                end = min(timing.end, length / SAMPLE_RATE)
                start = min(timing.start, end)
                yield Word(word, round(float(start), 2), round(float(end), 2), round(float(timing.probability), 3))


def prompt(hints: Hints) -> str:
    """A sentence in the style of a transcript that holds the names and words to expect."""
    room = PROMPT_TOKENS * 4  # characters; names of people must not crowd out what the tools are called
    people = _some("People: ", hints.contacts, room * 2 // 5)
    albums = _some("Albums: ", hints.albums, room // 6)
    words = _some("Words: ", hints.vocabulary, room // 5)
    parts = [p for p in (people, albums, words) if p]
    for example in hints.examples:
        sentence = f"{example[:1].upper()}{example[1:]}."
        if len(" ".join([*parts, sentence])) <= room:
            parts.append(sentence)
    return " ".join(parts)


def _some(title: str, names: Sequence[str], room: int) -> str:
    """As many of the names as have room, in a sentence; empty for none."""
    taken: list[str] = []
    for name in names:
        if len(title) + len(", ".join([*taken, name])) < room:
            taken.append(name)
    return f"{title}{', '.join(taken)}." if taken else ""


def _silent(result: Any) -> bool:
    """Probably no speech, and words that the model is not sure of."""
    return bool(result.no_speech_prob > NO_SPEECH and result.avg_logprob < SURE)


def _fails(result: Any) -> bool:
    return bool(result.compression_ratio > MOST_REPETITIVE or result.avg_logprob < LEAST_PROBABLE)


def _pieces(samples: np.ndarray, longest: int) -> Iterator[tuple[int, np.ndarray]]:
    """(start, samples) of pieces no longer than the window, cut where the last quarter of it is quietest."""
    start = 0
    while len(samples) - start > longest:
        tail = samples[start + longest * 3 // 4 : start + longest]
        usable = len(tail) // HOP * HOP
        energy = np.square(tail[:usable]).reshape(-1, HOP).sum(1)
        smooth = np.convolve(energy, np.ones(QUIET), "valid")
        cut = start + longest * 3 // 4 + (int(smooth.argmin()) + QUIET // 2) * HOP
        yield start, samples[start:cut]
        start = cut
    yield start, samples[start:]


def _accept_short_windows(encoder: Any) -> None:
    """Let the encoder take fewer frames than its positions, and pass features through that are encoded already."""
    import torch
    from torch.nn import functional

    class Encoder(type(encoder)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if x.shape[-1] == self.positional_embedding.shape[1] and x.shape[-2] != self.conv1.in_channels:
                return x
            x = functional.gelu(self.conv1(x))
            x = functional.gelu(self.conv2(x)).permute(0, 2, 1)
            x = (x + self.positional_embedding[: x.shape[1]]).to(x.dtype)
            for block in self.blocks:
                x = block(x)
            return self.ln_post(x)

    encoder.__class__ = Encoder


def _score_what_is_used(model: Any) -> None:
    """While a prompt is read, score the vocabulary for its last token and the one that tells of silence, not for all:
    with a hundred tokens of names to expect, that is more work than the whole encoder has with a short command."""
    import torch
    from whisper.tokenizer import get_tokenizer

    start = get_tokenizer(model.is_multilingual, num_languages=model.num_languages).sot

    class Decoder(type(model.decoder)):  # type: ignore[misc]
        def forward(self, x: torch.Tensor, xa: torch.Tensor, kv_cache: Any = None) -> torch.Tensor:
            offset = next(iter(kv_cache.values())).shape[1] if kv_cache else 0
            h = self.token_embedding(x) + self.positional_embedding[offset : offset + x.shape[-1]]
            h = h.to(xa.dtype)
            for block in self.blocks:
                h = block(h, xa, mask=self.mask, kv_cache=kv_cache)
            h = self.ln(h)
            words = self.token_embedding.weight.to(h.dtype).T
            if kv_cache is None or x.shape[-1] == 1:
                return (h @ words).float()
            used = [*(x[0] == start).nonzero()[:, 0].tolist(), x.shape[-1] - 1]
            scores = torch.zeros(*x.shape, words.shape[1], device=h.device)
            scores[:, used] = (h[:, used] @ words).float()
            return scores

    model.decoder.__class__ = Decoder
