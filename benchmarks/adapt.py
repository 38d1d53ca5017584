"""What `assistant train adapt` is worth: the unseen tools of the evaluation, installed as plugins with examples.

    python benchmarks/adapt.py [--steps N] [--limit N]

Prints exact plans on the unseen tools and on the built-in ones, before and after, and writes
`benchmarks/results/adapt.json`. The examples (`unseen-examples.json`, five of each tool) were written by somebody who
saw only the signatures.
"""

from __future__ import annotations

import json
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from assistant.plugin.signature import ToolSpec
from assistant.shipped import planner_checkpoint
from assistant.training.adapt import adapt, affordable_steps
from assistant.training.errands import make_domain
from assistant.training.evaluate import EVAL, builtin_sets, evaluate, open_engine, unseen_sets

RESULTS = Path(__file__).parent / "results" / "adapt.json"


def plugins() -> dict[str, ToolSpec]:
    """The unseen tools as their plugins declare them."""
    examples = json.loads((EVAL / "unseen-examples.json").read_text("utf-8"))
    tools = {}
    for data in json.loads((EVAL / "unseen.json").read_text("utf-8")):
        domain = make_domain(data["domain"], data)
        for name, spec in domain.tools.items():
            tools[name] = replace(spec, plugin=domain.name, examples=tuple(examples[name]))
    return tools


def shares(checkpoint: Path, limit: int | None) -> dict[str, float]:
    with open_engine(str(checkpoint)) as engine:
        results = evaluate(engine, builtin_sets(limit)[:1] + unseen_sets(limit), lambda line: None)
    return {name: result["all"]["exact"] for name, result in results.items()}


def main(
    steps: Annotated[int | None, typer.Option(help="updates of the fine-tuning; what ten minutes allow")] = None,
    limit: Annotated[int | None, typer.Option(help="sentences of each set; all when not given")] = None,
) -> None:
    """Measure before, adapt, measure after."""
    checkpoint, steps = planner_checkpoint(), steps or affordable_steps()
    with tempfile.TemporaryDirectory() as folder:
        to = Path(folder) / "adapted"
        before = shares(checkpoint, limit)
        done = adapt(checkpoint, plugins(), to, steps=steps)
        after = shares(to, limit)
    figures = {"steps": steps, "seconds": round(done.seconds), "templates": done.templates,
               "before": before, "after": after}  # fmt: skip
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=1) + "\n")
    print(f"{'':12} {'before':>8} {'after':>8}")
    for name in before:
        print(f"{name:12} {before[name]:8.1%} {after[name]:8.1%}")
    print(f"{done.templates} sentences, {steps} steps, {done.seconds:.0f} s")


if __name__ == "__main__":
    typer.run(main)
