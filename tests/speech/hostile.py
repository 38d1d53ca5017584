"""Recordings that nobody should accept, made from one that is sound. Shared by the tests and benchmarks/speech.py."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from .conftest import encode, wav

FORMATS = (
    ("mp3", "mp3", 44_100), ("ogg", "libopus", 48_000), ("webm", "libopus", 48_000), ("ipod", "aac", 44_100),
    ("flac", "flac", 16_000), ("wav", "pcm_s16le", 16_000),
)  # fmt: skip
MAGIC = (b"", b"RIFF\0\0\0\0WAVE", b"fLaC", b"OggS", b"\x1aE\xdf\xa3", b"\0\0\0\x20ftypM4A ", b"ID3\x04")
# What people upload by mistake or on purpose, by its first bytes.
NO_RECORDINGS = (
    b"PK\x03\x04", b"\x7fELF", b"MZ", b"%PDF-1.7\n", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe0", b"GIF89a", b"<html>",
    b"<?xml version='1.0'?><MPD><BaseURL>file:///etc/passwd</BaseURL></MPD>", b"#!/bin/sh\n", b"{}", b"MThd", b"FORM",
    b"#EXTM3U\n#EXTINF:10,\nhttp://127.0.0.1:9/a.ts\n", b"ffconcat version 1.0\nfile /etc/passwd\n", b"[playlist]\n",
    b"RIFF\0\0\0\0#EXTM3U\nfile:///etc/passwd\n", b"v=0\no=- 0 0 IN IP4 127.0.0.1\nm=audio 9 RTP/AVP 0\n",
    b"RIFF\0\0\0\0AVI ", b"concat:/etc/passwd|/etc/hostname", b"\x47" * 188, b"\0\0\1\xba", b"caff\0\1\0\0",
    b".snd\0\0\0\x18", b"FLV\1", b"http://127.0.0.1:9/a.wav", b"data:audio/wav;base64,UklGRg==", b"\xef\xbb\xbfRIFF",
    b" RIFF", b"riff\0\0\0\0wave",
)  # fmt: skip


def hostile(voice: np.ndarray, demo: bytes) -> dict[str, bytes]:
    """Name → recording; every one must be refused. voice, demo: see `conftest`."""
    cases = {**_by_hand(voice, demo), **dict(_wrong_headers(voice)), **dict(_cut_or_mixed(voice))}
    rng = np.random.default_rng(3)
    for size in (3, 50, 5000):
        for start in MAGIC:
            cases[f"random after {start!r}, {size}"] = start + rng.bytes(size)
    for start in NO_RECORDINGS:
        cases[f"{start!r}"] = start
        cases[f"{start!r} and more"] = start + rng.bytes(2000)
    return cases


def _wrong_headers(voice: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """WAV headers whose fields cannot be."""
    good = wav(voice)
    for name, kind, offset, values in (
        ("codec", "<H", 8, (0, 0x11, 0x1234, 0xFFFF)),
        ("channels", "<H", 10, (0, 9, 64, 0xFFFF)),
        ("rate", "<I", 12, (0, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF)),
        ("bits", "<H", 22, (0, 7, 65, 0xFFFF)),
        ("header size", "<I", 4, (0, 15, 0x7FFFFFFF, 0xFFFFFFFF)),
    ):
        for value in values:
            yield f"wav, {name} {value}", _patched(good, b"fmt ", kind, offset, value)
    for extra in (1, 1000, 0x100000, 0x60000000):
        yield f"wav, {extra} bytes too many claimed", _patched(good, b"data", "<I", 4, len(good) - 44 + extra)
    flac = encode(voice, "flac", "flac", 16_000)
    for name, place, value in (("block of nothing", 4, b"\x84" + bytes(3)), ("frames", 42, bytes(4000))):
        yield f"flac, {name}", flac[:place] + value + flac[place + len(value) :]


def _cut_or_mixed(voice: np.ndarray) -> Iterator[tuple[str, bytes]]:
    """Every format cut off early, without its beginning, blanked, and behind the first bytes of another."""
    files = {container: encode(voice, container, codec, rate) for container, codec, rate in FORMATS}
    for name, data in files.items():
        for bytes_ in (1, 4, 12, 30):
            yield f"{name}, first {bytes_} bytes", data[:bytes_]
        for bytes_ in (1, 5):
            yield f"{name}, without its first {bytes_} bytes", data[bytes_:]
        yield f"{name}, blank after 16 bytes", data[:16] + bytes(len(data) - 16)
        yield f"{name}, backwards", data[::-1]
        if name in ("ogg", "ipod", "flac", "wav"):
            yield f"{name}, half of it", data[: len(data) // 2]
        if name == "ogg":
            yield f"{name}, without its last page", data[: data.rindex(b"OggS")]
        for start in MAGIC[1:]:
            if data[: len(start)] != start and not start.startswith(data[:4]):
                yield f"{name} behind {start!r}", start + data[len(start) :]


def _by_hand(voice: np.ndarray, demo: bytes) -> dict[str, bytes]:
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
    return cases


def _patched(data: bytes, chunk: bytes, kind: str, offset: int, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(kind, out, out.index(chunk) + offset, value)
    return bytes(out)
