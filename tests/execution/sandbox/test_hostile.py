"""Plugins that attack: every attempt is refused or stopped, and nothing outside has changed afterwards."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from assistant.execution.sandbox import Call, Limits, SandboxError, ToolFailed, ToolLimit, ToolTimedOut

from .conftest import KEY, PLUGINS, children

sys.path.insert(0, str(PLUGINS))
import hostile

MIB = 1 << 20
LIMITS = Limits(wall_s=8, cpu_s=6, memory_bytes=512 * MIB, file_bytes=8 * MIB, written_bytes=64 * MIB, files=32)
QUICK = Limits(wall_s=1, cpu_s=5)

# What a limit stops, and what the user is told.
STOPPED: dict[str, tuple[type[ToolFailed], str, Limits]] = {
    "allocate_10_gb": (ToolLimit, "512 MB of memory", LIMITS),
    "loop_forever": (ToolTimedOut, "longer than 1 s", QUICK),
    "sleep_forever": (ToolTimedOut, "longer than 1 s", QUICK),
    "stop_self": (ToolTimedOut, "longer than 1 s", QUICK),
    "ignore_signals_and_loop": (ToolLimit, "1 s of processor time", Limits(wall_s=20, cpu_s=1)),
    "raw_thread_bomb": (ToolLimit, "64 threads", LIMITS),
    "fork_bomb": (ToolFailed, "not permitted", LIMITS),
    "huge_file": (ToolFailed, "File too large", LIMITS),
    "many_large_files": (ToolLimit, "wrote more than", LIMITS),
    "allocate_without_writing": (ToolFailed, "not permitted", LIMITS),
    "many_files": (ToolLimit, "more files", LIMITS),
    "few_too_many_files": (ToolLimit, "more files", LIMITS),
    "deep_folders": (ToolLimit, "folders", LIMITS),
    "output_flood": (ToolLimit, "printed more than", LIMITS),
    "many_descriptors": (ToolFailed, "Too many open files", LIMITS),
    "endless_recursion": (ToolFailed, "SIGSEGV|memory|longer", QUICK),
    "allocate_in_shared_pieces": (ToolFailed, "Cannot allocate memory", LIMITS),
    "crash": (ToolFailed, "SIGSEGV", LIMITS),
    "dump_core": (ToolFailed, "SIGABRT", LIMITS),
    "exit_quietly": (ToolFailed, "without an answer", LIMITS),
    "raise_system_exit": (ToolFailed, "hostile.strike", LIMITS),
    "machine_code_of_another_abi": (ToolFailed, "SIGSYS", LIMITS),
    "call_of_x32": (ToolFailed, "SIGSYS", LIMITS),
    "answer_deep_json": (ToolFailed, "nested deeper", LIMITS),
    "answer_not_a_number": (ToolFailed, "not JSON", LIMITS),
    "answer_huge_number": (ToolFailed, "not JSON", LIMITS),
    "answer_broken_text": (ToolFailed, "not JSON", LIMITS),
    "answer_lone_surrogate": (ToolFailed, "not JSON", LIMITS),
    "answer_unknown_kind": (ToolFailed, "not in the protocol", LIMITS),
    "answer_progress_nonsense": (ToolFailed, "not JSON", LIMITS),
    "answer_progress_of_a_huge_number": (ToolTimedOut, "longer than 1 s", QUICK),
    "answer_progress_of_something_else": (ToolTimedOut, "longer than 1 s", QUICK),
    "answer_failure_nonsense": (ToolFailed, "not JSON", LIMITS),
    "answer_data_for_tool": (ToolFailed, "not in the protocol", LIMITS),
    "answer_claiming_4_gb": (ToolLimit, "4,294,967,295 bytes", LIMITS),
    "answer_flood": (ToolLimit, "progress", LIMITS),
    "file_above": (ToolFailed, "leads out of the workspace", LIMITS),
    "file_absolute": (ToolFailed, "was not given", LIMITS),
    "file_key": (ToolFailed, "was not given", LIMITS),
    "file_dotted_grant": (ToolFailed, "was not given", LIMITS),
    "file_symlink_in_grant": (ToolFailed, "was not given", LIMITS),
    "file_fifo_in_grant": (ToolFailed, "not a plain file", LIMITS),
    "file_missing": (ToolFailed, "does not exist", LIMITS),
    "file_folder": (ToolFailed, "not a plain file", LIMITS),
    "file_zero_byte": (ToolFailed, "zero byte", LIMITS),
    "file_empty": (ToolFailed, "without a path", LIMITS),
    "file_number": (ToolFailed, "without a path", LIMITS),
    "file_proc": (ToolFailed, "was not given", LIMITS),
}
NO_SUCH_CALL = {"read_key_with_openat2", "fork_by_clone3"}  # answered with ENOSYS
HARMLESS = {"answer_and_stay", "locked_folders"}  # succeed, and nothing is left of them
REFUSED = [n for n in hostile.ATTACKS if n not in STOPPED and n not in HARMLESS and n != "thread_bomb"]

# Attacks that succeed where nothing confines, and do no harm there.
REAL = [
    *("read_key", "read_passwd", "read_key_through_symlink", "read_key_through_proc_root", "read_key_through_proc_cwd"),
    *("read_key_through_o_path", "read_key_with_openat2", "list_folder_outside", "connect_tcp", "send_udp"),
    *("connect_unix", "connect_abstract", "send_from_a_datagram_pair", "listen", "socket_by_number", "fork"),
    *("fork_by_clone", "fork_by_clone3", "run_shell", "run_system", "execute_from_memory", "kill_group"),
    *("signal_by_descriptor_owner", "pin_victim", "slow_victim", "survive_the_parent", "make_fifo", "make_symlink"),
    *("append_to_what_is_readable", "create_in_readable_folder", "chmod_outside", "chmod_readable", "utime_outside"),
    *("call_keyctl", "call_shmget", "call_personality", "call_kcmp", "call_inotify_init1", "call_seccomp"),
    *("use_shared_memory_folder", "write_outside", "make_folder_outside", "read_environment_of_all"),
]


def strike(sandbox, world, name, limits=LIMITS, third_party=True):
    call = Call(
        "hostile.strike",
        "hostile",
        "strike",
        {"name": name, "world": json.dumps(world.as_json())},
        third_party=third_party,
        read=(world.granted,),
        limits=limits,
    )
    return sandbox.call_sync(call).value


@pytest.fixture
def unharmed(sandbox, world):
    """Nothing outside changes, nobody was called, the victim lives, no process and no folder is left."""
    before, visits = world.snapshot(), len(world.visits)
    yield
    assert world.snapshot() == before
    assert len(world.visits) == visits
    assert "sleep" in Path(f"/proc/{world.victim}/comm").read_text()
    assert len(children(sandbox._link.process.pid)) <= 1  # the spare one
    assert list(sandbox._workspaces.path.iterdir()) == []


@pytest.mark.parametrize("name", REFUSED)
def test_refused(sandbox, world, unharmed, name):
    with pytest.raises(ToolFailed) as caught:
        strike(sandbox, world, name)
    text = f"{caught.value} {caught.value.traceback}"
    if name in NO_SUCH_CALL:
        assert "not implemented" in text
    elif name == "raise_own_limits":
        assert caught.value.kind in ("ValueError", "PermissionError"), text
    else:
        assert caught.value.kind == "PermissionError", text
    assert KEY not in text


@pytest.mark.parametrize("name", STOPPED)
def test_stopped(sandbox, world, unharmed, name):
    kind, text, limits = STOPPED[name]
    started = time.monotonic()
    with pytest.raises(kind, match=text) as caught:
        strike(sandbox, world, name, limits)
    assert time.monotonic() - started < limits.wall_s + 6
    assert "hostile.strike" in str(caught.value) or "the tool" in str(caught.value)
    if "crashed" in str(caught.value) or "without an answer" in str(caught.value):
        assert caught.value.kind == ""  # nothing is known of what it did before


@pytest.mark.parametrize("name", sorted(HARMLESS))
def test_leaves_nothing(sandbox, world, unharmed, name):
    assert strike(sandbox, world, name).startswith("ESCAPED")


def test_thread_bomb(sandbox, world, unharmed):
    """Stopped by whichever comes first: the number of threads, or the memory for their stacks."""
    with pytest.raises(ToolFailed):
        strike(sandbox, world, "thread_bomb")


def test_there_are_enough_attacks():
    assert len(hostile.ATTACKS) >= 100


@pytest.mark.parametrize("name", REAL)
def test_attack_is_real(loose, world, name):
    """The same code gets through when Landlock and seccomp are off, so the tests above can fail."""
    before = {p: p.stat() for p in world.root.rglob("mine")}
    try:
        assert strike(loose, world, name, third_party=False).startswith("ESCAPED")
    finally:
        for path in (world.outside / "new", world.granted / "new"):
            path.unlink(missing_ok=True)
        if (world.outside / "folder").exists():
            (world.outside / "folder").rmdir()
        (world.granted / "photo").write_text("contents")
        for path, status in before.items():
            path.chmod(status.st_mode)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_service_serves_on(sandbox, world):
    """After all of this an ordinary call still works."""
    with pytest.raises(SandboxError, match="no tool"):
        sandbox.call_sync(Call("hostile.nothing", "hostile", "nothing"))
    assert sandbox.probe().mode == "full"
