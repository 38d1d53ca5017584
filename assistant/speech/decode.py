"""Recordings of any accepted format → 16 kHz mono samples.

Containers are hostile input: they are parsed by FFmpeg (through PyAV) in a process of its own, from memory, with the
demuxer and the codecs fixed by the recording's first bytes. `decode` takes the runner that confines that process;
without one it starts `python -m assistant.speech.decode` under resource limits.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import errors
from .containers import ACCEPTED, CODECS, fault, sniff
from .types import SAMPLE_RATE, DecodeLimits

if TYPE_CHECKING:
    import numpy as np

# (reference to a function bytes → bytes, its argument, limits) → its result; raises DecoderFailed when the function's
# process died or exceeded the limits.
Runner = Callable[[str, bytes, DecodeLimits], bytes]

TARGET = "assistant.speech.decode:decode_container"
DAMAGED = "the recording is damaged: {}; record it again"


def decode(audio: bytes, run: Runner | None = None, limits: DecodeLimits | None = None) -> np.ndarray:
    """Samples of a recording: float32 in [-1, 1], shape [n], 16 kHz.

    Raises UnsupportedAudio, AudioTooLong, AudioTooLarge, NothingHeard (no samples at all).
    """
    limits = limits or DecodeLimits()
    if len(audio) > limits.file_bytes:
        raise errors.AudioTooLarge(
            f"the recording has {len(audio) / 2**20:.1f} MB; at most {limits.file_bytes / 2**20:.0f} MB are accepted"
        )
    if not audio:
        raise errors.UnsupportedAudio("the recording is empty; send its bytes", status=422)
    name = sniff(audio)
    if name is None:
        raise errors.UnsupportedAudio(f"this is no recording in an accepted format ({ACCEPTED})")
    if what := fault(name, audio):
        raise errors.UnsupportedAudio(DAMAGED.format(what), status=422)
    payload = json.dumps({"format": name, **asdict(limits)}).encode() + b"\n" + audio
    try:
        answer = (run or run_subprocess)(TARGET, payload, limits)
    except errors.DecoderFailed as error:
        raise errors.UnsupportedAudio(DAMAGED.format(error), status=422) from error
    return _samples(answer)


def _samples(answer: bytes) -> np.ndarray:
    """The decoder's answer is checked like any hostile bytes: a header line, then float32 samples."""
    import numpy as np

    head, _, body = answer.partition(b"\n")
    try:
        header = json.loads(head)
        if error := header.get("error"):
            kind = getattr(errors, error["kind"])
            if not issubclass(kind, errors.SpeechError):
                raise TypeError(error["kind"])
            raise kind(str(error["message"]), status=int(error["status"]))
        samples = np.frombuffer(body, np.float32)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise errors.UnsupportedAudio(DAMAGED.format("its decoder gave no samples"), status=422) from error
    if not np.isfinite(samples).all():
        raise errors.UnsupportedAudio(DAMAGED.format("some samples are not numbers"), status=422)
    if not len(samples):
        raise errors.NothingHeard("nothing heard: the recording holds no sound")
    return np.clip(samples, -1.0, 1.0)


def decode_container(payload: bytes) -> bytes:
    """Runs confined. Header line (format and limits) and container → header line and float32 samples."""
    head, _, audio = payload.partition(b"\n")
    asked = json.loads(head)
    name = asked.pop("format")
    try:
        return b"{}\n" + b"".join(_decode_frames(name, audio, DecodeLimits(**asked)))
    except errors.SpeechError as error:
        answer = {"kind": type(error).__name__, "message": str(error), "status": error.status}
        return json.dumps({"error": answer}).encode() + b"\n"


def _decode_frames(name: str, audio: bytes, limits: DecodeLimits) -> Iterator[bytes]:
    """float32 samples of the first audio stream, as they come. Stops at the limit of the decoded duration."""
    import av
    import av.error

    # From memory, so there is no protocol to open anything with; the whitelists also bind what a demuxer might open.
    options = {
        "protocol_whitelist": "none",
        "format_whitelist": "matroska,webm" if name == "matroska" else name,
        "probesize": str(1 << 20),
        "analyzeduration": "2000000",
    }
    if name == "mov":
        options["format_whitelist"] = "mov,mp4,m4a,3gp,3g2,mj2"
    try:
        with av.open(io.BytesIO(audio), format=name, options=options, metadata_errors="ignore") as container:
            yield from _resample(container, name, limits)
    except (av.error.FFmpegError, ValueError, RuntimeError, MemoryError, OverflowError) as error:
        raise errors.UnsupportedAudio(DAMAGED.format(f"{name} cannot be read ({error})"), status=422) from error


