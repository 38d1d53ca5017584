"""The ways out, against real servers on this machine: what was taken, what surely was not, what cannot be known."""

import datetime as dt
import email
import email.policy
import errno
import hashlib
import http.server
import json
import mailbox
import socket
import threading

import pytest

from assistant.execution.channels import Attached, Message, NotSent, Unsure
from assistant.execution.channels.apprise import Apprise
from assistant.execution.channels.mail import compose, subject
from assistant.execution.channels.outbox import Outbox
from assistant.execution.channels.routes import NoRoute, Routes
from assistant.execution.channels.smtp import Smtp
from assistant.execution.contacts import Person

from . import kit
from .post_office import post_office

ANN = Person("ann", "Ann", emails=("ann@example.org",), phones=("+44 1",), handles={"telegram": "@ann"})


def message(tmp_path, text="Hello", files=(("a.gif", "image/gif", b"GIF89a"),), name="Ann", to="ann@example.org"):
    attached = []
    for n, kind, data in files:
        path = tmp_path / n
        path.write_bytes(data)
        attached.append(Attached(n, kind, len(data), hashlib.sha256(data).hexdigest(), path))
    planned = dt.datetime(2026, 5, 1, 12, tzinfo=dt.UTC)
    return Message("0123abcd", name, to, text, tuple(attached), planned)


# mail


def test_mail_is_the_same_every_time(tmp_path):
    first, second = (compose(message(tmp_path), None).as_bytes() for _ in range(2))
    assert first == second and b"Message-ID: <0123abcd@" in first


def test_mail_cannot_be_injected(tmp_path):
    mail = compose(
        message(tmp_path, text="a\r\nBcc: eve@example.org\r\n\r\nx", name="Ann\r\nBcc: eve@example.org"), None
    )
    parsed = email.message_from_bytes(mail.as_bytes(), policy=email.policy.default)
    assert parsed["Bcc"] is None and parsed["To"].addresses[0].addr_spec == "ann@example.org"


def test_subject(tmp_path):
    assert subject(message(tmp_path, text="one two three")) == "one two three"
    assert subject(message(tmp_path, text="word " * 20)) == " ".join(["word"] * 9) + "…"
    assert subject(message(tmp_path, text="")) == "a.gif"


def test_changed_copy_is_not_sent(tmp_path):
    changed = message(tmp_path)
    (tmp_path / "a.gif").write_bytes(b"other")
    with pytest.raises(NotSent, match="has changed since it was confirmed"):
        compose(changed, None)


# outbox


def test_outbox(tmp_path):
    outbox = Outbox(tmp_path / "outbox")
    assert not outbox.delivered(message(tmp_path))
    for _ in range(2):  # a second time changes nothing
        outbox.send(message(tmp_path))
    assert outbox.delivered(message(tmp_path))
    box = mailbox.Maildir(tmp_path / "outbox", create=False)
    assert len(box) == 1 and next(iter(box))["To"] == "Ann <ann@example.org>"
    [file] = (tmp_path / "outbox" / "new").iterdir()
    assert file.suffix == ".eml" and file.stat().st_mode & 0o077 == 0
    file.rename(tmp_path / "outbox" / "cur" / (file.name + ":2,S"))  # a mail program has shown it
    assert outbox.delivered(message(tmp_path))


def test_outbox_that_cannot_be_written(tmp_path):
    (tmp_path / "outbox").write_text("a file")
    with pytest.raises(NotSent, match="cannot be written"):
        Outbox(tmp_path / "outbox").send(message(tmp_path))


def test_outbox_that_cannot_be_synced(tmp_path, monkeypatch):
    """The message is there, so it must not be called unsent."""

    def broken(folder):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr("assistant.execution.channels.outbox._sync", broken)
    outbox = Outbox(tmp_path / "outbox")
    with pytest.raises(Unsure, match="cannot be synced"):
        outbox.send(message(tmp_path))
    assert outbox.delivered(message(tmp_path))


# SMTP


@pytest.fixture
def post():
    with post_office() as office:
        yield office


def smtp(post):
    return Smtp(f"smtp://127.0.0.1:{post.port}", "me@example.org")


def test_smtp(post, tmp_path):
    text = "Hello\n.\n..two dots\nünïcode"
    smtp(post).send(message(tmp_path, text=text, files=(("ü.gif", "image/gif", bytes(range(256)) * 300),)))
    [(to, content)] = post.mails
    mail = email.message_from_bytes(content, policy=email.policy.default)
    assert to == ["ann@example.org"] and mail["From"] == "me@example.org"
    assert mail.get_body().get_content().splitlines() == text.splitlines()
    assert next(mail.iter_attachments()).get_content() == bytes(range(256)) * 300


