"""The broker: connects to declared hosts on behalf of a confined tool and passes the connected descriptor."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import socket
import threading

CONNECT_TIMEOUT_S = 10.0

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Refused(PermissionError):
    """The connection is not allowed; the text says why."""


class Broker:
    """Serves one call. hosts: the declared "name:port" strings; sockets: how many connections it may have."""

    def __init__(self, hosts: tuple[str, ...], sockets: int) -> None:
        self._hosts = {_normal(h.rpartition(":")[0]) + ":" + h.rpartition(":")[2] for h in hosts}
        self._left = sockets
        self._own, self.theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._thread = threading.Thread(target=self._serve, name="sandbox-broker", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the service of this call. A connection attempt that is under way ends by its time limit."""
        with contextlib.suppress(OSError):
            self._own.shutdown(socket.SHUT_RDWR)
        self.theirs.close()

    def _serve(self) -> None:
        with self._own, contextlib.suppress(OSError):
            while request := self._own.recv(4096):
                try:
                    connection = self._connect(request)
                except OSError as error:
                    kind = "PermissionError" if isinstance(error, Refused) else "ConnectionError"
                    self._own.send(json.dumps([kind, str(error)[:500]]).encode())
                    continue
                with connection:
                    socket.send_fds(self._own, [b"connected"], [connection.fileno()])

    def _connect(self, request: bytes) -> socket.socket:
        try:
            host, port = json.loads(request)
            name = _normal(str(host))
            number = int(port)
        except (ValueError, TypeError) as error:
            raise Refused("the request names no host and port") from error
        if f"{name}:{number}" not in self._hosts:
            raise Refused(f"{name}:{number} is not declared in the plugin's manifest; add it to `hosts`")
        if self._left <= 0:
            raise Refused("too many connections in one call")
        self._left -= 1
        return connect(name, number)


def connect(name: str, port: int) -> socket.socket:
    """A connection to a public address of `name`; to a private one only if the address itself (or "localhost") is
    what was declared, so that a name cannot be pointed at the home network. Raises Refused or OSError."""
    try:
        found = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConnectionError(f"{name}: no such host ({error})") from error
    problem: OSError = ConnectionError(f"{name} has no address")
    for family, kind, proto, _, address in found:
        ip = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if not public(ip) and not _declared_privately(name, ip):
            problem = Refused(f"{name} is at the private address {ip}; declare the address itself to allow it")
            continue
        connection = socket.socket(family, kind, proto)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(address)
            connection.settimeout(None)
            return connection
        except OSError as error:
            connection.close()
            problem = ConnectionError(f"{name}:{port} cannot be reached: {error}")
    raise problem


def public(ip: Address) -> bool:
    """Whether an address is of the open internet, also when it is wrapped in an IPv6 one."""
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo[1] if ip.teredo else None)
        if inner is None and ip in ipaddress.ip_network("64:ff9b::/96"):
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner is not None:
            return public(inner)
    return ip.is_global and not ip.is_multicast


def _declared_privately(name: str, ip: Address) -> bool:
    if name == "localhost":
        return ip.is_loopback
    try:
        return ipaddress.ip_address(name) == ip
    except ValueError:
        return False


def _normal(host: str) -> str:
    return host.strip("[]").rstrip(".").lower()
