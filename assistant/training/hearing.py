"""The language model of the offline recogniser: how likely people are to say such a sentence to this assistant.

`python -m assistant.training.hearing --run DIR` starts or continues a run and exports the model. It is the planner's
network with fewer layers, begun with the planner's own first ones, and learns the words of the errands instead of
their plans. PocketSphinx's trigrams propose sentences, this model says which of them people say
(`assistant.speech.rescoring`).
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from random import Random
from typing import Annotated

import numpy as np
import typer
from transformers import PreTrainedTokenizerFast

from assistant.llm.config import ModelConfig
from assistant.llm.weights import load_params, save
from assistant.shipped import planner_checkpoint
from assistant.speech import phrases, rescoring
from assistant.speech.spoken import spoken

from . import network
from .composing import composed
from .curriculum import COMPOSED
from .errands import builtin, held_out
from .loop import RunSettings, Trainer, open_run
from .packs import Encoder, Pack, Shape, empty
from .sentences import Unfillable, fill, finish, join
from .tokenizer import END

SHAPE = Shape(prefix=32, rows=16, row=96, targets=1536)
PACKS = 4  # a step
JOINED = 0.15  # of the authored sentences are two
EVERYDAY = 0.35  # of the sentences are of the grammar of usual commands
ANSWERS = 0.03  # are answers to questions


class Said:
    """Endless packs of what people say, as the recogniser writes it; reproducible by step number."""

    def __init__(self, encoder: Encoder, seed: int = 0) -> None:
        self.encoder, self.seed = encoder, seed
        every = builtin().templates + composed(COMPOSED, seed)
        self.authored = [t for t in every if not held_out(t.say)]
        values = phrases.slot_values()
        self.values = {**values, "name": values["name"] + phrases.COMMON_NAMES * 3}

    def packs(self, step: int, invented: int, whole: int = 1) -> list[tuple[Shape, list[Pack]]]:
        """The packs of a training step; of a plan's tools there is nothing here."""
        lines = self.lines(Random(f"{self.seed}/{step}"))
        return [(SHAPE, [said(lines) for _ in range(PACKS)])]

    def lines(self, rng: Random) -> Iterator[list[int]]:
        """Sentences as tokens."""
        while True:
            try:
                text = self.sentence(rng)
            except Unfillable:
                continue
            tokens = tokenize(self.encoder.tokenizer, text)
            if 2 < len(tokens) <= SHAPE.row:
                yield tokens

    def sentence(self, rng: Random) -> str:
        """One sentence in spoken form. Raises Unfillable."""
        kind = rng.random()
        if kind < ANSWERS + EVERYDAY:
            pattern = rng.choice(phrases.ANSWERS if kind < ANSWERS else phrases.everyday())
            return spoken(phrases.filled(phrases.vary(pattern, rng), self.values, rng))
        sentence = fill(rng.choice(self.authored), rng)
        if sentence.plan and not sentence.ask and rng.random() < JOINED:
            second = fill(rng.choice(self.authored), rng)
            sentence = join(sentence, second, rng) if second.plan and not second.before else sentence
        return spoken(finish(sentence).say)


def tokenize(tokenizer: PreTrainedTokenizerFast, text: str) -> list[int]:
    """A sentence between two ends of text."""
    return [END, *tokenizer.backend_tokenizer.encode(" " + text, add_special_tokens=False).ids, END]


def said(lines: Iterable[list[int]]) -> Pack:
    """A pack of the first of these, without tools; every token is a target."""
    pack = empty(SHAPE, [])
    filled = row = start = 0
    for ids in lines:
        if start + len(ids) > SHAPE.row:
            row, start = row + 1, 0
        if row == SHAPE.rows or filled + len(ids) - 1 > SHAPE.targets:
            break
        pack.add(row, start, ids, len(ids) - 1)
        filled, start = filled + len(ids) - 1, start + len(ids)
    return pack


def perplexity(trainer: Trainer, encoder: Encoder) -> float:
    """Of a word of held-out lines with held-out slot values."""
    rng = Random(0)
    templates = [t for t in builtin().templates if held_out(t.say)]
    texts = [spoken(finish(fill(t, rng, evaluation=True)).say) for t in rng.sample(templates, 400)]
    pack = said(tokenize(encoder.tokenizer, text) for text in texts)
    total, _ = network.loss(trainer.params, trainer.config, SHAPE, network.batch([pack]))
    words = sum(len(text.split()) + 1 for text in texts[: int(pack.owners.max()) + 1])
    return float(np.exp(total / words))


def main(
    run: Annotated[Path, typer.Option(help="the run's folder")] = Path(".work/hearing"),
    start: Annotated[Path | None, typer.Option(help="the planner's checkpoint; the shipped one if left out")] = None,
    to: Annotated[Path, typer.Option(help="the model's folder")] = rescoring.SHIPPED,
    steps: int = 1700,
    layers: int = 4,
) -> None:
    """Train the recogniser's language model and write it."""
    checkpoint = start or planner_checkpoint()
    config = ModelConfig.load(checkpoint)
    params = load_params(checkpoint, config)
    settings = RunSettings(
        steps=steps, vocab=config.vocab_size, hidden=config.hidden_size, layers=layers, heads=config.num_heads,
        kv_heads=config.num_kv_heads, head_dim=config.head_dim, mlp=config.intermediate_size, decay=0.5,
    )  # fmt: skip
    settings = open_run(run, settings)
    if not (run / "tokenizer").exists():
        PreTrainedTokenizerFast.from_pretrained(checkpoint).save_pretrained(run / "tokenizer")
    encoder = Encoder(PreTrainedTokenizerFast.from_pretrained(run / "tokenizer"))
    params = {**params, "layers": params["layers"][: settings.layers]}
    trainer = Trainer(run, settings, curriculum=Said(encoder, settings.seed), start=params)  # type: ignore[arg-type]
    trainer.resume()
    begun = time.monotonic()
    while trainer.step < settings.steps:
        loss, _ = trainer.train_step()
        if trainer.step % 50 == 0:
            print(f"step {trainer.step} loss {loss:.3f} seconds {time.monotonic() - begun:.0f}", flush=True)
        if trainer.step % 250 == 0 or trainer.step == settings.steps:
            trainer.save()
            print(f"perplexity of a held-out word {perplexity(trainer, encoder):.1f}", flush=True)
    save(to, trainer.params, trainer.config, np.float16)
    encoder.tokenizer.backend_tokenizer.save(str(to / "tokenizer.json"))


if __name__ == "__main__":
    typer.run(main)
