"""Traces: a span per stage when OpenTelemetry is installed (extra `telemetry`), nothing otherwise."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

try:
    from opentelemetry import trace
except ImportError:  # the extra is not installed
    trace = None  # type: ignore[assignment]


def span(name: str, **attributes: Any) -> AbstractContextManager[Any]:
    """A span around a stage. Attributes are ids and counts, never what was said."""
    if trace is None:
        return nullcontext()
    return trace.get_tracer("assistant").start_as_current_span(name, attributes=attributes)
