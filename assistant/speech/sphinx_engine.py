"""The offline recogniser: PocketSphinx with a language model of what this assistant can do.

A generic model of English hears one command in twenty right; one of the domain hears most. The price is that it hears
*everything* as a command: speech about other things comes out as a string of words that nobody would say. The language
model itself tells: its mean log probability of a word is mostly above -3 for commands and below -5 for such strings,
whoever speaks. (A free phoneme loop, the usual background model, separated voices rather than topics.)
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from .consent import says_yes
from .denoise import remove_noise
from .errors import NothingHeard
from .language_model import JOIN, Counts, join_phrases, write_arpa
from .lexicon import model_path, pronunciations
from .phrases import ANSWERS, NO, YES, consent, sentences
from .rescoring import Hypothesis, Rescorer, chosen
from .spoken import spoken
from .types import SAMPLE_RATE, Expected, Hints, Word

FRAMES_PER_SECOND = 100
PHRASES = 3000  # tokens of several words in the language model
PHRASE_WEIGHT = 3  # of the sentences with phrases joined, beside the plain ones
DITHER = 30.0  # root mean square added to 16-bit samples: digital silence breaks the cepstral mean
PEAK = 16_000.0
SHORT, LONG = 3, 40  # words that a second look is worth: fewer are answers, more are no commands
PATHS = 400  # through the lattice of an utterance
HYPOTHESES = 60  # different word sequences that the second model judges
SOMEBODY = "anna"  # stands for all contacts: that model does not know them
UNKNOWN = -4.2  # what is less probable to it, per word, is nothing that it was trained on
LOWER = 0.4  # by so much a word is less probable to both models together than to the trigrams, which know the contacts
ABANDONED = 3600.0  # seconds; a part of a file that is older will not be finished
PADDING = 0.05  # seconds of silence before and after; more pulls the cepstral mean of a short command away

# Wide beams: with PocketSphinx's own, half of the errors on accented speech are search errors.
SEARCH: dict[str, Any] = {
    "lw": 12.0, "bestpathlw": 12.0, "wip": 0.2, "beam": 1e-80, "wbeam": 1e-50, "pbeam": 1e-80, "lpbeam": 1e-60,
    "lponlybeam": 1e-40, "fwdflat": False, "maxhmmpf": 5_000, "loglevel": "FATAL",
}  # fmt: skip

# Mean natural log probability of a word below which nothing was heard.
EXPECTED = -3.5

EXPECTED_ANSWER = -4.5  # the same, for the answer to a question

# Least posterior of a word in an answer of one word and of several: "guess" reaches 0.87 as "yes".
SURE_WORD, SURE_WORDS = 0.9, 0.7
NAMED = 10  # a word in more sentences than this is an everyday word, whoever else has it as a name
ALONE = frozenset(answer for answer in YES + NO if " " not in answer)  # always held to this
CONSENT = "consent"  # name of the search for yes and no
# Least posterior, where yes or no is waited for, of a yes of one word and of several, and of a no, which harms nobody:
# on five synthetic voices "yes" reaches 0.98, and "guess" up to 0.96 as "yes".
SURE_YES, SURE_YESES, SURE_NO = 0.97, 0.8, 0.5

OUTSIDE = (
    "that was not about anything this assistant can do, or it was not clear enough for the offline recogniser; "
    "say it again, more slowly, or install a Whisper model"
)
UNSURE = "that may have been a yes, but not clearly enough to act on it; say it again"


@dataclass(frozen=True, slots=True)
class Heard:
    """Text of some samples, its words with times, and a confidence (0–1)."""

    text: str
    words: tuple[Word, ...]
    confidence: float


class SphinxEngine:
    """Keeps the decoders warm. Not thread-safe: one utterance at a time."""

    name = "pocketsphinx"

    def __init__(self, hints: Hints, cache_dir: Path | None = None) -> None:
        self._cache = cache_dir
        self._rescorer = Rescorer()
        self.use_hints(hints)

    def use_hints(self, hints: Hints) -> None:
        """Build the language model and dictionary for these hints, or take them from the cache."""
        from pocketsphinx import Decoder

        folder = self._cache or Path(tempfile.mkdtemp(prefix="speech-"))
        model, answers, words = build(hints, folder)
        acoustic = str(model_path() / "en-us")
        self._decoder = Decoder(hmm=acoustic, lm=str(model), dict=str(words), **SEARCH)
        self._decoder.add_lm_file(CONSENT, str(answers))
        self._written = _written_names(hints)
        self._names = _only_names(self._written)
        if self._cache is None:
            for file in (model, answers, words):
                file.unlink()
            folder.rmdir()

    def transcribe(self, samples: np.ndarray, language: str | None = None, expected: Expected = "command") -> Heard:
        """Samples: float32 at 16 kHz, speech only. Raises NothingHeard for what is outside the domain."""
        if language not in (None, "en"):
            raise NothingHeard(f"the offline recogniser hears English only, not {language!r}; install a Whisper model")
        if expected == "consent" and (answer := self._consent(samples)):
            return answer
        tokens, likely = self.listen(samples)
        words = tuple(_split(tokens))
        text = " ".join(word.word for word in words)
        clear = expected != "consent" and _clear_answer(text, tokens)  # the other search did not find it clear
        if not clear and SHORT <= len(words) <= LONG:
            words, likely = self._second_look(words, likely)
            text = " ".join(word.word for word in words)
        unlikely = likely < (EXPECTED_ANSWER if expected == "answer" else EXPECTED)
        if (unlikely or text in ALONE) and not clear:
            raise NothingHeard(OUTSIDE)
        likely = max(likely, EXPECTED) if clear else likely
        for plain, written in self._written.items():
            text = f" {text} ".replace(f" {plain} ", f" {written} ").strip()
        if expected == "consent" and says_yes(text):
            raise NothingHeard(UNSURE)  # this search has no rivals of a yes, so it cannot vouch for one
        return Heard(text, words, _confidence(likely))

    def _consent(self, samples: np.ndarray) -> Heard | None:
        """A yes or no, if these samples hold nothing else."""
        self._decoder.activate_search(CONSENT)
        try:
            tokens, _ = self.listen(samples)
        finally:
            self._decoder.activate_search()
        words = tuple(_split(tokens))
        text = " ".join(word.word for word in words)
        sure = min((token.prob for token in tokens), default=0.0)
        least = SURE_NO if text in NO else SURE_YES if len(words) == 1 else SURE_YESES
        return Heard(text, words, min(sure, 1.0)) if text in YES + NO and sure >= least else None

    def partial(self, samples: np.ndarray, language: str | None = None) -> str:
        """Text so far, without judging it."""
        _run(self._decoder, _pcm(samples))
        hypothesis = self._decoder.hyp()
        return hypothesis.hypstr.replace(JOIN, " ") if hypothesis else ""

    def listen(self, samples: np.ndarray) -> tuple[list[Any], float]:
        """Tokens of the best hypothesis (segments, no fillers), and how expected its words are (see `EXPECTED`)."""
        _run(self._decoder, _pcm(samples))
        best = list(self._decoder.seg()) if self._decoder.hyp() else []
        tokens = [segment for segment in best if segment.word[0] not in "<[+"]
        return tokens, self._expected([token.word for token in tokens]) if tokens else -math.inf

    def _second_look(self, words: tuple[Word, ...], likely: float) -> tuple[tuple[Word, ...], float]:
        """The words of the hypothesis that people would rather say than `words`, and how expected they are. What the
        second model knows nothing about, such as a plugin's errands, is left as it is."""
        hypotheses = self._hypotheses()
        if not hypotheses:
            return words, likely
        best, general, certain = self._rescorer.best(hypotheses)
        if general < UNKNOWN:
            return words, likely
        return chosen(best.text, words, certain), (self._expected(best.tokens) + general) / 2 + LOWER

    def _hypotheses(self) -> list[Hypothesis]:
        """The likeliest word sequences of the last search."""
        found: dict[str, Hypothesis] = {}
        for path in itertools.islice(self._decoder.nbest() or (), PATHS):
            tokens = tuple(name for name in path.hypstr.split() if name[0] not in "<[+") if path else ()
            text = " ".join(_plain(tokens)).replace(JOIN, " ")
            if tokens and path.score > 0 and (text not in found or found[text].score < math.log(path.score)):
                general = self._names.sub(SOMEBODY, text)
                found[text] = Hypothesis(text, general, math.log(path.score), tokens)
        return sorted(found.values(), key=lambda h: -h.score)[:HYPOTHESES]

    def _expected(self, tokens: Sequence[str]) -> float:
        """Mean natural log probability of a word, under the trigrams of the tokens."""
        model, logarithms = self._decoder.get_lm(), self._decoder.get_logmath()
        names = ["<s>", *_plain(tokens), "</s>"]
        total = 0.0
        for end in range(1, len(names)):
            history = names[max(0, end - 2) : end]
            total += logarithms.log_to_ln(model.prob([names[end], *reversed(history)]))
        # The end is expected like a word; without it, short commands would be held to more.
        return total / sum(name.count(JOIN) + 1 for name in names[1:])


