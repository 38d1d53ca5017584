"""Training learns, resumes as the same run, agrees between meshes, and its export is what `transformers` computes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np
import pytest

from assistant.training import network
from assistant.training.curriculum import STAGES, Curriculum
from assistant.training.export import averaged, save_checkpoint
from assistant.training.loop import RunSettings, Trainer, continued, deeper

SMALL = RunSettings(
    steps=12, vocab=1500, hidden=32, layers=2, heads=2, kv_heads=1, head_dim=16, mlp=48, invented=1, warmup=2
)


def run(folder: Path, curriculum: Curriculum, steps: int) -> tuple[Trainer, list[float]]:
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(folder, SMALL, curriculum=curriculum)
    trainer.resume()
    return trainer, [trainer.train_step()[0] for _ in range(steps)]


def test_a_resumed_run_is_the_same_run(tmp_path: Path, curriculum: Curriculum) -> None:
    _, whole = run(tmp_path / "whole", curriculum, 6)
    first, losses = run(tmp_path / "halves", curriculum, 3)
    first.save()
    second, rest = run(tmp_path / "halves", curriculum, 3)
    assert second.step == 6
    np.testing.assert_allclose(losses + rest, whole, rtol=1e-5)
    assert whole[-1] < whole[0]


def test_the_export_is_what_transformers_computes(tmp_path: Path, curriculum: Curriculum, encoder) -> None:
    torch = pytest.importorskip("torch")
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from assistant.llm import Engine, Request, load

    trainer, _ = run(tmp_path / "run", curriculum, 2)
    save_checkpoint(tmp_path / "out", trainer.params, trainer.config, encoder.tokenizer)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "a gif of my dog"}], add_generation_prompt=True,
                                        return_dict=False)  # fmt: skip
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "out", dtype=torch.float32)
    wanted = theirs.generate(torch.tensor([ids]), max_new_tokens=8, do_sample=False, eos_token_id=[])[0, len(ids) :]
    engine = Engine(load(tmp_path / "out"), slots=1, length=128)
    try:
        result = engine.generate(Request(ids, max_tokens=8, stop_tokens=()))
    finally:
        engine.close()
    assert result.ids == wanted.tolist()


def test_a_run_goes_on_from_a_checkpoint(tmp_path: Path, curriculum: Curriculum, encoder) -> None:
    trainer, _ = run(tmp_path / "run", curriculum, 1)
    save_checkpoint(tmp_path / "out", trainer.params, trainer.config, encoder.tokenizer)
    settings, params = continued(tmp_path / "out", RunSettings(steps=5))
    assert settings.config() == trainer.config and settings.steps == 5
    assert settings.first == STAGES[-2].until, "the last stage"
    again, _ = continued(tmp_path / "out", RunSettings(steps=5), first=1200)
    assert again.first == 1200 and again.muon > settings.muon, "lessons again, with full steps"
    for mine, theirs in zip(jax.tree.leaves(params), jax.tree.leaves(trainer.params), strict=True):
        np.testing.assert_allclose(mine, theirs, atol=0.01 * float(np.abs(theirs).max()))  # bfloat16 lies between

    deep, _ = continued(tmp_path / "out", RunSettings(steps=5), layers=4)
    assert deep.layers == 4


def test_a_deeper_network_computes_the_same_and_learns(tmp_path: Path, curriculum: Curriculum) -> None:
    trainer, _ = run(tmp_path / "run", curriculum, 2)
    settings = replace(SMALL, layers=3)
    deep = Trainer(tmp_path / "run", settings, curriculum=trainer.curriculum, start=deeper(trainer.params, 3))
    [(shape, packs), *_] = trainer._packs(5)
    batch = network.batch(packs)
    wanted, _ = network.loss(trainer.params, trainer.config, shape, batch)
    found, _ = network.loss(deep.params, deep.config, shape, batch)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    assert float(np.abs(deep.params["layers"][2]["down"]).max()) == 0, "the copy of the second layer is silent"
    for _ in range(2):  # the first step of the warm-up has a rate of zero
        deep.train_step()
    assert float(np.abs(deep.params["layers"][2]["down"]).max()) > 0, "it has learned something"
    with pytest.raises(ValueError, match="2 layers can become 2 to 4, not 5"):
        deeper(trainer.params, 5)


def test_a_run_can_be_averaged_with_the_checkpoint_that_it_began_at(tmp_path: Path, curriculum: Curriculum) -> None:
    trainer, _ = run(tmp_path / "run", curriculum, 1)
    before = jax.tree.map(np.array, trainer.params)
    for _ in range(2):
        trainer.train_step()
    mean = averaged(trainer.params, before)
    for found, old, new in zip(*map(jax.tree.leaves, (mean, before, trainer.params)), strict=True):
        np.testing.assert_allclose(found, (old + np.asarray(new)) / 2, atol=1e-6)


CURVE = """
import json, sys
from pathlib import Path
import jax
from assistant.llm.mesh import make_mesh
from assistant.training import network
from assistant.training.curriculum import Curriculum
from assistant.training.loop import RunSettings, Trainer
from assistant.training.packs import Encoder
from transformers import PreTrainedTokenizerFast
folder, data, tensor = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
settings = RunSettings(**json.loads((folder / "settings.json").read_text()))
curriculum = Curriculum(Encoder(PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer")))
trainer = Trainer(folder, settings, make_mesh(data, tensor, jax.devices()[: data * tensor]), curriculum)
[(_, packs), *_] = trainer._packs(0)
assert len(trainer._place(network.batch(packs))["tokens"].addressable_shards[0].data) == len(packs) // data
print(json.dumps([trainer.train_step()[0] for _ in range(4)]))
"""


def test_loss_curves_agree_on_one_and_four_devices(tmp_path: Path, encoder) -> None:
    from dataclasses import asdict

    encoder.tokenizer.save_pretrained(tmp_path / "tokenizer")
    (tmp_path / "settings.json").write_text(
        json.dumps(asdict(SMALL) | {"heads": 4, "kv_heads": 2, "whole": 2, "invented": 2, "first": 5000})
    )
    curves = []
    for data, tensor in ((1, 1), (2, 2)):
        env = {**os.environ, "XLA_FLAGS": f"--xla_force_host_platform_device_count={data * tensor}"}
        done = subprocess.run([sys.executable, "-c", CURVE, tmp_path, str(data), str(tensor)], env=env, text=True,
                              capture_output=True, timeout=300)  # fmt: skip
        assert done.returncode == 0, done.stderr[-3000:]
        curves.append(json.loads(done.stdout.splitlines()[-1]))
    np.testing.assert_allclose(curves[0], curves[1], rtol=2e-3)
