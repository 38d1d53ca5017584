"""Run by test_processes.py, once per rank: two processes over gloo serve one engine in lockstep."""

import contextlib
import sys
import time

from assistant.llm import Engine, Request, load, make_mesh, start_processes


def main(folder: str, coordinator: str, rank: int, task: str) -> None:
    start_processes(coordinator, 2, rank)
    import jax

    assert jax.process_count() == 2 and jax.local_device_count() == 1
    engine = Engine(load(folder, mesh=make_mesh(1, 2)), slots=2, length=64, sizes=(1, 16))
    if rank == 1:
        for call in (engine.warm_up, lambda: engine.submit(Request([1]))):
            with contextlib.suppress(RuntimeError):
                call()
                raise AssertionError("a call that only rank 0 may make was not refused")
        engine.follow(patience=5 if task == "fail" else 120)
        print("followed", flush=True)
        return
    if task == "fail":
        fail(engine)
    engine.add_prefix("static", list(range(1, 30)))
    if task == "generate":
        streams = [engine.submit(Request(p, max_tokens=12, stop_tokens=())) for p in ([4, 5, 6], list(range(3, 23)))]
        streams.append(engine.submit(Request([9], prefix="static", max_tokens=12, stop_tokens=())))
        print("tokens", [stream.result().ids for stream in streams], flush=True)
        engine.close()
        return
    print("ready", flush=True)
    while True:
        engine.generate(Request([4, 5, 6], max_tokens=20, stop_tokens=()))


def fail(engine: Engine) -> None:
    """The engine of rank 0 fails, its process lives on."""
    engine.warm_up()
    engine._scheduler.plan = None
    with contextlib.suppress(RuntimeError):
        engine.generate(Request([4, 5, 6]))
    print("ready", "alive" if engine.alive else "dead", flush=True)
    time.sleep(600)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
