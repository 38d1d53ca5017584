"""A self-hosted voice assistant that carries out multi-step errands. `assistant.Assistant` is all of it in one."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .assistant import Assistant

__all__ = ["Assistant"]


def __getattr__(name: str) -> Any:
    """Imported at first use: the confined processes import this package, and want little of it."""
    if name == "Assistant":
        from .assistant import Assistant

        return Assistant
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
