"""kill -9 against the executor: what left, what the journal says, what the user was told.

    python -m benchmarks.durability [--kills 300] [--seed 1] [--boundaries all|journal|none] [--at-once 3]

Every process that is killed runs a real sandbox and a real executor on errands of four steps (a picture, a message with
it to two people, a note, a reminder). Half of the random kills are against a real SMTP server on loopback that takes up
to 50 ms before and after it keeps a message, half against the outbox. Then the messages that exist are counted:
duplicates, lost ones (said to be sent, or never settled), `unknown` ones that the reply does not mention, steps that
were run again after they were done, notes and reminders that are not there exactly once. Exit status 1 on any.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from tests.execution.crash import Report, boundary_campaign, random_campaign
from tests.execution.post_office import post_office


def with_office(campaign: Callable[..., Report], pause_s: float = 0.0) -> Report:
    with post_office() as office:
        office.pause_s = pause_s
        return campaign(office)


def boundaries(of: str, at_once: int) -> Report:
    """Kill before and after each commit: each in turn until an errand gets through."""
    total, n = Report(), 1
    with ThreadPoolExecutor(at_once) as pool:
        while True:
            places = [(i, when) for i in range(n, n + at_once) for when in ("before", "after")]
            reports = list(
                pool.map(lambda p: with_office(lambda o: boundary_campaign(o, of, p[0], p[0], (p[1],))), places)
            )
            for report in reports:
                total.add(report)
            if not all(report.kills for report in reports):
                return total
            n += at_once


def at_random(kills: int, seed: int, at_once: int) -> Report:
    total = Report()

    def one(i: int) -> Report:
        generator = random.Random(seed * 1000 + i)
        if i % 2:
            return random_campaign(None, 10, 4, generator)
        return with_office(lambda office: random_campaign(office, 10, 4, generator), 0.05)

    with ThreadPoolExecutor(at_once) as pool:
        for report in pool.map(one, range((kills + 9) // 10)):
            total.add(report)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--boundaries", choices=["all", "journal", "none"], default="all")
    parser.add_argument("--at-once", type=int, default=3)
    options = parser.parse_args()
    problems: list[str] = []
    kinds = {"all": ["journal", "all", "dbos"], "journal": ["journal"], "none": []}[options.boundaries]
    campaigns = [(f"commits: {of}", lambda of=of: boundaries(of, options.at_once)) for of in kinds]
    campaigns.append(("random moments", lambda: at_random(options.kills, options.seed, options.at_once)))
    for name, campaign in campaigns:
        began = time.monotonic()
        report = campaign()
        problems += report.problems
        print(f"{name:18s} {report.kills:4d} kills, {report.errands:4d} errands, {report.sent:4d} sent, "
              f"{report.unknown:3d} unknown and reported, {len(report.problems)} problems, "
              f"{time.monotonic() - began:.0f} s", flush=True)  # fmt: skip
    for problem in problems:
        print(problem)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
