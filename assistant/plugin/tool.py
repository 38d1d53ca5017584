"""`@tool`: marks a function as something the assistant can do.

The function stays an ordinary function; the decorator checks its signature when the module is loaded.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar, overload

from .signature import SignatureError, ToolSpec, describe

F = TypeVar("F", bound=Callable[..., Any])
MARK = "__assistant_tool__"


@dataclass(frozen=True)
class Marked:
    """What the decorator was told."""

    examples: tuple[str, ...]
    effect: str | None


@overload
def tool(function: F) -> F: ...
@overload
def tool(*, examples: Sequence[str] = (), effect: str | None = None) -> Callable[[F], F]: ...
def tool(function: Any = None, *, examples: Sequence[str] = (), effect: str | None = None) -> Any:
    """Offer a function to the assistant.

    examples: sentences that should lead to it, in the user's words. effect: "read", "create", "send" or
    "delete"; by default what the return type says. Raises SignatureError, naming the parameter at fault.
    """

    def mark(f: F) -> F:
        if isinstance(examples, str):
            raise SignatureError(f"{f.__name__}: examples must be a list of sentences, not one string")
        setattr(f, MARK, Marked(tuple(examples), effect))
        describe(f, f.__name__, effect=effect)
        return f

    return mark(function) if function is not None else mark


def tools_of(module: ModuleType, plugin: str, *, third_party: bool) -> dict[str, tuple[ToolSpec, Callable[..., Any]]]:
    """The tools that a module defines, by their full name `plugin.function`, in the order of definition."""
    found: dict[str, tuple[ToolSpec, Callable[..., Any]]] = {}
    for name, f in vars(module).items():
        marked = getattr(f, MARK, None)
        if marked is not None and inspect.isfunction(f) and name == f.__name__:
            spec = describe(f, f"{plugin}.{name}", examples=marked.examples, effect=marked.effect, plugin=plugin,
                            third_party=third_party)  # fmt: skip
            found[spec.name] = (spec, f)
    return found
