"""`assistant ask` and the demo's way through a real service, over HTTP."""

import asyncio
import io

import pytest
from rich.console import Console

from assistant.cli import exits
from assistant.cli.ask import follow
from assistant.cli.demo import RECORDING
from assistant.cli.service import Service, ServiceError, server_sent_events, service_at
from assistant.config import load_settings
from tests.server.conftest import TOKEN
from tests.server.dictated import Dictated
from tests.server.live import live

TO_ALICE = (
    ("photos.select", {"count": 2}),
    ("gif.create", {"photos": "$1"}),
    ("messages.send", {"to": ["Alice"], "attachments": ["$2"]}),
)


@pytest.fixture(scope="module")
def service():
    with live(Dictated()) as running:
        running.planner.says("send a gif to Alice", *TO_ALICE)
        running.planner.says("note that milk is out", ("notes.add", {"text": "milk is out"}))
        yield running


@pytest.fixture
def here(service, world, monkeypatch):
    """The command line as the user of that service calls it."""
    monkeypatch.setenv("ASSISTANT_HOME", str(service.folder / "home"))
    monkeypatch.setenv("ASSISTANT_PORT", str(service.port))
    return service


def test_errand_through_the_running_service(here, cli):
    result = cli("ask", "note that milk is out")
    assert result.code == exits.DONE, result.err
    assert "notes.add" in result.out and "milk is out" in result.out


def test_nobody_to_confirm(here, cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    before = len(here.mails())
    result = cli("ask", "send a gif to Alice", "--json")
    assert result.code == exits.UNANSWERED
    assert "alice@example.org" in result.json()["question"]["text"]
    assert len(here.mails()) == before


def test_approved_beforehand(here, cli):
    before = len(here.mails())
    result = cli("ask", "send a gif to Alice", "--approve", "--json")
    assert (result.code, result.json()["status"]) == (exits.DONE, "done")
    assert len(here.mails()) == before + 1


def test_refused_and_planned_only(here, cli):
    assert cli("ask", "fly me to the moon").code == exits.REFUSED
    result = cli("ask", "send a gif to Alice", "--plan-only", "--json")
    assert (result.code, result.json()["status"], len(result.json()["plan"]["steps"])) == (exits.DONE, "planned", 3)


def test_wrong_input_gets_the_services_reason(here, cli):
    result = cli("ask", " " * 5)
    assert result.code == exits.USAGE and "empty" in result.err
    result = cli("ask", "note that milk is out", "--url", "http://127.0.0.1:1")
    assert result.code == exits.UNAVAILABLE and "does not answer" in result.err


def test_recording_is_understood_and_answered_as_the_demo_does(service):
    """The shipped recording through the real recogniser; what it was heard as is then dictated to the planner."""

    async def errand():
        client, shown, asked = Service(service.url, TOKEN), io.StringIO(), []
        try:
            command = await client.command(audio=RECORDING.read_bytes(), plan_only=True)
            heard, *_ = await follow(client, command["id"], Console(file=shown), quiet=False)
            service.planner.says(heard["transcript"]["text"], *TO_ALICE)
            command = await client.command(audio=RECORDING.read_bytes())

            def yes(question):
                asked.append(question)
                return {"confirm": True}

            done, unanswered, _ = await follow(client, command["id"], Console(file=shown), quiet=False, answer=yes)
        finally:
            await client.aclose()
        return heard["transcript"]["text"].lower(), done, unanswered, asked, shown.getvalue()

    before = len(service.mails())
    text, done, unanswered, asked, shown = asyncio.run(errand())
    assert "photos" in text and "alice" in text
    assert (done["status"], unanswered) == ("done", None)
    assert [q["kind"] for q in asked] == ["confirm"]
    assert "heard" in shown and "gif.create" in shown
    assert len(service.mails()) == before + 1


def test_errors_of_the_service_are_its_own_words(service):
    async def unknown():
        client = Service(service.url, TOKEN)
        try:
            await client.get("nothing")
        finally:
            await client.aclose()

    with pytest.raises(ServiceError, match="there is no command 'nothing'"):
        asyncio.run(unknown())


def test_server_sent_events():
    async def lines():
        for line in ("retry: 2000", "", ": still here", "", "id: 7", "event: step", 'data: {"id": 1}', "", "id: 8"):
            yield line

    async def read():
        return [event async for event in server_sent_events(lines())]

    assert asyncio.run(read()) == [(7, "step", {"id": 1})]


@pytest.mark.parametrize(("host", "url"), [("0.0.0.0", "http://127.0.0.1:8080"), ("::", "http://[::1]:8080"),
                                           ("127.0.0.1", "http://127.0.0.1:8080")])  # fmt: skip
def test_a_service_that_listens_everywhere_is_found_on_this_machine(tmp_path, host, url):
    """As in the container; the service would not answer to the Host 0.0.0.0."""
    (tmp_path / "token").write_text("t" * 40)
    assert service_at(load_settings(home=tmp_path, host=host)).url == url


class Scripted:
    """An assistant whose message may or may not have left when the line broke."""

    async def command(self, **_):
        return {"id": "c"}

    async def get(self, id):
        return {"id": id, "status": "failed", "reply": "I cannot tell whether it was sent.", "question": None}

    async def events(self, id):
        yield "effect", {"id": "e", "step": 1, "name": "send", "state": "sending", "detail": ""}
        yield "effect", {"id": "e", "step": 1, "name": "send", "state": "unknown", "detail": "the line broke"}

    async def aclose(self):
        pass


def test_an_unknown_outcome_has_its_own_exit_code(here, cli, monkeypatch):
    async def connect(settings, url):
        return Scripted()

    monkeypatch.setattr("assistant.cli.ask.connect", connect)
    assert cli("ask", "send a gif to Alice", "--approve").code == exits.UNKNOWN
