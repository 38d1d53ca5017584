"""Speed of speech, called by `benchmarks/speech.py speed`: processor time, one thread, medians of alternating calls.

The offline recogniser as a share of the audio's duration; Whisper beside plain `whisper.transcribe` and faster-whisper
(where it is installed) on the same random weights.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from assistant.speech.errors import NothingHeard
from assistant.speech.sphinx_engine import SphinxEngine
from assistant.speech.types import SAMPLE_RATE, Hints
from assistant.speech.vad import speech_segments


def offline(hints: Hints, commands: dict[str, np.ndarray], rounds: int) -> None:
    """Building and loading the model, then hearing these commands (text → samples)."""
    cache = Path(tempfile.mkdtemp())
    for what in ("built and loaded", "loaded"):
        began = time.process_time()
        engine = SphinxEngine(hints, cache)
        print(f"offline recogniser: model {what} in {time.process_time() - began:.1f} s", flush=True)
    for text, samples in commands.items():

        def hear(samples: np.ndarray = samples) -> None:
            segments = speech_segments(samples)
            with suppress(NothingHeard):
                engine.transcribe(samples[segments[0].start : segments[-1].end])

        taken = alternated({text: hear}, rounds)[text]
        print(f"offline recogniser: {text!r}: {taken * SAMPLE_RATE / len(samples):.3f} × real time", flush=True)


def whisper_sizes(rounds: int) -> None:
    """Whisper's two smallest shapes."""
    for name, layers, width, heads in (("tiny", 4, 384, 6), ("base", 6, 512, 8)):
        _whisper(name, layers, width, heads, rounds)


def _whisper(name: str, layers: int, width: int, heads: int, rounds: int) -> None:
    """Our engine, `whisper.transcribe` and faster-whisper on the same random weights: float32, one thread.

    Greedy, at one temperature, and four tokens for each second of audio, which is quick speech: random weights do not
    know when to stop. With the language to be detected, as in the service, and with the language given.
    """
    import torch
    import whisper
    from whisper.model import ModelDimensions

    from assistant.speech.whisper_engine import WhisperEngine

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = whisper.Whisper(ModelDimensions(80, 1500, width, heads, layers, 51865, 448, width, heads, layers))
    torch.nn.init.normal_(model.decoder.positional_embedding)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / f"{name}.pt"
        torch.save({"dims": model.dims.__dict__, "model_state_dict": model.state_dict()}, file)
        engine = WhisperEngine(str(file), Hints(), device="cpu")
        faster = faster_whisper(model, Path(folder) / "ct2")

    def plain(samples: np.ndarray, tokens: int, language: str | None) -> None:
        whisper.transcribe(
            model, samples, language=language, temperature=0.0, fp16=False, sample_len=tokens, without_timestamps=True,
            compression_ratio_threshold=None, logprob_threshold=None, no_speech_threshold=None,
        )  # fmt: skip

    for seconds in (3, 8, 30):
        samples = np.random.default_rng(0).normal(0, 0.1, seconds * SAMPLE_RATE).astype(np.float32)
        tokens = 4 * seconds
        engine.sample_len = tokens
        candidates: dict[str, Callable[[], object]] = {
            "ours": partial(engine.decode, samples, "en", 0.0, engine._window(samples)),
            "openai-whisper": partial(plain, samples, tokens, "en"),
            "ours, detecting": partial(engine.decode, samples, None, 0.0, engine._window(samples)),
            "openai-whisper, detecting": partial(plain, samples, tokens, None),
        }
        if faster is not None:
            candidates["faster-whisper"] = partial(faster, samples, tokens)
        taken = alternated(candidates, rounds)
        line = "; ".join(f"{who} {t:.3f} s" for who, t in taken.items())
        print(f"whisper {name}, {seconds:2} s of audio, processor time: {line}", flush=True)


def alternated(candidates: dict[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Median processor time of each in seconds: called in turn, so that a busy machine troubles all alike."""
    times: dict[str, list[float]] = {who: [] for who in candidates}
    for _ in range(rounds + 1):
        for who, work in candidates.items():
            began = time.process_time()
            work()
            times[who].append(time.process_time() - began)
    return {who: float(np.median(taken[1:])) for who, taken in times.items()}  # the first allocates


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
    engine = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32", intra_threads=1)
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
