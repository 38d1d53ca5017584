"""The plan language: a list of tool calls whose references are typed.

`$n` is the result of step n (from 1), `$n.field` a field of it, `^n` the result of step n of the session's
previous errand. `check` is the one place that says what a valid plan is; the planner's grammar cannot produce
anything that it refuses.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from .signature import Parameter, ToolSpec, Type

MAX_STEPS = 20
REFERENCE = re.compile(r"([$^])([1-9]\d?)(?:\.([A-Za-z_]\w*))?")


class PlanError(ValueError):
    """A plan that cannot run. `position` is like "step 2, argument 'photos'"."""

    def __init__(self, position: str, problem: str):
        super().__init__(f"{position}: {problem}")
        self.position, self.problem = position, problem


@dataclass(frozen=True)
class Reference:
    """A reference in a plan: step number (from 1), field, and whether it is of the previous errand."""

    step: int
    field: str | None = None
    previous: bool = False

    def __str__(self) -> str:
        return f"{'^' if self.previous else '$'}{self.step}" + (f".{self.field}" if self.field else "")

    @classmethod
    def parse(cls, value: Any) -> Reference | None:
        match = REFERENCE.fullmatch(value) if isinstance(value, str) else None
        return cls(int(match[2]), match[3], match[1] == "^") if match else None


@dataclass(frozen=True)
class Step:
    """One call. `args` is JSON: literals, and references as strings."""

    tool: str
    args: dict[str, Any] = field(default_factory=dict)

    def references(self, spec: ToolSpec) -> list[Reference]:
        """The references among the arguments. A "$1" in a text of the user's is no reference."""
        refers = [self.args[p.name] for p in spec.inputs if p.name in self.args]
        values = [v for a in refers for v in (a if isinstance(a, list) else [a])]
        return [r for v in values if (r := Reference.parse(v))]

    def mapped(self, spec: ToolSpec, change: Callable[[Reference], Reference]) -> Step:
        """The step with its references changed; words of the user that look like one stay as they are."""

        def moved(value: Any) -> Any:
            if isinstance(value, list):
                return [moved(v) for v in value]
            reference = Reference.parse(value)
            return str(change(reference)) if reference else value

        changed = {p.name: moved(self.args[p.name]) for p in spec.inputs if p.name in self.args}
        return Step(self.tool, {**self.args, **changed})


@dataclass(frozen=True)
class Plan:
    """The steps of one errand, in an order in which they may run."""

    steps: tuple[Step, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"steps": [{"tool": s.tool, "args": s.args} for s in self.steps]}

    @property
    def hash(self) -> str:
        """SHA-256 of the canonical JSON: what a confirmation is bound to."""
        text = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()

    @classmethod
    def from_json(cls, data: Any) -> Plan:
        """Raises PlanError on anything but {"steps": [{"tool": str, "args": {…}}, …]}."""
        if not isinstance(data, dict) or not isinstance(data.get("steps"), list) or set(data) - {"steps", "hash"}:
            raise PlanError("plan", 'must be an object {"steps": [{"tool": …, "args": {…}}, …]}')
        steps = []
        for n, step in enumerate(data["steps"], 1):
            if not isinstance(step, dict) or not isinstance(step.get("tool"), str) or set(step) - {"tool", "args"}:
                raise PlanError(f"step {n}", 'must be an object {"tool": name, "args": {…}}')
            if not isinstance(step.get("args", {}), dict):
                raise PlanError(f"step {n}", "args must be an object")
            steps.append(Step(step["tool"], step.get("args", {})))
        return cls(tuple(steps))


