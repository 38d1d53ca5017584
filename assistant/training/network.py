"""Loss and metrics of packs, on the engine's own `forward`.

The engine's forward pass takes attention as a function, so the training's is one that knows packs: a row sees the
shared prefix and, causally, its own segment. Prefix scores cost rows x prefix instead of (rows + prefix) squared.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from assistant.llm import model
from assistant.llm.config import ModelConfig
from assistant.llm.model import Attend, Params

from . import kernels
from .packs import Pack, Shape

Batch = dict[str, Any]
"""tokens, positions[B, T] int32; prefix[B]; segments[B, rows, row]; targets, labels, owners[B, M]."""


def batch(packs: list[Pack]) -> Batch:
    """Packs of one shape as arrays with a leading axis B."""
    names = ("tokens", "positions", "segments", "targets", "labels", "owners")
    arrays = {n: np.stack([getattr(p, n) for p in packs]) for n in names}
    return arrays | {"prefix": np.array([p.prefix for p in packs], np.int32)}


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def masked_exp(scores: Array, mask: Array, scale: float) -> Array:
    """exp(scale * scores) where the mask is true, else 0; its gradient is one pass over the scores."""
    return jnp.where(mask, jnp.exp(jnp.minimum(scores * scale, 60.0)), 0.0)


def _masked_exp_forward(scores: Array, mask: Array, scale: float) -> tuple[Array, Array]:
    out = masked_exp(scores, mask, scale)
    return out, out


def _masked_exp_backward(scale: float, out: Array, gradient: Array) -> tuple[Array, None]:
    return gradient * out * scale, None


masked_exp.defvjp(_masked_exp_forward, _masked_exp_backward)


def pack_attention(config: ModelConfig, shape: Shape, prefix: Array, segments: Array) -> Attend:
    """Attention for batches of packs; `prefix[B]` real lengths, `segments[B, R, L]` (0 is padding).

    Written for few passes over the scores, which dominate the time on a CPU: the key/value head leads every axis, the
    softmax has no maximum (queries and keys are normalised, so scores are small; the clip is for safety), and its
    denominator is one more column of the values.
    """
    rows, length, kv, dim = shape.rows, shape.row, config.num_kv_heads, config.head_dim
    group = config.num_heads // kv
    causal = jnp.tril(jnp.ones((shape.prefix, shape.prefix), bool))
    seen = (jnp.arange(shape.prefix)[None, :] < prefix[:, None])[:, None, None, :]  # [B, 1, 1, P]
    same = (segments[:, :, :, None] == segments[:, :, None, :]) & jnp.tril(jnp.ones((length, length), bool))
    same = jnp.tile(same[:, None], (1, 1, 1, group, 1))  # [B, 1, R, G * L, L]

    def exp(scores: Array, mask: Array) -> Array:
        return masked_exp(scores, mask, config.scale)

    def attend(layer: int, q: Array, k: Array, v: Array) -> Array:
        batch = q.shape[0]
        v = jnp.concatenate([v, jnp.ones((*v.shape[:-1], 1), v.dtype)], axis=-1)
        k, v = k.swapaxes(1, 2), v.swapaxes(1, 2)  # [B, K, T, Dh]
        (kp, kr), (vp, vr) = (jnp.split(x, [shape.prefix], axis=2) for x in (k, v))
        q = q.reshape(batch, -1, kv, group, dim)
        qp = q[:, : shape.prefix].transpose(0, 2, 3, 1, 4).reshape(batch, kv, -1, dim)
        qr = q[:, shape.prefix :].reshape(batch, rows, length, kv, group, dim).transpose(0, 3, 1, 4, 2, 5)
        qr = qr.reshape(batch, kv, rows, group * length, dim)
        kr, vr = (x.reshape(batch, kv, rows, length, -1) for x in (kr, vr))

        inner = exp(jnp.einsum("bkqd,bksd->bkqs", qp, kp), jnp.tile(causal, (group, 1)))
        out_p = jnp.einsum("bkqs,bksd->bkqd", inner, vp)
        far = exp(jnp.einsum("bkqd,bksd->bkqs", qr.reshape(batch, kv, -1, dim), kp), seen)
        near = exp(jnp.einsum("bkrqd,bkrsd->bkrqs", qr, kr), same)
        out_r = jnp.einsum("bkqs,bksd->bkqd", far, vp).reshape(batch, kv, rows, -1, dim + 1)
        out_r = out_r + jnp.einsum("bkrqs,bkrsd->bkrqd", near, vr)

        out_p = out_p.reshape(batch, kv, group, shape.prefix, -1).transpose(0, 3, 1, 2, 4)
        out_r = out_r.reshape(batch, kv, rows, group, length, -1).transpose(0, 2, 4, 1, 3, 5)
        out = jnp.concatenate([out_p, out_r.reshape(batch, rows * length, kv, group, -1)], axis=1)
        return (out[..., :-1] / out[..., -1:]).reshape(batch, -1, config.num_heads, dim)

    return attend


def target_logits(params: Params, config: ModelConfig, shape: Shape, data: Batch) -> Array:
    """Logits `[B, M, vocab]` at the targets of packs."""
    ours = isinstance(params["embed"], kernels.Matrix)
    if ours and not any(n % 32 for n in (config.head_dim, shape.row, shape.prefix)):
        attend = kernels.pack_attention(config.scale, data["prefix"], data["segments"])
    else:
        attend = pack_attention(config, shape, data["prefix"], data["segments"])
    hidden = model.forward(params, config, data["tokens"], data["positions"], attend)
    hidden = jnp.take_along_axis(hidden, data["targets"][:, :, None], axis=1)
    return model.logits(params, config, hidden)


def loss(params: Params, config: ModelConfig, shape: Shape, data: Batch) -> tuple[Array, Array]:
    """(sum of the cross-entropies, number of targets) of a batch."""
    logits = target_logits(params, config, shape, data)
    real = data["owners"] >= 0
    losses = jax.nn.logsumexp(logits, axis=-1) - jnp.take_along_axis(logits, data["labels"][..., None], axis=-1)[..., 0]
    return jnp.sum(losses * real), jnp.sum(real)


def right(params: Params, config: ModelConfig, shape: Shape, data: Batch) -> Array:
    """Which targets `[B, M]` are the most likely token; greedy decoding gives a plan exactly if all of its are."""
    return jnp.argmax(target_logits(params, config, shape, data), axis=-1) == data["labels"]


def exact(rights: np.ndarray, owners: np.ndarray) -> list[bool]:
    """Per example of one pack: are all of its targets right?"""
    count = owners.max(initial=-1) + 1
    wrong = np.bincount(owners[(owners >= 0) & ~rights], minlength=count)
    return [bool(w == 0) for w in wrong]
