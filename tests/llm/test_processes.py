"""Two processes over gloo: the same tokens as one, and a lost rank ends the other with an error, never a hang."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from assistant.llm import Engine, Request, load

LIMIT = 30  # seconds in which the survivor must end


def start(folder, task):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{probe.getsockname()[1]}"
    environment = {**os.environ, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(Path(__file__).parents[2])}
    environment.pop("XLA_FLAGS", None)
    script = str(Path(__file__).with_name("rank.py"))
    return [
        subprocess.Popen(
            [sys.executable, script, str(folder), coordinator, str(rank), task],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]


@pytest.fixture(scope="module")
def folder(checkpoints):
    return checkpoints("qwen3")[0]


def test_two_processes_generate_what_one_does(folder):
    ranks = start(folder, "generate")
    outs = [rank.communicate(timeout=240) for rank in ranks]
    assert [rank.returncode for rank in ranks] == [0, 0], outs[0][1][-2000:] + outs[1][1][-2000:]
    with Engine(load(folder), slots=2, length=64, sizes=(1, 16)) as engine:
        prompts = [[4, 5, 6], list(range(3, 23)), [*range(1, 30), 9]]
        wanted = [engine.generate(Request(p, max_tokens=12, stop_tokens=())).ids for p in prompts]
    assert f"tokens {wanted}" in outs[0][0] and "followed" in outs[1][0]


@pytest.mark.parametrize("lost", [0, 1])
def test_a_lost_rank_ends_the_other_with_an_error(folder, lost):
    ranks = start(folder, "work")
    try:
        assert any(line == "ready\n" for line in ranks[0].stdout), ranks[0].stderr.read()[-2000:]
        time.sleep(1)
        ranks[lost].send_signal(signal.SIGKILL)
        begin = time.monotonic()
        survivor = ranks[1 - lost]
        _, errors = survivor.communicate(timeout=LIMIT)
        assert survivor.returncode not in (0, None), errors[-2000:]
        print(f"the survivor ended after {time.monotonic() - begin:.1f} s")
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
            rank.communicate()


def test_a_failed_engine_of_rank_0_ends_the_others_with_an_error(folder):
    ranks = start(folder, "fail")
    try:
        assert any(line == "ready dead\n" for line in ranks[0].stdout), ranks[0].stderr.read()[-2000:]
        _, errors = ranks[1].communicate(timeout=2 * LIMIT)  # 5 s of silence, then it waits for rank 0 to end as well
        assert ranks[1].returncode not in (0, None) and "rank 0 gave no sign of life for 5 s" in errors, errors[-2000:]
    finally:
        for rank in ranks:
            if rank.poll() is None:
                rank.kill()
            rank.communicate()
