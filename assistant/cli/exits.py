"""What the exit codes of the commands mean. They are part of the interface; docs/tools.md and `--help` name them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import NoReturn

DONE = 0
FAILED = 1  # a step failed, or a check of `doctor` did
USAGE = 2  # the command, a file given to it or the settings are wrong; nothing was begun
REFUSED = 3  # no tool serves what was said; nothing was done
UNANSWERED = 4  # a question waits and nobody is there to answer it; the errand was cancelled, nothing was sent
CANCELLED = 5  # the user said no, or cancelled
UNKNOWN = 6  # whether something was sent cannot be known; it is not repeated
UNAVAILABLE = 7  # no sandbox, no model, no service, or another process has the data folder

TABLE = (
    "Exit codes: 0 done · 1 failed · 2 wrong usage, file or settings · 3 refused: no tool serves it · "
    "4 a question was not answered · 5 cancelled · 6 unknown whether it was sent · 7 not available here"
)
_OF_STATUS = {
    "planned": DONE, "done": DONE, "failed": FAILED, "refused": REFUSED, "needs_confirmation": UNANSWERED,
    "needs_answer": UNANSWERED, "cancelled": CANCELLED,
}  # fmt: skip


def of(status: str, effects: Iterable[str] = ()) -> int:
    """The exit code of an errand that ended with `status`; `effects` are the states of its effects."""
    if "unknown" in effects:
        return UNKNOWN
    return _OF_STATUS.get(status, FAILED)


def leave(message: str, code: int) -> NoReturn:
    """Say on stderr why the command ends, and end it."""
    print(f"assistant: {message}", file=sys.stderr)
    raise SystemExit(code)