@pytest.mark.parametrize(
    ("fault", "error", "retry"),
    [
        ("drop at MAIL", NotSent, True),
        ("450 at RCPT", NotSent, True),
        ("550 at RCPT", NotSent, False),
        ("drop in DATA", NotSent, True),
        ("4xx after DATA", NotSent, True),
        ("5xx after DATA", NotSent, False),
        ("drop after DATA", Unsure, None),
    ],
)
def test_smtp_failures(post, tmp_path, fault, error, retry):
    post.fault = fault
    files = (("big.bin", "application/octet-stream", b"x" * 3_000_000),) if fault == "drop in DATA" else ()
    with pytest.raises(error) as caught:
        smtp(post).send(message(tmp_path, files=files))
    assert getattr(caught.value, "retry", None) == retry
    assert len(post.mails) == (1 if fault == "drop after DATA" else 0)


def test_smtp_address_with_other_letters(post, tmp_path):
    with pytest.raises(NotSent) as caught:
        smtp(post).send(message(tmp_path, to="müller@example.org"))
    assert not caught.value.retry and not post.mails


def test_smtp_nobody_listens(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with pytest.raises(NotSent) as caught:
        Smtp(f"smtp://127.0.0.1:{port}", None).send(message(tmp_path))
    assert caught.value.retry


def test_smtp_url():
    with pytest.raises(ValueError, match="smtp_url must look like"):
        Smtp("http://example.org", None)


# Apprise


@pytest.fixture
def web():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if self.server.fault == "drop":
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(int(self.server.fault or 200))
            self.end_headers()
            self.server.taken.append(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.taken, server.fault = [], ""
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_apprise(web, tmp_path):
    Apprise("chat", f"json://127.0.0.1:{web.server_port}/x").send(message(tmp_path))
    [body] = web.taken
    assert body["message"] == "Hello" and body["attachments"][0]["filename"] == "a.gif"


def test_apprise_failures(web, tmp_path):
    chat = Apprise("chat", f"json://127.0.0.1:{web.server_port}/x")
    web.fault = "403"
    with pytest.raises(NotSent, match="refused"):
        chat.send(message(tmp_path, files=()))
    with pytest.raises(Unsure):  # of several files some may have arrived
        chat.send(message(tmp_path))
    web.fault = "504"
    with pytest.raises(Unsure):  # a gateway does not know
        chat.send(message(tmp_path, files=()))
    web.fault = "drop"
    with pytest.raises(Unsure):
        chat.send(message(tmp_path))
    web.shutdown()
    web.server_close()
    with pytest.raises(NotSent, match="cannot be reached") as caught:
        chat.send(message(tmp_path))
    assert caught.value.retry


def test_apprise_does_not_repeat(web, tmp_path):
    web.fault = "504"
    with pytest.raises(Unsure):
        Apprise("chat", f"json://127.0.0.1:{web.server_port}/x?retry=3").send(message(tmp_path, files=()))
    assert len(web.taken) == 1


def test_apprise_refuses(tmp_path):
    for url in ("dbus://", "syslog://", "nonsense://x", "file:///etc/passwd"):
        with pytest.raises(ValueError, match="none that Apprise can send to"):
            Apprise("x", url)


# routes


def routes(tmp_path, **more):
    return Routes(kit.settings_in(tmp_path, **more))


def test_routes(tmp_path):
    plain = routes(tmp_path)
    assert plain.route(ANN, None).channel == "outbox" and plain.route(ANN, None).address == "ann@example.org"
    with pytest.raises(NoRoute, match=r"no telegram channel; add `telegram"):
        plain.route(ANN, "telegram")
    with pytest.raises(NoRoute, match="no address for Bob"):
        plain.route(Person("bob", "Bob"), None)
    with pytest.raises(NoRoute, match="no e-mail address for Bob"):
        plain.route(Person("bob", "Bob", phones=("1",)), "email")
    assert routes(tmp_path, smtp_url="smtp://127.0.0.1").route(ANN, None).channel == "email"


def test_route_of_a_service(tmp_path):
    chat = routes(tmp_path, channels={"telegram": "json://token:secret@127.0.0.1/{handle}"})
    route = chat.route(ANN, "telegram")
    assert route.address == "@ann" and "secret" not in str(route)
    assert chat.channel(route, ANN).name == "telegram"
    by_phone = routes(tmp_path, channels={"telegram": "json://token:secret@127.0.0.1/{phone}"})
    assert by_phone.route(ANN, "telegram").address == "+441", "what is shown is where it goes"
    fixed = routes(tmp_path, channels={"telegram": "json://127.0.0.1/general"})
    assert "general" in fixed.route(ANN, "telegram").address and "@ann" not in fixed.route(ANN, "telegram").address
    other = routes(tmp_path, channels={"telegram": "json://token:secret@127.0.0.2/{handle}"})
    with pytest.raises(NoRoute, match="has changed since it was confirmed"):
        other.channel(route, ANN)
    with pytest.raises(NoRoute, match="no telegram address for Bob"):
        chat.route(Person("bob", "Bob"), "telegram")


def test_contact_with_an_address_of_its_own(tmp_path):
    person = Person("eve", "Eve", apprise="json://user:secret@127.0.0.1/path")
    route = routes(tmp_path).route(person, None)
    assert route.channel == "contact" and "secret" not in route.address and "secret" not in repr(person)
