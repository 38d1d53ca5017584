"""Several processes, one engine: rank 0 owns the requests and tells the others every step before it runs it.

All ranks hold the same shapes and run the same verbs in the same order, so the collectives inside a step meet. A verb
travels as a small JSON header and, for a step, its three arrays, through a broadcast over all devices. While nothing is
asked rank 0 sends a sign of life, so that a lost rank is noticed within seconds and ends the group with an error. When
its engine has failed but its process lives, its silence tells.
"""

from __future__ import annotations

import json
import queue
import threading
from typing import Any

import numpy as np
from jax.experimental import multihost_utils

from .runner import Batch, Chosen, Runner

_HEADER = 256  # bytes
IDLE_SECONDS = 2.0


class Lockstep(Runner):
    """Rank 0's runner: says each verb to the other ranks, then does it."""

    idle_seconds: float | None = IDLE_SECONDS

    def step(self, batch: Batch, scored: bool = False) -> Chosen:
        _send({"verb": "step", "rows": batch.rows, "size": batch.size, "words": batch.mask.shape[1], "scored": scored})
        multihost_utils.broadcast_one_to_all((batch.ints, batch.floats, batch.mask), is_source=True)
        return super().step(batch, scored)

    def copy(self, source: str | int, slot: int) -> None:
        _send({"verb": "copy", "source": source, "slot": slot})
        super().copy(source, slot)

    def store(self, name: str, slot: int, count: int) -> None:
        _send({"verb": "store", "name": name, "slot": slot, "count": count})
        Runner._store(self, name, slot, count)
        self.copy(name, slot)

    def idle(self) -> None:
        _send({"verb": "idle"})

    def stop(self) -> None:
        _send({"verb": "stop"})


def follow(runner: Runner, patience: float) -> None:
    """Any other rank: do what rank 0 says until it stops; raises when a rank is lost, or is silent for so long.

    A collective cannot be interrupted, so another thread waits in it. Silence counts from the first sign of life on:
    before its first request rank 0 may take its time.
    """
    done: queue.SimpleQueue[str | BaseException] = queue.SimpleQueue()
    threading.Thread(target=_obey, args=(runner, done), name="llm-follower", daemon=True).start()
    limit = None
    while (verb := _next(done, limit)) != "stop":
        limit = patience if verb == "idle" else limit


def _next(done: queue.SimpleQueue[str | BaseException], limit: float | None) -> str:
    try:
        verb = done.get(timeout=limit)
    except queue.Empty:
        raise RuntimeError(f"rank 0 gave no sign of life for {limit:.0f} s: its engine has failed or hangs") from None
    if isinstance(verb, BaseException):
        raise verb
    return verb


def _obey(runner: Runner, done: queue.SimpleQueue[str | BaseException]) -> None:
    try:
        verb = ""
        while verb != "stop":
            verb = _act(runner)
            done.put(verb)
    except BaseException as error:
        done.put(error)


def _act(runner: Runner) -> str:
    """Wait for a verb of rank 0, do it, and return it."""
    header = _receive()
    verb = header.pop("verb")
    match verb:
        case "step":
            rows, size, words = header["rows"], header["size"], header["words"]
            blank = Batch.empty(rows, size, words * 32, 0)
            arrays = multihost_utils.broadcast_one_to_all((blank.ints, blank.floats, blank.mask), is_source=False)
            runner.step(Batch(*map(np.asarray, arrays)), header["scored"])
        case "copy":
            runner.copy(header["source"], header["slot"])
        case "store":
            Runner._store(runner, **header)
    return verb


def _send(header: dict[str, Any]) -> None:
    data = json.dumps(header).encode()
    if len(data) > _HEADER:
        raise ValueError("the name of a prefix is too long for a group of processes (at most about 180 bytes)")
    multihost_utils.broadcast_one_to_all(np.frombuffer(data.ljust(_HEADER), np.uint8), is_source=True)


def _receive() -> dict[str, Any]:
    data = multihost_utils.broadcast_one_to_all(np.zeros(_HEADER, np.uint8), is_source=False)
    return json.loads(bytes(np.asarray(data)).decode())