def _clear_answer(text: str, tokens: list[Any]) -> bool:
    """A "yes" or "cancel" that no other hypothesis rivals. So short a sentence is too rare to be expected."""
    alone = len(text.split()) == 1
    return text in ANSWERS and min(token.prob for token in tokens) >= (SURE_WORD if alone else SURE_WORDS)


def _plain(tokens: Sequence[str]) -> list[str]:
    """Tokens without the numbers of their pronunciations."""
    return [token.partition("(")[0] for token in tokens]


def _run(decoder: Any, pcm: bytes) -> None:
    decoder.start_utt()
    decoder.process_raw(pcm, full_utt=True)
    decoder.end_utt()


def _pcm(samples: np.ndarray) -> bytes:
    """16-bit samples at a common level, their steady noise replaced by a little of a known kind."""
    clean = remove_noise(samples)
    peak = float(np.abs(clean).max(initial=0.0)) or 1.0
    quiet = np.pad(clean * (PEAK / peak), round(PADDING * SAMPLE_RATE))
    noise = np.random.default_rng(0).normal(0.0, DITHER, len(quiet))
    return np.clip(quiet + noise, -32_767, 32_767).astype(np.int16).tobytes()


def _confidence(expected: float) -> float:
    """0–1: one half at the threshold, near one for what the examples say word for word."""
    return 1 / (1 + math.exp(-2 * (max(expected, -30.0) - EXPECTED)))


