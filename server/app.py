"""The service's application.

    app = create_app(Assistant(load_settings()))          # whoever makes it starts and closes the assistant (serve.py)

Every route needs the token (see token.py); the gate of guard.py stands before all of them.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from fastapi import FastAPI
from starlette.staticfiles import StaticFiles

from assistant.assistant import Assistant

from . import commands, files, openai, operations, previews, problems, reminders, telemetry
from .guard import Guard, allowed_hosts
from .limits import Rate
from .token import Key, load_token

ABOUT = """A self-hosted voice assistant that carries out multi-step errands.

All routes need `Authorization: Bearer …`; errors are problem details (RFC 9457)."""


def create_app(assistant: Assistant, *, token: str | None = None) -> FastAPI:
    """The application over an assistant. Until that is started, commands are answered with 503. Raises TokenError."""
    settings = assistant.settings
    if token is None:
        token, _ = load_token(settings.home)

    app = FastAPI(title="Assistant", version=version("voice-errands"), description=ABOUT,
                  docs_url=None, redoc_url=None)  # fmt: skip  # their pages load scripts from other hosts
    app.state.assistant = assistant
    app.state.rate = Rate(settings.commands_per_minute)
    problems.install(app)
    for module in (commands, previews, files, reminders, operations):
        app.include_router(module.router)
    if files.WEB.is_dir():
        app.mount("/static", StaticFiles(directory=files.WEB), name="static")
    openai.mount(app, assistant)
    _describe(app)
    app.add_middleware(operations.Meter)
    app.add_middleware(Guard, key=Key(token), hosts=allowed_hosts(settings.host, settings.allowed_hosts))
    telemetry.instrument(app)
    return app


def _describe(app: FastAPI) -> None:
    """Put the token into the OpenAPI document."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        document = plain()
        schemes = {"token": {"type": "http", "scheme": "bearer"}}
        document.setdefault("components", {})["securitySchemes"] = schemes
        document["security"] = [{"token": []}]
        return document

    app.openapi = openapi  # type: ignore[method-assign]
