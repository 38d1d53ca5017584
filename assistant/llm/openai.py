"""An OpenAI-compatible surface over an engine: an ASGI application to mount at `/v1`.

    app.mount("/v1", openai.application(engine))      # after the server's own /v1 routes and behind its authentication

`POST /chat/completions` (tools, tool_choice, response_format, streaming, logprobs, usage) and `GET /models`. Prompts
and tool calls follow the checkpoint's own chat template; see `toolcalls.py`. What cannot be served is refused.
"""

from __future__ import annotations

import asyncio
import json
import time
import uuid
from collections.abc import AsyncIterator, Mapping
from typing import Any, Literal

from jinja2 import TemplateError
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request as HttpRequest
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from . import request as llm
from .engine import Engine
from .grammar import BadGrammar, Constraint
from .request import Result, Stream
from .toolcalls import NO_PARAMETERS, Call, Part, Reader, ToolFormat, tool_format


class _Fields(BaseModel):
    @model_validator(mode="before")
    @classmethod
    def _absent(cls, data: Any) -> Any:
        """A field that is null is one that was left out, as in OpenAI's API."""
        return {k: v for k, v in data.items() if v is not None} if isinstance(data, dict) else data


class _Options(_Fields):
    include_usage: bool = False


class _Function(_Fields):
    model_config = ConfigDict(extra="allow")
    name: str = Field(min_length=1)
    description: str = ""
    parameters: dict[str, Any] = NO_PARAMETERS

    @field_validator("parameters")
    @classmethod
    def _object(cls, schema: dict[str, Any]) -> dict[str, Any]:
        return {"type": "object", "properties": {}, **schema}  # as chat templates expect it


class _Tool(_Fields):
    type: Literal["function"]
    function: _Function


class ChatRequest(_Fields):
    """The fields of a chat completion that are understood; others are ignored unless they would change the answer."""

    model_config = ConfigDict(extra="ignore")
    messages: list[dict[str, Any]] = Field(min_length=1)
    model: str = ""
    tools: list[_Tool] = []
    tool_choice: Literal["none", "auto", "required"] | dict[str, Any] | None = None
    parallel_tool_calls: bool = True
    response_format: dict[str, Any] | None = None
    max_tokens: int | None = Field(None, ge=1)
    max_completion_tokens: int | None = Field(None, ge=1)
    temperature: float = Field(1.0, ge=0, le=2)
    top_p: float = Field(1.0, gt=0, le=1)
    top_k: int = Field(0, ge=0)
    min_p: float = Field(0.0, ge=0, le=1)
    seed: int | None = None
    stop: str | list[str] | None = None
    n: int = Field(1, ge=1, le=16)
    stream: bool = False
    stream_options: _Options | None = None
    logprobs: bool = False
    top_logprobs: int | None = Field(None, ge=0, le=20)
    frequency_penalty: Literal[0] = 0
    presence_penalty: Literal[0] = 0
    logit_bias: dict[str, float] = Field({}, max_length=0)


class _Refused(Exception):
    def __init__(self, message: str, status: int = 400, code: str | None = None) -> None:
        super().__init__(message)
        self.status, self.code = status, code


def application(engine: Engine, background: bool = False) -> Starlette:
    """The ASGI application for one engine; the model's name is the checkpoint's folder or hub name. background: its
    requests wait for the engine's other ones (see `Request`)."""
    chat = _Chat(engine, background)
    routes = [Route("/chat/completions", chat.complete, methods=["POST"]), Route("/models", chat.models)]
    return Starlette(routes=routes, exception_handlers={HTTPException: _refused})


async def _refused(_: HttpRequest, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.detail, error.status_code, headers=error.headers)


def _error(
    message: str, status: int, code: str | None = None, headers: Mapping[str, str] | None = None
) -> JSONResponse:
    kind = "invalid_request_error" if status < 500 else "server_error"
    return JSONResponse({"error": {"message": message, "type": kind, "param": None, "code": code}}, status, headers)


