"""Speech, measured: python benchmarks/speech.py [accuracy] [speed] [fuzz] [letters] (default: all four)

accuracy: commands by synthetic voices (espeak-ng, flite, festival), clean and with white noise at 15 dB; speech about
other things and noise, which must be refused; word error rate on human recordings (--recordings, with transcripts.tsv).
speed: real-time factors of the offline recogniser and of Whisper with random weights, beside plain `whisper.decode`
and faster-whisper where it is installed. fuzz: damaged variants of valid files through the decoder, each a clear
refusal or sound. letters: letter-to-sound on words held out of its training. Machine and load are printed first.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from assistant.speech.decode import decode, decode_container
from assistant.speech.errors import NothingHeard, SpeechError
from assistant.speech.sphinx_engine import SphinxEngine
from assistant.speech.spoken import spoken
from assistant.speech.types import SAMPLE_RATE, DecodeLimits, Hints
from assistant.speech.vad import speech_segments

VOICES = (
    "espeak-ng:en-us", "espeak-ng:en-us+f2", "espeak-ng:en-us+m3", "espeak-ng:en-us+m7", "espeak-ng:en-us+f4",
    "espeak-ng:en-gb", "espeak-ng:en-gb-x-rp", "espeak-ng:en-gb-scotland", "flite:slt", "flite:rms", "flite:awb",
    "festival:kal_diphone",
)  # fmt: skip
PEOPLE = ("Alice Chen", "Ben Okafor", "Priya", "Tom", "Maria", "Sam", "Sofia", "Mum", "Dad", "Grandma")
ALBUMS = ("Garden", "Lisbon", "Holidays", "Summer")
# Commands that no example, template or slot value contains as a whole.
UNSEEN = (
    "make a gif of my last ten photos and send it to sam",
    "send my latest photo to ben",
    "remind me to call mum tomorrow at nine",
    "put my last three photos in the lisbon album",
    "make a collage of my last six photos and send it to maria",
    "text tom that i am running late",
    "send the latest screenshot to grandma",
    "make my last photo black and white",
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
    """One line a voice: right of all, of examples and of other wordings, and what was refused of other speech."""
    engine = SphinxEngine(hints(), Path(tempfile.mkdtemp()))
    examples = [example for example in hints().examples if len(example.split()) > 2][:limit]
    kinds = {"examples": examples, "unseen": UNSEEN[:limit], "elsewhere": ELSEWHERE[:limit]}
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
    if recordings is not None:
        _human(engine, recordings)


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


def _human(engine: SphinxEngine, folder: Path) -> None:
    wrong = total = refused = 0
    print("\nhuman recordings (all outside the domain of the built-in tools)")
    for line in (folder / "transcripts.tsv").read_text("utf-8").splitlines()[1:]:
        name, said, _ = line.split("\t")
        samples = decode((folder / name).read_bytes(), lambda _target, payload, _limits: decode_container(payload))
        said, heard = spoken(said), engine.partial(samples)
        errors_here, judged = word_errors(heard, said), hear(engine, samples)
        wrong, total, refused = wrong + errors_here, total + len(said.split()), refused + (judged is None)
        rate = errors_here / len(said.split())
        print(f"  {name:22} WER {rate:6.1%}  {'refused' if judged is None else 'ACCEPTED'}  {heard!r}", flush=True)
    print(f"  total WER {wrong / total:.1%} before refusal, {refused} refused")


def speed() -> None:
    """Wall time as a share of the audio's duration, with as many threads as there are cores."""
    if shutil.which("espeak-ng"):
        began = time.perf_counter()
        engine = SphinxEngine(hints(), Path(tempfile.mkdtemp()))
        print(f"offline recogniser: model built and loaded in {time.perf_counter() - began:.1f} s", flush=True)
        for text in ("send it to alice", "make a gif of my five most recent photos and send it to alice", ELSEWHERE[0]):
            samples = say("espeak-ng:en-us", text)
            best, duration = _seconds(lambda s=samples: hear(engine, s)), len(samples) / SAMPLE_RATE
            print(f"offline recogniser: {text!r}: {best / duration:.3f} × real time", flush=True)
    for name, layers, width, heads in (("tiny", 4, 384, 6), ("base", 6, 512, 8)):
        _whisper_speed(name, layers, width, heads)