def _resample(container: Any, name: str, limits: DecodeLimits) -> Iterator[bytes]:
    import av

    if not container.streams.audio:
        raise errors.UnsupportedAudio("the file holds no sound, only other streams", status=422)
    stream = container.streams.audio[0]
    _check_stream(stream, name, limits)
    declared = _declared_seconds(stream, name)
    if declared is not None and declared > limits.seconds + 1:
        raise _too_long(limits)
    resampler = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)
    samples = 0
    for frame in _frames(container, stream):
        for piece in resampler.resample(frame):
            samples += piece.samples
            if samples > limits.seconds * SAMPLE_RATE:
                raise _too_long(limits)
            yield bytes(piece.planes[0])[: piece.samples * 4]
    if declared is not None and samples / SAMPLE_RATE < declared - max(0.5, 0.05 * declared):
        what = f"it says {declared:.1f} s and holds {samples / SAMPLE_RATE:.1f} s"
        raise errors.UnsupportedAudio(DAMAGED.format(what), status=422)


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames, then None, which flushes the resampler."""
    for frame in container.decode(stream):
        if frame.sample_rate <= 0 or frame.samples <= 0:
            continue
        frame.pts = None  # timestamps lie; the samples are what counts
        yield frame
    yield None


def _check_stream(stream: Any, name: str, limits: DecodeLimits) -> None:
    context = stream.codec_context
    if context is None or context.name not in CODECS[name]:
        codec = context.name if context is not None else "an unknown codec"
        raise errors.UnsupportedAudio(f"{name} with {codec} is not accepted; send {ACCEPTED}")
    if not 0 < context.sample_rate <= limits.sample_rate:
        what = f"{context.sample_rate} Hz is no usable sample rate"
        raise errors.UnsupportedAudio(DAMAGED.format(what), status=422)
    if not 0 < context.channels <= limits.channels:
        message = f"the recording has {context.channels} channels; send one or two, at most {limits.channels}"
        raise errors.UnsupportedAudio(message, status=422)


def _declared_seconds(stream: Any, name: str) -> float | None:
    """The duration that the header vouches for. MP3 and Ogg have none, only FFmpeg's estimate."""
    if name not in ("flac", "mov") or not stream.duration or stream.time_base is None:
        return None
    return float(stream.duration * stream.time_base)


def _too_long(limits: DecodeLimits) -> errors.AudioTooLong:
    return errors.AudioTooLong(f"the recording is longer than {limits.seconds:.0f} s; send a shorter one")


def run_subprocess(target: str, payload: bytes, limits: DecodeLimits) -> bytes:
    """The default runner: a fresh interpreter under resource limits, without the caller's environment."""
    if target != TARGET:
        raise ValueError(f"only {TARGET} can be run here, not {target}")
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-s", "-m", "assistant.speech.decode", json.dumps(asdict(limits))]
    environment = {"PYTHONPATH": root, "OPENBLAS_NUM_THREADS": "1", "LANG": "C.UTF-8", "PATH": os.defpath}
    try:
        done = subprocess.run(
            command, input=payload, capture_output=True, timeout=limits.wall_seconds, env=environment, cwd="/"
        )
    except subprocess.TimeoutExpired as error:
        raise errors.DecoderFailed(f"it takes more than {limits.wall_seconds:.0f} s to decode") from error
    if done.returncode:
        raise errors.DecoderFailed(f"its decoder stopped ({_reason(done.returncode)})")
    return done.stdout


def _reason(code: int) -> str:
    return f"signal {-code}" if code < 0 else f"exit status {code}"


def _confine(limits: DecodeLimits) -> None:
    """Memory, processor time, no new files, few descriptors, no core dump."""
    import resource

    for what, value in (
        (resource.RLIMIT_AS, limits.memory_bytes),
        (resource.RLIMIT_CPU, limits.cpu_seconds),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NOFILE, 32),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (value, value))


def main() -> None:
    """Standard input → standard output, for `run_subprocess`."""
    limits = DecodeLimits(**json.loads(sys.argv[1]))
    import av  # noqa: F401  (its libraries are mapped before the limits)

    _confine(replace(limits, file_bytes=0))
    sys.stdout.buffer.write(decode_container(sys.stdin.buffer.read()))


if __name__ == "__main__":
    main()
