"""Thousands of plans, each checked: nothing outside the plan language, and no word that the user did not say.

    python benchmarks/valid_plans.py [--plans 4000] [--random 1000]

`--plans` by the shipped planner, `--random` by the same shape with random weights, over the built-in tools and over
invented domains, for noisy sentences of all of them (so most fit no tool at hand). Exits 1 at the first bad plan.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from random import Random
from typing import Annotated

import jax
import ml_dtypes
import typer

from assistant.llm import Engine, load, weights
from assistant.llm.model import init
from assistant.planning import Planner, PlanningError
from assistant.plugin.plan import Plan, check, is_span
from assistant.plugin.signature import ToolSpec
from assistant.shipped import planner_checkpoint
from assistant.training.errands import builtin, domains
from assistant.training.evaluate import SLOTS, open_engine
from assistant.training.sentences import Unfillable, fill, finish, noisy


def sentences(rng: Random) -> Iterator[str]:
    """Endless noisy sentences of every domain."""
    sources = [builtin(), *domains()]
    while True:
        try:
            yield finish(noisy(fill(rng.choice(rng.choice(sources).templates), rng), rng)).say
        except Unfillable:
            continue


def verify(plan: Plan, tools: dict[str, ToolSpec], say: str, missing: set[tuple[int, str]]) -> None:
    """Raises AssertionError or PlanError unless the plan is valid but for what is asked for."""
    if not missing:
        check(plan, tools, said=[say])
    for n, step in enumerate(plan.steps, 1):
        parameters = tools[step.tool].by_name
        assert step.args.keys() <= parameters.keys(), step
        assert all(p.name in step.args or (n, p.name) in missing for p in parameters.values() if p.required), step
        for name, value in step.args.items():
            kind = parameters[name].type
            if (kind.item or kind).name == "Spoken":
                for words in value if isinstance(value, list) else [value]:
                    assert is_span(words, say), (words, say)


def run(engine: Engine, plans: int, rng: Random) -> tuple[int, int, int]:
    """(plans, their steps, plans that were too long for the model); every one was verified."""
    done = steps = too_long = 0
    says = sentences(rng)
    while done < plans:
        tools = rng.choice([builtin(), *domains()]).tools if rng.random() < 0.5 else builtin().tools
        planner = Planner(engine, tools)
        batch = [(say, planner.draft(say)) for say in islice(says, min(SLOTS * 5, plans - done))]
        streams = [(say, draft, draft.request and engine.submit(draft.request)) for say, draft in batch]
        for say, draft, stream in streams:
            done += 1
            try:
                planned = planner.read(draft, stream.result()) if stream else draft.planned
            except PlanningError as error:
                assert "too long" in str(error), error
                too_long += 1
                continue
            verify(planned.plan, tools, say, set(planned.gaps))
            steps += len(planned.plan.steps)
    return done, steps, too_long


def random_weights(shipped: Path, folder: Path) -> Path:
    """The shipped checkpoint with weights that know nothing."""
    model = load(shipped)
    weights.save(folder, init(model.config, jax.random.key(0)), model.config, ml_dtypes.bfloat16)
    assert model.tokenizer is not None
    for file in model.tokenizer.folder.iterdir():
        if "token" in file.name or file.suffix == ".jinja":
            (folder / file.name).write_bytes(file.read_bytes())
    return folder


def main(
    plans: Annotated[int, typer.Option(help="by the shipped planner")] = 4000,
    random: Annotated[int, typer.Option(help="by random weights")] = 1000,
) -> None:
    """Plan and check."""
    shipped = planner_checkpoint()
    with tempfile.TemporaryDirectory() as folder:
        for name, count, place in (("shipped", plans, shipped), ("random", random, None)):
            if not count:
                continue
            with open_engine(str(place or random_weights(shipped, Path(folder)))) as engine:
                done, steps, too_long = run(engine, count, Random(name))
            print(f"{name}: {done} plans, {steps} steps, all valid; {too_long} refused as too long", flush=True)


if __name__ == "__main__":
    typer.run(main)