class _Chat:
    def __init__(self, engine: Engine, background: bool) -> None:
        self.engine, self.background = engine, background
        self.name = engine.model.name
        self.created = int(time.time())

    async def models(self, _: HttpRequest) -> Response:
        model = {"id": self.name, "object": "model", "created": self.created, "owned_by": "local"}
        return JSONResponse({"object": "list", "data": [model]})

    async def complete(self, http: HttpRequest) -> Response:
        try:
            body = ChatRequest.model_validate(await http.json())
            requests, tools = await asyncio.to_thread(self._requests, body)
            streams = self._submit(requests)
        except ValidationError as error:
            first = error.errors()[0]
            return _error(f"{'.'.join(map(str, first['loc']))}: {first['msg']}", 400)
        except json.JSONDecodeError as error:
            return _error(f"the body is not JSON: {error}", 400)
        except _Refused as error:
            return _error(str(error), error.status, error.code)
        except (BadGrammar, ValueError) as error:
            return _error(str(error), 400)
        except (KeyError, TypeError, AttributeError, RecursionError, TemplateError) as error:
            return _error(f"the request does not have the form that it should ({type(error).__name__}: {error})", 400)
        head = {"id": f"chatcmpl-{uuid.uuid4().hex}", "created": int(time.time()), "model": self.name}
        if body.stream:
            return StreamingResponse(self._events(head, body, streams, tools), media_type="text/event-stream")
        return await self._answer(http, head, body, streams, tools)

    def _submit(self, requests: list[llm.Request]) -> list[Stream]:
        try:
            return [self.engine.submit(request) for request in requests]
        except RuntimeError as error:  # it is closed, or has failed
            raise _Refused(str(error), 503) from None

    def _requests(self, body: ChatRequest) -> tuple[list[llm.Request], ToolFormat | None]:
        """One engine request per choice (each with its own constraint), and how tool calls look, if any may come."""
        tokenizer = self.engine.model.tokenizer
        if tokenizer is None:
            raise _Refused("this checkpoint has no tokenizer, so it cannot chat")
        if body.model not in ("", "default", self.name):
            raise _Refused(f"the model {body.model!r} does not exist; {self.name!r} does", 404, "model_not_found")
        choice = body.tool_choice or ("auto" if body.tools else "none")
        given = [tool.model_dump() for tool in body.tools]
        tools = tool_format(self.engine.model, given) if given and choice != "none" else None
        if choice not in ("auto", "none") and tools is None:
            raise _Refused("tool_choice asks for a call, but there are no tools")
        prompt = tokenizer.chat([_plain(message) for message in body.messages], given if tools else None)
        limit = body.max_completion_tokens or body.max_tokens or self.engine.length
        if body.logprobs:
            self._bytes(0)  # reads the vocabulary, which may take seconds: not in the event loop
        stop = (body.stop,) if isinstance(body.stop, str) else tuple(body.stop or ())
        seed = body.seed if body.seed is not None else uuid.uuid4().int & 0x7FFFFFFF
        requests = [
            llm.Request(
                prompt,
                constraint=self._constraint(body, tools, choice),
                max_tokens=limit,
                temperature=body.temperature,
                top_p=body.top_p,
                top_k=body.top_k,
                min_p=body.min_p,
                seed=seed + i,
                stop=stop,
                background=self.background,
                logprobs=(body.top_logprobs or 0) if body.logprobs else 0,
            )
            for i in range(body.n)
        ]
        return requests, tools

    def _constraint(self, body: ChatRequest, tools: ToolFormat | None, choice: Any) -> Constraint | None:
        schema = _schema(body.response_format or {"type": "text"})
        if tools is None:
            return None if schema is None else self.engine.model.grammars.json_schema(schema)
        if choice != "auto":
            name = choice["function"]["name"] if isinstance(choice, dict) else None
            return tools.required(name, body.parallel_tool_calls)
        if schema is not None:
            return tools.required(None, body.parallel_tool_calls, schema)
        return tools.optional(body.parallel_tool_calls)

    def _reader(self, body: ChatRequest, tools: ToolFormat | None) -> Reader:
        assert self.engine.model.tokenizer is not None
        stops = [body.stop] if isinstance(body.stop, str) else body.stop or []
        return Reader(self.engine.model.tokenizer, stops) if tools is None else tools.reader(stops)

    async def _answer(
        self, http: HttpRequest, head: dict, body: ChatRequest, streams: list[Stream], tools: ToolFormat | None
    ) -> Response:
        gone = asyncio.create_task(_disconnected(http))
        work = asyncio.create_task(_all(streams))
        try:
            await asyncio.wait((gone, work), return_when=asyncio.FIRST_COMPLETED)
            if not work.done():
                work.cancel()
                return _error("the client went away", 499)
            results = work.result()
        except ValueError as error:  # a schema that nothing satisfies
            return _error(str(error), 400)
        except Exception as error:
            return _error(str(error), 500)
        finally:
            gone.cancel()
            for stream in streams:
                stream.cancel()
        choices = [self._choice(i, body, result, tools) for i, result in enumerate(results)]
        return JSONResponse(
            {
                **head,
                "object": "chat.completion",
                "choices": choices,
                "usage": _usage(results),
                "system_fingerprint": None,
            }
        )

    def _choice(self, index: int, body: ChatRequest, result: Result, tools: ToolFormat | None) -> dict[str, Any]:
        text, calls = self._reader(body, tools).read(result.ids)
        message: dict[str, Any] = {"role": "assistant", "content": text or (None if calls else ""), "refusal": None}
        if calls:
            message["tool_calls"] = [_call(call) for call in calls]
        logprobs = {"content": self._logprobs(result.tokens), "refusal": None} if body.logprobs else None
        return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": _reason(result, calls)}

    async def _events(
        self, head: dict, body: ChatRequest, streams: list[Stream], tools: ToolFormat | None
    ) -> AsyncIterator[str]:
        def event(choices: list[dict], **extra: Any) -> str:
            data = {**head, "object": "chat.completion.chunk", "choices": choices, **extra}
            return f"data: {json.dumps(data)}\n\n"

        def delta(index: int, change: dict, reason: str | None = None, logprobs: Any = None) -> dict:
            return {"index": index, "delta": change, "finish_reason": reason, "logprobs": logprobs}

        try:
            for index, stream in enumerate(streams):
                yield event([delta(index, {"role": "assistant", "content": ""})])
                calls: list[Call] = []
                async for part, tokens in _parts(stream, self._reader(body, tools)):
                    logprobs = {"content": self._logprobs(tokens), "refusal": None} if body.logprobs else None
                    change: dict[str, Any] = {"content": part}
                    if isinstance(part, Call):
                        change = {"tool_calls": [{"index": len(calls), **_call(part)}]}
                        calls.append(part)
                    yield event([delta(index, change, logprobs=logprobs)])
                yield event([delta(index, {}, _reason(await stream.wait(), calls))])
            if body.stream_options is not None and body.stream_options.include_usage:
                yield event([], usage=_usage([await stream.wait() for stream in streams]))
            yield "data: [DONE]\n\n"
        except Exception as error:  # the status is already sent
            yield f"data: {json.dumps({'error': {'message': str(error), 'type': 'server_error'}})}\n\n"
        finally:
            for stream in streams:
                stream.cancel()

    def _logprobs(self, tokens: list[llm.Token]) -> list[dict[str, Any]]:
        def entry(token: int, logprob: float) -> dict[str, Any]:
            raw = self._bytes(token)
            text = raw.decode(errors="backslashreplace")  # part of a character shows as \xf0\x9f
            return {"token": text, "logprob": max(logprob, -9999.0), "bytes": list(raw)}

        return [{**entry(t.id, t.logprob), "top_logprobs": [entry(*top) for top in t.top]} for t in tokens]

    def _bytes(self, token: int) -> bytes:
        return self.engine.model.grammars.bytes_of(token)