def _split(tokens: list[Any]) -> Iterator[Word]:
    """Words with times in seconds; the words of a phrase share its time by their number of phonemes."""
    for token in tokens:
        words = token.word.partition("(")[0].split(JOIN)
        lengths = [len(pronunciations(word)[0].split()) for word in words]
        start = token.start_frame / FRAMES_PER_SECOND - PADDING
        step = (token.end_frame + 1 - token.start_frame) / FRAMES_PER_SECOND / sum(lengths)
        for word, length in zip(words, lengths, strict=True):
            end = start + step * length
            yield Word(word, round(max(start, 0.0), 2), round(max(end, 0.0), 2), round(min(token.prob, 1.0), 3))
            start = end


def build(hints: Hints, folder: Path) -> tuple[Path, Path, Path]:
    """Files for these hints, in `folder`, built unless they are there: language models of everything and of yes and
    no, and the dictionary."""
    stem = _digest(hints)
    model, answers, words = folder / f"{stem}.lm", folder / f"{stem}.{CONSENT}.lm", folder / f"{stem}.dict"
    if not (model.is_file() and answers.is_file() and words.is_file()):
        folder.mkdir(parents=True, exist_ok=True)
        counts = sentences(hints)
        joined = join_phrases(counts, PHRASES)
        both: Counts = counts + type(counts)({tokens: count * PHRASE_WEIGHT for tokens, count in joined.items()})
        vocabulary = sorted({token for sentence in both for token in sentence})
        singles = [token for token in vocabulary if JOIN not in token]
        writers: dict[Path, Callable[[TextIO], None]] = {
            model: lambda f: write_arpa(both, f),
            answers: lambda f: write_arpa(consent(singles), f),
            words: lambda f: _lexicon(vocabulary, f),
        }
        for file, write in writers.items():
            part = file.with_suffix(f".{os.getpid()}.part")
            with part.open("w", encoding="utf-8") as out:
                write(out)
            part.replace(file)
        # Parts that are older than any building takes are of processes that were killed.
        left = {part for part in folder.glob("domain-*.part") if part.stat().st_mtime < time.time() - ABANDONED}
        for old in ({*folder.glob("domain-*.lm"), *folder.glob("domain-*.dict")} | left) - writers.keys():
            old.unlink(missing_ok=True)
    return model, answers, words


def _lexicon(vocabulary: list[str], file: TextIO) -> None:
    for token in vocabulary:
        for number, said in enumerate(pronunciations(token), 1):
            file.write(f"{token}{f'({number})' if number > 1 else ''} {said}\n")


def _digest(hints: Hints) -> str:
    """Changes with the hints, the shipped sentences and the way the model is made."""
    digest = hashlib.sha256(repr((hints, PHRASES, PHRASE_WEIGHT)).encode())
    for name in ("data/templates.txt", "data/everyday.txt", "data/slots.tsv", "data/g2p.txt.gz", "phrases.py",
                 "language_model.py", "lexicon.py", "spoken.py"):  # fmt: skip
        digest.update(files(__package__).joinpath(name).read_bytes())
    return f"domain-{digest.hexdigest()[:16]}"


def _written_names(hints: Hints) -> dict[str, str]:
    """Spoken form → how the contact is written, longest first; names that are also everyday words stay as heard."""
    from .phrases import templates

    uses = Counter(word for template in templates() for word in set(template.split()))
    everyday = {word for word, count in uses.items() if count > NAMED}
    names: dict[str, str] = {}
    for contact in hints.contacts:
        for written in (contact, contact.split()[0] if contact.split() else ""):
            plain = spoken(written)
            if plain and not set(plain.split()) <= everyday:
                names.setdefault(plain, written)
    return dict(sorted(names.items(), key=lambda item: -len(item[0])))


def _only_names(names: Iterable[str]) -> re.Pattern[str]:
    """Finds these names in a hypothesis, but for those that are everyday words as well: "don" is not in "don't"."""
    from .phrases import slot_values, templates

    values = (v for kind, values in slot_values().items() if kind not in ("name", "person") for v in values)
    uses = Counter(word for text in (*templates(), *values) for word in set(text.split()))
    only = [re.escape(name) for name in names if not any(uses[word] > NAMED for word in name.split())]
    return re.compile(rf"(?<!\S)(?:{'|'.join(only) or '(?!)'})(?='s|\s|$)")
