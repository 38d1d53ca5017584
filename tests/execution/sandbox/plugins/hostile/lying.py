"""Answers that are not what they should be."""

import json
import os
import struct
import time
from pathlib import Path

from .common import ATTACKS, attack


def _frame(kind, body):
    os.write(3, struct.pack("!cI", kind, len(body)) + body)


def _lie(name, kind, body):
    def tell(w):
        _frame(kind, body)
        time.sleep(60)

    ATTACKS[f"answer_{name}"] = tell


_lie("deep_json", b"R", b"[" * 100_000 + b"]" * 100_000)
_lie("not_a_number", b"R", b"NaN")
_lie("huge_number", b"R", b"9" * 100_000)
_lie("broken_text", b"R", b'"\xff"')
_lie("lone_surrogate", b"R", b'"\\ud800"')
_lie("unknown_kind", b"Z", b"")
_lie("progress_nonsense", b"P", b'{"a":')
_lie("progress_of_a_huge_number", b"P", b"[1" + b"0" * 400 + b', "x"]')
_lie("progress_of_something_else", b"P", b"5")
_lie("failure_nonsense", b"F", b"{")
_lie("data_for_tool", b"D", b"x")


@attack
def answer_claiming_4_gb(w):
    os.write(3, struct.pack("!cI", b"R", 0xFFFFFFFF))
    time.sleep(60)


@attack
def answer_flood(w):
    for _ in range(1 << 20):
        _frame(b"P", b"[0.5,%s]" % json.dumps("x" * 1000).encode())


@attack
def answer_and_stay(w):
    _frame(b"R", b'"ESCAPED: nothing"')
    os.close(1)
    while True:
        time.sleep(1)


def _name(name, path):
    def tell(w):
        (Path("good")).write_text("good")
        text = path(w) if callable(path) else path
        _frame(b"R", json.dumps([{"$type": "File", "path": text, "name": "x"}]).encode())
        time.sleep(60)

    ATTACKS[f"file_{name}"] = tell


_name("above", "../../../../etc/passwd")
_name("absolute", "/etc/passwd")
_name("key", lambda w: str(w.outside / "key"))
_name("dotted_grant", lambda w: f"{w.granted}/../outside/key")
_name("symlink_in_grant", lambda w: str(w.granted / "link-to-key"))
_name("fifo_in_grant", lambda w: str(w.granted / "fifo"))
_name("missing", "nothing")
_name("folder", ".")
_name("zero_byte", "good\0")
_name("empty", "")
_name("number", 7)
_name("proc", "/proc/self/environ")
