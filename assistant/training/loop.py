"""The training of the planner: Muon for matrices, Adam for the rest, resumable, on any mesh.

`python -m assistant.training.loop --run DIR` starts or continues a run. The run's folder holds `settings.json`,
`tokenizer/`, the newest `state.npz` and `log.jsonl`; a step's data depend on the seed and the step's number alone,
so a resumed run is the same run. The learning rate is warmed up, constant, and falls linearly over the last fifth.
"""

from __future__ import annotations

import json
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import typer
from transformers import PreTrainedTokenizerFast

from assistant.llm import mesh as meshes
from assistant.llm import model
from assistant.llm.config import ModelConfig, Rope
from assistant.llm.model import Params
from assistant.llm.weights import load_params

from . import kernels, network, tokenizer
from .curriculum import STAGES, Curriculum, texts
from .errands import builtin, training_domains
from .heldout import HeldOut
from .muon import Multiply, muon, plain
from .packs import Encoder, Pack, Shape


@dataclass(frozen=True)
class RunSettings:
    """What defines a run."""

    steps: int = 6000
    seed: int = 0
    vocab: int = 5120
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    head_dim: int = 64
    mlp: int = 704
    first: int = 0  # where in the curriculum the run begins
    invented: int = 6  # packs of few invented tools a step (see `Curriculum.packs`)
    whole: int = 1  # packs of built-in and of many invented tools a step; on several devices a multiple of their number
    muon: float = 0.02
    adam: float = 3e-3
    warmup: int = 20
    decay: float = 0.2  # the last part of the run, in which the learning rate falls
    bfloat16: bool = True  # what the products are computed in; parameters and sums are float32

    def config(self) -> ModelConfig:
        return ModelConfig(
            family="qwen3", vocab_size=self.vocab, hidden_size=self.hidden, intermediate_size=self.mlp,
            num_layers=self.layers, num_heads=self.heads, num_kv_heads=self.kv_heads,
            head_dim=self.head_dim, max_positions=4096, tied=True, qk_norm=True, rope=Rope(10_000.0),
            eos_token_ids=(tokenizer.END,), pad_token_id=tokenizer.PAD,
        )  # fmt: skip


def schedule(s: RunSettings, peak: float) -> optax.Schedule:
    """Warm-up, constant, linear decay to a twentieth."""
    falling = max(1, int(s.steps * s.decay))
    parts = [optax.linear_schedule(0.0, peak, s.warmup), optax.constant_schedule(peak)]
    return optax.join_schedules(
        [*parts, optax.linear_schedule(peak, peak / 20, falling)], [s.warmup, s.steps - falling]
    )


def optimizer(s: RunSettings, multiply: Multiply = plain) -> optax.GradientTransformation:
    """Muon for the matrices of the layers, Adam for embeddings and norms."""
    return optax.chain(optax.clip_by_global_norm(1.0), muon(schedule(s, s.muon), schedule(s, s.adam), multiply))