def _whisper_speed(name: str, layers: int, width: int, heads: int) -> None:
    """Our engine, plain whisper and faster-whisper on the same random weights, float32.

    Greedy, at one temperature, and four tokens for each second of audio, which is quick speech: random weights do not
    know when to stop.
    """
    import torch
    import whisper
    from whisper.model import ModelDimensions

    from assistant.speech.whisper_engine import WhisperEngine

    torch.manual_seed(0)
    model = whisper.Whisper(ModelDimensions(80, 1500, width, heads, layers, 51865, 448, width, heads, layers))
    torch.nn.init.normal_(model.decoder.positional_embedding)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.pt"
        torch.save({"dims": model.dims.__dict__, "model_state_dict": model.state_dict()}, file)
        ours = WhisperEngine(str(file), Hints(), device="cpu")
        faster = faster_whisper(model, Path(folder) / "ct2")

    def plain(samples: np.ndarray, window: int, on: object, tokens: int) -> None:
        options = whisper.DecodingOptions(language="en", without_timestamps=True, fp16=False, sample_len=tokens)
        padded = np.pad(samples[:window], (0, max(0, window - len(samples))))
        whisper.decode(on, whisper.log_mel_spectrogram(torch.from_numpy(padded)), options)

    for seconds in (3, 8, 30):
        samples = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
        tokens = 4 * seconds
        mine = _seconds(lambda s=samples, n=tokens: plain(s, ours._window(s), ours.model, n))
        theirs = _seconds(lambda s=samples, n=tokens: plain(s, 30 * SAMPLE_RATE, model, n))
        line = f"whisper {name}, {seconds:2} s: ours {mine:.3f} s, openai-whisper {theirs:.3f} s ({theirs / mine:.1f}×)"
        if faster is not None:
            other = _seconds(lambda s=samples, n=tokens: faster(s, n))
            line += f", faster-whisper {other:.3f} s ({other / mine:.1f}×)"
        print(line, flush=True)


def faster_whisper(model: Any, folder: Path) -> Callable[[np.ndarray, int], None] | None:
    """The same weights in CTranslate2, which is what faster-whisper runs: (samples, tokens) → None."""
    try:
        import ctranslate2
        from ctranslate2.converters.transformers import WhisperLoader
        from faster_whisper.feature_extractor import FeatureExtractor
    except ImportError:
        print("faster-whisper is not installed: not compared")
        return None
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    dims = model.dims
    config = WhisperConfig(
        vocab_size=dims.n_vocab, d_model=dims.n_audio_state, encoder_layers=dims.n_audio_layer,
        decoder_layers=dims.n_text_layer, encoder_attention_heads=dims.n_audio_head,
        decoder_attention_heads=dims.n_text_head, encoder_ffn_dim=4 * dims.n_audio_state,
        decoder_ffn_dim=4 * dims.n_text_state,
    )  # fmt: skip
    copy = WhisperForConditionalGeneration(config)
    renamed = {f"model.{_hugging_face(key)}": value for key, value in model.state_dict().items()}
    missing, unknown = copy.load_state_dict(renamed, strict=False)
    assert not unknown and set(missing) <= {"proj_out.weight"}, (missing, unknown)
    copy.tie_weights()
    spec = WhisperLoader().get_model_spec(copy)
    special = {50257: "endoftext", 50258: "startoftranscript", 50259: "en", 50359: "transcribe", 50363: "notimestamps"}
    spec.register_vocabulary([f"<|{special.get(number, number)}|>" for number in range(dims.n_vocab)])
    spec.config.suppress_ids, spec.config.suppress_ids_begin = [50257], [50257]  # the end of the text
    spec.config.alignment_heads, spec.config.lang_ids = [], [50259]
    spec.validate()
    folder.mkdir()
    spec.save(str(folder))
    engine = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=os.cpu_count())
    features = FeatureExtractor()

    def transcribe(samples: np.ndarray, tokens: int) -> None:
        mel = features(samples, chunk_length=30)[:, :3000]
        mel = np.pad(mel, ((0, 0), (0, 3000 - mel.shape[1]))).astype(np.float32)[None]
        start = [50258, 50259, 50359, 50363]
        view = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel))
        [result] = engine.generate(view, [start], beam_size=1, max_length=2 * tokens, suppress_tokens=[50257])
        assert len(result.sequences_ids[0]) >= tokens - 1, len(result.sequences_ids[0])

    return transcribe


_NAMES = (
    ("blocks", "layers"), ("mlp.0", "fc1"), ("mlp.2", "fc2"), ("mlp_ln", "final_layer_norm"),
    ("cross_attn_ln", "encoder_attn_layer_norm"), ("attn_ln", "self_attn_layer_norm"),
    (".cross_attn.", ".encoder_attn."), (".attn.", ".self_attn."), ("attn.query", "attn.q_proj"),
    ("attn.key", "attn.k_proj"), ("attn.value", "attn.v_proj"), ("attn.out", "attn.out_proj"),
    ("decoder.ln.", "decoder.layer_norm."), ("encoder.ln_post.", "encoder.layer_norm."),
    ("token_embedding", "embed_tokens"), ("positional_embedding", "embed_positions.weight"),
)  # fmt: skip


def _hugging_face(key: str) -> str:
    """A parameter's name in transformers, from its name in openai-whisper."""
    for ours, theirs in _NAMES:
        key = key.replace(ours, theirs)
    return key


def _seconds(work: Callable[[], object]) -> float:
    """Wall time of the best of three calls, after one that allocates."""
    times = []
    for _ in range(4):
        began = time.perf_counter()
        work()
        times.append(time.perf_counter() - began)
    return min(times[1:])


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
    parser.add_argument("--limit", type=int, default=100, help="sentences of each kind")
    given = parser.parse_args()
    print(", ".join(machine()))
    chosen = given.what or ["accuracy", "speed", "fuzz", "letters"]
    if "accuracy" in chosen:
        accuracy(given.recordings, given.voices, given.limit)
    if "speed" in chosen:
        speed()
    if "fuzz" in chosen:
        fuzz(given.fuzzed, given.seed)
    if "letters" in chosen:
        letters()


if __name__ == "__main__":
    main()
