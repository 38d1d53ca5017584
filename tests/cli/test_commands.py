"""The command line as a whole: quick to start, tools and approvals, doctor, the demo's look into the outbox."""

import io
import json
import stat
import subprocess
import sys
import textwrap
import tomllib
from email.message import EmailMessage
from importlib.metadata import EntryPoint

import pytest
from PIL import Image
from rich.console import Console

from assistant import doctor
from assistant.cli import exits
from assistant.cli.demo import _library, delivered
from assistant.config import load_settings
from tests.execution.kit import supported


def test_help_imports_nothing_heavy():
    heavy = ("jax", "torch", "dbos", "sqlalchemy", "numpy", "transformers", "fastapi", "whisper", "PIL", "httpx")
    code = f"import assistant.cli, sys; print([m for m in {heavy} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout.strip() == "[]"


def test_every_command_has_help(cli):
    listed = cli("--help")
    assert listed.code == 0
    for name in (
        "serve",
        "run",
        "ask",
        "tools",
        "photos",
        "history",
        "doctor",
        "demo-library",
        "demo",
        "eval",
        "train",
    ):
        assert name in listed.out
        assert cli(name, "--help").code == 0
    assert "0 done" in cli("run", "--help").out


def test_commands_of_third_parties_are_not_mounted(monkeypatch):
    import assistant.cli

    stranger = EntryPoint("evil", "no_such_module:app", "assistant.commands")
    monkeypatch.setattr(assistant.cli, "entry_points", lambda group: [stranger])
    assert assistant.cli._mount() == []


def test_tools_as_json(world, cli):
    found = cli("tools", "--json").json()
    names = {t["name"] for t in found["tools"]}
    assert {"photos.select", "gif.create", "messages.send", "contacts.find", "reminders.add", "notes.add"} <= names
    assert "messages.send" in cli("tools").out


def test_photos_scan(world, cli):
    report = cli("photos", "scan", "--json").json()
    assert (report["photos"], report["read"]) == (7, 7)
    assert cli("photos", "scan", "--json").json()["read"] == 0
    assert "7 photos" in cli("photos", "scan").out


@pytest.fixture
def coffee(world, monkeypatch):
    """A third party's plugin, installed beside the others; it asks for a host and a secret."""
    folder = world.folder / "site"
    package, info = folder / "coffee_machine", folder / "coffee_machine-1.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (package / "__init__.py").write_text(
        textwrap.dedent('''
        from typing import Literal
        from assistant.plugin import context, tool

        @tool(examples=["order a large latte with two sugars"])
        def order(
            drink: Literal["latte", "mocha"], size: Literal["small", "large"] = "small", sugars: int = 0,
            mark: str = "[/]",
        ) -> str:
            """Order a coffee from the office machine."""
            return f"{size} {drink}, {sugars} sugars, paid with {context().secrets['COFFEE_TOKEN'][:4]}"
    ''')
    )
    (package / "assistant-plugin.toml").write_text('hosts = ["coffee.example:443"]\nsecrets = ["COFFEE_TOKEN"]\n')
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: coffee-machine\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[assistant.tools]\ncoffee = coffee_machine\n")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return {"steps": [{"tool": "coffee.order", "args": {"drink": "latte", "size": "large", "sugars": 2}}]}


@pytest.mark.skipif(not supported(), reason="third-party tools need Landlock and seccomp")
def test_plugin_is_approved_given_its_secret_and_run(world, cli, coffee, monkeypatch):
    [listed] = [p for p in cli("tools", "--json").json()["plugins"] if p["name"] == "coffee"]
    assert (listed["third_party"], listed["approved"], listed["error"]) == (True, False, None)
    assert "[/]" in cli("tools").out, "what a plugin says is no markup"

    refused = cli("run", world.plan(coffee), "--json")
    assert refused.code == exits.FAILED
    assert "assistant tools approve coffee" in refused.json()["steps"][0]["summary"]

    monkeypatch.setattr("sys.stdin", io.StringIO())
    assert cli("tools", "approve", "coffee").code == exits.CANCELLED  # nobody has said yes
    approved = cli("tools", "approve", "coffee", "--yes")
    assert approved.code == 0 and "coffee.example:443" in approved.out and "COFFEE_TOKEN" in approved.out

    monkeypatch.setattr("sys.stdin", io.StringIO('COFFEE_TOKEN=abcd"\\ef=gh\n'))
    assert cli("tools", "secrets", "coffee").code == 0
    file = world.home / "plugins.toml"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert tomllib.loads(file.read_text())["coffee"]["COFFEE_TOKEN"] == 'abcd"\\ef=gh'

    done = cli("run", world.plan(coffee), "--json")
    assert done.code == exits.DONE
    assert "large latte, 2 sugars, paid with abcd" in done.json()["steps"][0]["summary"]


