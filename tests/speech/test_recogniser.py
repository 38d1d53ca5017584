"""The whole way from bytes to transcript, with the offline recogniser in its own process."""

import asyncio
import time
from dataclasses import replace
from types import SimpleNamespace

import httpx
import numpy as np
import openai
import pytest

from assistant.config import Settings, SettingsError, load_settings
from assistant.execution import answers
from assistant.execution.contacts import AddressBook
from assistant.execution.sandbox import Sandbox, SandboxOptions
from assistant.hearing import Hearing, NotUnderstood
from assistant.speech import (
    AudioTooLarge,
    ModelUnavailable,
    NothingHeard,
    SpeechError,
    UnsupportedAudio,
    open_recogniser,
    sphinx_engine,
    weights,
)
from assistant.speech.consent import says_yes
from assistant.speech.decode import decode
from assistant.speech.errors import RecogniserDied
from assistant.speech.openai import transcriptions
from assistant.speech.sources import recording
from assistant.speech.spoken import spoken
from assistant.speech.types import SAMPLE_RATE, DecodeLimits

from .conftest import DEMO, HINTS, wav

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("speech")


@pytest.fixture(scope="module")
def recogniser(cache):
    with_hints = open_recogniser("pocketsphinx", cache_dir=cache, hints=HINTS)
    yield with_hints
    with_hints.close()


async def test_the_demo_command_is_heard_word_for_word(recogniser, demo):
    heard = await recogniser.transcribe(demo)
    assert spoken(heard.text) == DEMO
    assert heard.text.endswith("Alice")  # as the contact is written
    assert heard.engine == recogniser.engine == "pocketsphinx" and heard.language == "en"
    assert heard.confidence > 0.8
    assert [w.word for w in heard.words] == DEMO.split()
    assert all(a.start <= a.end <= b.start + 0.011 for a, b in zip(heard.words, heard.words[1:], strict=False))
    assert heard.words[-1].end <= heard.duration
    assert set(heard.timings) >= {"decode_ms", "vad_ms", "recognise_ms", "total_ms"}


async def test_the_event_loop_goes_on_during_recognition(recogniser, demo):
    gaps, stop = [], asyncio.Event()

    async def tick():
        last = time.monotonic()
        while not stop.is_set():
            await asyncio.sleep(0.005)
            gaps.append(time.monotonic() - last)
            last = time.monotonic()

    ticking = asyncio.create_task(tick())
    heard = await recogniser.transcribe(demo)
    stop.set()
    await ticking
    assert max(gaps) < max(0.25, heard.timings["recognise_ms"] / 1000 / 2)


@pytest.mark.parametrize("kind", ["silence", "noise", "hum"])
async def test_silence_and_noise_do_not_become_a_sentence(recogniser, kind):
    time_ = np.arange(4 * SAMPLE_RATE) / SAMPLE_RATE
    noise = np.random.default_rng(2).normal(0, 0.2, len(time_))
    sound = {"silence": 0 * time_, "noise": noise, "hum": 0.3 * np.sin(2 * np.pi * 100 * time_)}[kind]
    with pytest.raises(NothingHeard, match="nothing heard") as caught:
        await recogniser.transcribe(wav(sound))
    assert caught.value.status == 422


async def test_speech_about_something_else_is_refused(recogniser, voice):
    """The command backwards: the same voice, no command."""
    with pytest.raises(NothingHeard):
        await recogniser.transcribe_samples(voice[::-1].copy())


async def test_other_languages_are_refused(recogniser, demo):
    with pytest.raises(NothingHeard, match="English only"):
        await recogniser.transcribe(demo, language="de")


async def test_a_live_stream(recogniser, voice):
    events = [event async for event in recogniser.stream(recording(voice, silence=1.5))]
    kinds = [event.kind for event in events if event.kind not in ("level", "partial")]
    assert kinds == ["speech_start", "speech_end", "final"]
    final = next(event for event in events if event.kind == "final")
    assert spoken(final.text) == DEMO
    assert final.transcript is not None and max(event.level for event in events) > 0.01


async def test_what_is_no_clear_yes_is_no_consent(recogniser, cache, voice, monkeypatch):
    """The "send it" of the recorded command: a consent where that is clear, and refused where it is not."""
    await recogniser.warm()  # the model is built
    engine = sphinx_engine.SphinxEngine(HINTS, cache)
    send_it = voice[round(3.2 * SAMPLE_RATE) : round(3.82 * SAMPLE_RATE)]
    assert engine.transcribe(send_it, expected="consent").text == "send it"
    monkeypatch.setattr(sphinx_engine, "SURE_YESES", 0.99)
    with pytest.raises(NothingHeard, match="clearly enough"):
        engine.transcribe(send_it, expected="consent")
    assert engine.transcribe(send_it).text == "send it"  # the ordinary search would take it


