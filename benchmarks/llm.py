"""The engine beside transformers + torch, on the same random weights.

    python -m benchmarks.llm --shape planner              # the project's own planner; seconds
    python -m benchmarks.llm --shape 0.6b                 # the shape of Qwen3 0.6B; minutes and 8 GB
    python -m benchmarks.llm --shape planner --kinds float32 int8 --skip torch

Reports prefill and decode tokens per second at batch 1, 8 and 32, the share of the measured memory bandwidth that
decode at batch 1 reaches, and the time to a complete three-step tool call under a schema. Each figure is the best of
several runs; `cpu ms` is processor time, which other work on the machine disturbs less than wall time.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

PLANNER = {
    "vocab_size": 5120,
    "hidden_size": 320,
    "intermediate_size": 960,
    "num_hidden_layers": 8,
    "num_attention_heads": 5,
    "num_key_value_heads": 5,
    "head_dim": 64,
}
QWEN = {
    "vocab_size": 151_936,
    "hidden_size": 1024,
    "intermediate_size": 3072,
    "num_hidden_layers": 28,
    "num_attention_heads": 16,
    "num_key_value_heads": 8,
    "head_dim": 128,
}
SHAPES = {"planner": PLANNER, "0.6b": QWEN}
STEP = {
    "anyOf": [
        {
            "type": "object",
            "properties": {
                "tool": {"const": name},
                "args": {"type": "object", "properties": args, "required": [*args]},
            },
            "required": ["tool", "args"],
            "additionalProperties": False,
        }
        for name, args in {
            "photos.select": {"count": {"type": "integer", "minimum": 1, "maximum": 99}},
            "gif.create": {"photos": {"const": "$1"}},
            "messages.send": {"to": {"enum": ["Alice", "Bob"]}, "attachments": {"const": "$2"}},
        }.items()
    ]
}
SCHEMA = {
    "type": "object",
    "properties": {"steps": {"type": "array", "items": STEP, "minItems": 3, "maxItems": 3}},
    "required": ["steps"],
    "additionalProperties": False,
}
for _option in STEP["anyOf"]:
    _option["properties"]["args"]["additionalProperties"] = False  # type: ignore[index]
STATIC = "You turn a request into a plan of tool calls. Tools: photos.select, gif.create, messages.send. " * 8
UTTERANCE = "make a GIF of my five most recent photos and send it to Alice"


def best(action: Callable[[], object], runs: int) -> tuple[float, float]:
    """Smallest wall and processor seconds of several runs."""
    walls, cpus = [], []
    for _ in range(runs):
        wall, cpu = time.perf_counter(), time.process_time()
        action()
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    return min(walls), min(cpus)


def bandwidth() -> float:
    """Bytes per second that this process reads from memory, all its threads together."""
    import torch

    data = torch.ones(256 * 1024 * 1024 // 4)
    return data.numel() * 4 / best(lambda: data.sum(), 7)[0]


def checkpoint(shape: str, folder: Path) -> None:
    """Random weights in Hugging Face layout, and a tokenizer that fits them."""
    import jax

    from assistant.llm import ModelConfig, model, weights

    config = ModelConfig.from_dict(
        {**SHAPES[shape], "architectures": ["Qwen3ForCausalLM"], "tie_word_embeddings": True, "eos_token_id": 0}
        | {"max_position_embeddings": 4096}
    )
    weights.save(folder, model.init(config, jax.random.key(0)), config)
    tokenizer = FastTokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=1024, special_tokens=["<eos>"], initial_alphabet=alphabet)
    tokenizer.train_from_iterator([STATIC, UTTERANCE, json.dumps(SCHEMA)] * 3, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))


def report(name: str, what: str, value: str, cpu: float | None = None) -> None:
    print(f"| {name} | {what} | {value} | {'' if cpu is None else f'{cpu * 1e3:.2f}'} |", flush=True)


def engine_figures(folder: Path, kind: str, peak: float, runs: int, batches: list[int]) -> None:
    import jax

    from assistant.llm import Engine, Request, load
    from assistant.llm.runner import Batch

    name = f"engine {kind}"
    loaded = load(folder, dtype=kind)
    size = sum(x.nbytes for x in jax.tree.leaves(loaded.params))
    with Engine(loaded, slots=max(batches), length=1024, rows=batches, sizes=(1, 8, 64, 256)) as engine:
        runner, vocab = engine._runner, loaded.config.vocab_size
        for rows, tokens in [(1, 256), (1, 8), *((rows, 1) for rows in batches)]:
            batch = Batch.empty(rows, tokens, vocab, engine.length)
            for row in range(rows):
                batch.set(row, row, 128, [1] * tokens, None)
            scored = tokens <= engine._scored
            runner.step(batch, scored)
            wall, cpu = best(lambda batch=batch, scored=scored: runner.step(batch, scored), runs)
            what = f"decode, batch {rows}" if tokens == 1 else f"prefill of {tokens}"
            share = f", {size / wall / peak:.0%} of bandwidth" if rows == tokens == 1 else ""
            report(name, what, f"{rows * tokens / wall:.0f} tokens/s{share}", cpu)
        engine.add_prefix("static", STATIC)
        grammar = loaded.grammars.json_schema(SCHEMA)
        results, costs = [], []
        for _ in range(runs):
            wall, cpu = time.perf_counter(), time.process_time()
            request = Request(UTTERANCE, prefix="static", constraint=grammar.copy(), max_tokens=300)
            results.append((engine.generate(request), time.perf_counter() - wall))
            costs.append(time.process_time() - cpu)
        result, wall = min(results, key=lambda pair: pair[1])
        assert json.loads(result.text)["steps"][2], result.text
        what = f"three-step plan of {len(result.tokens)} tokens in {result.forwards} forwards"
        report(name, what, f"{wall * 1e3:.1f} ms", min(costs))
        masks = []
        copy = grammar.copy()
        out = np.zeros(-(-vocab // 32), np.uint32)
        for token in result.tokens:
            begin = time.thread_time()
            if not token.forced:
                copy.mask(out)
            copy.consume(token.id)
            copy.forced()
            masks.append(time.thread_time() - begin)
        report(name, "grammar, per token", f"{statistics.mean(masks) * 1e6:.0f} µs")


def torch_figures(folder: Path, kind: str, peak: float, runs: int, batches: list[int]) -> None:
    """transformers with its own cache; the plan runs without a grammar: as many forwards as the plan has tokens."""
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    name = f"torch {kind}"
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, kind)).eval()
    size = sum(p.numel() * p.element_size() for p in model.parameters())

    @torch.inference_mode()
    def forward(tokens: torch.Tensor, cache: DynamicCache) -> DynamicCache:
        return model(tokens, past_key_values=cache, logits_to_keep=1).past_key_values

    for rows, tokens in [(1, 256), (1, 8), *((rows, 1) for rows in batches)]:
        cache = forward(torch.ones(rows, 128, dtype=torch.long), DynamicCache())

        def once(rows: int = rows, tokens: int = tokens, cache: DynamicCache = cache) -> None:
            forward(torch.ones(rows, tokens, dtype=torch.long), cache)
            cache.crop(128)

        once()
        wall, cpu = best(once, runs)
        what = f"decode, batch {rows}" if tokens == 1 else f"prefill of {tokens}"
        share = f", {size / wall / peak:.0%} of bandwidth" if rows == tokens == 1 else ""
        report(name, what, f"{rows * tokens / wall:.0f} tokens/s{share}", cpu)
    tokenizer = FastTokenizer.from_file(str(folder / "tokenizer.json"))
    plan = {
        "steps": [{"tool": "photos.select", "args": {"count": 5}}, {"tool": "gif.create", "args": {"photos": "$1"}}]
    }
    plan["steps"].append({"tool": "messages.send", "args": {"to": "Alice", "attachments": "$2"}})
    count, prompt = (len(tokenizer.encode(text).ids) for text in (json.dumps(plan), STATIC + UTTERANCE))

    def whole() -> None:
        cache = forward(torch.ones(1, prompt, dtype=torch.long), DynamicCache())
        for _ in range(count):
            forward(torch.ones(1, 1, dtype=torch.long), cache)

    wall, cpu = best(whole, max(1, runs // 3))
    report(name, f"prompt of {prompt} and {count} tokens without a grammar", f"{wall * 1e3:.1f} ms", cpu)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="planner")
    parser.add_argument("--kinds", nargs="+", default=["float32", "bfloat16", "int8"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--skip", choices=["torch", "engine"], nargs="*", default=[])
    options = parser.parse_args()
    peak = bandwidth()
    cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
    print(f"{options.shape}, {cores} core(s), memory {peak / 1e9:.1f} GB/s, load {load:.0f}")
    print("\n| who | what | figure | cpu ms |\n|---|---|---|---|")
    with tempfile.TemporaryDirectory() as name:
        checkpoint(options.shape, Path(name))
        for kind in options.kinds if "engine" not in options.skip else []:
            engine_figures(Path(name), kind, peak, options.runs, options.batches)
        for kind in (k for k in options.kinds if k != "int8" and "torch" not in options.skip):
            torch_figures(Path(name), kind, peak, options.runs, options.batches)


if __name__ == "__main__":
    main()