def test_secrets_that_are_not_declared_are_refused(world, cli, coffee, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO("OTHER=1\n"))
    result = cli("tools", "secrets", "coffee")
    assert result.code == exits.USAGE and "COFFEE_TOKEN" in result.err
    assert cli("tools", "approve", "nothing").code == exits.USAGE


def test_doctor_finds_faults_and_says_how_to_mend_them(world, cli):
    world.home.mkdir()
    world.home.chmod(0o755)
    (world.home / "token").write_text("x")
    (world.home / "token").chmod(0o644)
    result = cli("doctor", "--json")
    checks = {c["name"]: c for c in json.loads(result.out)["checks"]}
    assert result.code == 1
    assert checks["data folder"]["mend"] == f"chmod 700 {world.home}"
    assert checks["secret files"]["mend"] == f"chmod 600 {world.home / 'token'}"
    assert all(c["mend"] for c in checks.values() if c["status"] == "fail")
    assert checks["sandbox"]["status"] == ("ok" if supported() else "warn")
    assert checks["photos"]["status"] == "ok" and "7 entries" in checks["photos"]["detail"]
    assert checks["contacts"]["detail"] == "1 contacts"
    world.home.chmod(0o700)
    (world.home / "token").chmod(0o600)
    mended = {c["name"]: c for c in json.loads(cli("doctor", "--json").out)["checks"]}
    assert mended["data folder"]["status"] == mended["secret files"]["status"] == "ok"


def test_doctor_takes_paths_as_the_assistant_does(world, cli, monkeypatch):
    """A model in the home directory (~), and a data folder that is yet to be made."""
    monkeypatch.setenv("HOME", str(world.folder))
    (world.folder / "mine").mkdir()
    monkeypatch.setenv("ASSISTANT_MODEL", "~/mine")
    monkeypatch.setenv("ASSISTANT_HOME", str(world.folder / "not" / "yet" / "there"))
    settings = load_settings()
    [planner] = doctor._planner(settings)
    assert planner.status == "fail" and str(world.folder / "mine") in planner.detail
    assert [c.status for c in doctor._disk(settings)] != ["fail", "fail"]


def test_an_interrupted_drawing_is_begun_anew(tmp_path, monkeypatch):
    def interrupted(folder):
        draw(folder)
        raise KeyboardInterrupt

    def draw(folder):
        (folder / "contacts").mkdir(parents=True)  # fails where something is left
        (folder / "a.jpg").write_bytes(b"")

    console = Console(file=io.StringIO())
    monkeypatch.setattr("assistant.cli.demo.draw", interrupted)
    with pytest.raises(KeyboardInterrupt):
        _library(tmp_path / "library", console)
    monkeypatch.setattr("assistant.cli.demo.draw", draw)
    assert (_library(tmp_path / "library", console) / "a.jpg").exists()
    assert [f.name for f in tmp_path.iterdir()] == ["library"]


def test_demo_library_is_not_drawn_over_something(world, cli):
    result = cli("demo-library", world.folder)
    assert result.code == exits.USAGE and "not empty" in result.err


def test_demo_sees_whether_the_gif_is_there(tmp_path):
    frames = [Image.new("RGB", (8, 8), (40 * n, 0, 0)) for n in range(5)]

    def mail(to, frames):
        data = io.BytesIO()
        frames[0].save(data, "GIF", save_all=True, append_images=frames[1:])
        message = EmailMessage()
        message["To"] = to
        message.add_attachment(data.getvalue(), maintype="image", subtype="gif", filename="a.gif")
        file = tmp_path / "mail.eml"
        file.write_bytes(message.as_bytes())
        return delivered(file)

    assert mail("Alice Chen <alice.chen@example.org>", frames).frames == 5
    assert mail("Alice Chen <alice.chen@example.org>", frames[:4]) is None
    assert mail("Bob <bob@example.org>", frames) is None


def test_demo_keeps_away_from_a_data_folder_with_settings(world, cli):
    world.home.mkdir()
    (world.home / "config.toml").write_text('smtp_url = "smtp://example.org"\n')
    result = cli("demo", "--once")
    assert result.code == exits.USAGE and "settings of its own" in result.err
