"""A running service as the command line talks to it, and the assistant in this process behind the same four verbs."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import httpx

from assistant.config import Settings

from . import exits

if TYPE_CHECKING:
    from assistant.assistant import Assistant


LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}


class ServiceError(Exception):
    """The service has refused a request; the text is its reason."""


class Service:
    """The HTTP API of a running service. Commands are JSON as in docs/http.md."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"}
        self._http = httpx.AsyncClient(base_url=url, headers=headers, timeout=httpx.Timeout(150, connect=5))
        self.url = url

    async def aclose(self) -> None:
        await self._http.aclose()

    async def command(self, text: str | None = None, audio: bytes | None = None, **fields: Any) -> dict[str, Any]:
        """Give a command; as it stands at once."""
        if audio is not None:
            form = {k: str(v).lower() if isinstance(v, bool) else str(v) for k, v in fields.items()}
            return await self._post("/command", data={**form, "wait": "0"}, files={"audio": ("command", audio)})
        return await self._post("/command", json={"text": text, "wait": 0, **fields})

    async def get(self, id: str) -> dict[str, Any]:
        return await self._json(await self._http.get(f"/command/{id}"))

    async def answer(self, id: str, answer: dict[str, Any], asked: str) -> None:
        await self._post(f"/command/{id}/answer", json={**answer, "question": asked})

    async def cancel(self, id: str) -> None:
        await self._post(f"/command/{id}/cancel")

    async def events(self, id: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """(type, data) of each event, until the command has ended. Reads on where a broken connection ended."""
        last = 0
        while True:
            headers = {"Last-Event-ID": str(last)} if last else {}
            try:
                async with self._http.stream("GET", f"/command/{id}/events", headers=headers) as answer:
                    if answer.is_error:
                        await answer.aread()
                        await self._json(answer)
                    async for number, type_, data in server_sent_events(answer.aiter_lines()):
                        last = number or last
                        yield type_, data
                return
            except (httpx.ReadError, httpx.ReadTimeout, httpx.RemoteProtocolError):
                continue

    async def _post(self, path: str, **body: Any) -> dict[str, Any]:
        return await self._json(await self._http.post(path, **body))

    @staticmethod
    async def _json(answer: httpx.Response) -> dict[str, Any]:
        try:
            found = answer.json()
        except ValueError as error:
            raise ServiceError(f"{answer.url} answered {answer.status_code} without JSON") from error
        if answer.is_error:
            reason = found.get("detail") or found.get("title") if isinstance(found, dict) else None
            raise ServiceError(str(reason or f"{answer.url} answered {answer.status_code}"))
        return dict(found)


class Local:
    """An assistant in this process, behind the verbs of `Service`."""

    def __init__(self, assistant: Assistant) -> None:
        self._assistant = assistant

    async def aclose(self) -> None:
        await self._assistant.aclose()

    async def command(self, text: str | None = None, audio: bytes | None = None, **fields: Any) -> dict[str, Any]:
        return (await self._assistant.command(text=text, audio=audio, wait=0, **fields)).to_json()

    async def get(self, id: str) -> dict[str, Any]:
        return (await self._assistant.get(id)).to_json()

    async def answer(self, id: str, answer: dict[str, Any], asked: str) -> None:
        await self._assistant.answer(id, **answer, asked=asked, wait=0)

    async def cancel(self, id: str) -> None:
        await self._assistant.cancel(id)

    async def events(self, id: str) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        async for event in self._assistant.events(id):
            yield event.type, event.data


async def server_sent_events(lines: AsyncIterator[str]) -> AsyncIterator[tuple[int, str, dict[str, Any]]]:
    """(id, type, data) of each event in a text/event-stream."""
    number, type_, data = 0, "message", ""
    async for line in lines:
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if not line:
            if data:
                yield number, type_, json.loads(data)
            type_, data = "message", ""
        elif field == "id" and value.isdigit():
            number = int(value)
        elif field == "event":
            type_ = value
        elif field == "data":
            data += value


def service_at(settings: Settings, url: str | None = None) -> Service:
    """The running service of a data folder; ends the command when its token is not there."""
    try:
        token = (settings.home / "token").read_text().strip()
    except OSError as error:
        exits.leave(f"{settings.home / 'token'}: {error.strerror}; start the service first", exits.UNAVAILABLE)
    host = LOOPBACK.get(settings.host, settings.host)  # where it listens everywhere, we go the short way
    host = f"[{host}]" if ":" in host else host
    return Service(url or f"http://{host}:{settings.port}", token)
