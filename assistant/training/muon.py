"""Muon: momentum whose singular values are all made equal, for the matrices of the layers; Adam for everything else.

Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024). Optax has it too, but its products
would be XLA's in float32, which on a CPU take longer than the whole gradient; here they are the training kernels' where
those exist.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jax import Array

Multiply = Callable[[Array, Array, bool], Array]
"""`x, w, transposed` → `x @ w`, or `x @ w.T` when transposed."""
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic whose slope at zero is largest; five steps of it suffice
STEPS = 5


def plain(x: Array, w: Array, transposed: bool) -> Array:
    """The product as XLA computes it."""
    return x @ (w.T if transposed else w)


def orthogonalise(x: Array, multiply: Multiply) -> Array:
    """The matrix with its singular values brought to between 0.7 and 1.2 by Newton-Schulz iteration."""
    wide = x if x.shape[0] <= x.shape[1] else x.T
    wide = wide / (jnp.linalg.norm(wide) + 1e-8)
    a, b, c = COEFFICIENTS
    for _ in range(STEPS):
        square = multiply(wide, wide, True)
        wide = a * wide + multiply(b * square + c * multiply(square, square, False), wide, False)
    return wide if x.shape[0] <= x.shape[1] else wide.T


def muon(rate: optax.Schedule, adam_rate: optax.Schedule, multiply: Multiply, momentum: float = 0.95) -> Any:
    """The optimizer: Muon at `rate` for matrices inside `layers`, Adam at `adam_rate` for embeddings and norms."""

    def label(path: tuple, leaf: Any) -> str:
        return "muon" if getattr(path[0], "key", None) == "layers" and leaf.ndim == 2 else "adam"

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        def one(x: Array) -> Array:  # wider outputs get larger steps, so that activations change alike
            return orthogonalise(x, multiply) * max(1.0, x.shape[1] / x.shape[0]) ** 0.5

        return jax.tree.map(one, updates), state

    orthogonal = optax.GradientTransformation(lambda params: optax.EmptyState(), update)
    matrices = optax.chain(optax.trace(momentum, nesterov=True), orthogonal, optax.scale_by_learning_rate(rate))
    rest = optax.adam(adam_rate, b2=0.98, nesterov=True)
    labels = lambda params: jax.tree_util.tree_map_with_path(label, params)  # noqa: E731
    return optax.partition({"muon": matrices, "adam": rest}, labels)
