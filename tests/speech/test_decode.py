import io
import struct

import numpy as np
import pytest
import soundfile

from assistant.speech import errors
from assistant.speech.decode import TARGET, decode, decode_container, run_subprocess
from assistant.speech.types import DecodeLimits

from .conftest import encode, wav
from .hostile import hostile


def in_process(target: str, payload: bytes, limits: DecodeLimits) -> bytes:
    assert target == TARGET
    return decode_container(payload)


@pytest.mark.parametrize(
    ("container", "codec", "rate", "channels"),
    [
        ("wav", "pcm_s16le", 44_100, 2),
        ("wav", "pcm_f32le", 8_000, 1),
        ("flac", "flac", 48_000, 2),
        ("mp3", "mp3", 44_100, 2),
        ("ogg", "libopus", 48_000, 1),
        ("webm", "libopus", 48_000, 2),
        ("ipod", "aac", 44_100, 1),
    ],
)
def test_every_accepted_format_gives_the_same_sound(voice, container, codec, rate, channels):
    samples = decode(encode(voice, container, codec, rate, channels), in_process)
    assert samples.dtype == np.float32 and samples.ndim == 1
    assert abs(len(samples) - len(voice)) < 0.1 * 16_000
    assert _likeness(samples, voice) > 0.85


def _likeness(one: np.ndarray, other: np.ndarray) -> float:
    """Best correlation over delays of up to 0.1 s: encoders add some."""
    length = min(len(one), len(other)) - 3200
    middle = other[1600 : 1600 + length]
    return max(float(np.corrcoef(one[lag : lag + length], middle)[0, 1]) for lag in range(0, 3200))


def test_the_default_runner_is_a_confined_process(demo):
    assert np.array_equal(decode(demo), decode(demo, in_process))


def test_the_confined_process_cannot_write_a_file_or_take_much_memory(tmp_path):
    with pytest.raises(errors.DecoderFailed):
        run_subprocess(TARGET, b"no header", DecodeLimits())
    with pytest.raises(errors.DecoderFailed):
        run_subprocess(TARGET, b"{}\n", DecodeLimits(wall_seconds=0.01))
    with pytest.raises(ValueError, match="only"):
        run_subprocess("os:system", b"", DecodeLimits())


def test_a_crashing_decoder_is_the_recordings_fault(demo):
    def crash(*_):
        raise errors.DecoderFailed("its decoder stopped (signal 11)")

    with pytest.raises(errors.UnsupportedAudio, match="signal 11") as caught:
        decode(demo, crash)
    assert caught.value.status == 422


@pytest.mark.parametrize(
    "answer", [b"", b"{}\nabc", b'{"error": {"kind": "os", "message": "", "status": 1}}\n', b"[]\n"]
)
def test_a_decoder_that_was_taken_over_can_only_be_refused(demo, answer):
    with pytest.raises(errors.UnsupportedAudio):
        decode(demo, lambda *_: answer)


def test_an_hour_of_silence_is_refused_by_its_duration():
    out = io.BytesIO()
    with soundfile.SoundFile(out, "w", 16_000, 1, format="FLAC") as file:
        for _ in range(3600):
            file.write(np.zeros(16_000, np.int16))
    assert len(out.getvalue()) < 1_000_000
    with pytest.raises(errors.AudioTooLong, match="120 s"):
        decode(out.getvalue(), in_process)


def test_a_header_that_hides_the_duration_does_not_help(voice):
    two_minutes = np.tile(voice, 30)[: 16_000 * 125]
    flac = bytearray(encode(two_minutes, "flac", "flac", 16_000))
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)  # total samples: unknown
    with pytest.raises(errors.AudioTooLong):
        decode(bytes(flac), in_process)


def test_too_many_bytes():
    with pytest.raises(errors.AudioTooLarge, match="25 MB") as caught:
        decode(bytes(26 * 1024 * 1024), in_process)
    assert caught.value.status == 413


def test_streamed_wav_without_a_length_is_read(voice):
    data = bytearray(wav(voice))
    place = data.index(b"data")
    struct.pack_into("<I", data, place + 4, 0xFFFFFFFF)
    assert len(decode(bytes(data), in_process)) == len(voice)


def test_hostile_recordings_get_a_clear_answer(voice, demo):
    cases = hostile(voice, demo)
    assert len(cases) >= 200
    for name, data in cases.items():
        with pytest.raises(errors.SpeechError) as caught:
            decode(data, in_process)
        assert 400 <= caught.value.status < 500, name
        assert len(str(caught.value)) > 20, name


def test_some_hostile_recordings_in_the_real_process(voice, demo):
    cases = hostile(voice, demo)
    for name in ("0 bits", "odd codec", "m4a cut off", "random after b'OggS', 5000"):
        with pytest.raises(errors.SpeechError) as caught:
            decode(cases[name])
        assert 400 <= caught.value.status < 500, name
