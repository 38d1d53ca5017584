"""Speech, measured: python benchmarks/speech.py [accuracy] [speed] [fuzz] [letters] (default: all four)

accuracy: commands by synthetic voices (espeak-ng, flite, festival), clean and with white noise at 15 dB; speech about
other things and noise, which must be refused; word error rate on human recordings (--recordings, with transcripts.tsv).
speed: processor time of the offline recogniser and of Whisper with random weights, beside plain `whisper.transcribe`
and faster-whisper where it is installed. fuzz: damaged variants of valid files through the decoder, each a clear
refusal or sound. letters: letter-to-sound on words held out of its training. Machine and load are printed first;
`accuracy` writes results/speech.json.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import speech_speed

from assistant.speech.decode import decode, decode_container
from assistant.speech.errors import NothingHeard, SpeechError
from assistant.speech.sphinx_engine import SphinxEngine
from assistant.speech.spoken import spoken
from assistant.speech.types import SAMPLE_RATE, DecodeLimits, Hints
from assistant.speech.vad import speech_segments

RESULTS = Path(__file__).parent / "results" / "speech.json"
EVALUATION = Path(__file__).parents[1] / "assistant" / "training" / "data" / "eval" / "builtin.jsonl"
VOICES = (
    "espeak-ng:en-us", "espeak-ng:en-us+f2", "espeak-ng:en-us+m3", "espeak-ng:en-us+m7", "espeak-ng:en-us+f4",
    "espeak-ng:en-gb", "espeak-ng:en-gb-x-rp", "espeak-ng:en-gb-scotland", "flite:slt", "flite:rms", "flite:awb",
    "festival:kal_diphone",
)  # fmt: skip
PEOPLE = ("Alice Chen", "Ben Okafor", "Priya", "Tom", "Maria", "Sam", "Sofia", "Mum", "Dad", "Grandma")
DEMO = "make a gif of my five most recent photos and send it to alice"
ALBUMS = ("Garden", "Lisbon", "Holidays", "Summer")
# Usual commands that are in no example and no template; written before the recogniser's grammar of usual commands.
UNSEEN = (
    "please make a gif of my six latest photos and send it to tom",
    "make a video from my last eight pictures and send it to dad",
    "send grandma the three newest photos of my dog",
    "make me a large gif of my last five photos",
    "turn my last photo to the left",
    "sharpen my latest picture and send it to sofia",
    "put my two newest pictures into the summer album",
    "add the last four photos to holidays",
    "make a three column collage of my last nine photos",
    "create a collage from my five favourite photos and email it to alice",
    "remind me to buy bread tomorrow at five",
    "remind me on monday at ten to call the bank",
    "set a reminder to take out the bins tonight",
    "note that the key is under the mat",
    "write down that the meeting is on tuesday",
    "what is sofia's email address",
    "look up tom's number",
    "tell ben i will be late",
    "send a message to maria that dinner is ready",
    "let dad know that i am at the station",
    "send my last two screenshots to priya",
    "show me my favourite photos from last year",
    "find photos of alice at the lake",
    "make my last three photos sepia and send them to ben",
    "whatsapp my newest photo to mum",
    "make a gif of the last seven photos and post it to sam and maria",
    "show me the oldest photo in the garden album",
    "make a slow gif of my last three pictures",
    "brighten my last photo and put it in the lisbon album",
    "send the last video to alice and remind me to call her tomorrow",
)
ELSEWHERE = (
    "the committee will publish its annual report in september",
    "he was not an ill disposed young man",
    "scientists have discovered a new species of frog in the rainforest",
    "the price of oil rose sharply after the announcement",
    "she opened the window and looked out at the falling snow",
    "our train was delayed because of a signal failure near york",
    "chop the onions finely and fry them in a little butter",
    "the goalkeeper saved two penalties in the final minutes",
    "many people believe that the old bridge should be replaced",
    "quantum mechanics describes the behaviour of very small particles",
)


def hints() -> Hints:
    """What the built-in tools tell the recogniser, with a small address book."""
    from assistant.plugin.registry import load_registry

    specs = list(load_registry().values())
    words = (c.replace("_", " ") for s in specs for p in s.parameters for c in (p.type.item or p.type).choices)
    examples = tuple(example for spec in specs for example in spec.examples)
    return Hints(PEOPLE, ALBUMS, examples, tuple(dict.fromkeys(words)))


def evaluation() -> list[str]:
    """Sentences that others wrote for the planner's evaluation: one command each, to people in the address book.

    Sixteen that were looked at while the recogniser was tuned are left out.
    """
    given = {spoken(name).split()[0] for name in PEOPLE}
    found = []
    for line in EVALUATION.read_text("utf-8").splitlines():
        errand = json.loads(line)
        steps = [args for tool, args in errand["plan"] if tool in ("messages.send", "contacts.find")]
        names = [spoken(name) for args in steps for name in args.get("to") or [args.get("name", "")]]
        known = all(not n or n.split()[0] in given or n.startswith(("my ", "the ", "mom", "me")) for n in names)
        if errand["plan"] and "before" not in errand and known and 4 <= len(spoken(errand["say"]).split()) <= 16:
            found.append(errand["say"])
    random.Random(11).shuffle(found)
    return found[16:40]


def say(voice: str, text: str) -> np.ndarray:
    """Samples of a synthetic voice: float32, 16 kHz, with the floor of a quiet room."""
    program, _, name = voice.partition(":")
    text = spoken(text)  # 2023 and 4711 are read as they are written down, not as each program likes
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        command = {
            "espeak-ng": ["espeak-ng", "-v", name, "-s", "150", "-w", file.name, text],
            "flite": ["flite", "-voice", name, "-t", text, "-o", file.name],
            "festival": ["text2wave", "-eval", f"(voice_{name})", "-o", file.name],
        }[program]
        subprocess.run(command, input=text.encode(), check=True, capture_output=True)
        samples = decode(Path(file.name).read_bytes(), lambda _target, payload, _limits: decode_container(payload))
    rng = np.random.default_rng(0)
    samples = np.pad(samples / np.abs(samples).max() * 0.5, SAMPLE_RATE // 3)
    return (samples + rng.normal(0, 3e-4, len(samples))).astype(np.float32)


def with_noise(samples: np.ndarray, decibels: float) -> np.ndarray:
    speech = samples[np.abs(samples) > 0.01]
    sigma = float(np.sqrt(np.mean(speech**2))) * 10 ** (-decibels / 20)
    return (samples + np.random.default_rng(1).normal(0, sigma, len(samples))).astype(np.float32)


def hear(engine: SphinxEngine, samples: np.ndarray) -> str | None:
    """What the recogniser gives for a recording; None when it refuses."""
    segments = speech_segments(samples)
    if not segments:
        return None
    try:
        return spoken(engine.transcribe(samples[segments[0].start : segments[-1].end]).text)
    except NothingHeard:
        return None


def same(heard: str | None, said: str) -> bool:
    """Exactly the words, contractions spelled out."""
    return heard is not None and _expand(heard) == _expand(spoken(said))


def _expand(text: str) -> str:
    for short, long in (("i'm", "i am"), ("don't", "do not"), ("i'll", "i will"), ("what's", "what is")):
        text = text.replace(short, long)
    return text


def word_errors(heard: str, said: str) -> int:
    """Levenshtein distance over words."""
    a, b = heard.split(), said.split()
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        previous, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (x != y))
    return row[-1]


def accuracy(recordings: Path | None, voices: list[str], limit: int) -> None:
    """One line a voice: right of all examples and other wordings, and what was refused of other speech."""
    engine = SphinxEngine(hints(), Path(tempfile.mkdtemp()))
    examples = [example for example in hints().examples if len(example.split()) > 2][:limit]
    kinds = {
        "examples": examples, "usual": UNSEEN[:limit], "evaluation": evaluation()[:limit],
        "elsewhere": ELSEWHERE[:limit],
    }  # fmt: skip
    totals: Counter[tuple[str, str]] = Counter()
    for voice in voices:
        for kind, texts in kinds.items():
            for text in texts:
                clean = say(voice, text)
                for noise, samples in (("clean", clean), ("15 dB", with_noise(clean, 15))):
                    heard = hear(engine, samples)
                    right = heard is None if kind == "elsewhere" else same(heard, text)
                    totals[voice, f"{kind}, {noise}"] += right
                    # A command that is refused must be said again; one that is misheard may be carried out.
                    totals[voice, f"{kind} misheard, {noise}"] += not right and heard is not None
                    if not right:
                        print(f"  {voice} {noise}: {text!r} → {heard!r}", flush=True)
        for kind, texts in kinds.items():
            line = [f"{kind}, {n} {totals[voice, f'{kind}, {n}']}/{len(texts)}" for n in ("clean", "15 dB")]
            line += [f"misheard {totals[voice, f'{kind} misheard, {n}']}" for n in ("clean", "15 dB")]
            print(f"{voice:24} " + "; ".join(line), flush=True)
    refused = [hear(engine, noise) is None for noise in noises()]
    print(f"noise, hum, clicks and tones refused: {sum(refused)}/{len(refused)}")
    figures: dict[str, Any] = {"machine": ", ".join(machine()), "sentences": {k: len(t) for k, t in kinds.items()}}
    figures["voices"] = {v: {what: n for (voice, what), n in totals.items() if voice == v} for v in voices}
    figures["noises refused"] = [sum(refused), len(refused)]
    if recordings is not None:
        figures["human recordings"] = _human(engine, recordings)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")


def noises() -> Iterator[np.ndarray]:
    """Four seconds each of white, pink and brown noise, hum, clicks, a chord and a siren, at three levels."""
    time_ = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    for seed in range(3):
        rng = np.random.default_rng(seed)
        white = rng.normal(size=len(time_))
        spectrum, frequencies = np.fft.rfft(white), np.maximum(np.fft.rfftfreq(len(time_), 1 / SAMPLE_RATE), 20)
        chord = sum(np.sin(2 * np.pi * note * time_) for note in (220, 277.2, 329.6))
        siren = np.sin(2 * np.pi * 700 * time_ + 60 * np.sin(2 * np.pi * 0.7 * time_))
        for sound in (
            white, np.fft.irfft(spectrum / np.sqrt(frequencies)), np.fft.irfft(spectrum / frequencies),
            np.sin(2 * np.pi * 100 * time_) + 0.3 * np.sin(2 * np.pi * 300 * time_),
            white * (rng.random(len(time_)) < 1e-3), chord, siren,
        ):  # fmt: skip
            yield (sound / np.abs(sound).max() * (0.05, 0.2, 0.8)[seed]).astype(np.float32)


def _human(engine: SphinxEngine, folder: Path) -> dict[str, Any]:
    """Word error rate before refusal, and whether it was refused, of each clip and of all."""
    wrong = total = refused = 0
    clips = {}
    print("\nhuman recordings (all outside the domain of the built-in tools)")
    for line in (folder / "transcripts.tsv").read_text("utf-8").splitlines()[1:]:
        name, said, _ = line.split("\t")
        samples = decode((folder / name).read_bytes(), lambda _target, payload, _limits: decode_container(payload))
        said, heard = spoken(said), engine.partial(samples)
        errors_here, judged = word_errors(heard, said), hear(engine, samples)
        wrong, total, refused = wrong + errors_here, total + len(said.split()), refused + (judged is None)
        rate = errors_here / len(said.split())
        clips[name] = {"wer": round(rate, 3), "refused": judged is None}
        print(f"  {name:22} WER {rate:6.1%}  {'refused' if judged is None else 'ACCEPTED'}  {heard!r}", flush=True)
    print(f"  total WER {wrong / total:.1%} before refusal, {refused} refused")
    return {"clips": clips, "wer": round(wrong / total, 3), "refused": refused}


def fuzz(count: int, seed: int) -> None:
    """Hostile recordings, then damaged variants of valid ones: bytes flipped, cut, repeated.

    In this process, so that a crash is seen and the memory is counted.
    """
    from importlib.resources import files

    flac = files("assistant.speech").joinpath("data/demo-command.flac").read_bytes()
    samples = decode(flac)[: 2 * SAMPLE_RATE]
    from tests.speech.conftest import encode
    from tests.speech.hostile import FORMATS, hostile

    cases = hostile(samples, flac)
    print(f"{len(cases)} hostile files: {dict(Counter(map(_outcome, cases.values())))}")
    valid = [encode(samples, *kind) for kind in FORMATS]
    rng = np.random.default_rng(seed)
    outcomes = Counter(_outcome(_damage(valid[index % len(valid)], rng)) for index in range(count))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    print(f"{count} damaged files, seed {seed}: {dict(outcomes)}, peak memory {memory} MB")


def _outcome(recording: bytes) -> str:
    """ "sound", or the status of the refusal; anything but a clear 4xx is an error."""
    try:
        decode(recording, lambda _target, payload, _limits: decode_container(payload), DecodeLimits())
    except SpeechError as error:
        if not (400 <= error.status < 500 and len(str(error)) > 20):
            raise
        return str(error.status)
    return "sound"


def _damage(seed: bytes, rng: np.random.Generator) -> bytes:
    data = bytearray(seed)
    for _ in range(int(rng.integers(1, 12))):
        place = int(rng.integers(0, min(len(data), 400) if rng.random() < 0.6 else len(data)))
        data[place] = int(rng.integers(0, 256))
    if rng.random() < 0.2:
        del data[int(rng.integers(1, len(data))) :]
    if rng.random() < 0.1:
        start = int(rng.integers(0, len(data)))
        data[start:start] = data[start : start + 500]
    return bytes(data)


def letters() -> None:
    """One word in fifty held out."""
    from assistant.speech import g2p
    from assistant.speech.lexicon import dictionary

    words = sorted(word for word in dictionary() if word.isalpha())
    held = set(words[::50])
    contexts = g2p.train((word, dictionary()[word][0]) for word in words if word not in held)
    g2p._contexts.cache_clear()
    original, g2p._contexts = g2p._contexts, lambda: contexts  # type: ignore[assignment]
    right = sum(g2p.pronounce(word) in dictionary()[word] for word in held)
    g2p._contexts = original
    print(f"letter to sound: {right}/{len(held)} = {right / len(held):.1%} of unseen words exactly right")


def machine() -> Iterator[str]:
    model = [x for x in Path("/proc/cpuinfo").read_text().splitlines() if x.startswith("model name")]
    yield (model or ["unknown processor"])[0].rpartition(":")[2].strip()
    yield f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", choices=["accuracy", "speed", "fuzz", "letters", []], default=[])
    parser.add_argument("--recordings", type=Path, help="folder with transcripts.tsv")
    parser.add_argument("--fuzzed", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=4, help="of the damage: one for each part of a long run")
    there = [voice for voice in VOICES if shutil.which(voice.partition(":")[0])]
    parser.add_argument("--voices", nargs="*", default=there, help='such as "espeak-ng:en-us" (default: all)')
    parser.add_argument("--rounds", type=int, default=5, help="of each timing")
    parser.add_argument("--limit", type=int, default=100, help="sentences of each kind")
    given = parser.parse_args()
    print(", ".join(machine()))
    chosen = given.what or ["accuracy", "speed", "fuzz", "letters"]
    if "accuracy" in chosen:
        accuracy(given.recordings, given.voices, given.limit)
    if "speed" in chosen:
        commands = {text: say("espeak-ng:en-us", text) for text in (hints().examples[6], DEMO, ELSEWHERE[0])}
        speech_speed.offline(hints(), commands, given.rounds)
        speech_speed.whisper_sizes(given.rounds)
    if "fuzz" in chosen:
        fuzz(given.fuzzed, given.seed)
    if "letters" in chosen:
        letters()


if __name__ == "__main__":
    main()
