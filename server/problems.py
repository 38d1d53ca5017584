"""Errors as RFC 9457 problem details, all of them: `application/problem+json` with type, title, status, detail."""

from __future__ import annotations

import http
from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI, Request
from fastapi import HTTPException as FastAPIError
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

from assistant.command import Busy, CommandError
from assistant.execution.errand import AnswerError, NotAsked, UnknownErrand

MEDIA_TYPE = "application/problem+json"


class Problem(FastAPIError):
    """An error that is answered as it stands. `members` are extensions of the problem."""

    def __init__(self, status: int, detail: str, title: str = "", headers: Mapping[str, str] | None = None,
                 **members: Any) -> None:  # fmt: skip
        super().__init__(status, detail, dict(headers or {}))
        self.title, self.members = title, members


def problem(status: int, detail: str, title: str = "", headers: Mapping[str, str] | None = None,
            **members: Any) -> JSONResponse:  # fmt: skip
    """The response of a problem. `members` are extensions such as `errors`."""
    body = {"type": "about:blank", "title": title or _phrase(status), "status": status, "detail": detail, **members}
    return JSONResponse(body, status, dict(headers or {}), MEDIA_TYPE)


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return "Error"


def install(app: FastAPI) -> None:
    """Answer every error of the application as a problem."""

    @app.exception_handler(Problem)
    async def _problem(request: Request, error: Problem) -> JSONResponse:
        return problem(error.status_code, error.detail, error.title, error.headers, **error.members)

    @app.exception_handler(HTTPException)
    async def _http(request: Request, error: HTTPException) -> JSONResponse:
        detail = error.detail
        if error.status_code == 404 and detail == "Not Found":
            detail = f"there is nothing at {request.url.path}; GET /openapi.json lists what there is"
        if error.status_code == 405:
            allowed = (error.headers or {}).get("Allow", "another method")
            detail = f"{request.method} is not possible here; use {allowed}"
        return problem(error.status_code, detail, headers=error.headers)

    @app.exception_handler(RequestValidationError)
    async def _invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        errors = [{"where": _where(e["loc"]), "what": e["msg"]} for e in error.errors()]
        first = f"{errors[0]['where']}: {errors[0]['what']}" if errors else "the request does not fit"
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        return problem(422, first + more, "The request does not fit", errors=errors[:20])

    @app.exception_handler(CommandError)
    async def _command(request: Request, error: CommandError) -> JSONResponse:
        headers = {"Retry-After": str(error.retry_after)} if isinstance(error, Busy) else None
        return problem(error.status, str(error), error.title, headers)

    @app.exception_handler(AnswerError)
    async def _answer(request: Request, error: AnswerError) -> JSONResponse:
        return problem(409 if isinstance(error, NotAsked) else 422, str(error), "The answer does not fit")

    @app.exception_handler(UnknownErrand)
    async def _unknown(request: Request, error: UnknownErrand) -> JSONResponse:
        return problem(404, str(error), "No such command")


def _where(place: tuple[Any, ...]) -> str:
    return ".".join(str(p) for p in place if p not in ("body", "query", "path", "header")) or "body"
