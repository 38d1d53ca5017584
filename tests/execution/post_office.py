"""A real SMTP server on loopback that misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import contextlib
import random
import threading
from collections.abc import Iterator
from typing import Any

from aiosmtpd.smtp import SMTP


class PostOffice:
    """What the server has taken: (recipients, bytes). `fault` says at which command it misbehaves, and how."""

    def __init__(self) -> None:
        self.mails: list[tuple[list[str], bytes]] = []
        self.fault = ""
        self.pause_s = 0.0  # at most so long before an answer to the data
        self.port = 0

    async def handle_MAIL(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.fault == "drop at MAIL":
            server.transport.abort()
        envelope.mail_from = address
        return "250 OK"

    async def handle_RCPT(self, server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
        if self.fault.endswith("RCPT"):
            return {"4": "450 later", "5": "550 nobody here"}[self.fault[0]]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.fault in ("5xx after DATA", "4xx after DATA"):
            return "554 not wanted" if self.fault[0] == "5" else "451 later"
        if self.pause_s:
            await asyncio.sleep(random.uniform(0, self.pause_s))
        self.mails.append((list(envelope.rcpt_tos), envelope.content))
        if self.pause_s:
            await asyncio.sleep(random.uniform(0, self.pause_s))
        if self.fault == "drop after DATA":
            server.transport.abort()
        return "250 taken"


class _Server(SMTP):
    async def smtp_DATA(self, arg: str) -> None:
        if self.event_handler.fault == "drop in DATA":
            await self.push("354 go on")
            await self._reader.readline()
            self.transport.abort()
            return
        await super().smtp_DATA(arg)


@contextlib.contextmanager
def post_office() -> Iterator[PostOffice]:
    """The running server; `port` is where it listens on 127.0.0.1."""
    office, loop, ready = PostOffice(), asyncio.new_event_loop(), threading.Event()

    async def serve() -> None:
        server = await loop.create_server(lambda: _Server(office, hostname="loopback", loop=loop), "127.0.0.1", 0)
        office.port = server.sockets[0].getsockname()[1]
        ready.set()

    def run() -> None:
        loop.run_until_complete(serve())
        loop.run_forever()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    ready.wait(10)
    try:
        yield office
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
