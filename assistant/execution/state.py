"""Rows of the tables as the states that people and programs see."""

from __future__ import annotations

import datetime as dt
from typing import Any

from assistant.plugin.plan import Plan

from .errand import FINISHED, ErrandState, Question, StepState
from .journal import state_of


def errand_state(row: dict[str, Any], parts: dict[str, list[dict[str, Any]]]) -> ErrandState:
    """An errand from its row and `Store.full`."""
    asked = parts["questions"][0] if parts["questions"] and row["status"] not in FINISHED else None
    finished = None if row["finished"] is None else dt.datetime.fromtimestamp(row["finished"], dt.UTC)
    return ErrandState(
        id=row["id"], session=row["session"], text=row["text"], plan=Plan.from_json(row["plan"]), status=row["status"],
        created=dt.datetime.fromtimestamp(row["created"], dt.UTC), finished=finished,
        steps=tuple(_step(s) for s in parts["steps"]), effects=tuple(state_of(e) for e in parts["effects"]),
        question=Question(asked["kind"], asked["text"], tuple(asked["choices"])) if asked else None, reply=row["reply"],
    )  # fmt: skip


def _step(row: dict[str, Any]) -> StepState:
    return StepState(
        row["n"], row["tool"], row["status"], row["summary"], row["error"], row["result"],
        tuple(row["artifacts"] or ()), row["ms"],
    )  # fmt: skip
