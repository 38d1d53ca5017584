"""The CPU kernels of `kernels.cpp`: built once by the system's compiler, kept in a private folder, called by XLA.

They serve one CPU device; on other platforms, on meshes and without a compiler the engine uses XLA alone. The folder
holds code that will be executed, so it must belong to the user and be closed to everyone else.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
import platform
import shutil
import stat
import subprocess
import tempfile
from functools import lru_cache
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

_log = logging.getLogger(__name__)
_SOURCE = Path(__file__).with_name("kernels.cpp")
# What is needed of -ffast-math: the flag itself would make the library, when it is loaded, change how the whole process
# treats the smallest numbers.
LOOSE = ("-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno", "-freciprocal-math")
_GATES = {None: 0, "silu": 1, "gelu_tanh": 2}
_FLAGS = ("-O3", "-march=native", *LOOSE, "-std=c++17", "-shared", "-fPIC")

Norm = tuple[Array, float, float]
"""Of a root-mean-square norm: its weights, what is added to the mean square, what is added to the weights."""


def private_folder(path: str | Path) -> Path:
    """Create a folder that only this user can write to and read; `PermissionError` if it is anything else."""
    folder = Path(path).expanduser()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    state = folder.lstat()
    if not stat.S_ISDIR(state.st_mode) or state.st_uid != os.getuid() or state.st_mode & 0o077:
        raise PermissionError(
            f"{folder} must be a folder of yours with mode 0700, as it holds code: chmod 700 {folder}"
        )
    return folder


def cache_folder() -> Path:
    """Where compiled code is kept: `$LLM_ENGINE_CACHE`, else `~/.cache/assistant-llm`."""
    default = Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "assistant-llm"
    return private_folder(os.environ.get("LLM_ENGINE_CACHE") or default)


def use_compilation_cache(folder: str | Path | None = None) -> None:
    """Keep XLA's compiled programs in a private folder, so that the next start is quick."""
    path = private_folder(folder or cache_folder() / "xla")
    jax.config.update("jax_compilation_cache_dir", str(path))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


@lru_cache(maxsize=1)
def available() -> bool:
    """Are the kernels usable here? Builds and registers them at the first call; says in the log why not."""
    if os.environ.get("LLM_ENGINE_KERNELS") == "0" or jax.default_backend() != "cpu":
        return False
    try:
        library = ctypes.CDLL(str(build()))
        for name in ("linear_float32", "linear_bfloat16", "linear_int8", "heads", "attend"):
            jax.ffi.register_ffi_target(f"assistant_{name}", jax.ffi.pycapsule(getattr(library, name)), platform="cpu")
    except (OSError, subprocess.SubprocessError) as error:
        detail = getattr(error, "stderr", None) or error
        _log.warning("CPU kernels are not available, XLA serves alone (slower): %s", detail)
        return False
    return True


def build(folder: Path | None = None, flags: tuple[str, ...] = _FLAGS, source: Path = _SOURCE) -> Path:
    """Compile `source` unless it, with its headers, was already built for this processor; its library."""
    headers = sorted({*source.parent.glob("*.h"), *_SOURCE.parent.glob("*.h")})
    sources = [file.read_bytes() for file in (source, *headers)]
    key = hashlib.sha256(b"\0".join([*sources, " ".join(flags).encode(), processor(), jax.__version__.encode()]))
    folder = folder or cache_folder()
    target = folder / f"kernels-{key.hexdigest()[:24]}.so"
    if target.exists():
        return target
    compiler = os.environ.get("CXX") or shutil.which("g++") or shutil.which("c++")  # they need GCC's vector built-ins
    if compiler is None:
        raise FileNotFoundError("no C++ compiler (install g++ for faster inference on this CPU)")
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        out = Path(scratch) / target.name
        command = [compiler, *flags, "-I", jax.ffi.include_dir(), str(source), "-o", str(out)]
        subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
        out.replace(target)  # atomic: two processes may build at the same time
    return target


