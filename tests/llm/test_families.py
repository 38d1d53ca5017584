"""Every family against transformers, and checkpoints that must be refused."""

import json
import shutil

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from transformers import AutoModelForCausalLM

from assistant.llm import BadCheckpoint, Engine, ModelConfig, Request, UnsupportedModel, attention, load, model, weights

from .conftest import FAMILIES, reference_greedy, reference_logits


def run(params, config, tokens):
    positions = jnp.broadcast_to(jnp.arange(tokens.shape[1]), tokens.shape)

    def attend(layer, q, k, v):
        mask = attention.causal_mask(positions, positions, config.windows[layer])
        return attention.attention(q, k, v, mask, config.scale, config.attention_softcap)

    hidden = model.forward(params, config, jnp.asarray(tokens), positions, attend)
    return np.asarray(model.logits(params, config, hidden))


@pytest.mark.parametrize("family", FAMILIES)
def test_logits_and_greedy_text_equal_transformers(checkpoints, family):
    folder, reference = checkpoints(family)
    loaded = load(folder)
    tokens = np.random.default_rng(0).integers(1, loaded.config.vocab_size, (2, 100))
    assert np.abs(run(loaded.params, loaded.config, tokens) - reference_logits(reference, tokens)).max() <= 1e-4
    with Engine(loaded, slots=1, length=200, sizes=(1, 32)) as engine:
        prompt = tokens[0, :41].tolist()
        generated = engine.generate(Request(prompt, max_tokens=64, stop_tokens=())).ids
    assert generated == reference_greedy(reference, prompt, 64)


@pytest.mark.parametrize("family", FAMILIES)
def test_saved_parameters_are_read_by_transformers_and_back(checkpoints, family, tmp_path):
    folder, _ = checkpoints(family)
    config = ModelConfig.load(folder)
    params = model.init(config, jax.random.key(3))
    weights.save(tmp_path, params, config)
    assert ModelConfig.load(tmp_path) == config
    tokens = np.random.default_rng(1).integers(1, config.vocab_size, (1, 20))
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, attn_implementation="eager")
    assert np.abs(run(params, config, tokens) - reference_logits(reference, tokens)).max() <= 1e-4
    again = weights.load_params(tmp_path, config)
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(params), jax.tree.leaves(again), strict=True))


def test_bfloat16_weights_are_kept(checkpoints):
    folder, reference = checkpoints("qwen3")
    loaded = load(folder, dtype=jnp.bfloat16)
    matrices = [x for x in jax.tree.leaves(loaded.params) if x.ndim > 1]  # norms stay float32 on a CPU
    assert {x.dtype for x in matrices} == {jnp.dtype(jnp.bfloat16)}
    tokens = np.random.default_rng(0).integers(1, loaded.config.vocab_size, (1, 30))
    wanted = reference_logits(reference, tokens)
    assert np.abs(run(loaded.params, loaded.config, tokens) - wanted).max() < 0.05 * np.abs(wanted).max()


def test_a_file_in_bfloat16_is_read_as_it_is(checkpoints, tmp_path):
    """Most published checkpoints are stored so."""
    folder, _ = checkpoints("qwen3")
    AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16).save_pretrained(tmp_path)
    assert load_file(tmp_path / "model.safetensors")["model.norm.weight"].dtype == ml_dtypes.bfloat16
    loaded = load(tmp_path, dtype="float32")
    tokens = np.random.default_rng(0).integers(1, loaded.config.vocab_size, (1, 30))
    reference = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, attn_implementation="eager")
    wanted = reference_logits(reference, tokens)
    assert np.abs(run(loaded.params, loaded.config, tokens) - wanted).max() <= 1e-4


def test_softcap_limits_attention_scores():
    q = jnp.full((1, 2, 1, 4), 10.0)
    k = jnp.stack([q[:, 0], -q[:, 0]], axis=1)
    v = jnp.stack([jnp.ones((1, 1, 4)), jnp.zeros((1, 1, 4))], axis=1)
    mask = jnp.ones((1, 1, 2, 2), bool)
    wanted = 1 / (1 + np.exp(-2 * 2.0))  # scores of ±400 capped at ±2
    assert np.allclose(attention.attention(q, k, v, mask, 1.0, softcap=2.0), wanted, atol=1e-6)


