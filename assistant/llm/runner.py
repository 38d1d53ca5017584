"""The device side of the engine: compiled steps over the cache. Host arrays in, host arrays out.

One step function serves decode (one token per row), forced tokens, chunked prefill and scoring; it is compiled for each
pair of (rows, tokens per row) at warm-up. Everything a step needs travels in three small arrays, and everything it
answers in one, because on a small model the transfers cost more than the arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh

from . import cache as kv
from . import kernels
from .config import ModelConfig
from .mesh import replicated
from .model import Params, forward, logits
from .sampling import TOP, choose

_HEAD = 6  # of the integers: slot, start, count, top_k, seed, alternatives wanted; the tokens follow


@dataclass(frozen=True)
class Batch:
    """Inputs of one step for R rows of T tokens."""

    ints: np.ndarray  # [R, 6 + T + 1] int32; the token after the last one fed follows it, for scoring
    floats: np.ndarray  # [R, 3] float32: temperature, top_p, min_p
    mask: np.ndarray  # [R, ceil(vocab / 32)] uint32: what may be chosen

    @property
    def rows(self) -> int:
        return self.ints.shape[0]

    @property
    def size(self) -> int:
        return self.ints.shape[1] - _HEAD - 1

    @classmethod
    def empty(cls, rows: int, size: int, vocab: int, length: int) -> Batch:
        """Rows that feed nothing; they write behind the end of the slots, at `length`."""
        ints = np.zeros((rows, _HEAD + size + 1), np.int32)
        ints[:, 1] = length
        floats = np.tile(np.array([0, 1, 0], np.float32), (rows, 1))
        return cls(ints, floats, np.full((rows, -(-vocab // 32)), 0xFFFFFFFF, np.uint32))

    def set(self, row: int, slot: int, start: int, tokens: list[int], following: int | None) -> None:
        """Feed `tokens` to a slot from position `start`; `following` is the known next token, if there is one."""
        self.ints[row, :3] = slot, start, len(tokens)
        self.ints[row, _HEAD : _HEAD + len(tokens)] = tokens
        if following is not None:
            self.ints[row, _HEAD + len(tokens)] = following

    def sample(self, row: int, top_k: int, seed: int, top: int, floats: tuple[float, float, float]) -> None:
        """How the row's next token is chosen."""
        self.ints[row, 3:_HEAD] = top_k, int(seed) & 0x7FFFFFFF, top
        self.floats[row] = floats


@dataclass(frozen=True)
class Chosen:
    """What a step answered, for R rows."""

    tokens: np.ndarray  # [R] int32
    logprobs: np.ndarray  # [R] float32, among the allowed tokens
    free_logprobs: np.ndarray  # [R] float32, among all tokens
    top_ids: np.ndarray  # [R, TOP]
    top_logprobs: np.ndarray  # [R, TOP]
    scores: np.ndarray  # [R, T] float32: log-probability of the token after each one fed; empty when not scored


