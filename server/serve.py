"""`assistant serve`: one process, loopback unless told otherwise, a shutdown that loses nothing."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from typing import Any

import uvicorn
from sqlalchemy.exc import SQLAlchemyError

from assistant.assistant import Assistant
from assistant.config import Settings
from assistant.execution.sandbox import SandboxError

from . import logs
from .app import create_app
from .guard import is_any, is_loopback
from .telemetry import TelemetryMissing
from .token import FILE, load_token

log = logging.getLogger("server")
GRACE_S = 10
SWITCH_S = 0.001  # planning computes in threads; requests need not wait Python's 5 ms for each of them
FORESEEN = (OSError, RuntimeError, ValueError, SQLAlchemyError, SandboxError)  # their texts say what to do


class StartError(RuntimeError):
    """The assistant cannot start; the message says why and what to do."""


def serve(settings: Settings) -> None:
    """Serve until SIGINT or SIGTERM. Raises TokenError, StartError, OSError (the port is taken)."""
    token, new = load_token(settings.home)
    logs.configure(settings, token)
    sys.setswitchinterval(SWITCH_S)
    assistant = Assistant(settings)
    try:
        app = create_app(assistant, token=token)
    except TelemetryMissing as error:
        raise StartError(str(error)) from error
    config = uvicorn.Config(
        app, host=settings.host, port=settings.port, log_config=None, access_log=False, ws="none", server_header=False,
        timeout_graceful_shutdown=GRACE_S, timeout_keep_alive=15, lifespan="off",
    )  # fmt: skip
    if not is_loopback(settings.host):
        log.warning("bound to %s: reachable from other machines, unencrypted; put a TLS proxy before it", settings.host)
    listener = _bind(settings.host, settings.port)
    _Server(config, assistant, token if new else "").run(sockets=[listener])


class _Server(uvicorn.Server):
    """Starts and closes the assistant with itself, says where it is once it serves, and ends event streams and waiting
    when it is to stop."""

    def __init__(self, config: uvicorn.Config, assistant: Assistant, token: str) -> None:
        super().__init__(config)
        self._assistant, self._token = assistant, token

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)  # first, so that `/health` and the page can say that it is starting
        try:
            await self._assistant.start()
        except Exception as error:
            await super().shutdown(sockets)
            if not isinstance(error, FORESEEN):
                log.exception("the assistant cannot start")
            raise StartError(f"the assistant cannot start: {str(error) or type(error).__name__}") from error
        if not self.should_exit and sockets:
            port = sockets[0].getsockname()[1]
            print(_welcome(self._assistant.settings, port, self._token), file=sys.stderr, flush=True)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await super().shutdown(sockets)
        if not self.force_exit:
            await self._assistant.aclose()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """End in order, with status 0; a second Ctrl-C does not wait for clients."""
        self._assistant.leaving.set()
        self.force_exit = self.should_exit and sig == signal.SIGINT
        self.should_exit = True


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
    except OSError as error:
        listener.close()
        how = "choose another with --port" if error.errno == 98 else "check --host"
        raise OSError(f"cannot listen on {host}, port {port}: {os.strerror(error.errno or 0)}; {how}") from error
    listener.set_inheritable(True)
    return listener


def _welcome(settings: Settings, port: int, token: str) -> str:
    host = "127.0.0.1" if is_any(settings.host) else settings.host
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}/"
    if token:
        return f"The assistant is at {address}?token={token}\nShown once; the token is kept in {settings.home / FILE}."
    return f"The assistant is at {address} (open it once with ?token=…, the token is in {settings.home / FILE})."
