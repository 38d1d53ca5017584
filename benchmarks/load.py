"""Many clients at once, planning and execution real: errors, overhead of the service, memory.

    python -m benchmarks.load --clients 50 --seconds 60

Overhead is the time of an answer beyond planning (with the wait for one of the planner's slots) and the errand
(`timings.plan_ms` and `run_ms`): parsing, the gate, the database, the hand-over, the wait for the event loop. It is
given as the clients see it, who share the processor with the service, and as the service does (`total_ms`, from a
command's row in the database to its end). Commands differ, so nothing is cached.
"""

from __future__ import annotations

import argparse
import collections
import os
import statistics
import threading
import time
from pathlib import Path

import httpx

from tests.e2e.service import Service, new_service

SENTENCES = (
    "note that box {n} is blue",
    "find my last {n} photos",
    "remind me to call {n} tomorrow at 9",
    "order pizza {n}",
)


def client(service: Service, number: int, end: float, out: list[tuple[int, float, float, float]]) -> None:
    with httpx.Client(base_url=service.client.base_url, headers=service.client.headers, timeout=150) as http:
        n = 0
        while time.monotonic() < end:
            n += 1
            text = SENTENCES[(number + n) % len(SENTENCES)].format(n=number * 1000 + n)
            begun = time.perf_counter()
            answer = http.post("/command", json={"text": text, "wait": 60})
            took = (time.perf_counter() - begun) * 1000
            timings = answer.json()["timings"] if answer.status_code == 200 else {"plan_ms": took}
            own = (timings["plan_ms"] or 0) + (timings.get("run_ms") or 0)
            total = timings.get("total_ms") or took
            out.append((answer.status_code, took, max(0.0, took - own), max(0.0, total - own)))
            if answer.status_code == 429:
                time.sleep(min(1.0, float(answer.headers["retry-after"])))


def resident(pid: int) -> float:
    """MB of the service's process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith("VmRSS"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with new_service() as service:
        service.start()
        assert service.process is not None
        end, out = time.monotonic() + options.seconds, list[tuple[int, float, float, float]]()
        threads = [threading.Thread(target=client, args=(service, n, end, out)) for n in range(options.clients)]
        memory = [resident(service.process.pid)]
        for thread in threads:
            thread.start()
        while time.monotonic() < end:
            time.sleep(2)
            memory.append(resident(service.process.pid))
        for thread in threads:
            thread.join()
    statuses = collections.Counter(status for status, *_ in out)
    took, seen, own = ([r[i] for r in out if r[0] == 200] for i in (1, 2, 3))
    print(f"{options.clients} clients, {options.seconds:.0f} s, load {os.getloadavg()[0]:.1f}: {dict(statuses)}")
    print(f"answers p50 {statistics.median(took):.0f} ms")
    for who, over in (("clients", seen), ("the service", own)):
        p95 = statistics.quantiles(over, n=20)[-1]
        print(f"overhead for {who}: p50 {statistics.median(over):.0f} ms, p95 {p95:.0f} ms")
    half = len(memory) // 2
    print(f"memory MB: start {memory[0]:.0f}, at half time {memory[half]:.0f}, end {memory[-1]:.0f}")


if __name__ == "__main__":
    main()
