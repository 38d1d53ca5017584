"""OpenTelemetry, when the extra `telemetry` is installed and an exporter is configured by its usual variables."""

from __future__ import annotations

import os
from typing import Any

from fastapi import FastAPI


class TelemetryMissing(RuntimeError):
    """An exporter is configured, and the packages for it are not installed."""


def instrument(app: FastAPI) -> bool:
    """A span per request, sent where OTEL_EXPORTER_OTLP_ENDPOINT says; whether that is so. Raises TelemetryMissing
    without the extra."""
    if not os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return False
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TelemetryMissing(
            f"OTEL_EXPORTER_OTLP_ENDPOINT is set, but {error.name} is not installed: "
            "install the extra `telemetry`, or unset it"
        ) from error

    provider = TracerProvider(resource=Resource.create({"service.name": "assistant"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    FastAPIInstrumentor.instrument_app(
        app, excluded_urls="/health,/metrics", exclude_spans=["receive", "send"], server_request_hook=_without_query
    )
    return True


def _without_query(span: Any, scope: dict[str, Any]) -> None:
    """The address of the first visit holds the token, so no address keeps what follows its path."""
    for name in ("http.url", "url.full", "http.target"):
        if (span.attributes or {}).get(name):
            span.set_attribute(name, str(span.attributes[name]).partition("?")[0])
    if "url.query" in (span.attributes or {}):
        span.set_attribute("url.query", "")
