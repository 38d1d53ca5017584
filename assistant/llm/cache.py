"""Keys and values of the tokens seen so far: per layer a pair of `[slots, kv_heads, length, head_dim]` arrays.

The arrays are donated to every step, so they are updated in place. A slot holds one sequence; `length` includes a
margin in which rows that take no part in a step may write. What lies beyond a sequence may be anything, NaN included.
"""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.sharding import Mesh, SingleDeviceSharding

from . import kernels
from .attention import cached_attention, causal_mask
from .config import ModelConfig
from .mesh import sharding
from .model import Attend

Cache = list[tuple[Array, Array]]
AXES = ("slots", "kv_heads", None, None)


def allocate(config: ModelConfig, slots: int, length: int, dtype: Any = jnp.float32, mesh: Mesh | None = None) -> Cache:
    """A zeroed cache for `slots` sequences of `length` tokens."""
    shape = (slots, config.num_kv_heads, length, config.head_dim)
    # Placed explicitly: what a step returns is, and an array that is not would be compiled for separately.
    where = SingleDeviceSharding(jax.devices()[0]) if mesh is None else sharding(mesh, AXES, shape)
    return [(jnp.zeros(shape, dtype, device=where), jnp.zeros(shape, dtype, device=where)) for _ in config.windows]


def attend_rows(
    cache: Cache,
    config: ModelConfig,
    slots: Array,
    starts: Array,
    counts: Array,
    size: int,
    *,
    whole: bool = False,
    kernel: bool = False,
) -> tuple[Attend, Cache]:
    """The `attend` callback of a step that feeds `size` tokens to each of R rows, and the cache that it updates.

    Row r writes to slot `slots[r]` from position `starts[r]` on; of its tokens the first `counts[r]` are real. With
    `whole`, row r is slot r and no rows are gathered (required when slots are sharded). `kernel` takes the CPU kernel.
    """
    updated = list(cache)

    def attend_kernel(layer: int, q: Array, k: Array, v: Array) -> Array:
        old_k, old_v = updated[layer]
        window, softcap = config.windows[layer], config.attention_softcap
        out, new_k, new_v = kernels.attend(
            q, k, v, old_k, old_v, slots, starts, counts, scale=config.scale, softcap=softcap, window=window
        )
        updated[layer] = new_k, new_v
        return out

    if kernel:
        return attend_kernel, updated
    length = cache[0][0].shape[2]
    queries = starts[:, None] + jnp.arange(size)
    keys = jnp.broadcast_to(jnp.arange(length), (starts.shape[0], length))
    written = (keys < (starts + counts)[:, None])[:, None, :, None]

    def attend(layer: int, q: Array, k: Array, v: Array) -> Array:
        old_k, old_v = updated[layer]
        new_k = _write(old_k, k, slots, starts, whole)
        new_v = _write(old_v, v, slots, starts, whole)
        updated[layer] = new_k, new_v
        row_k, row_v = (new_k, new_v) if whole else (_rows(new_k, slots), _rows(new_v, slots))
        # A weight of zero does not silence NaN, so values beyond a sequence's end are cleared here.
        row_v = jnp.where(written, row_v, 0)
        mask = causal_mask(queries, keys, config.windows[layer])
        return cached_attention(q, row_k, row_v, mask, config.scale, config.attention_softcap)

    return attend, updated


def _write(cache: Array, new: Array, slots: Array, starts: Array, whole: bool) -> Array:
    new = new.swapaxes(1, 2).astype(cache.dtype)  # [R, K, T, Dh]
    if whole:
        return jax.vmap(lambda row, value, at: jax.lax.dynamic_update_slice(row, value, (0, at, 0)))(cache, new, starts)
    for r in range(new.shape[0]):
        cache = jax.lax.dynamic_update_slice(cache, new[r : r + 1], (slots[r], 0, starts[r], 0))
    return cache


def _rows(cache: Array, slots: Array) -> Array:
    if slots.shape[0] == 1:
        return jax.lax.dynamic_slice_in_dim(cache, slots[0], 1)
    return cache[slots]


def copy_row(source: Cache, row: Array, target: Cache, to: Array) -> Cache:
    """Copy one row of `source` over the beginning of row `to` of `target` (the lengths may differ)."""

    def copy(a: Array, b: Array) -> Array:
        value = jax.lax.dynamic_slice_in_dim(a, row, 1)[:, :, : b.shape[2]]
        return jax.lax.dynamic_update_slice(b, value, (to, 0, 0, 0))

    return jax.tree.map(copy, source, target)
