"""Whisper on tiny checkpoints in OpenAI's format: random ones, and one whose decoder is built to say a sentence."""

import contextlib
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import whisper
from whisper.model import ModelDimensions
from whisper.tokenizer import get_tokenizer

from assistant.speech import weights
from assistant.speech.errors import ModelUnavailable, NothingHeard
from assistant.speech.types import Hints
from assistant.speech.whisper_engine import SURE_YES, WhisperEngine, _fails, _pieces, _silent, prompt

SECONDS = 10  # window of the tiny checkpoints


def dims(seconds: float = SECONDS, text: int = 48) -> ModelDimensions:
    return ModelDimensions(80, round(seconds * 50), 32, 2, 1, 51865, text, 32, 2, 1)


def save(model: whisper.Whisper, file: Path) -> str:
    torch.save({"dims": model.dims.__dict__, "model_state_dict": model.state_dict()}, file)
    return str(file)


def random_model(seed: int, **sizes: float) -> whisper.Whisper:
    torch.manual_seed(seed)
    model = whisper.Whisper(dims(**sizes))
    torch.nn.init.normal_(model.decoder.positional_embedding)
    return model


def speaking_model(text: str, start: int = 4) -> whisper.Whisper:
    """A decoder whose positions point at the tokens of a text, whatever it hears. start: tokens before the text."""
    model = random_model(0)
    said = get_tokenizer(True, language="en").encode(text)
    eot = get_tokenizer(True).eot
    with torch.no_grad():
        for block in model.decoder.blocks:
            for part in (block.attn.out, block.cross_attn.out, block.mlp[2]):
                part.weight.zero_()
                part.bias.zero_()
        model.decoder.token_embedding.weight.mul_(3)
        positions = model.decoder.positional_embedding
        positions.zero_()
        for place, token in enumerate([*said, eot, eot]):
            positions[start - 1 + place] = 20 * model.decoder.token_embedding.weight[token]
    return model


@pytest.fixture(scope="module")
def noisy() -> np.ndarray:
    return np.random.default_rng(1).normal(0, 0.1, 16_000 * 3).astype(np.float32)


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("language", ["en", None])
def test_full_window_gives_the_tokens_of_whisper_decode(tmp_path, noisy, seed, language):
    hints = Hints(contacts=("Alice Chen",), examples=("make a GIF of them",))
    engine = WhisperEngine(save(random_model(seed), tmp_path / "r.pt"), hints, device="cpu", window="full")
    ours = engine.decode(noisy, language, 0.0, SECONDS * 16_000)
    reference = whisper.load_model(str(tmp_path / "r.pt"), device="cpu")
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(noisy), SECONDS * 16_000))
    theirs = whisper.decode(
        reference, mel, language=language, prompt=prompt(hints), without_timestamps=True, fp16=False
    )
    assert ours.tokens == theirs.tokens and len(ours.tokens) > 5
    assert ours.language == theirs.language
    assert ours.avg_logprob == pytest.approx(theirs.avg_logprob, rel=1e-4)  # float32 sums in another order


def test_short_window_is_whisper_with_a_shorter_context(tmp_path, noisy):
    long = random_model(3)
    engine = WhisperEngine(save(long, tmp_path / "long.pt"), Hints(), device="cpu")
    ours = engine.decode(noisy, "en", 0.0, 6 * 16_000)
    short = whisper.Whisper(dims(6))
    state = long.state_dict()
    state["encoder.positional_embedding"] = state["encoder.positional_embedding"][:300]
    short.load_state_dict(state)
    mel = whisper.log_mel_spectrogram(whisper.pad_or_trim(torch.from_numpy(noisy), 6 * 16_000))
    theirs = whisper.decode(short, mel, language="en", without_timestamps=True, fp16=False)
    assert ours.tokens == theirs.tokens
    assert torch.allclose(ours.audio_features, theirs.audio_features, atol=1e-5)


def test_a_sentence_comes_with_words_times_and_confidence(tmp_path, noisy):
    engine = WhisperEngine(save(speaking_model(" Send it to Alice."), tmp_path / "say.pt"), Hints(), device="cpu")
    heard = engine.transcribe(noisy)
    assert heard.text == "Send it to Alice."
    assert heard.confidence > 0.9
    assert [word.word for word in heard.words] == ["Send", "it", "to", "Alice."]
    assert all(0 <= word.start <= word.end <= 3.0 for word in heard.words)
    assert all(word.confidence > 0.5 for word in heard.words)


def test_audio_beyond_the_window_is_cut_in_pieces(tmp_path, voice):
    engine = WhisperEngine(save(speaking_model(" Hello there."), tmp_path / "say.pt"), Hints(), device="cpu")
    heard = engine.transcribe(np.tile(voice, 3), "en")
    assert heard.text == "Hello there. Hello there."
    assert heard.words[-1].start > 7


@pytest.mark.parametrize("lost", [True, False])
def test_a_piece_with_speech_that_is_not_understood_refuses_the_whole(tmp_path, voice, lost):
    """A "bye" is doubted in less than a second of sound: in the last piece, which holds speech or a pause."""
    engine = WhisperEngine(save(speaking_model(" Bye."), tmp_path / "say.pt"), Hints(), device="cpu")
    long = np.tile(voice, 2)
    pause = np.zeros(4_000, np.float32)
    end = voice[16_000:26_000] if lost else np.zeros(10_000, np.float32)
    samples = np.concatenate([long[: 16_000 * 9 + 8_000], pause, end])
    assert len(list(_pieces(samples, 16_000 * SECONDS))) == 2
    if lost:
        with pytest.raises(NothingHeard):
            engine.transcribe(samples, "en")
    else:
        assert engine.transcribe(samples, "en").text == "Bye."