def test_sharded_files_and_their_index(checkpoints, tmp_path):
    folder, _ = checkpoints("qwen2")
    tensors = load_file(folder / "model.safetensors")
    names = sorted(tensors)
    parts = {"model-1.safetensors": names[::2], "model-2.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({key: tensors[key] for key in keys}, tmp_path / file)
    index = {"weight_map": {key: file for file, keys in parts.items() for key in keys}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    shutil.copy(folder / "config.json", tmp_path)
    ours, theirs = load(tmp_path).params, load(folder).params
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True))
    (tmp_path / "model-2.safetensors").unlink()
    with pytest.raises(BadCheckpoint, match=r"model-2\.safetensors"):
        load(tmp_path)


def changed(folder, tmp_path, config=None, tensors=None):
    data = json.loads((folder / "config.json").read_text()) | (config or {})
    (tmp_path / "config.json").write_text(json.dumps(data))
    found = load_file(folder / "model.safetensors")
    found.update(tensors or {})
    save_file({key: value for key, value in found.items() if value is not None}, tmp_path / "model.safetensors")
    return tmp_path


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"architectures": ["MixtralForCausalLM"]}, "MixtralForCausalLM"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1e4, "factor": 4.0}}, "yarn"),
        ({"hidden_act": "relu"}, "relu"),
        ({"num_key_value_heads": 3}, "3 key/value heads"),
        ({"quantization_config": {"quant_method": "fp8"}}, "quantised .fp8.*bfloat16"),
    ],
)
def test_unsupported_architectures_are_refused_by_name(checkpoints, tmp_path, config, words):
    with pytest.raises(UnsupportedModel, match=words):
        load(changed(checkpoints("qwen3")[0], tmp_path, config))


def test_missing_and_misshaped_tensors_are_refused_by_name(checkpoints, tmp_path):
    folder, _ = checkpoints("qwen3")
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(BadCheckpoint, match=name):
        load(changed(folder, tmp_path, tensors={name: None}))
    with pytest.raises(BadCheckpoint, match=rf"{name}.*\[96, 63\]"):
        load(changed(folder, tmp_path, tensors={name: np.zeros((96, 63), np.float32)}))
    with pytest.raises(BadCheckpoint, match=r"lm_head\.weight"):
        load(changed(folder, tmp_path, {"tie_word_embeddings": False}))
    (tmp_path / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(BadCheckpoint, match="cannot be read"):
        load(tmp_path)


@pytest.mark.parametrize("dtype", [ml_dtypes.float8_e4m3fn, np.int8, np.uint8])
def test_quantised_tensors_are_refused_by_name(checkpoints, tmp_path, dtype):
    name = "model.layers.1.mlp.up_proj.weight"
    with pytest.raises(UnsupportedModel, match=rf"{name}.*bfloat16"):
        load(changed(checkpoints("qwen3")[0], tmp_path, tensors={name: np.zeros((96, 64), dtype)}))


@pytest.mark.parametrize("dtype", [np.float16, ml_dtypes.bfloat16])
def test_half_precision_is_read(checkpoints, tmp_path, dtype):
    name = "model.layers.1.mlp.up_proj.weight"
    value = np.random.default_rng(0).normal(size=(96, 64)).astype(dtype)
    read = weights.Checkpoint(changed(checkpoints("qwen3")[0], tmp_path, tensors={name: value})).tensor(name)
    assert np.array_equal(read[:], value)
    params = weights.load_params(tmp_path, ModelConfig.load(tmp_path))
    assert np.array_equal(params["layers"][1]["up"], value.astype(np.float32).T)


def test_a_download_is_named_by_its_hub_id(checkpoints, tmp_path, monkeypatch):
    folder, _ = checkpoints("qwen3")
    monkeypatch.setattr(weights, "_download", lambda name: shutil.copytree(folder, tmp_path / "snapshots" / "0a1b2c"))
    assert load("Qwen/Qwen3-0.6B").name == "Qwen/Qwen3-0.6B"
    assert load(folder).name == folder.name


def test_hub_ids_need_a_network_or_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(FileNotFoundError, match="give the path of a local folder"):
        load("nobody/nothing-at-all")
    with pytest.raises(FileNotFoundError, match="neither a folder nor a hub id"):
        load(tmp_path / "absent")
