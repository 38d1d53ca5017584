"""The same errands on a real PostgreSQL, which is started for the test where its programs are installed."""

import contextlib
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from . import kit
from .crash import Campaign, Kill
from .kit import carry_out
from .post_office import post_office


def programs():
    """The folder of PostgreSQL's programs."""
    places = [
        *sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True),
        Path(shutil.which("initdb") or "x").parent,
    ]
    return next((p for p in places if (p / "initdb").exists() and (p / "postgres").exists()), None)


def account():
    """PostgreSQL refuses to run as root, and as somebody whom the system has no name for. None: nobody is left."""
    if os.geteuid() != 0:
        try:
            pwd.getpwuid(os.geteuid())
        except KeyError:
            return None
        return {}
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            user = pwd.getpwnam(name)
            return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
    return None


@pytest.fixture(scope="module")
def postgres():
    found, who = programs(), account()
    if found is None or who is None:
        pytest.skip("PostgreSQL is not installed, or cannot run as this user")
    folder = Path(tempfile.mkdtemp(prefix="pg-test-"))
    if who:
        os.chown(folder, who["user"], who["group"])
    data = folder / "data"
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "cwd": folder, **who}
    make = [found / "initdb", "-D", data, "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-locale", "-N"]
    subprocess.run(make, check=True, **quiet)
    options = ["-c", f"port={port}", "-c", "listen_addresses=127.0.0.1", "-c", f"unix_socket_directories={folder}"]
    server = subprocess.Popen([found / "postgres", "-D", data, *options], **quiet)
    try:
        import psycopg

        url = f"postgresql://tester@127.0.0.1:{port}/postgres"
        for _ in range(100):
            with contextlib.suppress(psycopg.OperationalError), psycopg.connect(url):
                break
            time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(20)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def database(postgres, request):
    """A database of its own for a test."""
    import psycopg

    name = f"t{abs(hash(request.node.name)) % 10**8}"
    with psycopg.connect(postgres, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}")
    return postgres.rsplit("/", 1)[0] + "/" + name


async def test_errand(folder, errand_sandbox, database):
    async with kit.executor_in(folder, errand_sandbox, database_url=database) as executor:
        state = await carry_out(
            executor,
            ("kit.pictures", {"count": 2}),
            ("kit.bind", {"files": ["$1"]}),
            ("messages.send", {"to": ["Alice"], "text": "hi", "attachments": ["$2"]}),
            ("reminders.add", {"text": "call", "when": "tomorrow at 9"}),
        )
        assert state.question.kind == "confirm"
    async with kit.executor_in(folder, errand_sandbox, database_url=database) as executor:
        await executor.answer(state.id, confirm=True)
        state = await executor.wait(state.id)
        assert state.status == "done", state
        events = [e async for e in executor.events(state.id)]
        assert events[-1].data == {"status": "done"} and len({e.id for e in events}) == len(events)
        assert [s.id for s in await executor.history()] == [state.id]
    assert len(kit.mails(folder)) == 1 and not (folder / "home" / "errands.db").exists()


def test_killed(database):
    """Killed between "sending" and "sent" of the first message."""
    with post_office() as office:
        campaign = Campaign(office, database)
        try:
            assert campaign.round(["e1"], Kill(4, "before"))
            assert not campaign.round(["e1"])
            report = campaign.check()
        finally:
            campaign.close()
    assert report.problems == [] and report.unknown == 1 and report.sent == 1
