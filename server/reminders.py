"""`/reminders`: what the user wanted to be reminded of, and each as it becomes due. `/notes`: what was to be noted."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request
from starlette.responses import Response, StreamingResponse

from assistant.assistant import Assistant
from assistant.execution.errand import Event

from . import events
from .commands import of, problems
from .models import NoteOut, ReminderOut

MISSED = dt.timedelta(days=1)  # a page that is opened for the first time is told of those that became due since
EPOCH = dt.datetime.fromtimestamp(0, dt.UTC)
MICROSECOND = dt.timedelta(microseconds=1)

router = APIRouter(tags=["reminders"])


@router.get("/reminders", response_model=list[ReminderOut], responses=problems())
async def get_reminders(request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Any:
    """Reminders, those that are due last first."""
    found = await asyncio.to_thread(of(request).executor.reminders.all, limit)
    return [reminder.to_json() for reminder in found]


@router.get("/notes", response_model=list[NoteOut], responses=problems())
async def get_notes(request: Request, limit: Annotated[int, Query(ge=1, le=200)] = 50) -> Any:
    """Notes, the newest first."""
    return await asyncio.to_thread(of(request).executor.reminders.notes, limit)


@router.get("/reminders/events", response_class=StreamingResponse,
            responses={**problems(), 200: events.CONTENT})  # fmt: skip
async def get_reminder_events(
    request: Request,
    after: Annotated[int | None, Query(ge=0, le=2**53)] = None,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{0,16}$")] = None,
) -> Response:
    """Server-sent events of type `reminder`, each as it becomes due; first those of the last day, or those since event
    `after` (or `Last-Event-ID`)."""
    seen = int(last_event_id) if last_event_id else after
    since = dt.datetime.now(dt.UTC) - MISSED if seen is None else EPOCH + seen * MICROSECOND
    return events.stream(request, _raised(of(request), since))


async def _raised(assistant: Assistant, since: dt.datetime) -> AsyncIterator[Event]:
    """Ids are the microseconds at which they were raised, so that a page can go on where it was."""
    async for reminder in assistant.executor.raised(since):
        assert reminder.raised is not None
        yield Event((reminder.raised - EPOCH) // MICROSECOND, "reminder", reminder.to_json())
