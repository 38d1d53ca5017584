"""A plugin that attacks whatever runs it. Each attack returns normally only when it got through."""

import json
from pathlib import Path

from assistant.plugin import tool

from . import exhausting, kernel, lying, network, processes, reading, writing  # noqa: F401 - they register themselves
from .common import ATTACKS, World


@tool
def strike(name: str, world: str) -> str:
    """Try one attack."""
    given = json.loads(world)
    target = World(**{**given, "outside": Path(given["outside"]), "granted": Path(given["granted"])})
    return f"ESCAPED: {ATTACKS[name](target)}"
