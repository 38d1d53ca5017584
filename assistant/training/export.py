"""A training run → a checkpoint in Hugging Face layout, and the model card that tells what it is.

`python -m assistant.training.export --run .work/planner --to assistant/models/planner`
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import jax
import ml_dtypes
import typer

from assistant.llm import ModelConfig, weights
from assistant.llm.model import Params

from . import report
from .errands import HELD_OUT_DOMAINS, builtin, training_domains
from .loop import RunSettings, Trainer, deeper

CARD = """---
license: apache-2.0
language: en
library_name: transformers
pipeline_tag: text-generation
---
# Planner

A language model of {millions:.1f} million parameters that turns one English sentence and a list of tool
signatures into a plan of tool calls. It was trained from nothing by this project's own code, on errands that were
written for it.

- Shape: Qwen3 (qk-norm), {layers} layers, hidden {hidden}, {heads} heads, vocabulary {vocab}, tied, bfloat16.
- Data: {templates} authored lines over the built-in tools and {tools} invented tools in {domains} domains, slots
  filled from word lists, joined, misheard and mistyped at random (`assistant/training`). A tenth of the lines and
  words and the domains {held_out} were held out.
- Training: {steps} steps, {tokens:.1f} million tokens, Muon and Adam; {origin}.
- Input: the chat template with `tools`; names are spelled as words ("photos select"). Output: the plan's text, a line
  for each tool and each argument (`assistant/planning/plantext.py`). Decode it under the planner's grammar.

## Figures

Exact plans, decoded greedily without the grammar, at the end of the training:

| set | what it is | exact |
|---|---|---|
| lines | held-out lines over the built-in tools, held-out words, half of them noisy | {lines_exact} |
| domains | held-out domains of invented tools | {domains_exact} |
| test | independently written test of the built-in tools | {test_exact} |
| unseen | independently written test of 12 domains of tools that were never trained | {unseen_exact} |

With the grammar, by category, and misheard: `assistant eval planner` (see `docs/planner.md`).

## Limits

English only. It knows the words that its authors thought of: a verb or noun that never occurs in the errands is
understood only by luck. It cannot answer questions, do arithmetic on dates or remember more than the last errand.
"""

REPEATED = "`make planner` repeats it"
CONTINUED = "it went on from an earlier checkpoint (`docs/planner.md` tells the history)"
AVERAGED = CONTINUED + " and was averaged with it, after the figures below"


def save_checkpoint(folder: Path, params: Params, config: ModelConfig, tokenizer: Any) -> None:
    """config.json, model.safetensors (bfloat16), tokenizer with chat template, generation_config.json."""
    weights.save(folder, params, config, ml_dtypes.bfloat16)
    tokenizer.save_pretrained(folder)
    generation = {"do_sample": False, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": tokenizer.pad_token_id}
    (folder / "generation_config.json").write_text(json.dumps(generation, indent=1) + "\n")


def card(trainer: Trainer, log: list[dict[str, Any]], origin: str) -> str:
    """The model card, with figures from the run's own log."""
    measured: dict[str, Any] = next((line for line in reversed(log) if "test" in line), {})
    shown = {f"{k}_exact": f"{measured[k]:.1%}" if k in measured else "not measured" for k in
             ("lines", "domains", "test", "unseen")}  # fmt: skip
    known = training_domains()
    s = trainer.settings
    return CARD.format(
        millions=size_of(trainer.params) / 1e6, layers=s.layers, hidden=s.hidden,
        heads=s.heads, vocab=s.vocab, templates=len(builtin().templates) + sum(len(d.templates) for d in known),
        tools=sum(len(d.tools) for d in known), domains=len(known), held_out=", ".join(HELD_OUT_DOMAINS),
        steps=trainer.step, tokens=trainer.seen / 1e6, origin=origin, **shown,
    )  # fmt: skip


def main(
    run: Annotated[Path, typer.Option(help="the run's folder")] = Path(".work/planner"),
    to: Annotated[Path, typer.Option(help="the checkpoint's folder")] = Path("assistant/models/planner"),
    average: Annotated[
        Path | None, typer.Option(help="the checkpoint that the run began at, to average it with")
    ] = None,
) -> None:
    """Export the newest state of a run."""
    described = run / "settings.json"
    trainer = Trainer(run, RunSettings(**json.loads(described.read_text()))) if described.exists() else None
    if trainer is None or not trainer.resume():
        raise typer.BadParameter(
            f"{run} holds no state.npz; train first: python -m assistant.training.loop --run {run}"
        )
    (to / "planner.json").unlink(missing_ok=True)  # the confidence was fitted to other weights
    params = trainer.params
    if average is not None:
        earlier = weights.load_params(average, ModelConfig.load(average))
        params = averaged(params, deeper(earlier, trainer.config.num_layers))
    save_checkpoint(to, params, trainer.config, trainer.curriculum.encoder.tokenizer)
    log = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    origin = AVERAGED if average else CONTINUED if trainer.settings.first else REPEATED
    (to / "README.md").write_text(card(trainer, log, origin))
    report.curves(log, run / "curves.png")
    size = sum(f.stat().st_size for f in to.iterdir())
    print(f"{to}: {size_of(trainer.params) / 1e6:.2f} million parameters, {size / 1e6:.1f} MB, step {trainer.step}")


def averaged(params: Params, earlier: Params) -> Params:
    """The mean of two checkpoints of one training, which lies in a flatter place than either and is a little better
    (Wortsman et al. 2022, "Model soups")."""
    return jax.tree.map(lambda new, old: (new + old.astype(new.dtype)) / 2, params, earlier)


def size_of(params: Params) -> int:
    """The number of parameters."""
    return sum(x.size for x in jax.tree.leaves(params))


if __name__ == "__main__":
    typer.run(main)