async def test_the_second_look_prefers_what_people_say_and_vouches_for_nothing_else(
    recogniser, cache, voice, monkeypatch
):
    await recogniser.warm()
    engine = sphinx_engine.SphinxEngine(HINTS, cache)
    first = engine.transcribe(voice).text
    kinds = []

    def prefers(wanted, likely):
        def best(hypotheses):
            kinds.append({h.text for h in hypotheses})
            assert all("alice" not in h.general for h in hypotheses), "contacts are all the same to it"
            return next(h for h in hypotheses if wanted(h.text)), likely, 0.7

        return best

    monkeypatch.setattr(engine._rescorer, "best", prefers(lambda text: text != DEMO, -1.0))
    other = engine.transcribe(voice)
    assert spoken(other.text) != DEMO and spoken(other.text) in kinds[-1] and DEMO in kinds[-1]
    assert [w.word for w in other.words] == spoken(other.text).split()
    assert all(a.start <= a.end <= b.start + 0.011 for a, b in zip(other.words, other.words[1:], strict=False))
    monkeypatch.setattr(engine._rescorer, "best", prefers(lambda text: text != DEMO, sphinx_engine.UNKNOWN - 0.1))
    assert engine.transcribe(voice).text == first, "it does not decide what it knows nothing about"
    monkeypatch.setattr(engine._rescorer, "best", prefers(lambda _: True, -4.0))
    monkeypatch.setattr(engine, "_expected", lambda tokens: -9.0)
    with pytest.raises(NothingHeard):
        engine.transcribe(voice)


async def test_every_yes_of_the_executor_is_one_for_the_recognisers():
    """They leave out different words around it."""
    ways = ("{}", "{}, please!", "to {}", "the {}", "all of {} please")
    said = [way.format(word) for word in answers.YES for way in ways]
    assert [text for text in said if not says_yes(text)] == []
    assert not any(map(says_yes, [*answers.NO, "send it to Ben", "yes but to Ben", "yesterday", "", "please"]))


@pytest.fixture
def hearing(tmp_path):
    """Without a sandbox, which has not been started."""
    home = tmp_path / "home"
    return Hearing(Settings(home=home), Sandbox(SandboxOptions(artifacts=home / "artifacts")), {}, AddressBook(()))


def opened(recogniser):
    ready = asyncio.get_running_loop().create_future()
    ready.set_result(recogniser)
    return ready


async def test_a_recording_is_heard_although_the_worker_dies(hearing, cache, demo):
    hearing.keep("c1", demo)
    async with open_recogniser("pocketsphinx", cache_dir=cache, hints=HINTS) as other:
        hearing._opening = opened(other)
        await other.warm()
        for process in list(other._pool._processes.values()):
            process.kill()
        heard = await hearing.transcribe("c1")
    assert spoken(heard["text"]) == DEMO and heard["engine"] == "pocketsphinx"


@pytest.mark.parametrize(("error", "tries"), [(NothingHeard("silence"), 1), (RecogniserDied("again"), 2)])
async def test_a_recording_is_heard_again_when_it_is_not_at_fault(hearing, error, tries):
    asked = []

    async def transcribe(audio, expected):
        asked.append(expected)
        raise error

    hearing.keep("c1", b"sound")
    hearing._opening = opened(SimpleNamespace(transcribe=transcribe))
    with pytest.raises(NotUnderstood) as caught:
        await hearing.transcribe("c1", expected="consent")
    assert caught.value.status == error.status and asked == ["consent"] * tries


async def test_the_language_of_the_settings_is_that_of_every_command(cache, demo):
    async with open_recogniser("pocketsphinx", cache_dir=cache, hints=HINTS, language="de") as german:
        with pytest.raises(NothingHeard, match="English only, not 'de'"):
            await german.transcribe(demo)
        assert spoken((await german.transcribe(demo, language="en")).text) == DEMO
    with pytest.raises(SettingsError, match="ASSISTANT_SPEECH_LANGUAGE"):
        load_settings(home=cache, speech_language="english")


async def test_a_recording_is_not_called_damaged_when_the_sandbox_is_at_fault(hearing, demo):
    with pytest.raises(SpeechError, match="sandbox has not been started") as caught:
        decode(demo, hearing.decode)
    assert caught.value.status == 503


async def test_a_worker_that_dies_is_replaced(cache, demo):
    other = open_recogniser("pocketsphinx", cache_dir=cache, hints=HINTS)
    async with other:
        await other.warm()
        for process in list(other._pool._processes.values()):
            process.kill()
        with pytest.raises(SpeechError, match="send it again") as caught:
            await other.transcribe(demo)
        assert caught.value.status == 503
        assert spoken((await other.transcribe(demo)).text) == DEMO


async def test_new_names_are_learned_beside_the_work(tmp_path, demo):
    async with open_recogniser("pocketsphinx", cache_dir=tmp_path, hints=HINTS) as other:
        await other.warm()
        more = replace(HINTS, contacts=(*HINTS.contacts, "Zebedee"))
        learning = asyncio.create_task(other.warm(more))
        while other._learner is None:
            await asyncio.sleep(0.01)
        assert spoken((await other.transcribe(demo)).text) == DEMO
        assert not learning.done() and other.hints is HINTS  # it was heard meanwhile, and as before
        await learning
        assert other.hints is more and spoken((await other.transcribe(demo)).text) == DEMO
        [words] = tmp_path.glob("domain-*.dict")
        assert "\nzebedee " in words.read_text()


