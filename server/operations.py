"""`/tools`, `/health` and `/metrics`: what is installed, how it goes, what was counted."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Any

from fastapi import APIRouter, Request
from prometheus_client import CONTENT_TYPE_LATEST, Counter, Gauge, Histogram, generate_latest
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from assistant.assistant import Assistant
from assistant.metrics import SECONDS

from .commands import of, problems
from .models import Health, Tools

REQUESTS = Counter("assistant_http_requests_total", "Requests answered", ["method", "route", "status"])
LATENCY = Histogram("assistant_http_seconds", "Time to the end of the answer", ["route"], buckets=SECONDS)
WAITING = Gauge("assistant_commands_waiting", "Commands that are being understood or carried out")
METHODS = ("GET", "POST", "HEAD", "PUT", "DELETE", "PATCH", "OPTIONS")

router = APIRouter(tags=["operations"])


class Meter:
    """Counts requests by route, inside the gate: what is refused there is no traffic of ours."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        begun, status = time.perf_counter(), [500]

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, sending)
        finally:
            route = getattr(scope.get("route"), "path", "other")
            method = scope["method"] if scope["method"] in METHODS else "other"
            REQUESTS.labels(method, route, str(status[0])).inc()
            LATENCY.labels(route).observe(time.perf_counter() - begun)


@router.get("/tools", response_model=Tools, responses=problems())
async def get_tools(request: Request) -> Any:
    """The installed tools, and the plugins that cannot be used with the reason."""
    registry = of(request).registry
    tools = [
        {
            "name": s.name, "description": s.description, "effect": s.effect, "plugin": s.plugin,
            "third_party": s.third_party, "examples": list(s.examples), "returns": str(s.returns),
            "parameters": s.schema()["function"]["parameters"],
        }
        for s in registry.values()
    ]  # fmt: skip
    plugins = [
        {"name": p.name, "version": p.version, "third_party": p.third_party, "error": p.error}
        for p in registry.plugins.values()
    ]
    return {"tools": tools, "plugins": plugins}


@router.get("/health", response_model=Health, responses=problems())
async def get_health(request: Request) -> Any:
    """Whether the service is ready, and what works with what."""
    assistant: Assistant = request.app.state.assistant
    if not assistant.ready:
        return {"status": "starting", "version": version("voice-errands"), "planner": {}, "speech": {}, "sandbox": {},
                "tools": 0, "notices": ["the service is starting"]}  # fmt: skip
    sandbox, hearing = assistant.sandbox.state(), assistant.hearing
    engine = assistant.engine
    model = engine.model.name if engine is not None else None
    return {
        "status": "ready",
        "version": version("voice-errands"),
        "planner": {"model": model, "ready": engine is None or engine.alive},
        "speech": {"engine": hearing.engine, "ready": hearing.engine is not None, "problem": hearing.problem},
        "sandbox": {"mode": sandbox.mode, "reasons": list(sandbox.reasons)},
        "tools": len(assistant.registry),
        "notices": notices(assistant),
    }


def notices(assistant: Assistant) -> list[str]:
    """What is missing or reduced, in words for people."""
    found = []
    hearing, sandbox = assistant.hearing, assistant.sandbox.state()
    if hearing.problem:
        found.append(f"Speech does not work: {hearing.problem}")
    elif hearing.engine is None:
        found.append("The recogniser is loading.")
    elif hearing.engine.startswith("pocketsphinx"):
        found.append("The offline recogniser is in use: it understands errands, not free speech.")
    if sandbox.mode == "reduced":
        found.append(f"The tools run in a reduced sandbox: {'; '.join(sandbox.reasons)}.")
    if not assistant.settings.photos:
        found.append("No photo folders are set (ASSISTANT_PHOTOS).")
    if not assistant.settings.contacts:
        found.append("No contacts are set (ASSISTANT_CONTACTS).")
    found += [f"Contacts: {problem}." for problem in assistant.executor.book.problems]
    if not assistant.settings.smtp_url and not assistant.settings.channels:
        found.append("Messages stay in the outbox: no mail server or channel is set.")
    found += [f"The plugin {p.name} cannot be used: {p.error}" for p in assistant.registry.plugins.values() if p.error]
    return found


@router.get("/metrics", response_class=Response, responses={**problems(), 200: {"content": {"text/plain": {}}}})
async def get_metrics(request: Request) -> Response:
    """Prometheus metrics."""
    WAITING.set(of(request).waiting)
    return Response(generate_latest(), media_type=CONTENT_TYPE_LATEST)
