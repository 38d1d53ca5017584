"""Requests drawn from the OpenAPI document, right and wrong ones: none may end in an unexpected 5xx.

    python -m benchmarks.fuzz_http                                          # all phases, 60 examples per operation
    python -m benchmarks.fuzz_http --phases fuzzing --examples 600 --seed 2   # more of the random ones

Needs schemathesis. The service is the real one, with the shipped models, over the drawn library.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

from tests.e2e.service import new_service


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=60)
    parser.add_argument("--phases", default="examples,coverage,fuzzing")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with new_service() as service:
        service.start()
        fuzz = [str(Path(sys.executable).parent / "schemathesis"), "run", f"{service.client.base_url}/openapi.json",
                "--header", f"Authorization: {service.client.headers['Authorization']}",
                "--checks", "not_a_server_error", "--phases", options.phases, "--continue-on-failure",
                "--max-examples", str(options.examples), "--seed", str(options.seed),
                "--exclude-path", "/reminders/events",  # a stream without an end
                "--request-timeout", "60"]  # fmt: skip
        status = subprocess.run(fuzz, cwd=service.home.parent).returncode
        assert service.client.get("/health").json()["status"] == "ready"
        counted = [line.rsplit(" ", 1) for line in service.client.get("/metrics").text.splitlines()
                   if line.startswith("assistant_http_requests_total")]  # fmt: skip
        failed = [name for name, _ in counted if 'status="5' in name]
        print(f"{sum(float(count) for _, count in counted):.0f} requests past the gate; 5xx: {failed or 'none'}")
        return status


if __name__ == "__main__":
    sys.exit(main())
