"""The gate that every request passes, before any route sees it.

In this order: the Host (421), where the request comes from (403), the token or its cookie (401), how large and how
slow the body is (413, 408). Pure ASGI, because limits must hold while a body streams in.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Mapping
from ipaddress import ip_address
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from . import logs
from .problems import Problem, problem
from .token import Key

BODY_LIMIT = (25 << 20) + (64 << 10)  # a recording of 25 MB and the form around it
JSON_LIMIT = 1 << 20
READ_S = 30.0
log = logging.getLogger("server")
NO_TOKEN = (
    "send the token: `Authorization: Bearer …` (it lies in the data folder, file `token`), "
    "or open the page's address with it once: /?token=…"
)
WRONG_TOKEN = "this is not the token; the right one lies in the data folder, file `token`"
REALM = 'Bearer realm="assistant"'
HEADERS = {
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "microphone=(self), camera=(), geolocation=()",
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        "connect-src 'self'; font-src 'self'; manifest-src 'self'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
}


class Guard:
    """Wraps the application. hosts: exact names that the Host header may have, without port."""

    def __init__(self, app: ASGIApp, key: Key, hosts: frozenset[str]) -> None:
        self._app, self._key, self._hosts = app, key, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun, status = time.perf_counter(), [0]
        request_id = secrets.token_hex(8)
        logs.request_id.set(request_id)

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                status[0] = message["status"]
                headers = MutableHeaders(scope=message)
                headers["x-request-id"] = request_id
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("cache-control", "no-store")
            await send(message)

        try:
            answer = self.refuse(scope)
            if answer is not None:
                await answer(scope, receive, sending)
            else:
                await self._app(scope, Body(scope, receive), sending)
        except Exception:
            log.exception("%s failed", scope["method"])
            if status[0]:
                raise  # the answer is on its way; uvicorn breaks it off
            text = "something went wrong here; the service's log says what, under this request's id"
            await problem(500, text, request_id=request_id)(scope, receive, sending)
        finally:
            logs.access(scope, status[0], time.perf_counter() - begun)

    def refuse(self, scope: Scope) -> Response | None:
        """The answer to a request that does not pass; None when it does."""
        headers = Headers(scope=scope)
        host = headers.get("host", "")
        if _name(host) not in self._hosts or len(headers.getlist("host")) != 1:
            return problem(421, "this service does not answer to that Host; add its name to allowed_hosts "
                           "(ASSISTANT_ALLOWED_HOSTS)")  # fmt: skip
        if (answer := _foreign(headers, host)) is not None:
            return answer
        if scope["path"] == "/" and scope["method"] == "GET" and (shown := _shown(scope)) is not None:
            return self._welcome(shown, host, secure=scope["scheme"] == "https")
        if not self._known(headers):
            return problem(401, NO_TOKEN, headers={"WWW-Authenticate": REALM})
        return _too_large(headers)

    def _known(self, headers: Headers) -> bool:
        scheme, _, shown = headers.get("authorization", "").partition(" ")
        if scheme:
            return scheme.lower() == "bearer" and self._key.opens(shown.strip())
        cookie = cookie_parser(headers.get("cookie", "")).get(_cookie(headers["host"]))
        return cookie is not None and self._key.knows(cookie)

    def _welcome(self, shown: str, host: str, secure: bool) -> Response:
        """The browser's first visit: the token in the address becomes a cookie and leaves the address."""
        if not self._key.opens(shown):
            return problem(401, WRONG_TOKEN, headers={"WWW-Authenticate": REALM})
        answer = RedirectResponse("/", 303)
        answer.set_cookie(_cookie(host), self._key.cookie, max_age=365 * 86400, httponly=True, samesite="strict",
                          secure=secure, path="/")  # fmt: skip
        return answer


class Body:
    """A request's body with its limits: bytes, and seconds for all of it."""

    def __init__(self, scope: Scope, receive: Receive) -> None:
        headers = Headers(scope=scope)
        self._receive = receive
        self._left = _limit(headers)
        self._end = time.monotonic() + READ_S
        self._over = "content-length" not in headers and "transfer-encoding" not in headers

    async def __call__(self) -> Message:
        if self._over:
            return await self._receive()  # only a disconnect is still to come
        try:
            async with asyncio.timeout(max(0.0, self._end - time.monotonic())):
                message = await self._receive()
        except TimeoutError:
            raise Problem(
                408, f"the request's body did not arrive within {READ_S:.0f} seconds", headers=CLOSE
            ) from None
        self._left -= len(message.get("body", b""))
        if self._left < 0:
            raise Problem(413, "the request's body is too large; a recording may have 25 MB, JSON 1 MB", headers=CLOSE)
        self._over = not message.get("more_body", False)
        return message


CLOSE: Mapping[str, str] = {"Connection": "close"}


def _limit(headers: Headers) -> int:
    return JSON_LIMIT if "json" in headers.get("content-type", "json") else BODY_LIMIT


def _too_large(headers: Headers) -> Response | None:
    length = headers.get("content-length", "0")
    if not length.isdigit():
        return problem(400, "Content-Length is no number", headers=CLOSE)
    if int(length) > _limit(headers):
        return problem(413, "the request's body is too large; a recording may have 25 MB, JSON 1 MB", headers=CLOSE)
    return None


def _foreign(headers: Headers, host: str) -> Response | None:
    """Requests that another site's page made."""
    if headers.get("sec-fetch-site", "none") not in ("same-origin", "none"):
        return problem(403, "another site's page may not use this service")
    origin = headers.get("origin")
    if origin is not None:
        try:
            parts = urlsplit(origin)
        except ValueError:
            return problem(400, "the request's Origin is no address")
        if parts.scheme not in ("http", "https") or parts.netloc.lower() != host.lower():
            return problem(403, "the request's Origin is another site; only this service's own page may use it")
    return None


def _shown(scope: Scope) -> str | None:
    given = parse_qs(scope["query_string"].decode("latin-1")).get("token")
    return given[0] if given else None


def _cookie(host: str) -> str:
    """Cookies are shared by all ports of a host, so the name holds the port."""
    return f"assistant-{urlsplit(f'//{host}').port or 80}"


def _name(host: str) -> str:
    """A Host header without its port, in lower case; empty for nonsense."""
    try:
        parts = urlsplit(f"//{host}")
        _ = parts.port
    except ValueError:
        return ""
    plain = parts.username is None and not parts.path and not parts.query
    return (parts.hostname or "").lower() if plain else ""


def allowed_hosts(host: str, more: list[str]) -> frozenset[str]:
    """The names that a service bound to `host` answers to."""
    names = {"localhost", "127.0.0.1", "::1", *(_name(m) or m.lower() for m in more)}
    if not is_any(host):
        names.add(host.lower())
    return frozenset(names)


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach that address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def is_any(host: str) -> bool:
    """Whether that address stands for all of the machine's."""
    try:
        return ip_address(host).is_unspecified
    except ValueError:
        return not host
