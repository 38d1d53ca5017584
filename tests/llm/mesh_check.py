"""Run by test_mesh.py in a process with eight emulated devices: prints what each mesh computes, as JSON."""

import json
import re
import sys

import jax

from assistant.llm import Engine, Request, load, make_mesh
from assistant.llm.runner import Batch

COMPILED = "/jax/core/compile/backend_compile_duration"
MESHES = [(1, 1), (1, 2), (2, 2), (1, 4), (1, 8)]


def collectives(engine) -> dict[str, int]:
    runner = engine._runner
    batch = Batch.empty(engine._rows[-1], 1, runner.config.vocab_size, engine.length)
    compiled = runner._step.lower(
        runner.params, runner._cache, batch.ints, batch.floats, batch.mask, whole=True, scored=False
    ).compile()
    text = compiled.as_text()
    names = ["all-reduce", "all-gather", "all-to-all", "collective-permute", "reduce-scatter"]
    return {name: len(re.findall(rf" {name}(?:-start)?\(", text)) for name in names}


def per_device(tree) -> int:
    device = jax.devices()[0]
    return sum(s.data.nbytes for x in jax.tree.leaves(tree) for s in x.addressable_shards if s.device == device)


def main(folder: str) -> None:
    found, compiled = {}, []
    jax.monitoring.register_event_duration_secs_listener(lambda name, *_, **__: compiled.append(name))
    for data, model in MESHES:
        loaded = load(folder, mesh=make_mesh(data, model))
        with Engine(loaded, slots=2, length=64, sizes=(1, 16), score=False) as engine:
            engine.warm_up()
            engine.add_prefix("static", [*range(30, 60)])
            assert COMPILED in compiled  # the listener hears them
            compiled.clear()
            prompts = [list(range(1, 20)), [5, 6, 7]]
            streams = [engine.submit(Request(p, max_tokens=12, stop_tokens=())) for p in prompts]
            results = [stream.result() for stream in streams]
            engine.generate(Request([7, 8], prefix="static", max_tokens=3, temperature=0.7, stop_tokens=()))
            compilations = compiled.count(COMPILED)
            found[f"{data}x{model}"] = {
                "tokens": [result.ids for result in results],
                "logprobs": [[token.free_logprob for token in result.tokens] for result in results],
                "compilations": compilations,
                "parameter_bytes": per_device(engine._runner.params),
                "cache_bytes": per_device(engine._runner._cache),
                "collectives": collectives(engine),
            }
    print(json.dumps(found))


if __name__ == "__main__":
    assert jax.device_count() == 8
    main(sys.argv[1])
