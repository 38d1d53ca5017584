"""Calls that behave: values, files, surroundings, progress, several at once, and those that do not end."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from assistant.execution.sandbox import (
    Call,
    Limits,
    Sandbox,
    SandboxInterrupted,
    SandboxOptions,
    SandboxUnavailable,
    ToolFailed,
    ToolLimit,
    ToolTimedOut,
)
from assistant.execution.sandbox.workspace import Workspaces

from .conftest import KEY, UID, children


def call(name, args=None, **more):
    return Call(f"useful.{name}", "useful", name, args or {}, **more)


def becomes(condition, seconds=10.0):
    """Whether the condition is true before the time is over."""
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    return condition()


@pytest.fixture(scope="module")
def photos(base):
    folder = base / "photos"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (400, 300), (80 * i, 90, 200)).save(folder / f"p{i}.jpg")
    folder.chmod(0o700)  # as people's folders are: only the service's user may enter
    return [{"$type": "Photo", "path": str(p), "name": p.name} for p in sorted(folder.iterdir())]


def test_state(sandbox):
    state = sandbox.state()
    assert (state.mode, state.reasons, state.seccomp) == ("full", (), True)
    assert state.landlock_abi > 0
    assert state.uid == UID != 0


def test_values_go_in_and_out(sandbox):
    value = sandbox.call_sync(call("order", {"drink": "tea"})).value
    assert value == {"$type": "useful.Order", "drink": "TEA", "cups": 2}
    assert sandbox.call_sync(call("again", {"order": value})).value == "2 TEA"


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ({"drink": 7}, "argument 'drink'"),
        ({"drink": "tea", "size": 1}, "no argument 'size'"),
        ({"drink": "tea", "cups": "two"}, "argument 'cups'"),
        ({}, "missing 1 required positional argument: 'drink'"),
    ],
)
def test_wrong_arguments_are_named(sandbox, args, text):
    with pytest.raises(ToolFailed, match=text):
        sandbox.call_sync(call("order", args))


def test_surroundings(sandbox, monkeypatch):
    monkeypatch.setenv("SERVICE_SECRET", "never to be seen")
    given = {"now": "2026-07-01T12:00:00+02:00", "timezone": "Asia/Tokyo", "photos": ["/nowhere"]}
    results = [
        json.loads(sandbox.call_sync(call("surroundings", context=given, secrets={"TOKEN": "t"})).value)
        for _ in range(2)
    ]
    first, second = results
    assert first["now"] == given["now"]
    assert (first["zone"], first["local"]) == ("Asia/Tokyo", "JST")
    assert first["secrets"] == {"TOKEN": "t"}
    assert "SERVICE_SECRET" not in first["environ"]
    assert first["uid"] == UID
    assert first["pid"] != second["pid"]
    assert first["random"] != second["random"]


def test_what_a_tool_says_is_rid_of_its_secrets(sandbox):
    secret, told = "s3cret-t0ken", []
    given = call("blab", secrets={"TOKEN": secret})
    result = sandbox.call_sync(given, progress=lambda fraction, text: told.append(text))
    with pytest.raises(ToolFailed) as failed:
        sandbox.call_sync(call("blab", {"fail": True}, secrets={"TOKEN": secret}))
    said = [str(result.value), *told, str(failed.value), failed.value.traceback, failed.value.stderr_tail]
    assert all("[secret]" in s for s in said[:3])
    assert not any(secret in s for s in said)


def test_files(sandbox, photos):
    result = sandbox.call_sync(call("shrink", {"photos": photos}))
    assert [a.name for a in result.artifacts] == ["p0.png", "p1.png", "p2.png"]
    for value, artifact in zip(result.value, result.artifacts, strict=True):
        assert value["media_type"] == artifact.media_type == "image/png"
        assert Path(value["path"]) == artifact.path == sandbox.artifacts.get(artifact.id).path
        assert artifact.bytes == artifact.path.stat().st_size
        with Image.open(artifact.path) as image:
            assert image.size == (32, 24)
    # what one tool made, the next one may read
    animated = sandbox.call_sync(call("animate", {"photos": result.value}))
    assert animated.artifacts[0].name == "holiday.gif"
    with Image.open(animated.artifacts[0].path) as image:
        assert image.n_frames == 3


def test_usual_file_functions_work(sandbox, photos):
    (artifact,) = sandbox.call_sync(call("duplicate", {"photo": photos[0]})).artifacts
    assert artifact.media_type == "application/zip"
    with zipfile.ZipFile(artifact.path) as archive:
        assert archive.read("second/moved.jpg") == Path(photos[0]["path"]).read_bytes()


def test_granted_files_stay_where_they_are(sandbox, photos):
    result = sandbox.call_sync(call("same", {"photos": photos}))
    assert [v["path"] for v in result.value] == [p["path"] for p in photos]
    assert result.artifacts == ()


def test_files_not_named_in_the_arguments_stay_closed(sandbox, photos, world):
    (Path(photos[0]["path"]).parent / "p9.jpg").write_bytes(b"other")
    stranger = [{**photos[0], "path": str(world.outside / "key")}]
    assert sandbox.call_sync(call("same", {"photos": stranger})).value  # named by the executor, so granted
    with pytest.raises(ToolFailed, match="Permission denied"):
        sandbox.run_sync("useful:read_file", str(world.outside / "key").encode())


def test_video_encoder_with_threads(sandbox, photos):
    (artifact,) = sandbox.call_sync(call("film", {"photos": photos})).artifacts
    assert artifact.media_type == "video/mp4"
    assert artifact.bytes > 1000


def test_threads_within_the_limit(sandbox):
    assert sandbox.call_sync(call("threads", {"number": 32})).value == "done"


def test_granted_folder_can_be_written(sandbox, base):
    folder = base / "data"
    folder.mkdir(mode=0o700)
    assert sandbox.call_sync(call("keep", {"text": "x", "folder": str(folder)}, write=(folder,))).value == "x"
    assert sorted(p.name for p in folder.iterdir()) == ["kept", "sub"]
    with pytest.raises(ToolFailed, match="Permission denied"):
        sandbox.call_sync(call("keep", {"text": "x", "folder": str(folder)}))


def test_failure_is_explained(sandbox):
    with pytest.raises(ToolFailed, match=r"useful\.fail: no luck") as caught:
        sandbox.call_sync(call("fail", {"text": "no luck\x1b[2J"}))
    assert caught.value.kind == "ValueError"
    assert "\x1b" not in str(caught.value)
    assert "about to fail" in caught.value.stderr_tail
    assert "in fail" in caught.value.traceback


def test_module_that_is_not_there(sandbox):
    with pytest.raises(ToolFailed, match="'nosuchmodule' is not installed"):
        sandbox.call_sync(Call("a.b", "nosuchmodule", "b"))


def test_nothing_goes_on_after_the_answer(sandbox):
    started = time.monotonic()
    assert sandbox.call_sync(call("leave_a_thread")).value == "returned"
    assert time.monotonic() - started < 30  # the thread would have gone on for a minute


def test_describe(sandbox):
    described = {d["name"]: d for d in sandbox.describe("useful", "drinks")}
    assert described["drinks.order"]["returns"] == "useful.Order"
    assert described["drinks.order"]["third_party"] is True


def test_image_that_would_fill_the_memory(sandbox, photos, base):
    """169 million pixels in a small file: the tool dies, and says why."""
    path = base / "bomb.png"
    Image.new("1", (13_000, 13_000)).save(path)
    assert path.stat().st_size < 100_000
    bomb = {"$type": "Photo", "path": str(path)}
    with pytest.raises(ToolLimit, match=r"useful\.shrink needed more than 128 MB of memory"):
        sandbox.call_sync(call("shrink", {"photos": [bomb]}, limits=Limits(memory_bytes=128 << 20)))


def test_run(sandbox, world):
    payload = os.urandom(3 << 20)
    assert sandbox.run_sync("useful:reverse", payload) == payload[::-1]
    key = str(world.outside / "key")
    assert sandbox.run_sync("useful:read_file", key.encode(), read=[world.outside]).decode() == KEY
    with pytest.raises(ToolLimit, match="at most 1,000 are allowed"):
        sandbox.run_sync("useful:reverse", payload, Limits(data_bytes=1000))
    with pytest.raises(ToolFailed, match="must return bytes"):
        sandbox.run_sync("useful:give_text", b"x")


def test_asynchronous_calls_at_once(sandbox):
    async def main():
        seen = []
        slow = sandbox.call(call("count_slowly", {"steps": 4, "seconds": 0.1}), lambda f, t: seen.append((f, t)))
        quick = [sandbox.call(call("order", {"drink": f"tea {i}"})) for i in range(12)]
        results = await asyncio.gather(slow, *quick, sandbox.run("useful:reverse", b"ab"))
        return seen, results

    seen, results = asyncio.run(main())
    assert seen == [(0.0, "step 0"), (0.25, "step 1"), (0.5, "step 2"), (0.75, "step 3")]
    assert [r.value["drink"] for r in results[1:-1]] == [f"TEA {i}" for i in range(12)]
    assert results[-1] == b"ba"


def test_nothing_is_left_open(sandbox):
    """No descriptors here or in the zygote, whether calls succeed or not."""

    def descriptors():
        return [len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in (os.getpid(), sandbox._link.process.pid)]

    def use():
        sandbox.call_sync(call("order", {"drink": "tea"}, hosts=("localhost:1",)))
        with pytest.raises(ToolFailed):
            sandbox.call_sync(call("fail", {"text": "no"}, hosts=("localhost:1",)))

    use()
    time.sleep(0.5)
    before = descriptors()
    for _ in range(5):
        use()
    assert becomes(lambda: descriptors() == before)


def test_progress_callback_that_raises_ends_the_call(sandbox):
    def progress(fraction, text):
        raise RuntimeError("the caller's own mistake")

    with pytest.raises(RuntimeError, match="own mistake"):
        sandbox.call_sync(call("count_slowly", {"steps": 2, "seconds": 30}), progress)
    assert becomes(lambda: len(children(sandbox._link.process.pid)) == 1)


def test_cancelled_task_kills_the_process(sandbox):
    async def main():
        started = asyncio.Event()
        counting = call("count_slowly", {"steps": 1, "seconds": 50})
        task = asyncio.create_task(sandbox.call(counting, lambda f, t: started.set()))
        await started.wait()
        before = children(zygote)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return before

    zygote = sandbox._link.process.pid
    started = time.monotonic()
    assert len(asyncio.run(main())) == 2
    assert time.monotonic() - started < 30
    assert len(children(zygote)) == 1


def test_limits_are_per_call(sandbox):
    with pytest.raises(ToolTimedOut, match=r"longer than 0\.3 s"):
        sandbox.call_sync(call("count_slowly", {"steps": 1, "seconds": 5}, limits=Limits(wall_s=0.3)))
    with pytest.raises(ToolLimit, match="at most 2,097,152 are allowed"):
        sandbox.call_sync(call("again", {"order": {"$type": "useful.Order", "drink": "x" * (3 << 20), "cups": 1}},
                               limits=Limits(output_bytes=2 << 20)))  # fmt: skip


def test_zygote_that_died_is_started_again(sandbox):
    errors = []
    started = threading.Event()

    def work():
        try:
            sandbox.call_sync(call("count_slowly", {"steps": 1, "seconds": 30}), lambda f, t: started.set())
        except SandboxInterrupted as error:  # not just unavailable: the tool may have acted already
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    assert started.wait(20)
    os.kill(sandbox._link.process.pid, signal.SIGKILL)
    thread.join(10)
    assert "ended unexpectedly" in str(errors[0])
    assert sandbox.call_sync(call("order", {"drink": "tea"})).value["drink"] == "TEA"


def test_waiting_process_that_was_killed_is_replaced(sandbox):
    sandbox.call_sync(call("order", {"drink": "tea"}))
    (spare,) = children(sandbox._link.process.pid)
    os.kill(int(spare), signal.SIGKILL)
    time.sleep(0.1)
    assert sandbox.call_sync(call("order", {"drink": "tea"})).value["drink"] == "TEA"


def test_all_ends_with_the_service(base, plugins):
    """kill -9 of the service while a tool runs: zygote and tool are gone."""
    program = f"""
        import threading, time
        from pathlib import Path
        from assistant.execution.sandbox import *
        s = Sandbox(SandboxOptions(artifacts=Path({str(base / "gone")!r}), module_paths=(Path({str(plugins)!r}),)))
        s.start()
        call = Call("useful.count_slowly", "useful", "count_slowly", {{"steps": 1, "seconds": 60}})
        started = threading.Event()
        threading.Thread(target=s.call_sync, args=(call, lambda f, t: started.set()), daemon=True).start()
        started.wait()
        zygote = s._link.process.pid
        print(zygote, Path(f"/proc/{{zygote}}/task/{{zygote}}/children").read_text(), flush=True)
        time.sleep(60)
    """
    service = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert service.stdout is not None
    pids = service.stdout.readline().split()
    assert len(pids) == 3  # the zygote, the tool, the one for the next call
    service.kill()
    service.communicate()
    assert becomes(lambda: not any(_lives(p) for p in pids))


def _lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_reduced_sandbox_says_so_and_refuses_third_parties(loose):
    state = loose.state()
    assert state.mode == "reduced"
    assert "landlock is switched off by configuration" in state.reasons
    assert "files outside can be read" in state.reasons
    assert state.uid == UID != 0
    with pytest.raises(SandboxUnavailable, match=r"useful\.order is third-party code .* landlock is switched off"):
        loose.call_sync(call("order", {"drink": "tea"}))
    with pytest.raises(SandboxUnavailable, match="third-party plugins need the full sandbox"):
        loose.describe("useful", "drinks")
    own = call("order", {"drink": "tea"}, third_party=False)
    assert loose.call_sync(own).value["drink"] == "TEA"
    with pytest.raises(ToolTimedOut):  # the limits hold in any case
        loose.call_sync(call("count_slowly", {"steps": 1, "seconds": 5}, third_party=False, limits=Limits(wall_s=0.2)))


def test_closed_sandbox(base, plugins):
    sandbox = Sandbox(SandboxOptions(artifacts=base / "closed", module_paths=(plugins,), preload=()))
    with pytest.raises(SandboxUnavailable, match="not been started"):
        sandbox.call_sync(call("order", {"drink": "tea"}))
    with sandbox:
        workspaces = sandbox._workspaces.path
        assert workspaces.exists()
    assert not workspaces.exists()
    with pytest.raises(SandboxUnavailable, match="closed"):
        sandbox.call_sync(call("order", {"drink": "tea"}))


def test_what_a_killed_service_leaves_is_removed_by_the_next(tmp_path):
    code = (
        "import os, pathlib, sys; from assistant.execution.sandbox.workspace import Workspaces\n"
        "space = Workspaces(pathlib.Path(sys.argv[1]), None).new().path\n"
        "(space / 'locked').mkdir(); (space / 'locked' / 'video').write_bytes(b'x'); (space / 'locked').chmod(0)\n"
        "os.kill(os.getpid(), 9)"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path)], check=False)
    [killed] = tmp_path.iterdir()
    living = Workspaces(tmp_path, None)
    assert killed.exists(), "it may be young and not locked yet"
    for folder in (killed, living.path):
        os.utime(folder, (0, 0))
    (tmp_path / "assistant-calls-link").symlink_to("/etc")
    other = Workspaces(tmp_path, None)
    assert not killed.exists() and living.path.exists() and other.path.exists()
    other.remove()
    living.remove()
    assert [f.name for f in tmp_path.iterdir()] == ["assistant-calls-link"]


@pytest.mark.parametrize(
    ("part", "open_", "shut"),
    [
        ("landlock", "files outside can be read", "sockets can be made"),
        ("seccomp", "sockets can be made", "files outside can be read"),
    ],
)
def test_each_half_still_confines_without_the_other(base, part, open_, shut):
    """Built-in tools get what protection there is; the state names what is missing, and nothing is claimed beyond."""
    preload = ("assistant.execution.sandbox.probe",)
    with Sandbox(SandboxOptions(artifacts=base / part, preload=preload, without=frozenset({part}))) as sandbox:
        state = sandbox.state()
        assert state.mode == "reduced"
        assert open_ in state.reasons
        assert shut not in state.reasons
        assert (state.landlock_abi > 0, state.seccomp) == (part != "landlock", part != "seccomp")
        assert state.uid == UID != 0
