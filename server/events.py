"""Server-sent events with replay."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

from fastapi import Request
from starlette.responses import Response, StreamingResponse

from assistant.assistant import Assistant
from assistant.command import ENDED
from assistant.execution.errand import Event

BEAT_S = 15.0  # a comment so often keeps proxies from closing the stream, and notices readers that have gone
RETRY_MS = 2000
CONTENT = {"content": {"text/event-stream": {"schema": {"type": "string"}}}}  # for the OpenAPI document


async def respond(request: Request, assistant: Assistant, id: str, after: int) -> Response:
    """The stream of a command's events after `after`; 204, which ends a browser's retries, when there is no more."""
    command = await assistant.get(id)
    source = assistant.events(id, after)
    if command.status in ENDED:
        first = await anext(source, None)
        if first is None:
            return Response(status_code=204)
        source = _again(first, source)
    return stream(request, source)


def stream(request: Request, source: AsyncIterator[Event]) -> Response:
    """Events as they come, until there are no more or the service stops."""
    return StreamingResponse(
        _stream(request, source), media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _again(first: Event, rest: AsyncIterator[Event]) -> AsyncIterator[Event]:
    yield first
    async for event in rest:
        yield event


async def _stream(request: Request, source: AsyncIterator[Event]) -> AsyncIterator[str]:
    closing = asyncio.ensure_future(request.app.state.assistant.leaving.wait())
    coming = asyncio.ensure_future(anext(source, None))
    try:
        yield f"retry: {RETRY_MS}\n\n"
        while not closing.done():
            await asyncio.wait({coming, closing}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
            if not coming.done():
                if await request.is_disconnected():
                    return
                yield ": still here\n\n"
                continue
            event = coming.result()
            if event is None:
                return
            coming = asyncio.ensure_future(anext(source, None))
            yield f"id: {event.id}\nevent: {event.type}\ndata: {json.dumps(event.data, ensure_ascii=False)}\n\n"
    finally:
        for task in (coming, closing):
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        with contextlib.suppress(Exception):
            await source.aclose()  # type: ignore[attr-defined]
