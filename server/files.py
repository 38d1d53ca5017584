"""`/artifacts`: what the steps have made, under opaque ids, with the type that the bytes have; and the web page."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path as FilePath
from typing import Annotated

from fastapi import APIRouter, Path, Request
from starlette.responses import FileResponse, Response

from .commands import of, problems
from .problems import Problem, problem

WEB = FilePath(__file__).parent / "web"
SHOWN = ("image/", "video/", "audio/")  # in the page; everything else is saved
BINARY = {"type": "string", "format": "binary"}
RANGE = re.compile(r"bytes=(?:(\d{1,18})-(\d{0,18})|-(\d{1,18}))")
SEALED = "default-src 'none'; img-src 'self'; media-src 'self'; style-src 'unsafe-inline'; sandbox"

router = APIRouter()


@router.get("/artifacts/{id}", tags=["artifacts"], response_class=FileResponse,
            responses={**problems(404, 416), 200: {"content": {"*/*": {"schema": BINARY}}},
                       206: {"description": "the part that `Range` asks for"}})  # fmt: skip
async def get_artifact(request: Request, id: Annotated[str, Path(pattern=r"^[A-Za-z0-9_-]{1,64}$")]) -> Response:
    """A file that a step has made. `Range` is understood."""
    try:
        artifact = await asyncio.to_thread(of(request).artifact, id)
    except KeyError:
        raise Problem(404, f"there is no artifact {id!r}; it may be older than the assistant remembers") from None
    if (refused := _range(request, artifact.bytes)) is not None:
        return refused
    kind = "inline" if artifact.media_type.startswith(SHOWN) else "attachment"
    headers = {"Content-Security-Policy": SEALED, "Cache-Control": "private, max-age=31536000, immutable"}
    return FileResponse(artifact.path, media_type=artifact.media_type, filename=artifact.name, headers=headers,
                        content_disposition_type=kind)  # fmt: skip


@router.get("/", include_in_schema=False)
async def page() -> Response:
    """The web page."""
    if not (WEB / "index.html").is_file():
        raise Problem(404, "the web page is not installed; the service itself works, see GET /openapi.json")
    return FileResponse(
        WEB / "index.html", media_type="text/html; charset=utf-8", headers={"Cache-Control": "no-cache"}
    )


def _range(request: Request, size: int) -> Response | None:
    """The refusal of a range that lies outside; one that is no single range of bytes is taken out of the request."""
    given = request.headers.get("range")
    if given is None:
        return None
    match = RANGE.fullmatch(given.replace(" ", ""))
    backwards = bool(match and match[2] and int(match[2]) < int(match[1]))
    if match is None or backwards:  # RFC 9110, 14.2: an invalid range is ignored
        request.scope["headers"] = [(n, v) for n, v in request.scope["headers"] if n.lower() != b"range"]
        return None
    outside = int(match[1]) >= size if match[1] is not None else int(match[3]) == 0 or size == 0
    if outside:
        return problem(416, f"the file has {size} bytes", headers={"Content-Range": f"bytes */{size}"})
    return None