class Runner:
    """Parameters, cache and compiled steps of one model on one device or mesh."""

    idle_seconds: float | None = None  # how often `idle` wants to be called when nothing runs

    def __init__(
        self,
        params: Params,
        config: ModelConfig,
        *,
        slots: int,
        length: int,
        margin: int,
        cache_dtype: Any,
        mesh: Mesh | None = None,
    ) -> None:
        self.config, self.params, self.mesh = config, params, mesh
        self.slots, self.length = slots, length
        self._cache = kv.allocate(config, slots, length + margin, cache_dtype, mesh)
        self._stored: dict[str, kv.Cache] = {}
        kernel = mesh is None and config.head_dim % 16 == 0 and kernels.available()
        self._step = _compiled(config, mesh, kernel)

    def step(self, batch: Batch, scored: bool = False) -> Chosen:
        """Feed a batch, update the cache and choose the rows' next tokens."""
        whole = batch.rows == self.slots
        packed, self._cache = self._step(
            self.params, self._cache, batch.ints, batch.floats, batch.mask, whole=whole, scored=scored
        )
        return _unpack(np.asarray(packed))

    def copy(self, source: str | int, slot: int) -> None:
        """Copy a stored prefix (by name) or another slot over a slot."""
        stored, row = (self._stored[source], 0) if isinstance(source, str) else (self._cache, source)
        if stored is self._cache:
            self._cache = _copy_within(self._cache, np.int32(row), np.int32(slot))
        else:
            self._cache = _copy(stored, np.int32(row), self._cache, np.int32(slot))

    def store(self, name: str, slot: int, count: int) -> None:
        """Keep the first `count` tokens of a slot as a prefix. Compiles two copies for each new length."""
        self._store(name, slot, count)
        self.copy(name, slot)  # changes nothing, but compiles the way back

    def _store(self, name: str, slot: int, count: int) -> None:
        length = min(-(-count // 64) * 64, self._cache[0][0].shape[2])
        target = kv.allocate(self.config, 1, length, self._cache[0][0].dtype, self.mesh)
        self._stored[name] = _copy(self._cache, np.int32(slot), target, np.int32(0))

    def idle(self) -> None:
        """Called now and then while nothing runs."""

    def stop(self) -> None:
        """Nothing will be asked any more."""

    def warm_up(self, rows: tuple[int, ...], sizes: tuple[int, ...], short: int, scored: int) -> None:
        """Compile every shape: single rows take all sizes, several rows the short ones (all, on a data mesh)."""
        for count in rows:
            for size in sizes:
                if count == rows[0] or size <= short:
                    batch = Batch.empty(count, size, self.config.vocab_size, self.length)
                    self.step(batch, scored=size <= scored)
        if self.slots > 1:
            self.copy(0, 0)

    def fill(self, slot: int, value: float) -> None:
        """Overwrite a slot (for tests: what is freed must never be read again)."""
        self._cache = jax.tree.map(lambda x: x.at[slot].set(value), self._cache)


@lru_cache(maxsize=8)
def _compiled(config: ModelConfig, mesh: Mesh | None, kernel: bool) -> Callable:
    """The step; engines of the same model share what has been compiled."""
    return jax.jit(partial(_step, config, mesh, kernel), static_argnames=("whole", "scored"), donate_argnums=1)


_copy = jax.jit(kv.copy_row, donate_argnums=2)


@partial(jax.jit, donate_argnums=0)
def _copy_within(cache: kv.Cache, source: Array, slot: Array) -> kv.Cache:
    return kv.copy_row(cache, source, cache, slot)


def _step(
    config: ModelConfig,
    mesh: Mesh | None,
    kernel: bool,
    params: Params,
    cache: kv.Cache,
    ints: Array,
    floats: Array,
    mask: Array,
    *,
    whole: bool,
    scored: bool,
) -> tuple[Array, kv.Cache]:
    """The forward pass and the choice; see `Batch` and `Chosen` for the shapes."""
    slots, starts, counts = ints[:, 0], ints[:, 1], ints[:, 2]
    tokens, following = ints[:, _HEAD:-1], ints[:, _HEAD + 1 :]
    rows, size = tokens.shape
    attend, updated = kv.attend_rows(cache, config, slots, starts, counts, size, whole=whole, kernel=kernel)
    hidden = forward(params, config, tokens, starts[:, None] + jnp.arange(size), attend)
    last = jnp.maximum(counts - 1, 0)
    if scored:
        everywhere = _replicate(logits(params, config, hidden), mesh)
        scores = jnp.take_along_axis(everywhere, following[..., None], axis=-1)[..., 0]
        scores = scores - jax.nn.logsumexp(everywhere, axis=-1)
        final = jnp.take_along_axis(everywhere, last[:, None, None], axis=1)[:, 0]
    else:
        hidden = jnp.take_along_axis(hidden, last[:, None, None], axis=1)
        scores = jnp.zeros((rows, 0), jnp.float32)
        final = _replicate(logits(params, config, hidden), mesh)[:, 0]
    choice = jnp.concatenate([ints[:, 3:5], (starts + counts)[:, None], ints[:, 5:6]], axis=1)
    token, logprob, free, top_ids, top = choose(final, mask, choice, floats)
    bits = jax.lax.bitcast_convert_type(jnp.concatenate([logprob[:, None], free[:, None], top, scores], 1), jnp.int32)
    return _replicate(jnp.concatenate([token[:, None], top_ids, bits], axis=1), mesh), updated


def _unpack(packed: np.ndarray) -> Chosen:
    floats = packed[:, 1 + TOP :].view(np.float32)
    return Chosen(
        tokens=packed[:, 0],
        logprobs=floats[:, 0],
        free_logprobs=floats[:, 1],
        top_ids=packed[:, 1 : 1 + TOP],
        top_logprobs=floats[:, 2 : 2 + TOP],
        scores=floats[:, 2 + TOP :],
    )


def _replicate(x: Array, mesh: Mesh | None) -> Array:
    return x if mesh is None else jax.lax.with_sharding_constraint(x, replicated(mesh))
