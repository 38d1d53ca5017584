"""The same answers on every mesh, with fewer bytes per device and no more collectives than the layout needs."""

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from assistant.llm import ModelConfig, UnsupportedModel
from assistant.llm.mesh import kv_repeats

LAYERS = 2
CONFIG = ModelConfig("qwen3", 256, 64, 128, LAYERS, 8, 2, 16, tied=False, qk_norm=True)


@pytest.fixture(scope="module")
def meshes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wide")
    torch.manual_seed(0)
    network = Qwen3ForCausalLM(Qwen3Config(**{k: v for k, v in CONFIG.to_dict().items() if k != "architectures"}))
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.normal_(0, 0.15)
    network.save_pretrained(folder)
    root = Path(__file__).parents[2]
    environment = {
        **os.environ,
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": "--xla_force_host_platform_device_count=8",
        "PYTHONPATH": str(root),
    }
    command = [sys.executable, str(Path(__file__).with_name("mesh_check.py")), str(folder)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=540)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_every_mesh_gives_the_same_tokens_and_log_probabilities(meshes):
    assert list(meshes) == ["1x1", "1x2", "2x2", "1x4", "1x8"]  # 1x4 and 1x8 exceed the two key/value heads
    for name, found in meshes.items():
        assert found["tokens"] == meshes["1x1"]["tokens"], name
        assert np.allclose(found["logprobs"], meshes["1x1"]["logprobs"], atol=1e-4), name


def test_parameters_and_cache_shrink_with_the_mesh(meshes):
    size = {name: found["parameter_bytes"] for name, found in meshes.items()}
    assert size["1x2"] < 0.55 * size["1x1"] and size["1x4"] < 0.30 * size["1x1"] and size["1x8"] < 0.18 * size["1x1"]
    assert size["2x2"] == size["1x2"]  # the data axis shards the slots, not the parameters
    cache = {name: found["cache_bytes"] for name, found in meshes.items()}
    assert cache["1x2"] == cache["1x1"] / 2 and cache["2x2"] == cache["1x1"] / 4
    assert cache["1x8"] == cache["1x1"] / 2  # two heads repeated eight-fold: one per device


def test_a_step_needs_two_reductions_per_layer(meshes):
    assert sum(meshes["1x1"]["collectives"].values()) == 0
    for name in ("1x2", "1x4", "1x8"):
        counts = meshes[name]["collectives"]
        assert counts["all-reduce"] == 2 * LAYERS + 1, (name, counts)  # attention and MLP of each layer; the embedding
        assert counts["all-gather"] == 1, (name, counts)  # the logits
        assert counts["all-to-all"] == counts["collective-permute"] == counts["reduce-scatter"] == 0, (name, counts)


def test_no_mesh_compiles_after_warm_up(meshes):
    assert {name: found["compilations"] for name, found in meshes.items()} == dict.fromkeys(meshes, 0)


def test_key_value_heads_are_repeated_as_often_as_needed():
    assert [kv_repeats(CONFIG, n) for n in (1, 2, 4, 8)] == [1, 1, 2, 4]
    six = dataclasses.replace(CONFIG, num_heads=24, num_kv_heads=6)
    assert [kv_repeats(six, n) for n in (2, 3, 4, 8)] == [1, 1, 2, 4]
    with pytest.raises(UnsupportedModel, match="do not divide over 16"):
        kv_repeats(CONFIG, 16)
    with pytest.raises(UnsupportedModel, match="do not divide over 3"):
        kv_repeats(CONFIG, 3)
