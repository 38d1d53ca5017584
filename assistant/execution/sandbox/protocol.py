"""Frames between the service and a confined process, and JSON from a process that may be hostile.

A frame is one byte of kind, four bytes of length (big endian) and that many bytes. The service sends REQUEST and
DATA; the process answers any number of PROGRESS, then one of RESULT, DATA or FAILURE.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Iterator
from typing import Any, NoReturn

REQUEST, PROGRESS, RESULT, DATA, FAILURE = b"Q", b"P", b"R", b"D", b"F"
HEADER = struct.Struct("!cI")
MAX_DEPTH = 32
MAX_PROGRESS_BYTES = 4 << 10
MAX_FAILURE_BYTES = 64 << 10

# Possessive, and also taking a string that never ends: time stays linear whatever is sent.
_STRINGS = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_BRACKETS = re.compile(rb"[\[\]{}]")


class ProtocolError(ValueError):
    """The other side sent something that is not in the protocol, or too much of it."""


def frame(kind: bytes, body: bytes) -> bytes:
    """One frame, ready to be written."""
    return HEADER.pack(kind, len(body)) + body


def dump(value: Any) -> bytes:
    """JSON as bytes. Raises ValueError for NaN and infinities, TypeError for what JSON cannot hold."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).encode("ascii")


def parse(body: bytes) -> Any:
    """Untrusted JSON, at most MAX_DEPTH deep, without NaN, broken Unicode or endless numbers. Raises ProtocolError."""
    depth = 0
    for bracket in _BRACKETS.finditer(_STRINGS.sub(b'""', body)):
        depth += 1 if bracket[0] in b"[{" else -1
        if depth > MAX_DEPTH:
            raise ProtocolError(f"the answer is nested deeper than {MAX_DEPTH} levels")
    try:
        text = body.decode("utf-8")
        value = json.loads(text, parse_constant=_no_constant)
        if "\\u" in text:  # an escaped lone surrogate parses, but can be neither stored nor sent on
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as error:
        raise ProtocolError(f"the answer is not JSON: {error}") from error
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number")


class Frames:
    """Takes bytes as they come and yields whole frames; each kind has its own limit of size."""

    def __init__(self, limits: dict[bytes, int]) -> None:
        self._limits = limits
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Add bytes; yield (kind, body) of every frame that is complete. Raises ProtocolError."""
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            kind, length = HEADER.unpack_from(self._buffer)
            if kind not in self._limits:
                raise ProtocolError("the answer is not in the protocol")
            if length > self._limits[kind]:
                raise ProtocolError(f"the answer has {length:,} bytes; at most {self._limits[kind]:,} are allowed")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield kind, body
