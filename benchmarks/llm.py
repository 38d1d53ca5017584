"""The engine beside transformers + torch and llama.cpp, on the same random weights and prompts.

    python -m benchmarks.llm --shape planner                     # the project's own planner: a minute
    python -m benchmarks.llm --shape 0.6b --keep /tmp/qwen       # the shape of Qwen3 0.6B: minutes and 8 GB
    python -m benchmarks.llm --shape 0.6b --keep /tmp/qwen --only engine:int8 llama:q8_0

Reports prefill and decode tokens per second at batch 1, 8 and 32 after 128 tokens of context, the share of the measured
memory bandwidth that decode at batch 1 reaches, and the time to a complete three-step tool call under a schema, the
static prompt being cached. Each figure is the best of several runs. `--keep` keeps weights and compiled programs, so
that the parts can run one by one; `--prepare` only makes them. llama.cpp needs `pip install llama-cpp-python gguf`.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, pre_tokenizers, trainers

PLANNER = {
    "vocab_size": 5120,
    "hidden_size": 256,
    "intermediate_size": 704,
    "num_hidden_layers": 14,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
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
ALL = ["engine:float32", "engine:bfloat16", "engine:int8", "torch:float32", "torch:bfloat16"]
ALL += ["llama:f32", "llama:bf16", "llama:q8_0"]
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


@dataclass
class Figure:
    """One line of the report."""

    who: str
    what: str
    value: float
    unit: str
    note: str = ""


class Report:
    """Prints figures as a table and keeps them."""

    def __init__(self, who: str, peak: float) -> None:
        self.who, self.peak = who, peak
        self.figures: list[Figure] = []

    def add(self, what: str, value: float, unit: str, note: str = "") -> None:
        """One figure."""
        self.figures.append(Figure(self.who, what, value, unit, note))
        print(f"| {self.who} | {what} | {value:.{1 if value < 100 else 0}f} {unit} | {note} |", flush=True)

    def rate(self, rows: int, tokens: int, seconds: float, size: int) -> None:
        """Tokens per second of one step over `rows` rows of `tokens` tokens; `size`: bytes of the weights."""
        what = f"decode, batch {rows}" if tokens == 1 else f"prefill of {tokens}"
        note = f"{size / seconds / self.peak:.0%} of the bandwidth" if rows == tokens == 1 else ""
        self.add(what, rows * tokens / seconds, "tokens/s", note)


def best(action: Callable[[], object], runs: int) -> float:
    """Smallest wall time of several runs, half a second of them at least, in seconds; the first is not counted."""
    action()
    times: list[float] = []
    while len(times) < runs or sum(times) < 0.5:
        begin = time.perf_counter()
        action()
        times.append(time.perf_counter() - begin)
    return min(times)


def bandwidth() -> float:
    """Bytes per second that this process reads from memory, all its threads together."""
    import torch

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    data = torch.ones(256 * 1024 * 1024 // 4)
    return data.numel() * 4 / best(lambda: data.sum(), 9)


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


def steps(batches: list[int]) -> Iterator[tuple[int, int]]:
    """(rows, tokens per row) of the steps that are measured."""
    yield from [(1, 256), (1, 8), *((rows, 1) for rows in batches)]


def measure_engine(folder: Path, kind: str, report: Report, runs: int, batches: list[int]) -> None:
    """Steps of the runner (forward pass and choice), and a whole plan through the engine."""
    import jax

    from assistant.llm import Engine, Request, load
    from assistant.llm.kernels import use_compilation_cache
    from assistant.llm.runner import Batch

    use_compilation_cache(folder / "compiled")
    loaded = load(folder, dtype=kind)
    size = sum(x.nbytes for x in jax.tree.leaves(loaded.params))
    with Engine(loaded, slots=max(batches), length=512, rows=batches, sizes=(1, 8, 64, 256)) as engine:
        for rows, tokens in steps(batches):
            batch = Batch.empty(rows, tokens, loaded.config.vocab_size, engine.length)
            for row in range(rows):
                batch.set(row, row, 128, [1] * tokens, None)
            scored = tokens <= engine._scored  # as it is served
            step = partial(engine._runner.step, batch, scored=scored)
            report.rate(rows, tokens, best(step, runs), size)
    with Engine(loaded, slots=1, length=512, sizes=(1, 8, 64, 256)) as engine:
        engine.add_prefix("static", STATIC)
        grammar, results = loaded.grammars.json_schema(SCHEMA), []

        def plan(i: int) -> None:  # another number each time, so that nothing of the utterance is cached
            text = UTTERANCE.replace("five", str(100 + i))
            begin = time.perf_counter()
            result = engine.generate(Request(text, prefix="static", constraint=grammar.copy(), max_tokens=300))
            results.append((time.perf_counter() - begin, result))

        for i in range(runs + 2):
            plan(i)
        seconds, result = min(results[2:], key=lambda pair: pair[0])
        assert json.loads(result.text)["steps"][2], result.text
        note = f"{len(result.tokens)} tokens in {result.forwards} forwards"
        report.add("plan under a schema", seconds * 1e3, "ms", note)
        report.add("grammar, per token", grammar_time(grammar, result, loaded.config.vocab_size) * 1e6, "µs")


def grammar_time(grammar: Any, result: Any, vocab: int) -> float:
    """Mean seconds per token that masks, consuming and forced tokens take."""
    copy, out, times = grammar.copy(), np.zeros(-(-vocab // 32), np.uint32), []
    for token in result.tokens:
        begin = time.perf_counter()
        if not token.forced:
            copy.mask(out)
        copy.consume(token.id)
        copy.forced()
        times.append(time.perf_counter() - begin)
    return statistics.mean(times)


def main() -> None:
    from benchmarks import llm_peers

    measures = {"engine": measure_engine, "torch": llm_peers.measure_torch, "llama": llm_peers.measure_llama}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, default="planner")
    parser.add_argument("--only", nargs="+", default=ALL, metavar="WHO:KIND", help=f"of {' '.join(ALL)}")
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 8, 32])
    parser.add_argument("--runs", type=int, default=10)
    parser.add_argument("--keep", type=Path, help="folder for weights and compiled programs, kept for the next run")
    parser.add_argument("--prepare", action="store_true", help="make the weights, measure nothing")
    parser.add_argument("--out", type=Path, help="JSON file to which the figures are added")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = (options.keep or Path(scratch)) / options.shape
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / "tokenizer.json").exists():
            checkpoint(options.shape, folder)
        if options.prepare:
            for name in options.only:
                if name.startswith("llama:"):
                    llm_peers.gguf_file(folder, name.partition(":")[2])
            return
        peak = bandwidth()
        cores, load = len(os.sched_getaffinity(0)), os.getloadavg()[0]
        print(f"{options.shape}, {cores} core(s), memory {peak / 1e9:.1f} GB/s, load {load:.0f}")
        print("\n| who | what | figure | |\n|---|---|---|---|")
        for name in options.only:
            who, _, kind = name.partition(":")
            report = Report(name, peak)
            measures[who](folder, kind, report, options.runs, options.batches)
            if options.out is not None:
                found = json.loads(options.out.read_text()) if options.out.exists() else {}
                place = found.setdefault(options.shape, {})
                place["bandwidth"] = peak
                place[name] = [asdict(figure) for figure in report.figures]
                options.out.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
