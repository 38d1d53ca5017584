"""From the last sample of a spoken command to the first step started and to the message delivered.

    python -m benchmarks.end_to_end --runs 30

The real service with the shipped models, over HTTP on this machine; the command is the recorded one that the demo
speaks, and messages go to the outbox. Stages are read from the command's events and timings.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from pathlib import Path
from typing import Any

import assistant.speech
from tests.e2e.service import Service, new_service

COMMAND = Path(assistant.speech.__file__).parent / "data" / "demo-command.flac"
STAGES = ("transcript", "plan", "first step started", "delivered", "answered")


def one(service: Service, recording: bytes) -> dict[str, float]:
    """Milliseconds from sending the recording to each stage."""
    begun = time.perf_counter()
    sent = {"audio": ("c.flac", recording)}
    command = service.client.post("/command", files=sent, data={"wait": "0", "approve": "true"}).json()
    seen: dict[str, float] = {}
    with service.client.stream("GET", f"/command/{command['id']}/events") as stream:
        kind = ""
        for line in stream.iter_lines():
            now = (time.perf_counter() - begun) * 1000
            if line.startswith("event: "):
                kind = line.removeprefix("event: ")
            elif line.startswith("data: "):
                _note(seen, kind, json.loads(line.removeprefix("data: ")), now)
    seen["answered"] = (time.perf_counter() - begun) * 1000
    return seen


def _note(seen: dict[str, float], kind: str, data: dict[str, Any], now: float) -> None:
    if kind in ("transcript", "plan"):
        seen.setdefault(kind, now)
    elif kind == "step" and data.get("status") == "running":
        seen.setdefault("first step started", now)
    elif kind == "effect" and data.get("state") == "sent":
        seen.setdefault("delivered", now)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=30)
    options = parser.parse_args()
    with new_service() as service:
        begun = time.perf_counter()
        service.start()
        print(f"start: {time.perf_counter() - begun:.1f} s")
        service.client.post(
            "/v1/audio/transcriptions", files={"file": ("c.flac", COMMAND.read_bytes())}
        )  # it is loaded
        one(service, COMMAND.read_bytes())
        runs = [one(service, COMMAND.read_bytes()) for _ in range(options.runs)]
    print(f"{options.runs} runs on {os.cpu_count()} CPUs, load {os.getloadavg()[0]:.1f}; milliseconds")
    for stage in STAGES:
        times = sorted(r[stage] for r in runs if stage in r)
        if times:
            p95 = times[min(len(times) - 1, round(0.95 * len(times)))]
            print(f"{stage:20} p50 {statistics.median(times):8.0f}  p95 {p95:8.0f}  ({len(times)} runs)")


if __name__ == "__main__":
    main()
