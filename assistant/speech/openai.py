"""`POST /v1/audio/transcriptions`, as OpenAI's clients expect it, for any ASGI application to mount.

Formats: json, verbose_json (with `timestamp_granularities` word and segment), text, srt, vtt. The application that
mounts it checks who may call; this module only bounds what is read.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from textwrap import wrap
from typing import Any

from starlette.applications import Starlette
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from . import subtitles
from .errors import AudioTooLarge, SpeechError
from .recogniser import Recogniser
from .types import DecodeLimits, Hints, Transcript

PATH = "/v1/audio/transcriptions"
FORMATS = ("json", "verbose_json", "text", "srt", "vtt")
PART = 70  # characters of a prompt
FORM_BYTES = 64 * 1024  # of a request beside its recording


def transcriptions(recogniser: Recogniser, limits: DecodeLimits | None = None, path: str = PATH) -> Starlette:
    """An ASGI application with one route; `path` is what is left of `/v1/audio/transcriptions` where it is mounted."""
    routes = [Route(path, _endpoint(recogniser, limits or DecodeLimits()), methods=["POST"])]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused})


def _endpoint(recogniser: Recogniser, limits: DecodeLimits) -> Callable[[Request], Awaitable[Response]]:
    most = limits.file_bytes

    async def handle(request: Request) -> Response:
        try:
            _bound(request, most + FORM_BYTES)
            async with request.form(max_files=1, max_fields=20, max_part_size=FORM_BYTES) as form:
                return await _answer(recogniser, form, most)
        except SpeechError as error:
            return error_response(error.status, str(error))
        except ClientDisconnect:
            return error_response(400, "the request ended before the recording did")

    return handle


async def _answer(recogniser: Recogniser, form: FormData, most: int) -> Response:
    upload, wanted = form.get("file"), str(form.get("response_format") or "json")
    if not isinstance(upload, UploadFile):
        raise SpeechError("the form needs a field `file` with the recording", status=400)
    if wanted not in FORMATS:
        raise SpeechError(f"response_format {wanted!r} is none of {', '.join(FORMATS)}", status=400)
    if form.get("stream") in ("true", "True", "1"):
        raise SpeechError("streamed transcription is not offered here; leave `stream` out", status=400)
    audio = await upload.read(most + 1)
    if len(audio) > most:
        raise AudioTooLarge(f"the recording has more than {most / 2**20:.0f} MB")
    hints = biased(recogniser.hints, str(form.get("prompt") or ""))
    transcript = await recogniser.transcribe(
        audio,
        language=str(form.get("language") or "") or None,
        hints=_whisper_only(recogniser, hints),
    )
    return _render(transcript, wanted, form.getlist("timestamp_granularities[]") or ["segment"])


def biased(hints: Hints, prompt: str) -> Hints:
    """The hints with the request's prompt first, in parts that have room in Whisper's: it takes as many as fit."""
    return replace(hints, vocabulary=(*wrap(prompt[:500], PART), *hints.vocabulary))


def _whisper_only(recogniser: Recogniser, hints: Hints) -> Hints:
    """A prompt biases Whisper at no cost; for the offline engine it would mean another language model per request."""
    return hints if recogniser.engine.startswith("whisper:") else recogniser.hints


def _render(transcript: Transcript, wanted: str, granularities: list[Any]) -> Response:
    if wanted == "text":
        return PlainTextResponse(transcript.text + "\n")
    if wanted == "srt":
        return PlainTextResponse(subtitles.srt(transcript))
    if wanted == "vtt":
        return PlainTextResponse(subtitles.vtt(transcript), media_type="text/vtt")
    body: dict[str, Any] = {"text": transcript.text}
    if wanted == "verbose_json":
        body |= {
            "task": "transcribe",
            "language": transcript.language,
            "duration": transcript.duration,
            "confidence": transcript.confidence,
            "engine": transcript.engine,
        }
        if "word" in granularities:
            body["words"] = [
                {"word": w.word, "start": w.start, "end": w.end, "confidence": w.confidence} for w in transcript.words
            ]
        if "segment" in granularities:
            body["segments"] = [
                {
                    "id": number, "seek": 0, "start": start, "end": end, "text": text, "tokens": [], "temperature": 0.0,
                    "avg_logprob": 0.0, "compression_ratio": 1.0, "no_speech_prob": 0.0,
                }
                for number, (start, end, text) in enumerate(subtitles.lines(transcript))
            ]  # fmt: skip
    return JSONResponse(body)


def _bound(request: Request, most: int) -> None:
    """Refuse by the declared length, and cut off a body that has none or lies."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared) > most:
        size = int(declared) / 2**20
        raise AudioTooLarge(f"the request has {size:.0f} MB; at most {most / 2**20:.0f} MB are accepted")
    receive, taken = request._receive, 0

    async def bounded() -> Any:
        nonlocal taken
        message = await receive()
        taken += len(message.get("body", b""))
        if taken > most:
            raise AudioTooLarge(f"the request has more than {most / 2**20:.0f} MB")
        return message

    request._receive = bounded


async def _refused(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return error_response(error.status_code, error.detail, error.headers)


def error_response(status: int, message: str, headers: Mapping[str, str] | None = None) -> Response:
    """An error in OpenAI's form."""
    kind = "invalid_request_error" if status < 500 else "server_error"
    error = {"message": message, "type": kind, "param": None, "code": None}
    return JSONResponse({"error": error}, status, headers)
