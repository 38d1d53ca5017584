"""`kill -9` of the service in the middle of errands, many times.

    python -m benchmarks.power_cuts --cuts 100

After each start every errand must come to its end, or say what happened: what it says is compared with the outbox and
the notes. No message is sent twice.
"""

from __future__ import annotations

import argparse
import collections
import random
import time
from typing import Any

from tests.e2e.service import Service, new_service

SENTENCES = ("tell Alice that lot {n} is sold", "send my last two photos to Bob", "note that lot {n} is sold",
             "make a gif of my last three photos and send it to Priya")  # fmt: skip


def rested(service: Service, id: str) -> dict[str, Any]:
    """The command once it no longer runs."""
    end = time.monotonic() + 120
    while (command := service.client.get(f"/command/{id}").json())["status"] == "running":
        assert time.monotonic() < end, command
        time.sleep(0.2)
    return dict(command)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument(
        "--seed", type=int, default=1, help="of the moments of the cuts; a long campaign in parts has several"
    )
    parser.add_argument("--longest", type=float, default=3.0, help="seconds from the command to the cut, at most")
    options = parser.parse_args()
    chance = random.Random(options.seed)
    ends: collections.Counter[str] = collections.Counter()
    with new_service() as service:
        service.start()
        for n in range(options.cuts):
            text = SENTENCES[n % len(SENTENCES)].format(n=n)
            before = service.world()
            body = {"text": text, "approve": True, "wait": 0}
            id = service.client.post("/command", json=body).json()["id"]
            time.sleep(chance.uniform(0, options.longest))
            service.kill()
            service.start()
            command = rested(service, id)
            if command["status"] == "needs_confirmation":  # a plan that the planner doubts is read back
                service.client.post(f"/command/{id}/answer", json={"confirm": True, "wait": 0})
                command = rested(service, id)
            came = service.world().since(before)
            happened = len(came.mails) + len(came.notes)
            unsure = "I do not know whether" in command["reply"]
            told = happened == 1 if command["status"] == "done" else happened <= unsure
            assert command["reply"] and told, (command, came)
            ends["unknown" if unsure else command["status"]] += 1
        ids = [m["Message-ID"] for m in service.world().mails.values()]
        texts = [m.get_content().strip() for m in service.world().mails.values() if not m.is_multipart()]
    print(f"{options.cuts} cuts: {dict(ends)}; {len(ids)} messages")
    print(f"duplicates: {len(ids) - len(set(ids))} by id, {len(texts) - len(set(texts))} by text")


if __name__ == "__main__":
    main()
