"""The text that the model wrote → a Plan in the names of the tools and the words of the user."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.plugin.plan import Plan, Step
from assistant.plugin.signature import Parameter

from . import plantext
from .names import Argument, Tool, scalar
from .text import Folded

Place = tuple[int, str]
"""A step, counted from 1, and one of its arguments."""


@dataclass(frozen=True)
class Reading:
    """A plan, the arguments that the user must still give, and what each line of the text was about."""

    plan: Plan
    missing: tuple[Place, ...]
    lines: tuple[tuple[int, str | None], ...]  # (step, argument or None for the tool's own line)


def read(text: str, tools: Mapping[str, Tool], said: Sequence[Folded]) -> Reading:
    """Raises ValueError on what the grammar would not have allowed."""
    steps: list[tuple[Tool, dict[str, Any]]] = []
    missing: list[Place] = []
    lines: list[tuple[int, str | None]] = []
    for line in text.splitlines():
        if line.startswith(plantext.STEP):
            name = line[len(plantext.STEP) + 1 :]
            if name not in tools:
                raise ValueError(f"there is no tool {name!r}")
            steps.append((tools[name], {}))
            lines.append((len(steps), None))
            continue
        name, colon, value = line[1:].partition(": ")
        if not steps or not colon or name not in steps[-1][0].arguments:
            raise ValueError(f"not an argument: {line!r}")
        argument = steps[-1][0].arguments[name]
        place = (len(steps), argument.parameter.name)
        lines.append(place)
        if value == plantext.MISSING:
            missing.append(place)
        else:
            add(steps[-1][1], argument.parameter, _value(value, argument, said))
    return Reading(Plan(tuple(Step(tool.spec.name, args) for tool, args in steps)), tuple(missing), tuple(lines))


def add(args: dict[str, Any], p: Parameter, value: Any) -> None:
    """Put one line's value into a step's arguments; a required list of one reference is that reference."""
    if p.type.item is None:
        args[p.name] = value
        return
    before = args.get(p.name, [])
    values = [*(before if isinstance(before, list) else [before]), value]
    if p.type.item.name not in ("int", "float", "bool"):  # the average of 3, 3 and 9 is of three numbers
        values = list(dict.fromkeys(values))
    args[p.name] = value if len(values) == 1 and p.required and not p.type.is_value else values


def _value(text: str, argument: Argument, said: Sequence[Folded]) -> Any:
    kind = scalar(argument.parameter.type)
    if kind.choices:
        return argument.choices[text]
    if kind.name in ("Spoken", "str"):
        for folded in said:
            if (words := folded.span(text)) is not None:
                return words
        raise ValueError(f"{text!r} was not said")
    return plantext.scalar(text, kind)
