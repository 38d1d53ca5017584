"""Opening a checkpoint: from a folder or hub id to a model that the engine can serve."""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import Mesh

from . import kernels, weights
from .config import ModelConfig
from .grammar import Grammars
from .mesh import repeat_kv_heads
from .model import Params
from .packed import pack
from .tokenizer import Tokenizer

_log = logging.getLogger(__name__)


@dataclass
class Model:
    """Parameters with what belongs to them. `tokenizer` is None when the checkpoint has none."""

    config: ModelConfig
    params: Params
    tokenizer: Tokenizer | None = None
    stop_tokens: frozenset[int] = frozenset()
    mesh: Mesh | None = None
    cache_dtype: Any = jnp.float32
    name: str = "model"

    @property
    def vocabulary(self) -> int:
        """How many tokens may be chosen: the tokenizer's, as the model's table may be padded."""
        return self.config.vocab_size if self.tokenizer is None else min(self.tokenizer.size, self.config.vocab_size)

    @cached_property
    def grammars(self) -> Grammars:
        """Makes constraints for this model's tokens."""
        if self.tokenizer is None:
            raise ValueError("grammars need a tokenizer, and this checkpoint has no tokenizer.json")
        return Grammars(self.tokenizer, self.config.vocab_size, sorted(self.stop_tokens))


def load(path_or_hub_id: str | Path, *, mesh: Mesh | None = None, dtype: Any = None) -> Model:
    """Open a checkpoint folder, or download a hub id such as `Qwen/Qwen3-0.6B`.

    `dtype` is "float32", "bfloat16" or "int8" (weights only, a scale per output); by default float32 on CPU and
    bfloat16 elsewhere. On one CPU device the weights go through the project's kernels; where these cannot be built,
    and on a mesh of CPU devices, XLA serves float32. The model is named after its folder or hub id. Raises
    `UnsupportedModel`, `BadCheckpoint` or `FileNotFoundError` with what is wrong.
    """
    folder = weights.find(path_or_hub_id)
    local = Path(path_or_hub_id).expanduser().is_dir()
    name = folder.absolute().name if local else str(path_or_hub_id)  # a download lies in a folder named by its commit
    config = ModelConfig.load(folder)
    cpu = jax.default_backend() == "cpu"
    kind = jnp.dtype(dtype).name if dtype is not None else "float32" if cpu else "bfloat16"
    if kind not in ("float32", "bfloat16", "int8"):
        raise ValueError(f"dtype is {dtype}; it must be float32, bfloat16 or int8")
    packed = mesh is None and kernels.available()
    wide = jnp.float32 if cpu or kind == "float32" else jnp.bfloat16  # XLA's bfloat16 is ten times slower on a CPU
    if not packed and kind not in ("float32", jnp.dtype(wide).name):
        served = f"serving {jnp.dtype(wide).name} without quantisation instead"
        _log.warning("%s weights need the CPU kernels, which serve a single CPU device; %s", kind, served)
    params = weights.load_params(folder, config, wide, mesh)
    if packed:
        params = pack(params, kind)
    config, _ = repeat_kv_heads(config, mesh)
    tokenizer = Tokenizer(folder) if (folder / "tokenizer.json").exists() else None
    cache = jnp.bfloat16 if packed and kind != "float32" else wide
    return Model(config, params, tokenizer, _stop_tokens(folder, config, tokenizer), mesh, cache, name)


def _stop_tokens(folder: Path, config: ModelConfig, tokenizer: Tokenizer | None) -> frozenset[int]:
    """End-of-text tokens of the configuration, the generation settings and the tokenizer (a chat's end of turn)."""
    found = set(config.eos_token_ids)
    settings = folder / "generation_config.json"
    if settings.exists():
        eos = json.loads(settings.read_text(encoding="utf-8")).get("eos_token_id")
        found |= {eos} if isinstance(eos, int) else set(eos or ())
    if tokenizer is not None:
        name = tokenizer.settings.get("eos_token")
        token = tokenizer.token_id(name["content"] if isinstance(name, dict) else name) if name else None
        found |= set() if token is None else {token}
    return frozenset(found)
