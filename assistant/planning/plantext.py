"""The plan as text, which is what the model reads and writes.

One line for the tool, one indented line per argument; a list repeats its argument:

    > photos select
     count: 5
    > gif create
     photos: $1
    > messages send
     to: Alice
     to: Bob
     attachments: $2

Names are spelled (see `spelling`) where the checkpoint wants that. Words of the user end with the line, so they need
no quotes or escapes; `?` stands for a required argument that the user did not give. Arguments come in the order of the
signature, which leaves one way to write a plan.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from assistant.plugin.plan import Plan
from assistant.plugin.signature import ToolSpec, Type

STEP = ">"  # a line that begins so is a tool; one that begins with a space is an argument
MISSING = "?"


def write(plan: Plan, tools: Mapping[str, ToolSpec], missing: str | None = None) -> str:
    """The plan's text. `missing` is the required argument that the last step to need it lacks."""
    lines = []
    asked = _asking_step(plan, tools, missing)
    for n, step in enumerate(plan.steps):
        lines.append(f"{STEP} {step.tool}")
        for p in tools[step.tool].parameters:
            if n == asked and p.name == missing:
                lines.append(f" {p.name}: {MISSING}")
            elif p.name in step.args:
                value = step.args[p.name]
                for element in value if isinstance(value, list) else [value]:
                    lines.append(f" {p.name}: {literal(element)}")
    return "".join(line + "\n" for line in lines)


def _asking_step(plan: Plan, tools: Mapping[str, ToolSpec], missing: str | None) -> int | None:
    """The step that needs the missing argument; one that merely could have it only if none does."""
    lacking = [n for n, s in enumerate(plan.steps) if missing in tools[s.tool].by_name and missing not in s.args]
    needing = [n for n in lacking if tools[plan.steps[n].tool].by_name[str(missing)].required]
    return next(iter(needing or lacking[-1:]), None)


def literal(value: Any) -> str:
    """A scalar as it stands in the text."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6f}".rstrip("0").rstrip(".")
    return " ".join(str(value).split())


def scalar(text: str, type_: Type) -> Any:
    """The JSON value of one literal. Raises ValueError."""
    if type_.name == "int":
        return int(text)
    if type_.name == "float":
        number = float(text)
        return int(number) if number.is_integer() else number
    if type_.name == "bool":
        return {"true": True, "false": False}[text]
    return text
