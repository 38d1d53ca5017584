"""Nothing is compiled after warm-up, and a second start finds the programs on disk."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from assistant.llm import Engine, Request, load

COMPILED = "/jax/core/compile/backend_compile_duration"


@pytest.fixture
def compilations():
    names: list[str] = []

    def listen(name, _, **__):
        names.append(name)

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield names
    jax.monitoring.unregister_event_duration_listener(listen)


def test_no_compilation_in_a_thousand_random_requests(chatty, compilations):
    with Engine(load(chatty), slots=3, length=128, sizes=(1, 8, 32)) as engine:
        engine.warm_up()
        engine.add_prefix("static", list(range(1, 50)))
        assert COMPILED in compilations  # the listener hears them
        compilations.clear()
        random, streams = np.random.default_rng(0), []
        for i in range(1000):
            prompt = random.integers(1, 300, random.integers(1, 60)).tolist()
            streams.append(
                engine.submit(
                    Request(
                        prompt,
                        prefix="static" if i % 5 == 0 else None,
                        max_tokens=int(random.integers(1, 5)),
                        temperature=float(random.choice([0, 0.7, 2.0])),
                        top_p=float(random.choice([0.5, 1.0])),
                        top_k=int(random.choice([0, 7])),
                        logprobs=int(random.choice([0, 3])),
                        constraint=engine.model.grammars.regex("[a-z]{1,3}") if i % 7 == 0 else None,
                        seed=i,
                    )
                )
            )
            if i % 50 == 49:
                streams[int(random.integers(len(streams)))].cancel()
        assert all(stream.result() for stream in streams)
    assert COMPILED not in compilations


START = """
import json, sys, time
from assistant.llm import Engine, load
from assistant.llm.kernels import use_compilation_cache
use_compilation_cache(sys.argv[2])
import jax
hits = []
jax.monitoring.register_event_listener(lambda name, **_: hits.append(name))
model = load(sys.argv[1])
begin = time.process_time()
Engine(model, slots=2, length=128, sizes=(1, 8, 32)).warm_up()
print(json.dumps({"seconds": time.process_time() - begin, "hits": hits.count("/jax/compilation_cache/cache_hits"),
                  "misses": hits.count("/jax/compilation_cache/cache_misses")}))
"""


def test_a_second_start_hits_the_disk_cache(chatty, tmp_path):
    cache = tmp_path / "xla"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("JAX_")}
    environment["PYTHONPATH"] = str(Path(__file__).parents[2])
    runs = []
    for _ in range(2):
        command = [sys.executable, "-c", START, str(chatty), str(cache)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540)
        assert done.returncode == 0, done.stderr[-2000:]
        runs.append(json.loads(done.stdout.splitlines()[-1]))
    first, second = runs
    print(f"processor time of a warm-up: {first['seconds']:.1f} s, then {second['seconds']:.1f} s")
    assert first["hits"] == 0 and first["misses"] > 5 and second["misses"] <= 1
    assert first["seconds"] >= 3 * second["seconds"]
    assert cache.stat().st_mode & 0o077 == 0
