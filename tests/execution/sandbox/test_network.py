"""Declared hosts are reachable through the broker, by any client library; nothing else is."""

import http.server
import ipaddress
import socket
import threading

import pytest

from assistant.execution.sandbox import Call, Limits, ToolFailed, broker


@pytest.fixture(scope="module")
def server():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Length", "5")
            self.end_headers()
            self.wfile.write(b"hello")

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()
    server.server_close()


def call(sandbox, name, args, hosts, limits=None):
    return sandbox.call_sync(Call(f"useful.{name}", "useful", name, args, hosts=hosts, limits=limits or Limits())).value


@pytest.mark.parametrize(
    ("name", "more"), [("fetch", {}), ("fetch_with_httpx", {}), ("fetch_with_httpx", {"asynchronous": True})]
)
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_client_libraries_work(sandbox, server, name, more, host):
    args = {"url": f"http://{host}:{server}/", **more}
    assert call(sandbox, name, args, (f"{host}:{server}",)) == "hello"


def test_connection_of_the_context(sandbox, server):
    assert call(sandbox, "talk", {"host": "localhost", "port": server}, (f"LocalHost:{server}",)) == "hello"


@pytest.mark.parametrize("hosts", [("api.example:443",), ("localhost:1",), ("127.0.0.1:443",)])
def test_undeclared_is_refused(sandbox, server, hosts):
    with pytest.raises(ToolFailed, match=f"localhost:{server} is not declared in the plugin's manifest"):
        call(sandbox, "talk", {"host": "localhost", "port": server}, hosts)


def test_without_hosts_there_is_no_network(sandbox, server):
    with pytest.raises(ToolFailed, match="is not declared in the plugin's manifest"):
        call(sandbox, "talk", {"host": "localhost", "port": server}, ())
    with pytest.raises(ToolFailed, match="Operation not permitted"):
        call(sandbox, "fetch", {"url": f"http://127.0.0.1:{server}/"}, ())


def test_unreachable_is_said(sandbox):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(ToolFailed, match=f"127.0.0.1:{port} cannot be reached: .*refused"):
        call(sandbox, "talk", {"host": "127.0.0.1", "port": port}, (f"127.0.0.1:{port}",))


def test_brokered_socket_reaches_only_its_host(sandbox, server, world):
    before = len(world.visits)
    args = {"host": "127.0.0.1", "port": server, "other": world.tcp}
    assert call(sandbox, "reconnect_elsewhere", args, (f"127.0.0.1:{server}",)) == "refused " * 4 + "refused"
    assert len(world.visits) == before


def test_connections_are_counted(sandbox, server):
    args = {"host": "127.0.0.1", "port": server}
    with pytest.raises(ToolFailed, match="too many connections"):
        call(sandbox, "many_connections", args, (f"127.0.0.1:{server}",), Limits(sockets=5))


def test_name_that_points_home_is_refused(monkeypatch):
    """A public name whose address is private (DNS rebinding) is not connected to."""
    for address in ("127.0.0.1", "192.168.1.1", "::1", "::ffff:10.0.0.1", "169.254.169.254"):
        family = socket.AF_INET6 if ":" in address else socket.AF_INET
        found = [(family, socket.SOCK_STREAM, 6, "", (address, 443))]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *a, found=found, **k: found)
        with pytest.raises(PermissionError, match="private address"):
            broker.connect("api.example", 443)


PRIVATE = ["10.1.2.3", "100.64.0.1", "0.0.0.0", "224.0.0.1", "255.255.255.255", "fe80::1", "fc00::1", "ff02::1", "::"]
WRAPPED = ["::ffff:127.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1"]


@pytest.mark.parametrize("address", PRIVATE + WRAPPED)
def test_private_addresses(address):
    assert not broker.public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::5db8:d70e"])
def test_public_addresses(address):
    assert broker.public(ipaddress.ip_address(address))
