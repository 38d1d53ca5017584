"""Traces: the running service sends a span per stage to an OTLP collector, here a small one of our own."""

from __future__ import annotations

import gzip
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.server.conftest import DEMO_COMMAND

from .service import Service, new_service

pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="the extra `telemetry` is not installed")
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and keeps the spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[Any] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Receiver(BaseHTTPRequestHandler):
    server: Collector

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        if self.headers.get("content-encoding") == "gzip":
            body = gzip.decompress(body)
        request = ExportTraceServiceRequest.FromString(body)
        self.server.spans += [s for r in request.resource_spans for scope in r.scope_spans for s in scope.spans]
        answer = ExportTraceServiceResponse().SerializeToString()
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing on the test's output."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    server = Collector()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def traced(library: Path, collector: Collector) -> Iterator[Service]:
    with new_service(library) as running:
        running.environment |= {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_BSP_SCHEDULE_DELAY": "100"}
        yield running.start()


def test_a_spoken_errand_has_a_span_per_stage(traced: Service, collector: Collector) -> None:
    command = traced.speak(DEMO_COMMAND.read_bytes(), "command.flac", approve=True)
    assert command["status"] == "done", command
    token = traced.client.headers["Authorization"].removeprefix("Bearer ")
    assert traced.client.get("/", params={"token": token}).status_code == 303
    assert traced.stop() == 0  # what is not yet sent leaves now
    end = time.monotonic() + 10
    while not any(s.name == "POST /command" for s in collector.spans) and time.monotonic() < end:
        time.sleep(0.1)
    assert any(s.name == "GET /" for s in collector.spans)
    for span in collector.spans:
        assert not any(token in a.value.string_value for a in span.attributes), span.name
    [root] = [s for s in collector.spans if s.name == "POST /command"]
    mine = [s for s in collector.spans if s.trace_id == root.trace_id]
    names = sorted(s.name for s in mine)
    tools = [step["tool"] for step in command["steps"]]
    assert names == sorted(["POST /command", "speech", "plan", "run", "effect", *["tool"] * len(tools)])
    values = {a.value.string_value for s in mine for a in s.attributes if a.key == "tool"}
    assert values == set(tools)
    for span in mine:
        assert span.start_time_unix_nano <= span.end_time_unix_nano
        for attribute in span.attributes:  # nothing that was said
            assert "Alice" not in attribute.value.string_value and "gif of" not in attribute.value.string_value
