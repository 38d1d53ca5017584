"""The CPU kernels of `kernels.cpp` for training in bfloat16, and how JAX differentiates them.

They need one CPU device with AVX-512 BF16 and a C++ compiler; elsewhere XLA does the same work.
"""

from __future__ import annotations

import ctypes
import logging
import subprocess
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from assistant.llm import kernels as inference
from assistant.llm.model import Attend, Params

from .muon import plain

_log = logging.getLogger(__name__)
_SOURCE = Path(__file__).with_name("kernels.cpp")


@lru_cache(maxsize=1)
def available() -> bool:
    """Are the kernels usable here? Builds and registers them at the first call."""
    if jax.default_backend() != "cpu" or b"avx512_bf16" not in inference.processor():
        return False
    try:
        library = ctypes.CDLL(str(inference.build(source=_SOURCE)))
    except (OSError, subprocess.SubprocessError) as error:
        _log.warning("training kernels are not available, XLA trains alone (slower): %s", error)
        return False
    for name in ("multiply", "gated", "gated_backward", "attend", "attend_backward"):
        jax.ffi.register_ffi_target(f"training_{name}", jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    return True


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def multiply(x: Array, w: Array, transposed: bool) -> Array:
    """`x[M, K] @ w[K, N]`, or `w[N, K]` when transposed → `[M, N]`, all float32, computed in bfloat16 and summed in
    float32. M, K and N must be multiples of 32."""
    return _multiply(x, w, False, transposed)


def _multiply(x: Array, w: Array, transpose_x: bool, transpose_w: bool) -> Array:
    out = jax.ShapeDtypeStruct((x.shape[int(transpose_x)], w.shape[int(not transpose_w)]), jnp.float32)
    return jax.ffi.ffi_call("training_multiply", out)(x, w, transpose_x=transpose_x, transpose_w=transpose_w)


def _multiply_forward(x: Array, w: Array, transposed: bool) -> tuple[Array, tuple[Array, Array]]:
    return _multiply(x, w, False, transposed), (x, w)


def _multiply_backward(transposed: bool, saved: tuple[Array, Array], gradient: Array) -> tuple[Array, Array]:
    x, w = saved
    dw = _multiply(gradient, x, True, False) if transposed else _multiply(x, gradient, True, False)
    return _multiply(gradient, w, False, not transposed), dw


multiply.defvjp(_multiply_forward, _multiply_backward)


def product(x: Array, w: Array, transposed: bool) -> Array:
    """`x @ w`, or `x @ w.T` when transposed, of any size: XLA serves those that the kernels do not."""
    if any(n % 32 for n in (*x.shape, *w.shape)):
        return plain(x, w, transposed)
    return multiply(x, w, transposed)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Matrix:
    """A float32 matrix whose products are the kernels'."""

    values: Array

    def multiply(self, x: Array, transposed: bool) -> Array:
        return product(x, self.values, transposed)

    def __getitem__(self, index: Array) -> Array:
        return self.values[index]


@partial(jax.custom_vjp)
def gated(x: Array, gate: Array, up: Array, down: Array) -> Array:
    """`silu(x @ gate) * (x @ up) @ down` for `x[N, H]`, `gate, up[H, M]`, `down[M, H]`, all multiples of 32 → `[N, H]`.

    What lies between the matrices stays in the cache and is computed again in the backward pass, since a core computes
    it sooner than it reads it from memory."""
    out = jax.ShapeDtypeStruct(x.shape, jnp.float32)
    return jax.ffi.ffi_call("training_gated", out)(x, gate, up, down)


def _gated_forward(*given: Array) -> tuple[Array, tuple[Array, ...]]:
    return gated(*given), given


def _gated_backward(given: tuple[Array, ...], gradient: Array) -> tuple[Array, ...]:
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in given)
    return tuple(jax.ffi.ffi_call("training_gated_backward", shapes)(*given, gradient))


gated.defvjp(_gated_forward, _gated_backward)


@jax.tree_util.register_dataclass
@dataclass(frozen=True)
class Gated:
    """The three matrices of a layer's feed-forward part."""

    gate: Array
    up: Array
    down: Array

    def __call__(self, x: Array) -> Array:
        if x.shape[0] % 32:
            return (jax.nn.silu(x @ self.gate) * (x @ self.up)) @ self.down
        return gated(x, self.gate, self.up, self.down)


def faster(params: Params) -> Params:
    """The parameters with every matrix as a `Matrix`, the projections to queries, keys and values as one, and the
    three matrices of the feed-forward part as a `Gated` (for silu, no biases)."""
    fast = jax.tree.map(lambda p: Matrix(p) if p.ndim == 2 else p, params)
    for layer, own in zip(fast["layers"], params["layers"], strict=True):
        if "q_bias" not in own:  # one product for three: what goes in is rewritten in bfloat16 once
            layer["q_k_v"] = Matrix(jnp.concatenate([own[key] for key in "qkv"], axis=1))
        three = [own[key] for key in ("gate", "up", "down")]
        if not any(n % 32 for w in three for n in w.shape):
            layer["mlp"] = Gated(*three)
    return fast


def pack_attention(scale: float, prefix: Array, segments: Array) -> Attend:
    """As `network.pack_attention`, for `prefix[B]` and `segments[B, R, L]`."""
    return lambda layer, q, k, v: attend(q, k, v, prefix, segments, scale)


@partial(jax.custom_vjp, nondiff_argnums=(5,))
def attend(q: Array, k: Array, v: Array, prefix: Array, segments: Array, scale: float) -> Array:
    """The attention of packs: `q[B, T, H, Dh]`, `k, v[B, T, K, Dh]`, `prefix[B]` real lengths, `segments[B, R, L]` →
    `[B, T, H, Dh]`; T is the prefix and R rows of L tokens, a multiple of 32; Dh, too."""
    return _attend(q, k, v, prefix, segments, scale)[0]


def _attend(q: Array, k: Array, v: Array, prefix: Array, segments: Array, scale: float) -> tuple[Array, Array]:
    sums = jax.ShapeDtypeStruct((q.shape[0], q.shape[2], q.shape[1]), jnp.float32)
    call = jax.ffi.ffi_call("training_attend", (jax.ShapeDtypeStruct(q.shape, jnp.float32), sums))
    out, total = call(q, k, v, prefix, segments, scale=np.float32(scale))
    return out, total


def _attend_forward(q: Array, k: Array, v: Array, prefix: Array, segments: Array, scale: float) -> tuple[Array, tuple]:
    out, sums = _attend(q, k, v, prefix, segments, scale)
    return out, (q, k, v, prefix, segments, out, sums)


def _attend_backward(scale: float, saved: tuple[Any, ...], gradient: Array) -> tuple:
    shapes = tuple(jax.ShapeDtypeStruct(x.shape, jnp.float32) for x in saved[:3])
    call = jax.ffi.ffi_call("training_attend_backward", shapes)
    return *call(*saved, gradient, scale=np.float32(scale)), None, None


attend.defvjp(_attend_forward, _attend_backward)
