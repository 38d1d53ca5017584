"""Which audio containers are accepted, told from their bytes alone, and whether one was cut off.

File names and media types are the sender's claims and are not looked at. A playlist named `.wav` has no signature
below and is refused before any demuxer sees it.
"""

from __future__ import annotations

import struct

ACCEPTED = "wav, flac, mp3, ogg/opus, webm, m4a"

# libavformat demuxer → codecs accepted in it.
CODECS = {
    "wav": {"pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le", "pcm_f32le", "pcm_f64le", "pcm_alaw", "pcm_mulaw"},
    "flac": {"flac"},
    "mp3": {"mp3", "mp3float"},
    "ogg": {"opus", "vorbis", "flac"},
    "matroska": {"opus", "vorbis", "aac", "flac", "mp3", "mp3float"},
    "mov": {"aac", "alac", "opus", "flac", "mp3", "mp3float"},
}

# Writers that cannot seek back leave these as the size of the data: 0, all ones, or 2 GiB less a header.
_STREAMED = {0, 0xFFFFFFFF}
_ALMOST_2_GIB = range(0x7FFFF000 - 64, 0x80000000)

_OGG_END = 4  # the flag of a stream's last page; a recorder that was stopped in the middle has not set it


def sniff(data: bytes) -> str | None:
    """Name of the demuxer for these bytes, or None when they are no accepted container."""
    if data[:4] == b"RIFF" and data[8:12] == b"WAVE":
        return "wav"
    if data[:4] == b"fLaC":
        return "flac"
    if data[:4] == b"OggS":
        return "ogg"
    if data[:4] == b"\x1aE\xdf\xa3":
        return "matroska"
    if data[4:8] == b"ftyp":
        return "mov"
    if data[:3] == b"ID3" or _is_mpeg_frame(data):
        return "mp3"
    return None


def _is_mpeg_frame(data: bytes) -> bool:
    """Header of an MPEG audio layer III frame: sync, version, layer, bit rate and sample rate all in range."""
    if len(data) < 4 or data[0] != 0xFF or data[1] & 0xE0 != 0xE0:
        return False
    version, layer = data[1] >> 3 & 3, data[1] >> 1 & 3
    bit_rate, sample_rate = data[2] >> 4, data[2] >> 2 & 3
    return version != 1 and layer == 1 and bit_rate not in (0, 15) and sample_rate != 3


def fault(name: str, data: bytes) -> str | None:
    """What is visibly wrong with the container (its length contradicts its own headers), or None."""
    if name == "wav":
        return _wav_fault(data)
    if name == "ogg":
        return _ogg_fault(data)
    return None


def _wav_fault(data: bytes) -> str | None:
    """A chunk runs past the end, the format chunk is missing or impossible, or there are no samples."""
    position, seen_format = 12, False
    while position + 8 <= len(data):
        kind, size = struct.unpack_from("<4sI", data, position)
        position += 8
        if kind == b"fmt ":
            if size < 16 or position + 16 > len(data):
                return "the format chunk is cut off"
            codec, channels, rate, _, block, bits = struct.unpack_from("<HHIIHH", data, position)
            plain = codec in (1, 3, 0xFFFE)  # whole numbers, floats, either with a longer header
            if channels == 0 or rate == 0 or (plain and block != channels * -(-bits // 8)):
                return f"the header says {channels} channels of {bits} bits in {block} bytes at {rate} Hz"
            seen_format = True
        if kind == b"data":
            if not seen_format:
                return "the samples come before the header that describes them"
            there = len(data) - position
            if size in _STREAMED or size in _ALMOST_2_GIB:
                return None if there else "there are no samples"
            return f"the header claims {size} bytes of samples and {there} are there" if size > there else None
        position += size + size % 2
    return "there are no samples"


def _ogg_fault(data: bytes) -> str | None:
    """A page is incomplete, or the last one does not say that it is the last."""
    position, flags = 0, 0
    while position < len(data):
        if data[position : position + 4] != b"OggS":
            return "the pages are damaged"
        if position + 27 > len(data):
            return "the recording is cut off"
        flags, segments = data[position + 5], data[position + 26]
        table = data[position + 27 : position + 27 + segments]
        position += 27 + segments + sum(table)
        if len(table) < segments or position > len(data):
            return "the recording is cut off"
    return None if flags & _OGG_END else "the recording is cut off"
