"""`/command`: words or a recording in, a command out; its events, answers and end."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from pydantic import ValidationError
from starlette.datastructures import FormData, UploadFile
from starlette.responses import StreamingResponse

from assistant.assistant import AUDIO_LIMIT, Assistant
from assistant.command import Busy

from . import events
from .models import Answer, CommandOut, CommandText, ProblemOut, Wish
from .problems import Problem

FIELDS = ("text", "session", "approve", "plan_only", "wait")
AUDIO = "wav, flac, mp3, ogg/opus, webm or m4a, at most 25 MB and 120 s"
PROBLEM = {"model": ProblemOut, "content": {"application/problem+json": {"schema": ProblemOut.model_json_schema()}}}
Id = Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$", description="a command's id")]
IdempotencyKey = Annotated[
    str | None,
    Header(pattern=r"^[!-~]{1,200}$", description="the same key with the same request gives the same command"),
]
_PROPERTIES = CommandText.model_json_schema()["properties"]
BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": CommandText.model_json_schema()},
            "multipart/form-data": {
                "schema": {
                    "type": "object", "required": ["audio"], "additionalProperties": False,
                    "properties": {"audio": {"type": "string", "format": "binary", "description": AUDIO},
                                   **{n: _PROPERTIES[n] for n in FIELDS if n != "text"}},
                },
                "example": {"audio": "(the bytes of command.webm)", "session": "kitchen", "wait": 30},
            },
        },
    }
}  # fmt: skip

router = APIRouter(tags=["commands"])


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The error answers of a route, for the OpenAPI document."""
    return {status: PROBLEM for status in (400, 401, 403, 408, 421, 422, *statuses)}


def of(request: Request) -> Assistant:
    """The assistant that the application serves. Raises Problem while it starts."""
    assistant: Assistant = request.app.state.assistant
    if not assistant.ready:
        raise Problem(503, "the service is starting; try again in a few seconds", headers={"Retry-After": "5"})
    return assistant


@router.post("/command", response_model=CommandOut, responses=problems(409, 413, 415, 429, 503), openapi_extra=BODY)
async def post_command(request: Request, response: Response, idempotency_key: IdempotencyKey = None) -> Any:
    """Take a command and carry it out.

    Waits up to `wait` seconds for its end or a question, and answers with how it then stands.
    """
    assistant = of(request)
    seconds = request.app.state.rate.take()
    if seconds:
        limit = assistant.settings.commands_per_minute
        raise Busy(f"more than {limit} commands a minute; try again in {seconds} seconds", seconds)
    wish, text, audio = await _read(request)
    command = await assistant.command(
        text=text, audio=audio, session=wish.session, approve=wish.approve, plan_only=wish.plan_only, wait=wish.wait,
        idempotency_key=idempotency_key,
    )  # fmt: skip
    response.headers["Location"] = f"/command/{command.id}"
    if command.problem is not None:
        raise Problem(
            command.problem["status"], command.problem["detail"], command.problem["title"], command=command.id
        )
    return command.to_json()


@router.get("/command", response_model=list[CommandOut], responses=problems())
async def list_commands(
    request: Request,
    limit: Annotated[int, Query(ge=1, le=200)] = 50,
    session: Annotated[str | None, Query(pattern=r"^[A-Za-z0-9_.:-]{1,100}$")] = None,
) -> Any:
    """Commands, newest first."""
    return [c.to_json() for c in await of(request).history(limit, session)]


@router.get("/command/{id}", response_model=CommandOut, responses=problems(404))
async def get_command(request: Request, id: Id) -> Any:
    """A command as it stands."""
    return (await of(request).get(id)).to_json()


@router.get("/command/{id}/events", response_class=StreamingResponse,
            responses={**problems(404), 200: events.CONTENT,
                       204: {"description": "the command is finished and all its events were seen"}})  # fmt: skip
async def get_events(
    request: Request,
    id: Id,
    after: Annotated[int, Query(ge=0, le=2**53)] = 0,
    last_event_id: Annotated[str | None, Header(pattern=r"^\d{0,16}$")] = None,
) -> Response:
    """Server-sent events: what has happened since event `after` (or `Last-Event-ID`), and what happens until the end.

    Types: status, transcript, plan, step, progress, question, effect, reply, reminder. Ids increase.
    """
    seen = int(last_event_id) if last_event_id else after
    return await events.respond(request, of(request), id, seen)


@router.post("/command/{id}/answer", response_model=CommandOut, responses=problems(404, 409))
async def post_answer(request: Request, id: Id, answer: Answer) -> Any:
    """Answer the open question, and wait as `POST /command` does."""
    given = await of(request).answer(
        id, confirm=answer.confirm, choice=answer.choice, text=answer.text, asked=answer.question, wait=answer.wait
    )
    return given.to_json()


@router.post("/command/{id}/cancel", response_model=CommandOut, responses=problems(404))
async def post_cancel(request: Request, id: Id) -> Any:
    """Cancel a command. What has been sent stays sent; what is finished stays as it is."""
    return (await of(request).cancel(id)).to_json()


async def _read(request: Request) -> tuple[Wish, str | None, bytes | None]:
    """The request's wish with its text or recording. Raises Problem."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        try:
            wish = CommandText.model_validate_json(await request.body())
        except ValidationError as error:
            raise _invalid(error) from None
        return wish, wish.text, None
    if kind == "multipart/form-data":
        async with request.form(max_files=1, max_fields=8, max_part_size=64 << 10) as form:
            return await _form(form)
    raise Problem(415, "send application/json with `text`, or multipart/form-data with `audio`")


async def _form(form: FormData) -> tuple[Wish, str | None, bytes | None]:
    audio = form.get("audio")
    if audio is not None and not isinstance(audio, UploadFile):
        raise Problem(422, "audio: must be a file part (with a filename)")
    if unknown := [n for n in form if n not in (*FIELDS, "audio")]:
        raise Problem(422, f"{unknown[0][:40]}: there is no such field; there are audio, {', '.join(FIELDS)}")
    fields = {n: form[n] for n in FIELDS if n in form}
    if (audio is None) == ("text" not in fields):
        raise Problem(422, "send either a recording as `audio` or words as `text`")
    try:
        if audio is None:
            wish = CommandText.model_validate(fields)
            return wish, wish.text, None
        wish_only = Wish.model_validate(fields)
    except ValidationError as error:
        raise _invalid(error) from None
    data = await audio.read(AUDIO_LIMIT + 1)
    if len(data) > AUDIO_LIMIT:
        raise Problem(413, "the recording has more than 25 MB; send a shorter one, or a compressed format")
    return wish_only, None, data


def _invalid(error: ValidationError) -> Problem:
    errors = [{"where": ".".join(map(str, e["loc"])) or "body", "what": e["msg"]} for e in error.errors()]
    return Problem(422, f"{errors[0]['where']}: {errors[0]['what']}", "The request does not fit", errors=errors[:20])
