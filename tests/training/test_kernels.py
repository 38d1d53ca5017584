"""The CPU kernels of the training compute what XLA computes, as exactly as bfloat16 can."""

from __future__ import annotations

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assistant.training import kernels, network
from assistant.training.loop import RunSettings
from assistant.training.packs import Shape

pytestmark = pytest.mark.skipif(not kernels.available(), reason="needs a CPU with AVX-512 BF16 and a C++ compiler")
SETTINGS = replace(RunSettings(), vocab=512, hidden=128, layers=2, heads=2, kv_heads=1, mlp=160)


def normal(seed: int, *shape: int) -> jax.Array:
    return jax.random.normal(jax.random.key(seed), shape)


def near(a: jax.Array, b: jax.Array, share: float) -> None:
    """Equal to within a share of the largest value."""
    np.testing.assert_allclose(a, b, rtol=0, atol=share * float(jnp.abs(b).max()))


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("size", [(64, 96, 128), (288, 704, 256), (1056, 32, 64)])
def test_products_and_their_gradients(size: tuple[int, int, int], transposed: bool) -> None:
    m, k, n = size
    x, w, g = normal(0, m, k), normal(1, *((n, k) if transposed else (k, n))), normal(2, m, n)

    def theirs(x: jax.Array, w: jax.Array) -> jax.Array:
        return x @ (w.T if transposed else w)

    near(kernels.multiply(x, w, transposed), theirs(x, w), 0.01)
    ours = jax.grad(lambda *a: (kernels.multiply(*a, transposed) * g).sum(), (0, 1))(x, w)
    exact = jax.grad(lambda *a: (theirs(*a) * g).sum(), (0, 1))(x, w)
    for mine, other in zip(ours, exact, strict=True):
        near(mine, other, 0.01)


@pytest.mark.parametrize("shape", [Shape(64, 2, 96, 32), Shape(96, 3, 32, 32), Shape(160, 4, 192, 32)])
def test_attention_and_its_gradients(shape: Shape) -> None:
    rng = np.random.default_rng(shape.prefix)
    config = SETTINGS.config()
    q, g = (normal(s, 2, shape.tokens, 4, 64) for s in (0, 3))
    k, v = (normal(s, 2, shape.tokens, 2, 64) for s in (1, 2))
    config = replace(config, num_heads=4, num_kv_heads=2)
    lengths = np.array([shape.prefix, shape.prefix - 37])
    segments = np.sort(rng.integers(0, 5, (2, shape.rows, shape.row))).astype(np.int32)
    real = np.arange(shape.tokens)[None] < lengths[:, None]
    real[:, shape.prefix :] = True  # what padding of the prefix gives is nobody's
    g = g * real[:, :, None, None]
    prefix, rows = jnp.asarray(lengths, jnp.int32), jnp.asarray(segments)
    theirs = network.pack_attention(config, shape, prefix, rows)

    def ours(*qkv: jax.Array) -> jax.Array:
        return kernels.attend(*qkv, prefix, rows, config.scale)

    near(ours(q, k, v) * real[:, :, None, None], theirs(0, q, k, v) * real[:, :, None, None], 0.01)
    a = jax.grad(lambda *x: (ours(*x) * g).sum(), (0, 1, 2))(q, k, v)
    b = jax.grad(lambda *x: (theirs(0, *x) * g).sum(), (0, 1, 2))(q, k, v)
    for mine, other in zip(a, b, strict=True):
        near(mine, other, 0.02)


@pytest.mark.parametrize("size", [(64, 96, 128), (608, 128, 352)])
def test_gated_and_its_gradients(size: tuple[int, int, int]) -> None:
    rows, hidden, inner = size
    x, g = normal(0, rows, hidden), normal(4, rows, hidden)
    weights = [normal(i + 1, *shape) / 10 for i, shape in enumerate([(hidden, inner)] * 2 + [(inner, hidden)])]

    def theirs(x: jax.Array, gate: jax.Array, up: jax.Array, down: jax.Array) -> jax.Array:
        return (jax.nn.silu(x @ gate) * (x @ up)) @ down

    near(kernels.gated(x, *weights), theirs(x, *weights), 0.01)
    ours = jax.grad(lambda *a: (kernels.gated(*a) * g).sum(), (0, 1, 2, 3))(x, *weights)
    exact = jax.grad(lambda *a: (theirs(*a) * g).sum(), (0, 1, 2, 3))(x, *weights)
    for mine, other in zip(ours, exact, strict=True):
        near(mine, other, 0.02)
