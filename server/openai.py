"""The OpenAI-compatible modules under `/v1`, mounted behind our own gate.

They bring their own applications, which need the engine and the recogniser; those are there once the assistant has
started, so each application is made at its first request. Their errors have OpenAI's form, as its clients expect.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from assistant.assistant import Assistant
from assistant.command import CommandError

from .problems import problem


class Speech:
    """`POST /v1/audio/transcriptions`."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from assistant.speech import openai

            try:
                handle = openai.endpoint(await self._assistant.hearing.recogniser())
            except CommandError as error:
                return await problem(error.status, str(error), error.title)(scope, receive, send)
            self._app = Starlette(routes=[Route("/transcriptions", handle, methods=["POST"])])
        await self._app(scope, receive, send)


class Chat:
    """`POST /v1/chat/completions` and `GET /v1/models`."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            from assistant.llm import openai

            if self._assistant.engine is None:
                return await problem(503, "the language model is not loaded yet; try again in a few seconds",
                                     headers={"Retry-After": "5"})(scope, receive, send)  # fmt: skip
            self._app = openai.application(self._assistant.engine)
        await self._app(scope, receive, send)


def mount(app: FastAPI, assistant: Assistant) -> None:
    """Speech before chat, whose mount takes everything else below /v1."""
    app.mount("/v1/audio", Speech(assistant), name="speech")
    app.mount("/v1", Chat(assistant), name="chat")
