"""Who gets in, what is refused, and what never gets out."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI

from assistant.assistant import Assistant
from assistant.config import load_settings
from server import guard, logs
from server.app import create_app
from server.guard import allowed_hosts, is_any, is_loopback
from server.limits import Rate
from server.token import Key, TokenError, load_token

from .conftest import TOKEN, World

RANGES = (
    ("bytes=0-9", 206, 10), ("bytes=250-", 206, 6), ("bytes=-4", 206, 4), ("bytes=300-", 416, None),
    ("bytes=-0", 416, None), ("bytes=9-1", 200, 256), ("lines=1-2", 200, 256), ("bytes=0-1,4-5", 200, 256),
    ("bytes=250-999", 206, 6),
)  # fmt: skip
pytestmark = pytest.mark.asyncio(loop_scope="module")


def routes(app: FastAPI) -> list[tuple[str, str]]:
    """Every (method, path) of the application, mounts included."""
    found = [("GET", "/openapi.json"), ("GET", "/v1/models"), ("POST", "/v1/chat/completions"),
             ("POST", "/v1/audio/transcriptions"), ("GET", "/static/style.css")]  # fmt: skip
    for route in _all(app.routes):
        for method in getattr(route, "methods", None) or ["GET"]:
            found.append((method, _filled(route.path)))
    return found


def _filled(path: str) -> str:
    return path.replace("{id}", "x").replace("{step}", "1").replace("{photo}", "1")


def _all(found: list) -> list:
    """Routes, those of included routers too."""
    out = []
    for route in found:
        inner = getattr(route, "routes", None)
        out += [route] if hasattr(route, "path") and not inner else _all(inner or [])
    return out


async def test_every_route_wants_the_token(world: World) -> None:
    paths = {**world.app.openapi()["paths"]}
    walked = set(routes(world.app)) | {(m.upper(), _filled(p)) for p, methods in paths.items() for m in methods}
    assert len(walked) >= 15
    for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": f"Basic {TOKEN}"},
                    {"Authorization": "Bearer"}, {"Cookie": "assistant-80=wrong"}, {"Cookie": f"assistant-80={TOKEN}"},
                    {"Authorization": f"Bearer {TOKEN[:-1]}"}, {"Authorization": "Bearer \xff"}):  # fmt: skip
        for method, path in sorted(walked):
            raw = {k: v.encode("latin-1") for k, v in headers.items()}
            async with httpx.AsyncClient(
                transport=httpx.ASGITransport(world.app), base_url="http://localhost"
            ) as client:
                answer = await client.request(method, path, headers=raw)
            assert answer.status_code == 401, (method, path, headers)
            assert answer.headers["content-type"] == "application/problem+json" or method == "HEAD"
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_page_and_cookie(world: World) -> None:
    transport = httpx.ASGITransport(world.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost:8080") as browser:
        assert (await browser.get("/")).status_code == 401
        assert (await browser.get("/", params={"token": "wrong"})).status_code == 401
        answer = await browser.get("/", params={"token": TOKEN})
        assert answer.status_code == 303 and answer.headers["location"] == "/"
        cookie = answer.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
        page = await browser.get("/")
        assert page.status_code == 200 and page.headers["content-type"].startswith("text/html")
        assert (await browser.get("/static/style.css")).status_code == 200
        assert (await browser.get("/health")).json()["status"] == "ready"
        # the cookie is no use to another site's page, whatever it can make the browser send
        for headers in ({"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"},
                        {"Sec-Fetch-Site": "same-site"}, {"Origin": "http://localhost:9999"}):  # fmt: skip
            answer = await browser.post("/command", json={"text": "hi"}, headers=headers)
            assert answer.status_code == 403, headers
        for nonsense in ("http://[", "http://]:80", "//"):
            answer = await browser.post("/command", json={"text": "hi"}, headers={"Origin": nonsense})
            assert answer.status_code in (400, 403), nonsense
        ours = cookie.split(";")[0]
        for theirs in ('x={"a": 1}', "user=a b", "a[b]=1", "=1"):  # of other applications on other ports
            alone = httpx.AsyncClient(transport=transport, base_url="http://localhost:8080")
            answer = await alone.get("/health", headers={"Cookie": f"{theirs}; {ours}"})
            assert answer.status_code == 200, theirs
        fine = {"Origin": "http://localhost:8080", "Sec-Fetch-Site": "same-origin"}
        assert (await browser.post("/command", json={"text": "hi"}, headers=fine)).status_code == 200
        elsewhere = await browser.get("http://localhost:9090/health")  # another port is another cookie
        assert elsewhere.status_code == 401


async def test_hosts(world: World) -> None:
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "localhost@evil.example",
                 "evil.example:8080", "[::2]", "local host"):  # fmt: skip
        answer = await world.client.get("/health", headers={"Host": host})
        assert answer.status_code == 421, host
    for host in ("localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]:8080"):
        assert (await world.client.get("/health", headers={"Host": host})).status_code == 200, host
    assert allowed_hosts("0.0.0.0", ["box.lan"]) == {"localhost", "127.0.0.1", "::1", "box.lan"}
    assert "192.168.1.5" in allowed_hosts("192.168.1.5", [])
    assert is_loopback("127.0.0.2") and is_loopback("::1") and not is_loopback("0.0.0.0") and not is_loopback("box")
    assert is_any("0.0.0.0") and is_any("::") and not is_any("127.0.0.1")


async def test_body_limits_hold_while_streaming(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    sent = [0]

    async def endless() -> AsyncIterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="audio"; filename="a"\r\n\r\n'
        while True:
            sent[0] += 1
            yield b"x" * (1 << 20)

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    answer = await world.client.post("/command", content=endless(), headers=headers)
    assert answer.status_code == 413 and sent[0] <= 28 and "25 MB" in answer.json()["detail"]
    declared = {"Content-Length": str(1 << 40), **headers}
    assert (await world.client.post("/command", content=b"x", headers=declared)).status_code == 413
    large = b'{"text": "' + b"x" * (2 << 20) + b'"}'
    answer = await world.client.post("/command", content=large, headers={"Content-Type": "application/json"})
    assert answer.status_code == 413

    async def slow() -> AsyncIterator[bytes]:
        yield b'{"text":'
        await asyncio.sleep(30)

    monkeypatch.setattr(guard, "READ_S", 0.2)
    answer = await world.client.post("/command", content=slow(), headers={"Content-Type": "application/json"})
    assert answer.status_code == 408


async def test_rate(world: World) -> None:
    world.app.state.rate = Rate(3)
    try:
        answers = [await world.client.post("/command", json={"text": "dance"}) for _ in range(5)]
    finally:
        world.app.state.rate = Rate(100_000)
    assert [a.status_code for a in answers] == [200, 200, 200, 429, 429]
    assert 1 <= int(answers[-1].headers["retry-after"]) <= 60


async def test_queue_is_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.assistant.WAITING_LIMIT", 0)
    answer = await world.client.post("/command", json={"text": "dance"})
    assert answer.status_code == 429 and answer.headers["retry-after"] == "5"


async def test_artifacts(world: World) -> None:
    page = b"<!doctype html><script>alert(1)</script>"
    (world.folder / "page").write_bytes(page)
    (world.folder / "gif").write_bytes(b"GIF89a" + bytes(range(250)))
    store = world.assistant.sandbox.artifacts
    html, gif = store.add(world.folder / "page", "x.html"), store.add(world.folder / "gif", "ü\r\nx.gif")
    answer = await world.client.get(f"/artifacts/{html.id}")
    assert (
        answer.headers["content-type"].startswith("text/plain")
        and answer.headers["x-content-type-options"] == "nosniff"
    )
    assert answer.headers["content-disposition"].startswith("attachment")
    assert "sandbox" in answer.headers["content-security-policy"]
    url = f"/artifacts/{gif.id}"
    answer = await world.client.get(url)
    assert (
        answer.headers["content-type"] == "image/gif" and answer.content[:6] == b"GIF89a" and len(answer.content) == 256
    )
    for given, status, length in RANGES:
        answer = await world.client.get(url, headers={"Range": given})
        assert answer.status_code == status, given
        assert length is None or len(answer.content) == length
    assert (await world.client.get(url, headers={"Range": "bytes=300-"})).headers["content-range"] == "bytes */256"
    for id in ("nothing", "..%2f..%2ftoken", "x" * 65, "%00"):
        assert (await world.client.get(f"/artifacts/{id}")).status_code in (404, 422)


async def test_operations(world: World) -> None:
    health = (await world.client.get("/health")).json()
    assert health["status"] == "ready" and health["sandbox"]["mode"] in ("full", "reduced") and health["tools"] >= 10
    tools = (await world.client.get("/tools")).json()
    assert {"photos.select", "messages.send"} <= {t["name"] for t in tools["tools"]}
    await world.command("yodel")
    metrics = (await world.client.get("/metrics")).text
    assert 'assistant_commands_ended_total{status="refused"}' in metrics and "assistant_http_seconds_bucket" in metrics
    document = (await world.client.get("/openapi.json")).json()
    assert {"/command", "/command/{id}/events", "/artifacts/{id}", "/health"} <= set(document["paths"])
    body = document["paths"]["/command"]["post"]["requestBody"]["content"]
    assert set(body) == {"application/json", "multipart/form-data"}
    assert document["components"]["schemas"]["CommandOut"]["examples"]


async def test_no_secrets_in_logs_or_errors(world: World, caplog: pytest.LogCaptureFixture) -> None:
    formatter = logs.JsonLines((TOKEN,))
    with caplog.at_level(logging.DEBUG):
        world.planner.fails("boom", RuntimeError(f"token {TOKEN} smtp://u:hunter2pass@mail"))
        answer = await world.client.post("/command", json={"text": "boom"})
        await world.client.get("/", params={"token": TOKEN})
        await world.client.post("/command", json={"text": "the secret word is xyzzy"})
    written = "\n".join(formatter.format(r) for r in caplog.records if not r.name.startswith("httpx"))
    assert TOKEN not in answer.text and TOKEN not in written and "hunter2pass" not in written
    assert "xyzzy" not in "\n".join(formatter.format(r) for r in caplog.records if r.name.startswith("server"))
    lines = [json.loads(line) for line in written.splitlines()]
    assert any(line.get("status") == 500 and line.get("request_id") for line in lines)
    assert answer.headers["x-request-id"]


async def test_token_file(tmp_path: Path) -> None:
    token, new = load_token(tmp_path)
    assert new and len(token) >= 32 and (tmp_path / "token").stat().st_mode & 0o777 == 0o600
    assert load_token(tmp_path) == (token, False)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(TokenError, match="chmod 600"):
        load_token(tmp_path)
    (tmp_path / "token").chmod(0o600)
    for bad in ("", "short", "x" * 20 + " " + "y" * 20):
        (tmp_path / "token").write_text(bad)
        with pytest.raises(TokenError, match="delete it"):  # so nothing is ever served without a token, loopback or not
            create_app(Assistant(load_settings(home=tmp_path, host="0.0.0.0")))
    key = Key("t" * 40)
    assert key.opens("t" * 40) and not key.opens("") and not key.opens(None) and not key.opens("é")
    assert key.knows(key.cookie) and not key.knows("t" * 40) and not key.knows(None)