class Trainer:
    """One run: its data, its state and its steps."""

    def __init__(self, folder: Path, settings: RunSettings, mesh: jax.sharding.Mesh | None = None,
                 curriculum: Curriculum | None = None, start: Params | None = None):  # fmt: skip
        self.folder, self.settings, self.config = folder, settings, settings.config()
        self.curriculum = curriculum or Curriculum(Encoder(load_tokenizer(folder, settings)), settings.seed)
        self.mesh = mesh or meshes.make_mesh(1, 1, jax.devices()[:1])
        self.fast = settings.bfloat16 and self.mesh.size == 1 and kernels.available()
        self.optimizer = optimizer(settings, kernels.product if self.fast else plain)
        rows = model.table(self.config)
        axes = jax.tree.map(lambda r: meshes.sharding(self.mesh, r.axes, r.shape), rows, is_leaf=_is_row)
        params = start or model.init(self.config, jax.random.key(settings.seed))
        self.params: Params = jax.device_put(params, axes)
        self.state = jax.jit(self.optimizer.init)(self.params)
        self.step = self.seen = 0  # updates done, tokens read
        self._ahead = ThreadPoolExecutor(1)  # makes the next step's data while this one is computed
        self._next: Future[list[tuple[Shape, list[Pack]]]] | None = None
        self._update = jax.jit(self._step, static_argnums=(0,), donate_argnums=(1, 2))

    def resume(self) -> bool:
        """Continue from the newest saved state, if there is one."""
        file = self.folder / "state.npz"
        if not file.exists():
            return False
        with np.load(file) as saved:
            self.step, self.seen = int(saved["step"]), int(saved["seen"])
            leaves, tree = jax.tree.flatten((self.params, self.state))
            new = [jax.device_put(saved[str(i)], leaf.sharding) for i, leaf in enumerate(leaves)]
            self.params, self.state = jax.tree.unflatten(tree, new)
        return True

    def save(self) -> None:
        """Write the state; a run that is cut off loses nothing before it."""
        leaves = jax.tree.leaves((self.params, self.state))
        part = self.folder / "state.part.npz"
        arrays: dict[str, Any] = {str(i): np.asarray(x) for i, x in enumerate(leaves)}
        np.savez(part, step=self.step, seen=self.seen, **arrays)
        part.replace(self.folder / "state.npz")

    def train_step(self) -> tuple[float, int]:
        """One update; returns (mean loss of a target, tokens seen)."""
        packs = self._next.result() if self._next else self._packs(self.step)
        more = self.step + 1 < self.settings.steps
        self._next = self._ahead.submit(self._packs, self.step + 1) if more else None
        shapes = tuple(shape for shape, _ in packs)
        data = [self._place(network.batch(p)) for _, p in packs]
        self.params, self.state, loss = self._update(shapes, self.params, self.state, data)
        self.step += 1
        tokens = sum(shape.tokens * len(p) for shape, p in packs)
        self.seen += tokens
        return float(loss), tokens

    def _packs(self, step: int) -> list[tuple[Shape, list[Pack]]]:
        return self.curriculum.packs(self.settings.first + step, self.settings.invented, self.settings.whole)

    def _place(self, data: network.Batch) -> network.Batch:
        return {
            k: jax.device_put(v, meshes.sharding(self.mesh, ("batch",) + (None,) * (v.ndim - 1), v.shape))
            for k, v in data.items()
        }

    def _step(self, shapes: tuple[Shape, ...], params: Params, state: Any, data: list[network.Batch]) -> tuple:
        def mean_loss(params: Params) -> Any:
            params = self._narrow(params)
            parts = [network.loss(params, self.config, shape, d) for shape, d in zip(shapes, data, strict=True)]
            return sum(total for total, _ in parts) / sum(count for _, count in parts)

        loss, gradients = jax.value_and_grad(mean_loss)(params)
        updates, state = self.optimizer.update(gradients, state, params)
        return optax.apply_updates(params, updates), state, loss

    def _narrow(self, params: Params) -> Params:
        """The parameters as the forward pass computes with them; XLA's bfloat16 is slower than float32 on a CPU."""
        if not self.settings.bfloat16:
            return params
        if self.fast:
            return kernels.faster(params)
        return params if jax.default_backend() == "cpu" else jax.tree.map(lambda p: p.astype(jnp.bfloat16), params)


def _is_row(x: Any) -> bool:
    return isinstance(x, model.Parameter)


def load_tokenizer(folder: Path, settings: RunSettings) -> PreTrainedTokenizerFast:
    """The run's tokenizer, trained at its first start."""
    place = folder / "tokenizer"
    if place.exists():
        return PreTrainedTokenizerFast.from_pretrained(place)
    known = [d.spelled() for d in (builtin(), *training_domains())]
    trained = tokenizer.train(texts(known, settings.seed), settings.vocab)
    trained.save_pretrained(place)
    return trained


def open_run(folder: Path, settings: RunSettings) -> RunSettings:
    """The settings of a run: those it was started with, whatever is asked for now except the number of steps."""
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "settings.json"
    if file.exists():
        settings = replace(RunSettings(**json.loads(file.read_text())), steps=settings.steps)
    file.write_text(json.dumps(asdict(settings), indent=1))
    return settings


def continued(checkpoint: Path, settings: RunSettings, first: int | None = None,
              layers: int | None = None) -> tuple[RunSettings, Params]:  # fmt: skip
    """A run of a checkpoint's shape, or with more `layers`, and its parameters. In the curriculum's last stage, with
    smaller steps, unless `first` says where the run begins."""
    config = ModelConfig.load(checkpoint)
    settings = replace(
        settings, vocab=config.vocab_size, hidden=config.hidden_size, layers=layers or config.num_layers,
        heads=config.num_heads, kv_heads=config.num_kv_heads, head_dim=config.head_dim, mlp=config.intermediate_size,
        decay=0.6,
    )  # fmt: skip
    if first is None:
        settings = replace(settings, first=STAGES[-2].until, muon=0.012, adam=2e-3)
    else:
        settings = replace(settings, first=first)
    return settings, deeper(load_params(checkpoint, config), settings.layers)


