"""The next token of each row: grammar bitmask, temperature, top-k, top-p, min-p, log-probabilities.

Thresholds are found by bisecting the bits of the probability instead of sorting the vocabulary: exact, and cheap on
every platform. The random key of a row depends on its seed and position alone, never on the batch it ran in.
"""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

TOP = 20  # alternatives returned per token, when a row asks for them


def unpack_mask(mask: Array, vocab: int) -> Array:
    """Bits of `mask[R, ceil(vocab / 32)]` uint32 as bool `[R, vocab]`."""
    bits = (mask[:, :, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    return bits.reshape(mask.shape[0], -1)[:, :vocab].astype(bool)


def choose(logits: Array, mask: Array, ints: Array, floats: Array) -> tuple[Array, Array, Array, Array, Array]:
    """`logits[R, V]` float32, `mask[R, W]` uint32, `ints[R, 4]` (top_k, seed, position, alternatives wanted),
    `floats[R, 3]` (temperature, top_p, min_p) → token `[R]`, its log-probability under the mask and without it,
    and the ids and log-probabilities `[R, TOP]` of the best alternatives (zeros unless a row wants them).

    A temperature of 0 takes the likeliest token; top_k 0, top_p 1 and min_p 0 switch those filters off.
    """
    free = jax.nn.logsumexp(logits, axis=-1)
    masked = jnp.where(unpack_mask(mask, logits.shape[-1]), logits, -jnp.inf)
    bound = jax.nn.logsumexp(masked, axis=-1)
    best = jnp.argmax(masked, axis=-1).astype(jnp.int32)
    temperature = floats[:, 0]
    drawn = jax.lax.cond(jnp.any(temperature > 0), lambda: _draw(masked, ints, floats), lambda: jnp.zeros_like(best))
    token = jnp.where(temperature > 0, drawn, best)
    value = jnp.take_along_axis(logits, token[:, None], axis=-1)[:, 0]
    top_values, top_ids = jax.lax.cond(
        jnp.any(ints[:, 3] > 0), lambda: _top(masked - bound[:, None]), lambda: _no_top(logits.shape[0])
    )
    return token, value - bound, value - free, top_ids, top_values


def _top(logprobs: Array) -> tuple[Array, Array]:
    k = min(TOP, logprobs.shape[-1])
    values, ids = jax.lax.top_k(logprobs, k)
    return jnp.pad(values, ((0, 0), (0, TOP - k)), constant_values=-jnp.inf), jnp.pad(ids, ((0, 0), (0, TOP - k)))


def _no_top(rows: int) -> tuple[Array, Array]:
    return jnp.zeros((rows, TOP), jnp.float32), jnp.zeros((rows, TOP), jnp.int32)


def _draw(masked: Array, ints: Array, floats: Array) -> Array:
    temperature, top_p, min_p = (floats[:, i : i + 1] for i in range(3))
    scaled = masked / jnp.maximum(temperature, 1e-6)
    probs = jax.nn.softmax(scaled, axis=-1)
    top_k = jnp.where(ints[:, :1] > 0, ints[:, :1], masked.shape[-1])
    keep = probs >= _threshold(probs, lambda at: jnp.sum(probs >= at, axis=-1, keepdims=True) >= top_k)
    kept = jnp.where(keep, probs, 0)
    top_p = jnp.where(top_p < 1, jnp.maximum(top_p, 1e-6), jnp.inf)  # one that float32 rounds to 0 would keep nothing
    mass = top_p * jnp.sum(kept, axis=-1, keepdims=True)
    nucleus = _threshold(kept, lambda at: jnp.sum(jnp.where(kept >= at, kept, 0), axis=-1, keepdims=True) >= mass)
    keep &= (kept >= nucleus) & (kept >= min_p * jnp.max(probs, axis=-1, keepdims=True)) & (masked > -jnp.inf)
    noise = jax.vmap(lambda seed, at: jax.random.gumbel(jax.random.fold_in(jax.random.key(seed), at), masked.shape[1:]))
    scores = jnp.where(keep, scaled + noise(ints[:, 1], ints[:, 2]), -jnp.inf)
    return jnp.argmax(scores, axis=-1).astype(jnp.int32)


def _threshold(values: Array, enough: Callable[[Array], Array]) -> Array:
    """The largest t `[R, 1]` with `enough(t)`, which must hold up to some t and not beyond; 0 when it never holds.

    Floats from 0 to 1 are ordered like their bits, so 30 halvings find t exactly.
    """

    def halve(i: Array, bits: Array) -> Array:
        tried = bits | (1 << (29 - i))
        return jnp.where(enough(jax.lax.bitcast_convert_type(tried, jnp.float32)), tried, bits)

    bits = jax.lax.fori_loop(0, 30, halve, jnp.zeros((values.shape[0], 1), jnp.int32))
    return jax.lax.bitcast_convert_type(bits, jnp.float32)
