import io
import struct

import numpy as np
import pytest
import soundfile

from assistant.speech import errors
from assistant.speech.decode import TARGET, decode, decode_container, run_subprocess
from assistant.speech.types import DecodeLimits

from .conftest import encode, wav


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


def _hostile(voice: np.ndarray, demo: bytes) -> dict[str, bytes]:
    rng = np.random.default_rng(3)
    good = wav(voice)
    opus = encode(voice, "ogg", "libopus", 48_000)
    m4a = encode(voice, "ipod", "aac", 44_100)
    holes = voice.copy()
    holes[1000:1010] = np.nan
    cases = {
        "empty": b"",
        "one byte": b"R",
        "playlist": b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n",
        "playlist behind RIFF": b"RIFF\0\0\0\0#EXTM3U\nfile:///etc/passwd\n",
        "concat": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "xml": b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>",
        "sdp": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
        "zip": b"PK\x03\x04" + bytes(100),
        "elf": b"\x7fELF" + bytes(200),
        "RIFF only": b"RIFF\xff\xff\xff\xffWAVE",
        "no samples": wav(voice[:0]),
        "claims 2 GB": _patched(good, b"data", "<I", 4, 0x70000000),
        "claims one byte more": _patched(good, b"data", "<I", 4, len(good) - 43),
        "0 Hz": _patched(good, b"fmt ", "<I", 12, 0),
        "4 GHz": _patched(good, b"fmt ", "<I", 12, 0xFFFFFFFF),
        "0 channels": _patched(good, b"fmt ", "<H", 10, 0),
        "64 channels": wav(np.repeat(voice[:8000, None], 64, 1)),
        "0 bits": _patched(good, b"fmt ", "<H", 22, 0),
        "odd codec": _patched(good, b"fmt ", "<H", 8, 0x1234),
        "not numbers": wav(holes, subtype="FLOAT"),
        "infinite": wav(np.full(16_000, np.inf, np.float32), subtype="FLOAT"),
        "opus cut off": opus[: len(opus) // 2],
        "opus cut in its header": opus[:30],
        "flac cut off": demo[: len(demo) // 2],
        "m4a cut off": m4a[: len(m4a) // 2],
        "only an mp3 tag": b"ID3\x04\x00\x00\x00\x00\x00\x00",
        "matroska header": b"\x1aE\xdf\xa3" + bytes(60),
        "mp4 without a movie": b"\0\0\0\x18ftypM4A " + bytes(16),
    }
    for size in (3, 50, 5000):
        for start in (b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"\x1aE\xdf\xa3", b"\0\0\0\x20ftypM4A ", b"ID3\x04"):
            cases[f"random after {start!r}, {size}"] = start + rng.bytes(size)
    return cases


def _patched(data: bytes, chunk: bytes, kind: str, offset: int, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(kind, out, out.index(chunk) + offset, value)
    return bytes(out)


def test_hostile_recordings_get_a_clear_answer(voice, demo):
    for name, data in _hostile(voice, demo).items():
        with pytest.raises(errors.SpeechError) as caught:
            decode(data, in_process)
        assert 400 <= caught.value.status < 500, name
        assert len(str(caught.value)) > 20, name


def test_some_hostile_recordings_in_the_real_process(voice, demo):
    cases = _hostile(voice, demo)
    for name in ("0 bits", "odd codec", "m4a cut off", "random after b'OggS', 5000"):
        with pytest.raises(errors.SpeechError) as caught:
            decode(cases[name])
        assert 400 <= caught.value.status < 500, name
