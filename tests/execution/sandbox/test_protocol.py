"""Frames and JSON from a process that lies."""

import time

import pytest

from assistant.execution.sandbox import protocol
from assistant.execution.sandbox.protocol import DATA, PROGRESS, RESULT, Frames, ProtocolError, frame, parse


def test_frames_in_any_pieces():
    sent = frame(PROGRESS, b"[0,1]") + frame(RESULT, b"{}") + frame(DATA, b"")
    for size in (1, 2, 3, 7, len(sent)):
        frames = Frames({PROGRESS: 10, RESULT: 10, DATA: 10})
        found = [f for i in range(0, len(sent), size) for f in frames.feed(sent[i : i + size])]
        assert found == [(PROGRESS, b"[0,1]"), (RESULT, b"{}"), (DATA, b"")]


@pytest.mark.parametrize(
    ("data", "text"), [(frame(RESULT, b"x" * 11), "11 bytes; at most 10"), (frame(DATA, b""), "not in the protocol")]
)
def test_frames_out_of_bounds(data, text):
    with pytest.raises(ProtocolError, match=text):
        list(Frames({RESULT: 10}).feed(data))


@pytest.mark.parametrize("value", [None, [1, -2.5, 'ä\n"\\[{', {"a": [[]]}], "]" * 1000, "\\"])
def test_round_trip(value):
    assert parse(protocol.dump(value)) == value


@pytest.mark.parametrize("body", [b"[" * 33 + b"]" * 33, b'{"a":' * 33 + b"1" + b"}" * 33, b"[" * 1_000_000])
def test_too_deep(body):
    with pytest.raises(ProtocolError, match="nested deeper than 32"):
        parse(body)


def test_deep_enough():
    assert parse(b"[" * 32 + b"]" * 32)


@pytest.mark.parametrize(
    "body", [b"", b"NaN", b"-Infinity", b"[1,]", b"\xff", b'"\\ud800"', b"9" * 5000, b"[1]]", b"{'a':1}"]
)
def test_not_json(body):
    with pytest.raises(ProtocolError, match="not JSON"):
        parse(body)


@pytest.mark.parametrize(
    "body", [b'"\\"' * 300_000, b'"' + b'\\"' * 500_000, b'"' * 999_999, b'"\\' * 500_000, b'"a\\']
)
def test_hostile_text_takes_linear_time(body):
    started = time.process_time()
    with pytest.raises(ProtocolError):
        parse(body)
    assert time.process_time() - started < 2


def test_only_finite_numbers_leave():
    with pytest.raises(ValueError, match="not JSON compliant"):
        protocol.dump(float("nan"))
