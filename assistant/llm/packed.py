"""Weights as the CPU kernels want them: float32, bfloat16, or int8 with a scale per output. Norms and biases stay.

Projections of the same input are joined into one matrix (`q_k_v`, `gate_up`), which halves the number of calls. A
matrix whose inputs do not fill whole steps of the kernels stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from . import kernels

PANEL = 64  # outputs that the kernels compute together
STEP = {"int8": 4, "bfloat16": 2, "float32": 1}  # inputs in a 32-bit word
_FUSED = (("q", "k", "v"), ("gate", "up"))
_MATRICES = ("o", "down", *("_".join(keys) for keys in _FUSED))


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Packed:
    """A matrix with `outputs` columns as `values[panels, K / step, 64, step]`: float32, bfloat16, or uint8 with offset
    128 and `scales[outputs]`. The last panel is padded."""

    values: Array
    scales: Array | None
    outputs: int = field(metadata={"static": True})

    @property
    def kind(self) -> str:
        """float32, bfloat16 or int8."""
        return "int8" if self.scales is not None else str(self.values.dtype)

    def multiply(
        self, x: Array, norm: kernels.Norm | None = None, gate: str | None = None, add: Array | None = None
    ) -> Array:
        """`x[N, in]` times this matrix → `[N, outputs]` float32; what may come before and after: `kernels.linear`."""
        x = x.astype(jnp.float32)
        return kernels.linear(self.kind, x, self.values, self.scales, self.outputs, norm=norm, gate=gate, add=add)

    def __getitem__(self, index: Array) -> Array:
        """Columns `[N, K]` float32 at `index[N]`: the rows of an embedding table."""
        values = self.values[index // PANEL, :, index % PANEL].reshape(index.shape[0], -1).astype(jnp.float32)
        return values if self.scales is None else (values - 128) * self.scales[index][:, None]


def multiply(x: Array, w: Any, transposed: bool = False) -> Array:
    """`x[N, in] @ w` for `w[in, out]`, for `w[out, in]` when `transposed` (then float32), or for a packed matrix
    or another one that knows its own product (see `training.kernels.Matrix`)."""
    if isinstance(w, Packed):
        return w.multiply(x)
    if hasattr(w, "multiply"):
        return w.multiply(x, transposed)
    if not transposed:
        return x @ w
    return jnp.einsum("nd,vd->nv", x.astype(w.dtype), w, preferred_element_type=jnp.float32)


def pack(params: dict[str, Any], kind: str) -> dict[str, Any]:
    """Float32 parameters → packed ones of `kind` float32, bfloat16 or int8, for a single CPU device with kernels."""
    tables: dict[str, Any] = {key: matrix(params[key], kind) for key in ("embed", "head") if key in params}
    return {**params, **tables, "layers": [_layer(layer, kind) for layer in params["layers"]]}


def _layer(layer: dict[str, Any], kind: str) -> dict[str, Any]:
    layer = dict(layer)
    for keys in _FUSED:
        for suffix in ("", "_bias"):
            parts = [layer.pop(key + suffix, None) for key in keys]
            if parts[0] is not None:
                layer["_".join(keys) + suffix] = jnp.concatenate(parts, axis=-1)
    for key in _MATRICES:
        if layer[key].shape[0] % STEP[kind] == 0:
            layer[key] = matrix(layer[key].T, kind)
    return layer


def matrix(w: Any, kind: str) -> Any:
    """`w[out, in]` packed as `kind`; as it is when its inputs do not fill whole steps."""
    step = STEP[kind]
    outputs, inputs = w.shape
    if inputs % step:
        return w
    value, scales = np.asarray(w, np.float32), None
    if kind == "int8":
        scales = np.maximum(np.abs(value).max(axis=1), 1e-30) / 127
        value = (np.rint(value / scales[:, None]) + 128).astype(np.uint8)
    elif kind == "bfloat16":
        value = value.astype(jnp.bfloat16)
    value = np.pad(value, ((0, -outputs % PANEL), (0, 0)))
    value = value.reshape(-1, PANEL, inputs // step, step).swapaxes(1, 2)
    return Packed(jnp.asarray(np.ascontiguousarray(value)), None if scales is None else jnp.asarray(scales), outputs)
