"""The network as a confined tool sees it: connections that the broker makes to declared hosts, and nothing else.

`install` also puts such sockets under the standard `socket` module, so that urllib, http.client, httpx, requests and
asyncio clients work unchanged. The kernel refuses `socket(2)` and `connect(2)` in any case.
"""

from __future__ import annotations

import _socket
import json
import os
import socket
import threading
from typing import Any


class Broker:
    """The service's broker, reached through an inherited descriptor."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def connect(self, host: str, port: int) -> socket.socket:
        """A connected TCP socket. Raises PermissionError (not declared) or ConnectionError (not reachable)."""
        with self._lock:
            channel = _Plain(fileno=os.dup(self._fd))
            try:
                channel.send(json.dumps([host, port]).encode())
                reply, fds, _, _ = socket.recv_fds(channel, 4096, 1)
            finally:
                channel.close()
        if not fds:
            kind, text = json.loads(reply) if reply else ("ConnectionError", "the broker has gone")
            raise PermissionError(text) if kind == "PermissionError" else ConnectionError(text)
        return _Plain(fileno=fds[0])


_Plain = socket.socket


class _Brokered(_Plain):
    """A TCP socket that is one half of a pair until `connect` puts the broker's connection in its place."""

    def __init__(self, family: int = -1, type: int = -1, proto: int = -1, fileno: int | None = None) -> None:
        self._partner: Any = None
        if fileno is not None or family == socket.AF_UNIX:
            super().__init__(family, type, proto, fileno)
            return
        if type != -1 and type & 0xF != socket.SOCK_STREAM:
            raise PermissionError("only TCP connections to declared hosts are possible here")
        own, self._partner = _socket.socketpair()
        super().__init__(socket.AF_INET, socket.SOCK_STREAM, 0, own.detach())
        self.settimeout(socket.getdefaulttimeout())

    def connect(self, address: Any) -> None:
        connected = _broker.connect(address[0], int(address[1]))
        os.dup2(connected.fileno(), self.fileno(), inheritable=False)
        connected.close()
        self._partner = None
        self.settimeout(self.gettimeout())

    def connect_ex(self, address: Any) -> int:
        try:
            self.connect(address)
        except OSError as error:
            return error.errno or 111
        return 0

    def setsockopt(self, *args: Any) -> None:
        if self._partner is None:
            super().setsockopt(*args)


def _getaddrinfo(host: Any, port: Any, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0) -> list[Any]:
    """Names stay names: the broker resolves them, and checks the addresses."""
    name = host.decode() if isinstance(host, bytes) else host
    if name is None or type not in (0, socket.SOCK_STREAM):
        raise socket.gaierror(socket.EAI_FAIL, "only TCP connections to declared hosts are possible here")
    number = {"http": 80, "https": 443}.get(port) or int(port or 0)
    return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (name, number))]


_broker: Broker


def install(fd: int) -> None:
    """Make the `socket` module of this process use the broker behind `fd`."""
    global _broker
    _broker = Broker(fd)
    socket.socket = socket.SocketType = _Brokered  # type: ignore[misc, assignment]
    socket.getaddrinfo = _getaddrinfo
