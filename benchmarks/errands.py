"""How many errands the shipped models get right end to end, those that no test relies on included.

    python -m benchmarks.errands [--spoken]

The real service, over HTTP; right means that the world changed as it should and in no other way.
"""

from __future__ import annotations

import argparse
import subprocess

from tests.e2e.check import carry_out, faults
from tests.e2e.errands import ERRANDS
from tests.e2e.service import new_service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--spoken", action="store_true", help="spoken by espeak-ng instead of typed")
    options = parser.parse_args()
    right = 0
    with new_service() as service:
        service.start()
        for errand in ERRANDS:
            recording = _spoken(errand.say) if options.spoken else None
            try:
                found = faults(errand, *carry_out(service, errand, recording))
            except (RuntimeError, AssertionError) as error:
                found = [str(error)]
            right += not found
            print("right" if not found else "WRONG", errand.id, *found, sep=" | ")
    print(f"{right} of {len(ERRANDS)} right ({100 * right / len(ERRANDS):.0f} %)")


def _spoken(text: str) -> bytes:
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", text]
    return subprocess.run(command, capture_output=True, check=True).stdout


if __name__ == "__main__":
    main()
