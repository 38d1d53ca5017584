"""The arguments of a step: references replaced by the results they stand for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assistant.plugin.plan import Reference, Step
from assistant.plugin.signature import ToolSpec, Type

Lookup = Callable[[Reference], Any]


class NothingThere(ValueError):
    """A reference stands for nothing that could be worked with; the message is fit for the user."""


def arguments(step: Step, spec: ToolSpec, lookup: Lookup) -> dict[str, Any]:
    """The step's arguments as typed JSON. Raises NothingThere when a referenced result is an empty list."""
    return {n: _resolve(v, spec.by_name[n].type, lookup) for n, v in step.args.items() if n in spec.by_name}


def _resolve(value: Any, type_: Type, lookup: Lookup) -> Any:
    if value is None or type_.is_value:
        return value
    if not type_.item:
        return _look(value, lookup)
    out: list[Any] = []
    for element in value if isinstance(value, list) else [value]:
        found = _look(element, lookup)
        out.extend(found if isinstance(found, list) else [found])
    return out


def _look(value: Any, lookup: Lookup) -> Any:
    reference = Reference.parse(value)
    if reference is None:
        raise NothingThere(f"{value!r} is not a reference")
    found = lookup(reference)
    if reference.field is not None:
        if not isinstance(found, dict) or reference.field not in found:
            raise NothingThere(f"the result of step {reference.step} has no {reference.field}")
        found = found[reference.field]
    if found is None or found == []:
        where = f"step {reference.step}{' of the previous errand' if reference.previous else ''}"
        raise NothingThere(f"{where} found nothing to work with")
    return found
