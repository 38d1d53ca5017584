"""Checkpoints in Hugging Face layout: `config.json` beside one or several `*.safetensors`.

Reading goes through `get_slice` inside `jax.make_array_from_callback`, so each process touches only the bytes that its
shards need. Tensors that are missing or have another shape than the configuration says are refused by name.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, SingleDeviceSharding
from safetensors import safe_open
from safetensors.numpy import save_file

from .config import ModelConfig, UnsupportedModel
from .mesh import repeat_kv_heads, sharding
from .model import Parameter, Params, table

_INDEX = "model.safetensors.index.json"
_DTYPES = ("F32", "F16", "BF16")  # others are quantised: their numbers mean nothing without scales


class BadCheckpoint(ValueError):
    """The folder lacks tensors, or they do not fit its `config.json`."""


class Checkpoint:
    """Open safetensors files of a folder; `read` returns slices of a tensor as numpy arrays."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder)
        self._files: dict[Path, Any] = {}
        self._names = self._index()

    def _index(self) -> dict[str, Path]:
        index = self.folder / _INDEX
        if index.exists():
            names = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
            lacking = sorted({file for file in names.values() if not (self.folder / file).exists()})
            if lacking:
                raise BadCheckpoint(f"{self.folder} lacks {', '.join(lacking)}, named in {_INDEX}; download it again")
            return {name: self.folder / file for name, file in names.items()}
        files = sorted(self.folder.glob("*.safetensors"))
        if not files:
            raise BadCheckpoint(f"{self.folder} holds no *.safetensors; other weight formats are not read")
        return {name: file for file in files for name in self._open(file).keys()}  # noqa: SIM118

    def _open(self, file: Path) -> Any:
        if file not in self._files:
            try:
                self._files[file] = safe_open(file, framework="numpy")
            except Exception as error:  # safetensors raises its own class for every kind of damage
                raise BadCheckpoint(f"{file} cannot be read ({error}); download it again") from None
        return self._files[file]

    def __contains__(self, name: str) -> bool:
        return name in self._names

    def tensor(self, name: str) -> Any:
        """A lazy slice object with `get_shape()`; `BadCheckpoint` when there is no such tensor."""
        if name not in self._names:
            raise BadCheckpoint(f"{self.folder} lacks the tensor {name!r}")
        return self._open(self._names[name]).get_slice(name)


def load_params(folder: str | Path, config: ModelConfig, dtype: Any = jnp.float32, mesh: Mesh | None = None) -> Params:
    """Read the parameters of `config` as `dtype`, sharded over `mesh` (or on the default device).

    With a mesh whose model axis exceeds the key/value heads, these are repeated: use `repeat_kv_heads` for the
    configuration that fits the result.
    """
    checkpoint = Checkpoint(folder)
    if config.tied is False and "lm_head.weight" not in checkpoint and "model.embed_tokens.weight" in checkpoint:
        raise BadCheckpoint(f"{folder} lacks 'lm_head.weight' and its config.json does not say tie_word_embeddings")
    local, repeats = repeat_kv_heads(config, mesh)
    rows, tree = jax.tree.flatten(table(local), is_leaf=lambda x: isinstance(x, Parameter))
    return jax.tree.unflatten(tree, [_load(checkpoint, local, row, repeats, dtype, mesh) for row in rows])


def _load(
    checkpoint: Checkpoint, config: ModelConfig, row: Parameter, repeats: int, dtype: Any, mesh: Mesh | None
) -> jax.Array:
    tensor = checkpoint.tensor(row.name)
    heads = repeats if "kv_heads" in row.axes else 1
    stored = [size // heads if axis == "kv_heads" else size for size, axis in zip(row.shape, row.axes, strict=True)]
    stored = stored[::-1] if row.transpose else stored
    if tensor.get_dtype() not in _DTYPES:
        raise UnsupportedModel(
            f"tensor {row.name!r} is stored as {tensor.get_dtype()}, but only float32, float16 and bfloat16 are read; "
            "take the checkpoint in bfloat16"
        )
    if list(tensor.get_shape()) != stored:
        raise BadCheckpoint(f"tensor {row.name!r} has shape {tensor.get_shape()}, but config.json means {stored}")

    def read(index: Any) -> np.ndarray:
        if heads > 1:
            return _read_heads(tensor, row, index, config.head_dim, heads).astype(dtype)
        value = np.asarray(tensor[index[::-1] if row.transpose else index])
        return (value.T if row.transpose else value).astype(dtype)

    where = SingleDeviceSharding(jax.devices()[0]) if mesh is None else sharding(mesh, row.axes, row.shape)
    return jax.make_array_from_callback(row.shape, where, read)


def _read_heads(tensor: Any, row: Parameter, index: tuple[slice, ...], head_dim: int, repeats: int) -> np.ndarray:
    """One shard of a matrix or bias `[…, heads * head_dim]` whose heads are repeated (the last axis is sharded)."""
    start, stop, _ = index[-1].indices(row.shape[-1])
    first, last = start // head_dim, -(-stop // head_dim)  # repeated heads of this shard
    low, high = first // repeats, -(-last // repeats)  # the stored heads behind them
    stored = slice(low * head_dim, high * head_dim)
    value = np.asarray(tensor[(stored, *index[:-1])])  # matrices are stored [out, in]
    value = value.reshape(high - low, head_dim, *value.shape[1:])
    value = np.repeat(value, repeats, axis=0)[first - low * repeats : last - low * repeats]
    return value.reshape(-1, *value.shape[2:]).T


def save(folder: str | Path, params: Params, config: ModelConfig, dtype: Any = np.float32) -> None:
    """Write `config.json` and `model.safetensors` in Hugging Face layout, readable by `transformers`."""
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    rows = jax.tree.leaves(table(config), is_leaf=lambda x: isinstance(x, Parameter))
    values = jax.tree.leaves(params)
    if len(rows) != len(values):
        raise ValueError(f"the parameters have {len(values)} tensors, the configuration {len(rows)}")
    tensors = {}
    for row, value in zip(rows, values, strict=True):
        array = np.asarray(value)
        if array.shape != row.shape:
            raise ValueError(f"parameter {row.name!r} has shape {array.shape}, expected {row.shape}")
        tensors[row.name] = np.ascontiguousarray(array.T if row.transpose else array).astype(dtype)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config.save(folder)


def find(path_or_hub_id: str | Path, download: Callable[[str], str] | None = None) -> Path:
    """The local folder of a checkpoint; a hub id such as `Qwen/Qwen3-0.6B` is downloaded (with a progress bar)."""
    folder = Path(path_or_hub_id).expanduser()
    if folder.is_dir():
        return folder
    name = str(path_or_hub_id)
    if name.count("/") != 1 or name.startswith((".", "/", "~")):
        raise FileNotFoundError(f"{name} is neither a folder nor a hub id of the form owner/name")
    try:
        return Path((download or _download)(name))
    except Exception as error:
        reason = "".join(str(error).splitlines()[:1]) or "no reason given"
        raise FileNotFoundError(
            f"the checkpoint {name} could not be downloaded ({type(error).__name__}: {reason}). "
            "Without a network, give the path of a local folder with config.json, tokenizer.json and *.safetensors"
        ) from error


def _download(name: str) -> str:
    from huggingface_hub import snapshot_download

    return snapshot_download(name, allow_patterns=["*.json", "*.safetensors", "*.jinja", "tokenizer.model"])


__all__ = ["BadCheckpoint", "Checkpoint", "UnsupportedModel", "find", "load_params", "save"]
