"""Time of a plan, forward passes with and without jump-forward, and recall of the tool retrieval.

    python benchmarks/planner.py --model DIR [--plans 30] [--out benchmarks/results/planner.json]

The sentence is the first of the README, over all built-in tools, with the static part of the prompt cached; every
timed plan has another number in it, so that nothing of the user's words is. Recall@8: how often all tools of a right
plan are among the first eight when 10, 50 and 200 tools are installed (invented domains, none the model's favourites).
"""

from __future__ import annotations

import json
import platform
import statistics
import time
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from assistant.llm import Engine, load
from assistant.planning import Planner, Retrieval
from assistant.plugin.registry import load_registry
from assistant.plugin.signature import ToolSpec
from assistant.training.errands import DATA, domains, make_domain
from assistant.training.sentences import fill, finish

SENTENCE = "make a GIF of my five most recent photos and send it to Alice"


def plan_times(planner: Planner, plans: int) -> dict[str, Any]:
    """Milliseconds per plan, forwards, and how many the same plan takes when every token is decoded."""
    planner.plan(SENTENCE)
    times, usages = [], []
    for n in range(plans):
        begun = time.perf_counter()
        usages.append(planner.plan(f"{SENTENCE} {n}").usage)
        times.append((time.perf_counter() - begun) * 1000)
    times.sort()
    return {
        "p50_ms": round(statistics.median(times), 1),
        "p95_ms": round(times[int(len(times) * 0.95)], 1),
        "best_ms": round(times[0], 1),
        "forwards": statistics.median(u.forwards for u in usages),
        "tokens_without_jumps": statistics.median(u.tokens for u in usages),
        "prompt_tokens": usages[-1].prompt_tokens,
        "reused_tokens": usages[-1].reused_tokens,
    }


def recall(installed: int, most: int = 8, sentences: int = 300, seed: int = 0) -> float:
    """Share of sentences whose tools are all among the first `most` of `installed` tools."""
    rng = Random(seed)
    unseen = json.loads((DATA / "eval" / "unseen.json").read_text("utf-8"))
    sources = [*domains(), *(make_domain(d["domain"], d) for d in unseen)]
    hits: list[bool] = []
    while len(hits) < sentences:
        rng.shuffle(sources)
        tools: dict[str, ToolSpec] = {}
        chosen = []
        for domain in sources:
            if len(tools) + len(domain.tools) <= installed and not tools.keys() & domain.tools.keys():
                tools |= domain.tools
                chosen.append(domain)
        retrieval = Retrieval(tools)
        for _ in range(min(30, sentences - len(hits))):
            template = rng.choice([t for t in rng.choice(chosen).templates if t.plan and not t.before])
            found = set(retrieval.choose(finish(fill(template, rng)).say, most))
            hits.append({tool for tool, _ in template.plan} <= found)
    return round(sum(hits) / len(hits), 4)


def main(
    model: Annotated[str, typer.Option(help="checkpoint folder")],
    plans: int = 30,
    sentences: int = 300,
    out: Path = Path(__file__).parent / "results" / "planner.json",
) -> None:
    """Measure and write the figures."""
    tools = {name: spec for name, spec in load_registry().items() if not spec.third_party}
    with Engine(load(model), slots=2, length=2048) as engine:
        planner = Planner(engine, tools)
        planner.warm_up()
        figures: dict[str, Any] = {
            "machine": platform.processor() or platform.machine(),
            "plan": plan_times(planner, plans),
        }
        figures["recall@8"] = {n: recall(n, sentences=sentences) for n in (10, 50, 200)}
    typer.echo(json.dumps(figures, indent=1))
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(figures, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    typer.run(main)