def deeper(params: Params, layers: int) -> Params:
    """The same function with more layers: copies of the middle ones follow their originals, silent at first (what they
    add is zero), so that nothing learned is lost. At most twice as many. Raises ValueError."""
    old = params["layers"]
    extra = layers - len(old)
    if not 0 <= extra <= len(old):
        raise ValueError(f"{len(old)} layers can become {len(old)} to {2 * len(old)}, not {layers}")
    first = (len(old) - extra + 1) // 2
    new = []
    for i, layer in enumerate(old):
        new.append(layer)
        if first <= i < first + extra:
            new.append({k: jnp.zeros_like(p) if k in ("o", "down") else jnp.array(p) for k, p in layer.items()})
    return {**params, "layers": new}


def train(folder: Path, settings: RunSettings, *, start: Path | None = None, first: int | None = None,
          layers: int | None = None, data: int = 1, tensor: int = 1, save_every: int = 100, evaluate_every: int = 200,
          minutes: float | None = None) -> Trainer:  # fmt: skip
    """Run (or continue) a training until its last step, or for some minutes. A new run may `start` at a checkpoint, and
    with more `layers` than that has."""
    params = None
    if start is not None and not (folder / "state.npz").exists():
        settings, params = continued(start, settings, first, layers)
        known = PreTrainedTokenizerFast.from_pretrained(start)
        known.chat_template = tokenizer.TEMPLATE.read_text("utf-8")
        known.save_pretrained(folder / "tokenizer")
    settings = open_run(folder, settings)
    if params is not None and len(params["layers"]) != settings.layers:
        raise ValueError(f"{folder} holds the settings of a run with {settings.layers} layers; start in another folder")
    mesh = meshes.make_mesh(data, tensor, jax.devices()[: data * tensor])
    trainer = Trainer(folder, settings, mesh, start=params)
    trainer.resume()
    heldout = HeldOut(trainer.curriculum.encoder, trainer.config)
    started = begun = time.monotonic()
    seen, losses = 0, []
    with (folder / "log.jsonl").open("a") as log:
        while trainer.step < settings.steps:
            loss, tokens = trainer.train_step()
            losses.append(loss)
            seen += tokens
            last = trainer.step == settings.steps or bool(minutes and time.monotonic() - begun > minutes * 60)
            if trainer.step % 20 == 0 or last:
                speed = seen / (time.monotonic() - started)
                line: dict[str, Any] = {"step": trainer.step, "loss": round(float(np.mean(losses)), 4)}
                line |= {"tokens_per_s": round(speed), "seconds": round(time.monotonic() - begun)}
                if trainer.step % evaluate_every == 0 or last:
                    line |= heldout.measure(trainer.params)
                log.write(json.dumps(line) + "\n")
                log.flush()
                print(" ".join(f"{k} {v}" for k, v in line.items()), flush=True)
                started, seen, losses = time.monotonic(), 0, []
            if trainer.step % save_every == 0 or last:
                trainer.save()
            if last:
                break
    return trainer


def main(
    run: Annotated[Path, typer.Option(help="the run's folder")] = Path(".work/planner"),
    start: Annotated[
        Path | None, typer.Option(help="a checkpoint that a new run continues, instead of nothing")
    ] = None,
    first: Annotated[
        int | None, typer.Option(help="where in the curriculum to start the checkpoint; at its last stage if left out")
    ] = None,
    steps: int = RunSettings.steps,
    invented: int = RunSettings.invented,
    whole: int = RunSettings.whole,
    hidden: int = RunSettings.hidden,
    layers: Annotated[
        int | None, typer.Option(help="of a new run; more than its checkpoint has make it deeper")
    ] = None,
    mlp: int = RunSettings.mlp,
    seed: int = 0,
    data: Annotated[int, typer.Option(help="devices of the mesh's data axis")] = 1,
    tensor: Annotated[int, typer.Option(help="devices of the mesh's model axis")] = 1,
    minutes: Annotated[float | None, typer.Option(help="stop after so long; the run can be continued")] = None,
    bfloat16: bool = True,
    evaluate_every: int = 200,
) -> None:
    """Train the planner, or continue its training."""
    settings = RunSettings(steps=steps, hidden=hidden, layers=layers or RunSettings.layers, mlp=mlp, seed=seed,
                           invented=invented, whole=whole, bfloat16=bfloat16)  # fmt: skip
    train(run, settings, start=start, first=first, layers=layers, data=data, tensor=tensor, minutes=minutes,
          evaluate_every=evaluate_every)  # fmt: skip


if __name__ == "__main__":
    typer.run(main)