def check(plan: Plan, tools: Mapping[str, ToolSpec], *, previous: Sequence[Type] = (),
          said: Sequence[str] | None = None) -> None:  # fmt: skip
    """Raise PlanError at the first fault.

    `previous` are the result types of the session's previous errand, for `^n`. `said` are the texts whose spans
    Spoken arguments must be (this utterance, and the one that a correction corrects); None leaves that to the
    caller, for plans that a person wrote as JSON.
    """
    if len(plan.steps) > MAX_STEPS:
        raise PlanError("plan", f"has {len(plan.steps)} steps; at most {MAX_STEPS} are allowed")
    results: list[ToolSpec] = []
    for n, step in enumerate(plan.steps, 1):
        spec = tools.get(step.tool)
        if spec is None:
            raise PlanError(f"step {n}", f"there is no tool {step.tool!r}; installed are {', '.join(sorted(tools))}")
        for name, value in step.args.items():
            position = f"step {n}, argument {name!r}"
            if name not in spec.by_name:
                known = ", ".join(spec.by_name) or "none"
                raise PlanError(position, f"{step.tool} has no such argument; it has {known}")
            _check_value(value, spec.by_name[name], position, results, previous, said)
        for p in spec.parameters:
            if p.required and p.name not in step.args:
                raise PlanError(f"step {n}", f"{step.tool} lacks its required argument {p.name!r}")
        results.append(spec)


def _check_value(value: Any, p: Parameter, position: str, results: list[ToolSpec], previous: Sequence[Type],
                 said: Sequence[str] | None) -> None:  # fmt: skip
    if value is None and not p.required:
        return
    if p.type.item and isinstance(value, list):
        if p.required and not value:
            raise PlanError(position, "must not be empty")
        for i, element in enumerate(value, 1):
            _check_element(element, p.type.item, f"{position}, element {i}", results, previous, said, p.type)
    else:
        _check_element(value, p.type, position, results, previous, said)


def _check_element(value: Any, type_: Type, position: str, results: list[ToolSpec], previous: Sequence[Type],
                   said: Sequence[str] | None, container: Type | None = None) -> None:  # fmt: skip
    if not type_.is_value:
        reference = Reference.parse(value)
        if reference is None:
            raise PlanError(position, f'must be a reference such as "$1" to a {type_}, not {value!r}')
        given = resolve(reference, position, results, previous)
        if not ((container or type_).takes(given)):
            raise PlanError(position, f"{reference} is a {given}, but a {container or type_} is wanted")
    elif type_.choices:
        if value not in type_.choices:
            raise PlanError(position, f"{value!r} is none of {', '.join(type_.choices)}")
    elif type_.item:
        nested = isinstance(value, list)
        raise PlanError(position, "a list in a list cannot be planned" if nested else f"must be a list, not {value!r}")
    elif not _is_scalar(value, type_.name):
        raise PlanError(position, f"{value!r} is not of type {type_}")
    elif type_.name == "Spoken" and said is not None and not any(is_span(value, text) for text in said):
        raise PlanError(position, f"{value!r} was not said")


def resolve(reference: Reference, position: str, results: Sequence[ToolSpec], previous: Sequence[Type]) -> Type:
    """The type that a reference stands for. Raises PlanError if there is none."""
    if reference.previous:
        if reference.step > len(previous):
            raise PlanError(position, f"{reference}: the previous errand has {len(previous)} steps")
        if reference.field:
            raise PlanError(position, f"{reference}: only whole results of the previous errand can be used")
        return previous[reference.step - 1]
    if reference.step > len(results):
        raise PlanError(position, f"{reference} is not an earlier step")
    spec = results[reference.step - 1]
    if reference.field is None:
        return spec.returns
    if reference.field not in dict(spec.fields):
        raise PlanError(position, f"{reference}: the result of {spec.name} has no field {reference.field!r}")
    return Type.parse(dict(spec.fields)[reference.field])


def is_span(value: str, text: str) -> bool:
    """Whether the words of `value` stand in `text`, whatever their case and spacing."""
    needle, hay = (" ".join(s.split()).casefold() for s in (value, text))
    return bool(needle) and needle in hay


def _is_scalar(value: Any, name: str) -> bool:
    if name == "bool":
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if name == "int":
        return isinstance(value, int)
    if name == "float":
        return isinstance(value, (int, float)) and abs(value) < 1e12
    return isinstance(value, str) and bool(value.strip())