async def _parts(stream: Stream, reader: Reader) -> AsyncIterator[tuple[Part, list[llm.Token]]]:
    """What comes of an answer, with the tokens since the part before; some may be left that no part comes of."""
    tokens: list[llm.Token] = []
    async for token in stream:
        tokens.append(token)
        for part in reader.push(token.id):
            yield part, tokens
            tokens = []
    for part in reader.end():
        yield part, tokens
        tokens = []
    if tokens:
        yield "", tokens


def _schema(form: dict[str, Any]) -> dict[str, Any] | None:
    """The JSON schema that a response_format asks for; None for text."""
    if form.get("type") == "json_schema":
        schema = (form.get("json_schema") or {}).get("schema")
        if not isinstance(schema, dict):
            raise _Refused("response_format.json_schema.schema is missing")
        return schema
    if form.get("type") == "json_object":
        return {"type": "object"}
    if form.get("type") != "text":
        raise _Refused(f"response_format {form.get('type')!r} is not supported")
    return None


def _plain(message: dict[str, Any]) -> dict[str, Any]:
    """A message as chat templates expect it: content as text, arguments of earlier calls as objects."""
    message = dict(message)
    if isinstance(message.get("content"), list):
        parts = message["content"]
        if any(part.get("type") != "text" for part in parts):
            raise _Refused("only text content is supported")
        message["content"] = "".join(part["text"] for part in parts)
    if message.get("content") is None:
        message["content"] = ""
    if message.get("tool_calls"):
        message["tool_calls"] = [
            {**call, "function": {**call["function"], "arguments": _object(call["function"].get("arguments") or "{}")}}
            for call in message["tool_calls"]
        ]
    return message


def _object(arguments: Any) -> Any:
    try:
        return json.loads(arguments) if isinstance(arguments, str) else arguments
    except json.JSONDecodeError:
        raise _Refused("the arguments of an earlier tool call are not JSON") from None


def _call(call: Call) -> dict[str, Any]:
    function = {"name": call.name, "arguments": json.dumps(call.arguments, ensure_ascii=False)}
    return {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}


def _reason(result: Result, calls: list[Call]) -> str:
    return "tool_calls" if calls and result.finish_reason == "stop" else result.finish_reason


def _usage(results: list[Result]) -> dict[str, Any]:
    prompt, completion = results[0].prompt_tokens, sum(len(result.tokens) for result in results)
    cached = {"cached_tokens": results[0].reused_tokens}
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": cached,
    }


async def _all(streams: list[Stream]) -> list[Result]:
    return [await stream.wait() for stream in streams]


async def _disconnected(http: HttpRequest) -> None:
    while not await http.is_disconnected():
        await asyncio.sleep(0.2)