@pytest.mark.parametrize(
    ("text", "scale", "acts"), [(" Yes, please.", 0.2, False), (" No.", 0.15, True), (" Send it to Ben.", 0.17, True)]
)
def test_an_unsure_yes_is_no_consent(tmp_path, noisy, text, scale, acts):
    """scale: of the logits, which makes a checkpoint less sure of the same words."""
    unsure = speaking_model(text)
    with torch.no_grad():
        unsure.decoder.ln.weight.mul_(scale)
        unsure.decoder.ln.bias.mul_(scale)
    engine = WhisperEngine(save(unsure, tmp_path / "say.pt"), Hints(), device="cpu")
    heard = engine.transcribe(noisy, "en", "command")
    assert heard.text == text.strip() and 0.4 < heard.confidence < SURE_YES
    with contextlib.nullcontext() if acts else pytest.raises(NothingHeard):
        assert engine.transcribe(noisy, "en", "consent") == heard
    sure = WhisperEngine(save(speaking_model(text), tmp_path / "sure.pt"), Hints(), device="cpu")
    assert sure.transcribe(noisy, "en", "consent").text == text.strip()


@pytest.mark.parametrize(
    "text", [" Thank you.", " Thanks for watching!", " Please subscribe.", " you" + " no no no" * 10]
)  # fmt: skip
def test_gates_refuse_repetition_and_what_whisper_invents(tmp_path, noisy, text):
    engine = WhisperEngine(save(speaking_model(text), tmp_path / "say.pt"), Hints(), device="cpu")
    with pytest.raises(NothingHeard):
        engine.transcribe(noisy[:8000], "en")


def test_random_weights_are_never_believed(tmp_path, noisy):
    engine = WhisperEngine(save(random_model(5, text=24), tmp_path / "r.pt"), Hints(), device="cpu")
    with pytest.raises(NothingHeard):
        engine.transcribe(noisy, "en")


def test_names_and_cache_folder_are_those_of_openai_whisper(monkeypatch, tmp_path):
    assert frozenset(whisper.available_models()) == weights.NAMES
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    for name, url in whisper._MODELS.items():
        assert weights.checkpoint(name) == tmp_path / "whisper" / url.rpartition("/")[2]
        assert weights.HOST in url


def test_without_weights_and_network_the_error_names_the_file(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "HOST", "weights.invalid")
    began = time.monotonic()
    with pytest.raises(ModelUnavailable, match=r"base\.pt at .*whisper/base\.pt") as caught:
        weights.load("base", "cpu")
    assert caught.value.status == 503
    assert time.monotonic() - began < 20


def test_a_checkpoint_with_another_hash_is_not_loaded(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "whisper").mkdir()
    save(random_model(1), tmp_path / "whisper" / "tiny.pt")

    def no_network(*_args, **_kwargs):
        raise OSError("network is unreachable")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    with pytest.warns(UserWarning, match="SHA256"), pytest.raises(ModelUnavailable, match="unreachable"):
        weights.load("tiny", "cpu")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no zip", b"\x80\x02}q\x00."])
def test_a_file_that_is_no_checkpoint(tmp_path, content):
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(ModelUnavailable, match=r"x\.pt"):
        weights.load(str(tmp_path / "x.pt"), "cpu")


def test_the_cut_is_in_the_pause_and_not_at_an_edge():
    rate, longest = 16_000, 16_000 * 10
    samples = np.random.default_rng(0).normal(0, 0.1, rate * 15).astype(np.float32)
    samples[int(8.6 * rate) : int(9.1 * rate)] = 0
    [(_, first), (start, _)] = list(_pieces(samples, longest))
    assert 8.6 * rate <= start == len(first) <= 9.1 * rate
    steady = np.ones(rate * 15, np.float32)
    [(_, first), _] = list(_pieces(steady, longest))
    assert longest * 3 // 4 < len(first) < longest


def test_the_prompt_names_people_albums_words_and_examples():
    hints = Hints(tuple(f"Person Number{i}" for i in range(50)), tuple(f"Album {i}" for i in range(50)),
                  ("make a gif of my dog", "send it"), tuple(f"word{i}" for i in range(50)))  # fmt: skip
    text = prompt(hints)
    assert len(text) <= 400 and text.endswith("Send it.")
    for part in ("People: Person Number0, ", "Albums: Album 0, ", "Words: word0, ", "Make a gif of my dog."):
        assert part in text


@pytest.mark.parametrize(
    ("no_speech", "logprob", "refused"), [(0.9, -0.9, True), (0.9, -0.2, False), (0.1, -0.9, False)]
)
def test_doubt_about_speech_and_about_words_together_refuse(no_speech: float, logprob: float, refused: bool):
    result = SimpleNamespace(no_speech_prob=no_speech, avg_logprob=logprob, compression_ratio=1.0)
    assert (_silent(result) or _fails(result)) is refused
