"""Rotary embedding, masks and attention in plain XLA.

Grouped-query attention never repeats keys and values: query heads are folded into `[kv_head, group]`. Scores and
softmax are float32 whatever the inputs are. A window of w lets a token see itself and the w - 1 tokens before it.
"""

from __future__ import annotations

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from .config import Rope


@functools.lru_cache(maxsize=64)
def inverse_frequencies(rope: Rope, head_dim: int) -> np.ndarray:
    """Rotation per position of each pair of channels, `[head_dim / 2]` float32."""
    frequencies = 1.0 / rope.theta ** (np.arange(0, head_dim, 2, dtype=np.float32) / head_dim)
    if rope.kind == "linear":
        frequencies = frequencies / rope.factor
    if rope.kind == "llama3":
        # Long waves are stretched, short ones kept, those in between interpolated.
        turns = rope.original_max_positions * frequencies / (2 * math.pi)
        blend = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
        blend = np.clip(blend, 0.0, 1.0)
        frequencies = (1 - blend) * frequencies / rope.factor + blend * frequencies
    return frequencies.astype(np.float32)


def rotations(rope: Rope, head_dim: int, positions: Array) -> tuple[Array, Array]:
    """Cosines and sines `[B, T, 1, head_dim / 2]` float32 for `positions[B, T]`."""
    angles = positions[..., None, None].astype(jnp.float32) * inverse_frequencies(rope, head_dim)
    # XLA would fuse sine and cosine into every layer and compute them anew there; nothing is fused into a branch.
    return jax.lax.cond(jnp.any(positions >= 0), lambda: (jnp.cos(angles), jnp.sin(angles)), lambda: (angles, angles))


def rotate(x: Array, rotation: tuple[Array, Array]) -> Array:
    """Apply the rotary embedding to `x[B, T, heads, head_dim]` (channel i is paired with i + head_dim / 2)."""
    cos, sin = rotation
    first, second = jnp.split(x.astype(jnp.float32), 2, axis=-1)
    return jnp.concatenate([first * cos - second * sin, second * cos + first * sin], axis=-1).astype(x.dtype)


def causal_mask(queries: Array, keys: Array, window: int | None = None) -> Array:
    """`[B, 1, T, S]` bool: may the query at position `queries[B, T]` see the key at position `keys[B, S]`?"""
    distance = queries[:, None, :, None] - keys[:, None, None, :]
    mask = distance >= 0
    return mask if window is None else mask & (distance < window)


def attention(q: Array, k: Array, v: Array, mask: Array, scale: float, softcap: float | None = None) -> Array:
    """`q[B, T, H, Dh]`, `k, v[B, S, K, Dh]`, `mask[B, 1, T, S]` bool → `[B, T, H, Dh]` in q's dtype.

    Every query must be allowed to see at least one key.
    """
    return cached_attention(q, k.swapaxes(1, 2), v.swapaxes(1, 2), mask, scale, softcap)


def cached_attention(q: Array, k: Array, v: Array, mask: Array, scale: float, softcap: float | None = None) -> Array:
    """As `attention`, with `k, v[B, K, S, Dh]`: the layout of the cache, multiplied without a transposed copy."""
    batch, length, heads, head_dim = q.shape
    kv_heads = k.shape[1]
    group = heads // kv_heads
    # [B, K, G * T, Dh]: one matrix per key/value head
    folded = q.reshape(batch, length, kv_heads, group, head_dim).transpose(0, 2, 3, 1, 4)
    folded = folded.reshape(batch, kv_heads, group * length, head_dim)
    scores = jnp.einsum("bkqd,bksd->bkqs", folded, k, preferred_element_type=jnp.float32) * scale
    if softcap is not None:
        scores = jnp.tanh(scores / softcap) * softcap
    scores = scores.reshape(batch, kv_heads, group, length, -1)
    scores = jnp.where(mask[:, :, None], scores, jnp.finfo(jnp.float32).min)
    weights = jax.nn.softmax(scores, axis=-1).reshape(batch, kv_heads, group * length, -1).astype(v.dtype)
    out = jnp.einsum("bkqs,bksd->bkqd", weights, v)
    out = out.reshape(batch, kv_heads, group, length, head_dim).transpose(0, 3, 1, 2, 4)
    return out.reshape(batch, length, heads, head_dim).astype(q.dtype)
