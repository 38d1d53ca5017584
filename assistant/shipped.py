"""Where the checkpoints lie that come with the package."""

from __future__ import annotations

from pathlib import Path

PLANNER = Path(__file__).parent / "models" / "planner"


def planner_checkpoint() -> Path:
    """The shipped planner. Raises FileNotFoundError saying what to do."""
    if not (PLANNER / "config.json").exists():
        raise FileNotFoundError(
            f"the planner's checkpoint is not at {PLANNER}; set ASSISTANT_MODEL to a checkpoint folder or a hub id, "
            "or install the package again"
        )
    return PLANNER
