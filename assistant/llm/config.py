"""What a checkpoint's `config.json` says about the network, as one frozen dataclass.

The differences between the families (Llama 3, Qwen2/2.5, Qwen3, Gemma 3 text) are fields, not subclasses, so the
forward pass has one code path. Both spellings of the rotary settings are read: `rope_theta`/`rope_scaling` (older
files) and `rope_parameters` (transformers 5). What changes the mathematics and is not understood is refused by name.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "Gemma3ForCausalLM": "gemma3",
}
_MODEL_TYPES = {"llama": "llama", "qwen2": "qwen2", "qwen3": "qwen3", "gemma3_text": "gemma3"}


class UnsupportedModel(ValueError):
    """The checkpoint needs something that this engine does not compute."""


@dataclass(frozen=True)
class Rope:
    """Rotary embedding: its base and how the frequencies are stretched (`kind`: default|linear|llama3)."""

    theta: float = 10_000.0
    kind: str = "default"
    factor: float = 1.0
    low_freq_factor: float = 1.0
    high_freq_factor: float = 4.0
    original_max_positions: int = 8192


@dataclass(frozen=True)
class ModelConfig:
    """Hyperparameters of a decoder-only transformer; hashable, so that it can be a static argument of `jax.jit`."""

    family: str
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_positions: int = 2048
    norm_eps: float = 1e-6
    tied: bool = False
    rope: Rope = Rope()
    local_rope: Rope | None = None  # layers with a window use this one instead (Gemma 3)
    windows: tuple[int | None, ...] = ()  # per layer; None sees everything before it
    qkv_bias: bool = False
    output_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    norm_offset: float = 0.0  # Gemma multiplies by (1 + w)
    post_norms: bool = False  # Gemma also normalises what attention and MLP return
    activation: str = "silu"  # silu | gelu_tanh
    embed_scale: float = 1.0
    attention_scale: float | None = None  # None: head_dim ** -0.5
    attention_softcap: float | None = None
    logit_softcap: float | None = None
    bos_token_id: int | None = None
    eos_token_ids: tuple[int, ...] = ()
    pad_token_id: int | None = None

    def __post_init__(self) -> None:
        if self.num_heads % self.num_kv_heads:
            raise UnsupportedModel(f"{self.num_heads} heads are no multiple of {self.num_kv_heads} key/value heads")
        if self.head_dim % 2:
            raise UnsupportedModel(f"head_dim {self.head_dim} is odd; the rotary embedding needs pairs")
        if not self.windows:
            object.__setattr__(self, "windows", (None,) * self.num_layers)
        if len(self.windows) != self.num_layers:
            raise UnsupportedModel(f"{len(self.windows)} layer types for {self.num_layers} layers")

    @property
    def scale(self) -> float:
        """What query·key is multiplied with."""
        return self.head_dim**-0.5 if self.attention_scale is None else self.attention_scale

    def layer_rope(self, layer: int) -> Rope:
        """The rotary settings of one layer."""
        return self.local_rope if self.local_rope is not None and self.windows[layer] is not None else self.rope

    @classmethod
    def load(cls, path: str | Path) -> ModelConfig:
        """Read `config.json` from a checkpoint folder (or that file itself)."""
        file = Path(path)
        file = file / "config.json" if file.is_dir() else file
        try:
            data = json.loads(file.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise FileNotFoundError(f"{file} is missing; a checkpoint folder holds it beside *.safetensors") from None
        except json.JSONDecodeError as error:
            raise UnsupportedModel(f"{file} is not valid JSON: {error}") from None
        return cls.from_dict(data)

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> ModelConfig:
        """From the content of a Hugging Face `config.json`; `UnsupportedModel` names what cannot be served."""
        family = _family(data)
        gemma = family == "gemma3"
        try:
            hidden, heads, layers = data["hidden_size"], data["num_attention_heads"], data["num_hidden_layers"]
            vocab, intermediate = data["vocab_size"], data["intermediate_size"]
        except KeyError as error:
            raise UnsupportedModel(f"config.json lacks {error.args[0]!r}") from None
        if quantised := data.get("quantization_config"):
            raise UnsupportedModel(
                f"the checkpoint is quantised ({quantised.get('quant_method', 'unnamed method')}), which is not read; "
                "take the one in bfloat16: dtype='int8' quantises it while loading"
            )
        if data.get("use_bidirectional_attention"):
            raise UnsupportedModel("bidirectional attention is not supported")
        default_activation = "gelu_pytorch_tanh" if gemma else "silu"
        activation = data.get("hidden_activation") or data.get("hidden_act") or default_activation
        if activation not in ("silu", "gelu_pytorch_tanh"):
            raise UnsupportedModel(f"activation {activation!r} is not supported")
        default_head_dim = {"qwen3": 128, "gemma3": 256}.get(family, hidden // heads)
        bias = bool(data.get("attention_bias", False))
        rope, local_rope = _ropes(data, gemma)
        scalar = data.get("query_pre_attn_scalar", 256) if gemma else None
        return cls(
            family=family,
            vocab_size=vocab,
            hidden_size=hidden,
            intermediate_size=intermediate,
            num_layers=layers,
            num_heads=heads,
            num_kv_heads=data.get("num_key_value_heads") or heads,
            head_dim=data.get("head_dim") or default_head_dim,
            max_positions=data.get("max_position_embeddings", 131_072 if gemma else 2048),
            norm_eps=data.get("rms_norm_eps", 1e-6),
            tied=bool(data.get("tie_word_embeddings", gemma)),
            rope=rope,
            local_rope=local_rope,
            windows=_windows(data, family, layers),
            qkv_bias=family == "qwen2" or bias,
            output_bias=family != "qwen2" and bias,
            mlp_bias=bool(data.get("mlp_bias", False)),
            qk_norm=family in ("qwen3", "gemma3"),
            norm_offset=1.0 if gemma else 0.0,
            post_norms=gemma,
            activation="silu" if activation == "silu" else "gelu_tanh",
            embed_scale=float(hidden) ** 0.5 if gemma else 1.0,
            attention_scale=scalar**-0.5 if scalar else None,
            attention_softcap=data.get("attn_logit_softcapping") if gemma else None,
            logit_softcap=data.get("final_logit_softcapping") if gemma else None,
            bos_token_id=data.get("bos_token_id"),
            eos_token_ids=_ids(data.get("eos_token_id")),
            pad_token_id=data.get("pad_token_id"),
        )

    def to_dict(self) -> dict[str, Any]:
        """The Hugging Face `config.json` that `from_dict` and `transformers` read back to the same network."""
        architecture = next(name for name, family in ARCHITECTURES.items() if family == self.family)
        data: dict[str, Any] = {
            "architectures": [architecture],
            "model_type": next(name for name, family in _MODEL_TYPES.items() if family == self.family),
            "vocab_size": self.vocab_size,
            "hidden_size": self.hidden_size,
            "intermediate_size": self.intermediate_size,
            "num_hidden_layers": self.num_layers,
            "num_attention_heads": self.num_heads,
            "num_key_value_heads": self.num_kv_heads,
            "head_dim": self.head_dim,
            "max_position_embeddings": self.max_positions,
            "rms_norm_eps": self.norm_eps,
            "tie_word_embeddings": self.tied,
            "bos_token_id": self.bos_token_id,
            "eos_token_id": list(self.eos_token_ids) or None,
            "pad_token_id": self.pad_token_id,
        }
        activation = "silu" if self.activation == "silu" else "gelu_pytorch_tanh"
        data["hidden_activation" if self.family == "gemma3" else "hidden_act"] = activation
        if self.family in ("llama", "qwen3"):
            data["attention_bias"] = self.qkv_bias
        if self.family == "llama":
            data["mlp_bias"] = self.mlp_bias
        if any(self.windows) or self.family == "gemma3":
            data["layer_types"] = ["sliding_attention" if w else "full_attention" for w in self.windows]
            data["sliding_window"] = next((w for w in self.windows if w), 4096)
            data["use_sliding_window"] = True
        if self.family == "gemma3":
            data["query_pre_attn_scalar"] = round(self.scale**-2)
            data["attn_logit_softcapping"], data["final_logit_softcapping"] = self.attention_softcap, self.logit_softcap
            local = _rope_dict(self.local_rope or self.rope)
            data["rope_parameters"] = {"full_attention": _rope_dict(self.rope), "sliding_attention": local}
        else:
            data["rope_parameters"] = _rope_dict(self.rope)
        return data

    def save(self, folder: str | Path) -> None:
        """Write `config.json` into a checkpoint folder."""
        Path(folder, "config.json").write_text(json.dumps(self.to_dict(), indent=2) + "\n", encoding="utf-8")


def _family(data: dict[str, Any]) -> str:
    names = data.get("architectures") or []
    for name in names:
        if name in ARCHITECTURES:
            return ARCHITECTURES[name]
    if not names and data.get("model_type") in _MODEL_TYPES:
        return _MODEL_TYPES[data["model_type"]]
    given = ", ".join(names) or data.get("model_type") or "none"
    raise UnsupportedModel(f"architecture {given} is not supported; supported are {', '.join(ARCHITECTURES)}")


def _ids(value: int | list[int] | None) -> tuple[int, ...]:
    return () if value is None else (value,) if isinstance(value, int) else tuple(value)


def _rope(data: dict[str, Any], theta: float) -> Rope:
    kind = data.get("rope_type") or data.get("type") or "default"
    if kind not in ("default", "linear", "llama3"):
        raise UnsupportedModel(f"rope type {kind!r} is not supported (default, linear and llama3 are)")
    if data.get("partial_rotary_factor", 1.0) != 1.0:
        raise UnsupportedModel("a partial rotary embedding is not supported")
    return Rope(
        theta=float(data.get("rope_theta") or theta),
        kind=kind,
        factor=float(data.get("factor", 1.0)),
        low_freq_factor=float(data.get("low_freq_factor", 1.0)),
        high_freq_factor=float(data.get("high_freq_factor", 4.0)),
        original_max_positions=int(data.get("original_max_position_embeddings", 8192)),
    )


def _ropes(data: dict[str, Any], gemma: bool) -> tuple[Rope, Rope | None]:
    new, old = data.get("rope_parameters") or {}, data.get("rope_scaling") or {}
    if not gemma:
        return _rope({**old, **new}, data.get("rope_theta", 10_000.0)), None
    full = _rope({**old, **new.get("full_attention", {})}, data.get("rope_theta", 1_000_000.0))
    return full, _rope(new.get("sliding_attention", {}), data.get("rope_local_base_freq", 10_000.0))


def _rope_dict(rope: Rope) -> dict[str, Any]:
    data: dict[str, Any] = {"rope_type": rope.kind, "rope_theta": rope.theta}
    if rope.kind != "default":
        data["factor"] = rope.factor
    if rope.kind == "llama3":
        data["low_freq_factor"], data["high_freq_factor"] = rope.low_freq_factor, rope.high_freq_factor
        data["original_max_position_embeddings"] = rope.original_max_positions
    return data


def _windows(data: dict[str, Any], family: str, layers: int) -> tuple[int | None, ...]:
    window = data.get("sliding_window", 4096 if family == "gemma3" else None)
    if family == "llama" or (family != "gemma3" and not data.get("use_sliding_window")) or not window:
        return (None,) * layers
    kinds = data.get("layer_types")
    if kinds is None and family == "gemma3":
        pattern = data.get("sliding_window_pattern") or data.get("_sliding_window_pattern") or 6
        kinds = ["sliding_attention" if (i + 1) % pattern else "full_attention" for i in range(layers)]
    if kinds is None:
        first = data.get("max_window_layers", 28)
        kinds = ["sliding_attention" if i >= first else "full_attention" for i in range(layers)]
    unknown = set(kinds) - {"sliding_attention", "full_attention"}
    if unknown:
        raise UnsupportedModel(f"layer type {sorted(unknown)[0]!r} is not supported")
    return tuple(window if kind == "sliding_attention" else None for kind in kinds)
