"""Where the checkpoints lie that come with the package."""

from __future__ import annotations

from pathlib import Path

MODELS = Path(__file__).parent / "models"


def planner_checkpoint() -> Path:
    """The shipped planner. Raises FileNotFoundError saying what to do."""
    folder = MODELS / "planner"
    if not (folder / "config.json").exists():
        raise FileNotFoundError(
            f"the planner's checkpoint is not at {folder}; set ASSISTANT_MODEL to a checkpoint folder or a hub id, "
            "or install the package again"
        )
    return folder