def processor() -> bytes:
    """What the processor can do: a library built with -march=native must not travel to another one."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        kept = sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))})
        return "\n".join(kept).encode()
    except OSError:
        return f"{platform.machine()} {platform.processor()}".encode()


def linear(
    kind: str,
    x: Array,
    weights: Array,
    scales: Array | None,
    outputs: int,
    *,
    norm: Norm | None = None,
    gate: str | None = None,
    add: Array | None = None,
) -> Array:
    """`x[M, K]` float32 times packed weights (see `packed.Packed`) of `outputs` columns → `[M, outputs]` float32.

    `kind` is float32 (products in float32), bfloat16 (x is rounded to bfloat16 where the processor multiplies that) or
    int8 (x is quantised in groups of 256 inputs; `scales[outputs]`). Sums are float32. On the way in, x gets a `norm`,
    or `gate` ("silu" or "gelu_tanh") makes act(a) * b of its halves, `x[M, 2 K]`; then `add[M, outputs]` is added.
    """
    none = jnp.zeros(0, jnp.float32)
    out = jax.ShapeDtypeStruct((x.shape[0], outputs), jnp.float32)
    weight, epsilon, offset = (none, 0.0, 0.0) if norm is None else norm
    attributes = {"epsilon": np.float32(epsilon), "offset": np.float32(offset), "gate": np.int64(_GATES[gate])}
    given = (none if y is None else y for y in (scales, weight, add))
    return jax.ffi.ffi_call(f"assistant_linear_{kind}", out)(x, weights, *given, **attributes)


def heads(
    qkv: Array,
    rotation: tuple[Array, Array],
    q_norm: Norm | None,
    k_norm: Norm | None,
    counts: tuple[int, int, int],
) -> tuple[Array, Array, Array]:
    """`qkv[B * T, (H + 2 K) * Dh]` float32 → `q[B, T, H, Dh]`, `k, v[B, T, K, Dh]` for `counts` (H, K, Dh); q and k get
    their norms and are rotated by `(cos, sin)[B, T, 1, Dh / 2]`."""
    queries, kv, dim = counts
    batch = rotation[0].shape[:2]
    outs = tuple(jax.ShapeDtypeStruct((*batch, count, dim), jnp.float32) for count in (queries, kv, kv))
    none = (jnp.zeros(0, jnp.float32), 0.0, 0.0)
    (q_weight, epsilon, offset), (k_weight, _, _) = q_norm or none, k_norm or none
    attributes = {"epsilon": np.float32(epsilon), "offset": np.float32(offset)}
    q, k, v = jax.ffi.ffi_call("assistant_heads", outs)(qkv, q_weight, k_weight, *rotation, **attributes)
    return q, k, v


def attend(
    q: Array,
    k: Array,
    v: Array,
    cache_k: Array,
    cache_v: Array,
    slots: Array,
    starts: Array,
    counts: Array,
    *,
    scale: float,
    softcap: float | None,
    window: int | None,
) -> tuple[Array, Array, Array]:
    """`q[R, T, H, Dh]`, `k, v[R, T, K, Dh]` float32, caches `[slots, K, S, Dh]` float32 or bfloat16 → output float32
    and the updated caches.

    Row r appends `counts[r]` tokens to slot `slots[r]` at `starts[r]`; the caches are updated in place.
    """
    outs = tuple(jax.ShapeDtypeStruct(x.shape, x.dtype) for x in (q, cache_k, cache_v))
    call = jax.ffi.ffi_call("assistant_attend", outs, input_output_aliases={3: 1, 4: 2})
    attributes = {"scale": np.float32(scale), "softcap": np.float32(softcap or 0), "window": np.int64(window or 0)}
    out, new_k, new_v = call(q, k, v, cache_k, cache_v, slots, starts, counts, **attributes)
    return out, new_k, new_v
