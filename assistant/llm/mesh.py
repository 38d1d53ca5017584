"""Where tensors live: a mesh of devices with the axes `data` (slots) and `model` (heads, MLP, vocabulary).

Every parameter names its axes logically; `RULES` maps them to mesh axes. An axis that does not divide is replicated,
and key/value heads that are fewer than the model shards are repeated, so that each shard owns those its queries need.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import jax
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from .config import ModelConfig, UnsupportedModel

RULES = {"vocab": "model", "heads": "model", "kv_heads": "model", "mlp": "model", "slots": "data", "batch": "data"}


def make_mesh(data: int = 1, model: int = 1, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """A mesh over the first `data * model` devices; `ValueError` when there are fewer."""
    devices = list(jax.devices() if devices is None else devices)
    if len(devices) < data * model:
        raise ValueError(f"a {data}x{model} mesh needs {data * model} devices, but there are {len(devices)}")
    return jax.make_mesh((data, model), ("data", "model"), (AxisType.Auto,) * 2, devices=devices[: data * model])


def sharding(mesh: Mesh, axes: Sequence[str | None], shape: Sequence[int]) -> NamedSharding:
    """How a tensor with these logical axes is laid out; axes that do not divide are replicated."""
    names = [RULES.get(axis) if axis else None for axis in axes]
    names = [n if n and size % mesh.shape[n] == 0 else None for n, size in zip(names, shape, strict=True)]
    return NamedSharding(mesh, PartitionSpec(*names))


def replicated(mesh: Mesh) -> NamedSharding:
    """Every device holds the whole tensor."""
    return NamedSharding(mesh, PartitionSpec())


def kv_repeats(config: ModelConfig, model: int) -> int:
    """How often each key/value head is repeated so that the heads divide over `model` shards."""
    repeats = model // math.gcd(config.num_kv_heads, model)
    if config.num_heads % model or config.num_heads % (config.num_kv_heads * repeats):
        raise UnsupportedModel(
            f"{config.num_heads} attention heads with {config.num_kv_heads} key/value heads do not divide over "
            f"{model} model shards; choose a model axis that divides the attention heads"
        )
    return repeats


def repeat_kv_heads(config: ModelConfig, mesh: Mesh | None) -> tuple[ModelConfig, int]:
    """The configuration with repeated key/value heads, and how often each is repeated (1 without a mesh)."""
    repeats = 1 if mesh is None else kv_repeats(config, mesh.shape["model"])
    return dataclasses.replace(config, num_kv_heads=config.num_kv_heads * repeats), repeats


def start_processes(coordinator: str, processes: int, rank: int, heartbeat_seconds: int = 10) -> None:
    """Join a group of processes (call before anything else touches JAX); a lost member ends every other one.

    `coordinator` is `host:port` of rank 0. On CPU the collectives run over gloo. The processes must end within 30
    seconds of each other: that long one waits for the others at its end, before it ends them with an error.
    """
    if "cpu" in (getattr(jax.config, "jax_platforms", None) or "cpu"):
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
    jax.distributed.initialize(
        coordinator,
        processes,
        rank,
        initialization_timeout=60,
        heartbeat_timeout_seconds=heartbeat_seconds,
        shutdown_timeout_seconds=30,
    )