async def test_auto_takes_the_offline_recogniser_without_weights(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(weights, "HOST", "weights.invalid")
    assert open_recogniser(cache_dir=tmp_path).engine == "pocketsphinx"
    (tmp_path / "whisper").mkdir()
    (tmp_path / "whisper" / "base.pt").write_bytes(b"x")
    (tmp_path / "whisper" / "base.en.pt").write_bytes(b"x")
    assert open_recogniser(cache_dir=tmp_path).engine == "whisper:base"
    assert open_recogniser("whisper", "base.en", tmp_path).engine == "whisper:base.en"
    with pytest.raises(ModelUnavailable, match=r"small\.pt"):
        open_recogniser("whisper", "small", tmp_path)
    with pytest.raises(ModelUnavailable, match=r"mine\.pt"):
        open_recogniser("auto", str(tmp_path / "mine.pt"), tmp_path)


async def test_auto_goes_on_offline_when_the_weights_cannot_be_loaded(monkeypatch, tmp_path):
    (tmp_path / "broken.pt").write_bytes(b"no checkpoint")
    recogniser = open_recogniser("auto", str(tmp_path / "broken.pt"), tmp_path)
    assert recogniser.engine == "whisper:broken"
    tried = []

    async def in_process(function, spec, *arguments):
        tried.append(spec.label)
        if spec.kind == "whisper":
            weights.load(spec.model, "cpu")  # what the worker does

    monkeypatch.setattr(recogniser, "_in_process", in_process)
    await recogniser.warm()
    assert tried == ["whisper:broken", "pocketsphinx"] and recogniser.engine == "pocketsphinx"
    demanded = open_recogniser("whisper", str(tmp_path / "broken.pt"), tmp_path)
    monkeypatch.setattr(demanded, "_in_process", in_process)
    with pytest.raises(ModelUnavailable, match=r"broken\.pt"):
        await demanded.warm()


async def test_the_official_client(recogniser, demo):
    transport = httpx.ASGITransport(transcriptions(recogniser))
    async with httpx.AsyncClient(transport=transport) as http:
        client = openai.AsyncOpenAI(api_key="k", base_url="http://test/v1", http_client=http, max_retries=0)

        async def ask(**options):
            return await client.audio.transcriptions.create(file=("c.flac", demo), model="whisper-1", **options)

        verbose = await ask(response_format="verbose_json", timestamp_granularities=["word", "segment"])
        assert [w.word for w in verbose.words] == DEMO.split()
        assert spoken(" ".join(s.text for s in verbose.segments)) == DEMO
        assert verbose.duration == pytest.approx(5.15, abs=0.3) and verbose.language == "en"
        srt = await ask(response_format="srt")
        assert srt.startswith("1\n00:00:0") and " --> " in srt
        with pytest.raises(openai.BadRequestError, match="response_format"):
            await ask(response_format="pdf")
        for data, status in ((b"#EXTM3U", 415), (b"", 422), (wav(np.zeros(SAMPLE_RATE)), 422)):
            with pytest.raises(openai.APIStatusError) as caught:
                await client.audio.transcriptions.create(file=("x.wav", data), model="m")
            assert caught.value.status_code == status


async def test_uploads_are_bounded(recogniser):
    app = transcriptions(recogniser, DecodeLimits(file_bytes=1000))
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as http:

        async def chunks():
            yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
            for _ in range(100):
                yield bytes(10_000)

        kind = {"Content-Type": "multipart/form-data; boundary=x"}
        lying = await http.post("/v1/audio/transcriptions", content=chunks(), headers=kind)
        declared = await http.post("/v1/audio/transcriptions", files={"file": bytes(200_000)})
        small = await http.post("/v1/audio/transcriptions", files={"file": bytes(2_000)})
        nothing = await http.post("/v1/audio/transcriptions", data={"model": "m"})
        assert [r.status_code for r in (lying, declared, small, nothing)] == [413, 413, 413, 400]
        assert "file" in nothing.json()["error"]["message"]


async def test_errors_have_the_statuses_of_http(recogniser):
    with pytest.raises(UnsupportedAudio) as unsupported:
        await recogniser.transcribe(b"PK\x03\x04")
    with pytest.raises(AudioTooLarge) as large:
        await recogniser.transcribe(bytes(26 * 2**20))
    assert (unsupported.value.status, large.value.status) == (415, 413)


async def test_a_short_answer_must_be_clear():
    from assistant.speech.sphinx_engine import _clear_answer

    def heard(*words):
        return " ".join(word for word, _ in words), [SimpleNamespace(word=word, prob=prob) for word, prob in words]

    assert _clear_answer(*heard(("yes", 0.97)))
    assert not _clear_answer(*heard(("yes", 0.87)))  # "guess"
    assert _clear_answer(*heard(("yes", 0.74), ("please", 1.0)))
    assert not _clear_answer(*heard(("hello", 0.99)))
