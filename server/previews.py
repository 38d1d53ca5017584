"""`/command/{id}/previews`: small pictures of the photos that steps have found. They are no artifacts: the photos stay
where they are, and only who watches the errand sees them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Request
from pydantic import BaseModel, Field
from starlette.responses import Response

from assistant.execution.errand import ErrandState, UnknownErrand
from assistant.execution.preview import pictures, preview
from assistant.execution.sandbox import SandboxError

from .commands import Id, of, problems
from .problems import Problem

MOST = 12

router = APIRouter(tags=["commands"])


class StepPreviews(BaseModel):
    id: int
    count: int = Field(description="how many photos the step has found")
    urls: list[str] = Field(description=f"of the first {MOST}")


class Previews(BaseModel):
    steps: list[StepPreviews]


@router.get("/command/{id}/previews", response_model=Previews, responses=problems(404))
async def list_previews(request: Request, id: Id) -> Previews:
    """The small pictures of each step that has photos."""
    errand = await _errand(request, id)
    found = [(step.id, len(pictures(step.result))) for step in errand.steps] if errand else []
    return Previews(
        steps=[
            StepPreviews(
                id=n, count=count, urls=[f"/command/{id}/previews/{n}/{k}" for k in range(1, min(count, MOST) + 1)]
            )
            for n, count in found
            if count
        ]
    )


@router.get("/command/{id}/previews/{step}/{photo}", response_class=Response,
            responses={**problems(404), 200: {"content": {"image/jpeg": {}}}})  # fmt: skip
async def get_preview(
    request: Request, id: Id, step: Annotated[int, Path(ge=1, le=100)], photo: Annotated[int, Path(ge=1, le=MOST)]
) -> Response:
    """One of them, as a JPEG without metadata."""
    errand = await _errand(request, id)
    found = pictures(errand.steps[step - 1].result) if errand and step <= len(errand.steps) else []
    if photo > len(found):
        raise Problem(404, f"step {step} has no photo {photo}")
    try:
        jpeg = await preview(of(request).sandbox, found[photo - 1])
    except SandboxError as error:
        raise Problem(404, f"there is no picture of photo {photo}: {error}") from None
    return Response(jpeg, media_type="image/jpeg", headers={"Cache-Control": "private, max-age=86400"})


async def _errand(request: Request, id: str) -> ErrandState | None:
    """The errand of a command; None while there is none. Raises UnknownCommand."""
    assistant = of(request)
    try:
        return await assistant.executor.state((await assistant.get(id)).id)
    except UnknownErrand:
        return None
