"""`assistant run` and `assistant history` on a real sandbox, executor and outbox."""

import email
import email.policy
import io
import os
import pty
import select
import subprocess
import sys
import time

from PIL import Image

from assistant.cli import exits

from .conftest import GIF_TO_ALICE


def test_plan_is_carried_out_and_the_gif_is_in_the_outbox(world, cli):
    result = cli("run", world.plan(GIF_TO_ALICE), "--approve", "--json")
    assert result.code == exits.DONE, result.err
    command = result.json()
    assert [s["status"] for s in command["steps"]] == ["done"] * 3
    [mail] = world.mails()
    message = email.message_from_bytes(mail.read_bytes(), policy=email.policy.default)
    assert "alice@example.org" in message["To"]
    [gif] = [p for p in message.walk() if p.get_content_type() == "image/gif"]
    with Image.open(io.BytesIO(gif.get_payload(decode=True))) as image:
        assert image.n_frames == 5

    [past] = cli("history", "--json").json()
    assert (past["status"], past["id"]) == ("done", command["id"])
    assert [(e["name"], e["state"]) for e in past["effects"]] == [("Alice Smith", "sent")]
    assert "Alice Smith" in " ".join(cli("history").out.split())


def test_nobody_to_confirm_means_nothing_is_sent(world, cli, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO())
    result = cli("run", world.plan(GIF_TO_ALICE))
    assert result.code == exits.UNANSWERED
    assert "alice@example.org" in result.err and "--approve" in result.err
    assert world.mails() == []
    assert [c["status"] for c in cli("history", "--json").json()] == ["cancelled"]


def test_step_that_fails_is_exit_code_1(world, cli):
    plan = {"steps": [{"tool": "photos.select", "args": {"taken": "in the year 1950"}},
                      {"tool": "gif.create", "args": {"photos": "$1"}}]}  # fmt: skip
    result = cli("run", world.plan(plan), "--approve")
    assert result.code == exits.FAILED
    assert "failed" in result.out


def test_wrong_plans_are_refused_before_anything_begins(world, cli, monkeypatch):
    late = {"steps": [{"tool": "gif.create", "args": {"photos": "$2"}}, {"tool": "photos.select", "args": {}}]}
    cases = {
        "{": "line 1, column 2",
        '{"steps": 5}': "must be an object",
        world.folder / "none.json": "No such file",
    }
    for given, expected in cases.items():
        file = world.plan(given) if isinstance(given, str) else given
        result = cli("run", file)
        assert (result.code, expected in result.err) == (exits.USAGE, True), (given, result)
    monkeypatch.setattr("sys.stdin", io.StringIO('{"steps": [{"tool": "rockets.launch", "args": {}}]}'))
    result = cli("run", "-")
    assert result.code == exits.USAGE and "rockets.launch" in result.err
    result = cli("run", world.plan(late))
    assert result.code == exits.USAGE and "step 1, argument 'photos'" in result.err
    assert cli("history", "--json").json() == []


def test_data_folder_in_use(world, cli):
    import fcntl

    world.home.mkdir(mode=0o700)
    with (world.home / "executor.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = cli("run", world.plan({"steps": []}))
    assert result.code == exits.UNAVAILABLE
    assert "another assistant" in result.err


def test_unknown_setting_is_named(world, cli, monkeypatch):
    monkeypatch.setenv("ASSISTANT_PHOTO", "/nowhere")
    result = cli("history")
    assert result.code == exits.USAGE and "ASSISTANT_PHOTO" in result.err


def test_question_on_a_terminal(world):
    """The real program on a pseudo-terminal: “n” declines and sends nothing, “y” sends."""
    plan = world.plan(GIF_TO_ALICE)
    shown, code = on_terminal([sys.executable, "-m", "assistant", "run", plan], b"y/N", b"n\n")
    assert code == exits.CANCELLED, shown
    assert world.mails() == []
    shown, code = on_terminal([sys.executable, "-m", "assistant", "run", plan], b"y/N", b"y\n")
    assert code == exits.DONE, shown
    assert len(world.mails()) == 1
    assert "photos.select" in shown and "alice@example.org" in shown


def on_terminal(command, prompt, answer, seconds=90):
    """Run a program on a terminal of its own and answer its prompt: what it showed, and its exit code."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True)
    os.close(theirs)
    shown, end, answered = b"", time.monotonic() + seconds, False
    while time.monotonic() < end:
        if not select.select([ours], [], [], 1.0)[0]:
            continue
        try:
            shown += os.read(ours, 4096)
        except OSError:  # the program has closed the terminal
            break
        if prompt in shown and not answered:
            answered = True
            os.write(ours, answer)
    else:
        process.kill()
    os.close(ours)
    return shown.decode("utf-8", "replace"), process.wait(timeout=30)
