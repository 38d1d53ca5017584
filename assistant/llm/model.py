"""The network: one table of parameters and one forward pass for every family.

Parameters are a plain dict `{"embed", "layers": [{…}, …], "norm", "head"?}`; layers are unrolled, because a scan over
stacked layers copies the cache at every step. Matrices are stored `[in, out]`, `embed` and `head` `[vocab, hidden]`.
The compute dtype is that of the parameters; norms, softmax and logits are float32.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array

from . import attention, kernels
from .config import ModelConfig
from .packed import Packed, multiply

Params = dict[str, Any]
Attend = Callable[[int, Array, Array, Array], Array]
"""`attend(layer, q[B, T, H, Dh], k[B, T, K, Dh], v[B, T, K, Dh]) -> [B, T, H, Dh]`; q and k are already rotated."""


@dataclass(frozen=True)
class Parameter:
    """One tensor: shape here, meaning of its axes, name in the checkpoint, and whether it is transposed there."""

    shape: tuple[int, ...]
    axes: tuple[str | None, ...]
    name: str
    transpose: bool = False
    std: float | None = None  # of the initial values; None: the constant that makes a norm or bias neutral


def table(config: ModelConfig) -> Params:
    """A tree shaped like the parameters, with a `Parameter` in every leaf."""
    embedding = (config.vocab_size, config.hidden_size)
    tree: Params = {
        "embed": Parameter(embedding, ("vocab", None), "model.embed_tokens.weight", std=0.02),
        "layers": [_layer_table(config, i) for i in range(config.num_layers)],
        "norm": Parameter((config.hidden_size,), (None,), "model.norm.weight"),
    }
    if not config.tied:
        tree["head"] = Parameter(embedding, ("vocab", None), "lm_head.weight", std=0.02)
    return tree


def _layer_table(config: ModelConfig, layer: int) -> dict[str, Parameter]:
    prefix = f"model.layers.{layer}."
    hidden, mlp = config.hidden_size, config.intermediate_size
    heads, kv_heads = config.num_heads * config.head_dim, config.num_kv_heads * config.head_dim
    rows: dict[str, Parameter] = {}

    def matrix(key: str, inputs: int, outputs: int, axes: tuple[str | None, str | None], name: str, bias: bool) -> None:
        depth = (2 * config.num_layers) ** -0.5 if key in ("o", "down") else 1.0  # keeps the residual stream's scale
        rows[key] = Parameter((inputs, outputs), axes, f"{prefix}{name}.weight", True, depth * inputs**-0.5)
        if bias:
            rows[f"{key}_bias"] = Parameter((outputs,), axes[1:], f"{prefix}{name}.bias")

    def norm(key: str, size: int, name: str) -> None:
        rows[key] = Parameter((size,), (None,), f"{prefix}{name}.weight")

    norm("attention_norm", hidden, "input_layernorm")
    matrix("q", hidden, heads, (None, "heads"), "self_attn.q_proj", config.qkv_bias)
    matrix("k", hidden, kv_heads, (None, "kv_heads"), "self_attn.k_proj", config.qkv_bias)
    matrix("v", hidden, kv_heads, (None, "kv_heads"), "self_attn.v_proj", config.qkv_bias)
    matrix("o", heads, hidden, ("heads", None), "self_attn.o_proj", config.output_bias)
    if config.qk_norm:
        norm("q_norm", config.head_dim, "self_attn.q_norm")
        norm("k_norm", config.head_dim, "self_attn.k_norm")
    if config.post_norms:
        norm("attention_post_norm", hidden, "post_attention_layernorm")
        norm("mlp_norm", hidden, "pre_feedforward_layernorm")
        norm("mlp_post_norm", hidden, "post_feedforward_layernorm")
    else:
        norm("mlp_norm", hidden, "post_attention_layernorm")
    matrix("gate", hidden, mlp, (None, "mlp"), "mlp.gate_proj", config.mlp_bias)
    matrix("up", hidden, mlp, (None, "mlp"), "mlp.up_proj", config.mlp_bias)
    matrix("down", mlp, hidden, ("mlp", None), "mlp.down_proj", config.mlp_bias)
    return rows


def init(config: ModelConfig, key: Array, dtype: Any = jnp.float32) -> Params:
    """Random parameters: normal with a standard deviation of 1/√inputs, neutral norms, zero biases."""
    rows, tree = jax.tree.flatten(table(config), is_leaf=lambda x: isinstance(x, Parameter))
    keys = jax.random.split(key, len(rows))

    def value(row: Parameter, key: Array) -> Array:
        if row.std is not None:
            return (jax.random.normal(key, row.shape) * row.std).astype(dtype)
        return jnp.full(row.shape, 0.0 if row.name.endswith(".bias") else 1.0 - config.norm_offset, dtype)

    return jax.tree.unflatten(tree, [value(row, key) for row, key in zip(rows, keys, strict=True)])


def forward(params: Params, config: ModelConfig, tokens: Array, positions: Array, attend: Attend) -> Array:
    """`tokens, positions[B, T]` int32 → hidden states `[B, T, hidden]` after the last norm; `attend` mixes tokens.

    Batch and time are one axis except in `attend`: XLA differentiates two-dimensional products several times faster.
    """
    x = params["embed"][tokens.reshape(-1)]  # [B * T, hidden]
    if config.embed_scale != 1.0:
        x = x * jnp.asarray(config.embed_scale, x.dtype)
    ropes = {config.layer_rope(i) for i in range(config.num_layers)}
    rotations = {rope: attention.rotations(rope, config.head_dim, positions) for rope in ropes}
    for i, layer in enumerate(params["layers"]):
        x = _attention(layer, config, x, i, rotations, attend)
        x = _mlp(layer, config, x)
    return rms_norm(x, params["norm"], config).reshape(*tokens.shape, -1)


def logits(params: Params, config: ModelConfig, hidden: Array) -> Array:
    """`hidden[B, T, hidden]` → `[B, T, vocab]` float32."""
    head = params["embed"] if config.tied else params["head"]
    out = multiply(hidden.reshape(-1, config.hidden_size), head, transposed=True)
    out = out.reshape(*hidden.shape[:-1], -1)
    if config.logit_softcap is not None:
        out = jnp.tanh(out / config.logit_softcap) * config.logit_softcap
    return out


def rms_norm(x: Array, weight: Array, config: ModelConfig) -> Array:
    """Scale the last axis to unit root mean square, in float32, and multiply with the (offset) weight."""
    wide = x.astype(jnp.float32)
    wide = wide * jax.lax.rsqrt(jnp.mean(wide * wide, axis=-1, keepdims=True) + config.norm_eps)
    return (wide * (weight.astype(jnp.float32) + config.norm_offset)).astype(x.dtype)


def linear(
    layer: dict[str, Any],
    config: ModelConfig,
    key: str,
    x: Array,
    *,
    norm: str | None = None,
    gated: bool = False,
    add: Array | None = None,
) -> Array:
    """`x[N, in] @ layer[key]`, plus its bias where there is one, plus `add[N, out]`. Before, x gets the `norm` of that
    name, or if `gated` is split into gate and value. A packed matrix does it all in one call."""
    w, bias = layer[key], layer.get(f"{key}_bias")
    if isinstance(w, Packed) and not (gated and x.shape[1] % 32):
        before = None if norm is None else (layer[norm], config.norm_eps, config.norm_offset)
        out = w.multiply(x, before, config.activation if gated else None, add)
        return out if bias is None else out + bias
    if norm is not None:
        x = rms_norm(x, layer[norm], config)
    if gated:
        x = _gate(config, *jnp.split(x, 2, axis=-1))
    out = multiply(x, w)
    out = out if bias is None else out + bias
    return out if add is None else add + out


def linears(
    layer: dict[str, Any], config: ModelConfig, keys: tuple[str, ...], x: Array, norm: str, widths: tuple[int, ...]
) -> list[Array]:
    """Several projections of the `norm` of x, of the given widths; packed parameters hold them as one matrix."""
    fused = "_".join(keys)
    if fused not in layer:
        x = rms_norm(x, layer[norm], config)
        return [linear(layer, config, key, x) for key in keys]
    ends = [sum(widths[: i + 1]) for i in range(len(widths))]
    return jnp.split(linear(layer, config, fused, x, norm=norm), ends[:-1], axis=-1)


def _attention(layer: dict[str, Any], config: ModelConfig, x: Array, i: int, rotations: dict, attend: Attend) -> Array:
    """x plus what its tokens take from each other."""
    rotation = rotations[config.layer_rope(i)]
    heads = _packed_heads if isinstance(layer.get("q_k_v"), Packed) else _heads
    out = attend(i, *heads(layer, config, x, rotation))
    return _add(layer, config, "o", out.reshape(x.shape[0], -1), x, "attention_post_norm")


def _heads(layer: dict[str, Any], config: ModelConfig, x: Array, rotation: tuple[Array, Array]) -> list[Array]:
    """Queries and keys, rotated, and values `[B, T, heads, head_dim]` of `x[B * T, hidden]`."""
    batch, length = rotation[0].shape[:2]
    widths = tuple(heads * config.head_dim for heads in (config.num_heads, config.num_kv_heads, config.num_kv_heads))
    projected = dict(zip("qkv", linears(layer, config, ("q", "k", "v"), x, "attention_norm", widths), strict=True))

    def heads(key: str) -> Array:  # [B * T, width] → [B, T, heads, head_dim]
        y = projected[key].reshape(batch * length, -1, config.head_dim)  # heads stay an axis: it may be sharded
        if config.qk_norm and key != "v":
            y = rms_norm(y, layer[f"{key}_norm"], config)
        return y.reshape(batch, length, -1, config.head_dim)

    return [attention.rotate(heads("q"), rotation), attention.rotate(heads("k"), rotation), heads("v")]


def _packed_heads(
    layer: dict[str, Any], config: ModelConfig, x: Array, rotation: tuple[Array, Array]
) -> tuple[Array, Array, Array]:
    """As `_heads`, in two calls of kernels."""
    qkv = linear(layer, config, "q_k_v", x, norm="attention_norm")
    q, k = ((layer[f"{key}_norm"], config.norm_eps, config.norm_offset) if config.qk_norm else None for key in "qk")
    counts = (config.num_heads, config.num_kv_heads, config.head_dim)
    return kernels.heads(qkv, rotation, q, k, counts)


def _mlp(layer: dict[str, Any], config: ModelConfig, x: Array) -> Array:
    """x plus what each token makes of itself."""
    if "mlp" in layer:  # training has a kernel for all of it
        y = layer["mlp"](rms_norm(x, layer["mlp_norm"], config))
        return x + (rms_norm(y, layer["mlp_post_norm"], config) if config.post_norms else y)
    packed = isinstance(layer.get("gate_up"), Packed)
    if packed:
        y = linear(layer, config, "gate_up", x, norm="mlp_norm")
    else:
        widths = (config.intermediate_size,) * 2
        y = _gate(config, *linears(layer, config, ("gate", "up"), x, "mlp_norm", widths))
    return _add(layer, config, "down", y, x, "mlp_post_norm", gated=packed)


def _gate(config: ModelConfig, gate: Array, up: Array) -> Array:
    gate = jax.nn.silu(gate) if config.activation == "silu" else jax.nn.gelu(gate, approximate=True)
    return gate * up


def _add(
    layer: dict[str, Any], config: ModelConfig, key: str, y: Array, x: Array, post_norm: str, gated: bool = False
) -> Array:
    """x plus the projection of y back to it, normed where the family does that."""
    if not config.post_norms:
        return linear(layer, config, key, y, gated=gated, add=x)
    return x + rms_norm(linear(layer, config, key, y, gated=gated), layer[post_norm], config)
