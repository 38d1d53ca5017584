"""Weights as the CPU kernels want them: `[out, in]`, int8 with a scale per output or bfloat16; the rest stays float32.

Projections of the same input are joined into one matrix (`q_k_v`, `gate_up`), which halves the number of calls. A
matrix whose inputs do not fit the kernels' step stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import kernels

_STEP = {"int8": 64, "bfloat16": 16}
_FUSED = (("q", "k", "v"), ("gate", "up"))
_MATRICES = ("o", "down", *("_".join(keys) for keys in _FUSED))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Packed:
    """A matrix `[out, in]`: uint8 with offset 128 and `scales[out]`, or bfloat16 and no scales."""

    values: Array
    scales: Array | None = None


def multiply(x: Array, w: Any, transposed: bool = False) -> Array:
    """`x[N, in] @ w` for `w[in, out]`, for `w[out, in]` when `transposed` (then float32), or for a packed matrix."""
    if not isinstance(w, Packed):
        if not transposed:
            return x @ w
        return jnp.einsum("nd,vd->nv", x.astype(w.dtype), w, preferred_element_type=jnp.float32)
    wide = x.astype(jnp.float32)
    return kernels.linear_bf16(wide, w.values) if w.scales is None else kernels.linear_int8(wide, w.values, w.scales)


def rows(w: Any, index: Array) -> Array:
    """`w[index]` of an embedding table, widened to float32 when it is packed."""
    if not isinstance(w, Packed):
        return w[index]
    values = w.values[index].astype(jnp.float32)
    return values if w.scales is None else (values - 128) * w.scales[index][..., None]


def pack(params: dict[str, Any], kind: str) -> dict[str, Any]:
    """Float32 parameters → packed ones of `kind` int8 or bfloat16, for a single CPU device with kernels."""
    tables: dict[str, Any] = {
        key: _matrix(params[key], kind, transposed=True) for key in ("embed", "head") if key in params
    }
    return {**params, **tables, "layers": [_layer(layer, kind) for layer in params["layers"]]}


def _layer(layer: dict[str, Any], kind: str) -> dict[str, Any]:
    layer = dict(layer)
    for keys in _FUSED:
        for suffix in ("", "_bias"):
            parts = [layer.pop(key + suffix, None) for key in keys]
            if parts[0] is not None:
                layer["_".join(keys) + suffix] = jnp.concatenate(parts, axis=-1)
    return {key: _matrix(value, kind) if key in _MATRICES else value for key, value in layer.items()}


def _matrix(w: Array, kind: str, transposed: bool = False) -> Any:
    value = np.asarray(w, np.float32) if transposed else np.asarray(w, np.float32).T
    if value.shape[1] % _STEP[kind]:
        return w
    if kind == "bfloat16":
        return Packed(jnp.asarray(value, jnp.bfloat16))
    scales = np.maximum(np.abs(value).max(axis=1), 1e-30) / 127
    return Packed(jnp.asarray((np.rint(value / scales[:, None]) + 128).astype(np.uint8)), jnp.asarray(scales))
