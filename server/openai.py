"""The OpenAI-compatible modules under `/v1`, mounted behind our own gate.

They bring their own applications, which need the engine and the recogniser; those are there once the assistant has
started, so each application is made at its first request. Their errors have OpenAI's form, as its clients expect.
"""

from __future__ import annotations

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from assistant.assistant import Assistant
from assistant.command import CommandError
from assistant.speech.openai import error_response, transcriptions

AT_ONCE = 4  # requests of each kind


class Bounded:
    """At most AT_ONCE requests at a time, and none before the assistant has started."""

    def __init__(self, app: ASGIApp, assistant: Assistant) -> None:
        self._app, self._assistant = app, assistant
        self._now = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if not self._assistant.ready:
            answer = error_response(503, "the service is starting; try again in a few seconds", {"Retry-After": "5"})
            return await answer(scope, receive, send)
        if self._now >= AT_ONCE:
            answer = error_response(429, f"{AT_ONCE} such requests are being answered; try again", {"Retry-After": "2"})
            return await answer(scope, receive, send)
        self._now += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._now -= 1


class Speech:
    """`POST /v1/audio/transcriptions`."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant
        self._app: ASGIApp | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if self._app is None:
            try:
                recogniser = await self._assistant.hearing.recogniser()
            except CommandError as error:
                return await error_response(error.status, str(error))(scope, receive, send)
            self._app = transcriptions(recogniser, path="/transcriptions")
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
                return await error_response(503, "this service has no language model of its own")(scope, receive, send)
            self._app = openai.application(self._assistant.engine, background=True)
        await self._app(scope, receive, send)


def mount(app: FastAPI, assistant: Assistant) -> None:
    """Speech before chat, whose mount takes everything else below /v1."""
    app.mount("/v1/audio", Bounded(Speech(assistant), assistant), name="speech")
    app.mount("/v1", Bounded(Chat(assistant), assistant), name="chat")
