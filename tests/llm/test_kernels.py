"""The CPU kernels against plain arithmetic, for every instruction set that this machine can run."""

import ctypes
import os
import stat
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assistant.llm import Engine, ModelConfig, Request, kernels, load, make_mesh, model
from assistant.llm.attention import cached_attention, causal_mask
from assistant.llm.cache import allocate, attend_rows
from assistant.llm.packed import Packed, matrix, multiply, pack

pytestmark = pytest.mark.skipif(not kernels.available(), reason="no C++ compiler or no CPU")
rng = np.random.default_rng(0)


SHAPES = [(1, 64, 5), (1, 1024, 96), (2, 36, 128), (3, 320, 64), (7, 576, 130), (70, 260, 67)]
SHAPES += [(16, 512, 64), (33, 320, 67), (150, 1024, 130)]  # where there is AMX, its tiles are taken


@pytest.mark.parametrize("shape", SHAPES)
def test_int8_product_is_close_to_the_exact_one(shape):
    m, k, n = shape
    x, w = rng.normal(size=(m, k)).astype(np.float32), rng.normal(size=(n, k)).astype(np.float32)
    packed = matrix(w, "int8")
    exact = x @ np.asarray(packed[jnp.arange(n)]).T
    error = np.abs(np.asarray(multiply(jnp.asarray(x), packed)) - exact)
    assert error.max() < 0.04 * np.abs(exact).max() and error.mean() < 0.015 * np.abs(exact).mean()  # 8-bit activations
    assert np.abs(np.asarray(packed[jnp.arange(n)]) - w).max() <= np.abs(w).max() / 254 + 1e-6


@pytest.mark.parametrize("kind", ["float32", "bfloat16"])
@pytest.mark.parametrize("shape", SHAPES)
def test_wide_products_are_summed_in_float32(shape, kind):
    m, k, n = shape
    x = np.asarray(jnp.asarray(rng.normal(size=(m, k)), kind).astype(jnp.float32))
    w = np.asarray(jnp.asarray(rng.normal(size=(n, k)), kind).astype(jnp.float32))
    packed = matrix(w, kind)
    assert packed.kind == kind and np.array_equal(packed[jnp.arange(n)], w)
    exact = x.astype(np.float64) @ w.astype(np.float64).T
    assert np.abs(np.asarray(multiply(jnp.asarray(x), packed)) - exact).max() < 2e-6 * np.abs(exact).max()


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_a_token_gets_the_same_result_in_every_batch(kind):
    packed = matrix(rng.normal(size=(100, 320)), kind)
    x = jnp.asarray(rng.normal(size=(90, 320)), jnp.float32)
    whole = np.asarray(multiply(x, packed))
    for size in (1, 5, 13, 16, 31, 65):
        assert np.array_equal(multiply(x[:size], packed), whole[:size])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize(("window", "softcap"), [(None, None), (5, None), (None, 3.0), (7, 2.0)])
def test_attention_equals_the_xla_path_and_reads_nothing_stale(window, softcap, dtype):
    config = ModelConfig(
        "gemma3", 8, 32, 32, 1, 6, 2, 32, windows=(window,), attention_softcap=softcap, attention_scale=0.3
    )
    slots, starts, counts = jnp.array([2, 0, 1]), jnp.array([9, 0, 30]), jnp.array([4, 3, 0])
    q, k, v = (jnp.asarray(rng.normal(size=(3, 4, heads, 32)), jnp.float32) for heads in (6, 2, 2))
    cache = jax.tree.map(lambda x: x + jnp.asarray(rng.normal(size=x.shape), dtype), allocate(config, 3, 40, dtype))
    wide = jax.tree.map(lambda x: x.astype(jnp.float32), cache)  # the plain path, on the same rounded numbers
    plain, plain_cache = attend_rows(wide, config, slots, starts, counts, 4)
    wanted = plain(0, q, *(x.astype(dtype).astype(jnp.float32) for x in (k, v)))
    cache = [(a.at[2, :, 13:].set(jnp.nan), b.at[2, :, 13:].set(jnp.nan)) for a, b in cache]
    fast, fast_cache = attend_rows(cache, config, slots, starts, counts, 4, kernel=True)
    got = jax.jit(lambda: (fast(0, q, k, v), fast_cache))()
    assert np.allclose(got[0][0], wanted[0], atol=2e-6) and np.allclose(got[0][1, :3], wanted[1, :3], atol=2e-6)
    for new, old in zip(jax.tree.leaves(got[1]), jax.tree.leaves(plain_cache), strict=True):
        assert np.array_equal(new[2, :, :13], old[2, :, :13]) and np.array_equal(new[0, :, :3], old[0, :, :3])


def test_attention_over_long_sequences():
    config = ModelConfig("llama", 8, 32, 32, 1, 4, 4, 16)
    q, k, v = (jnp.asarray(rng.normal(size=(1, 200, 4, 16)) * 3, jnp.float32) for _ in range(3))
    start, count = jnp.array([0]), jnp.array([200])
    attend, _ = attend_rows(allocate(config, 1, 256), config, jnp.array([0]), start, count, 200, kernel=True)
    at = jnp.arange(200)[None]
    wanted = cached_attention(q, k.swapaxes(1, 2), v.swapaxes(1, 2), causal_mask(at, at), config.scale)
    assert np.allclose(attend(0, q, k, v), wanted, atol=5e-5)  # scores reach 100, where float32 has 8e-6


@pytest.mark.parametrize("kind", ["int8", "bfloat16", "float32"])
def test_packed_models_answer_like_the_wide_one(kind):
    config = ModelConfig("qwen2", 300, 128, 192, 3, 4, 2, 32, tied=True, qkv_bias=True, qk_norm=True)
    wide = model.init(config, jax.random.key(0))
    packed = pack(wide, kind)
    assert sum(isinstance(x, Packed) for x in jax.tree.leaves(packed, is_leaf=lambda x: isinstance(x, Packed))) == 13
    tokens = jnp.asarray(rng.integers(0, 300, (2, 12)))
    at = jnp.broadcast_to(jnp.arange(12), (2, 12))

    def run(params):
        attend, _ = attend_rows(
            allocate(config, 2, 16), config, jnp.arange(2), jnp.zeros(2, int), jnp.full(2, 12), 12, whole=True
        )
        return np.asarray(model.logits(params, config, model.forward(params, config, tokens, at, attend)))

    exact, got = run(wide), run(packed)
    assert np.abs(got - exact).max() < (1e-5 if kind == "float32" else 0.06) * np.abs(exact).max()
    assert np.allclose(packed["embed"][tokens[0]], wide["embed"][tokens[0]], atol=5e-4)


@pytest.mark.parametrize("kind", ["float32", "bfloat16", "int8"])
def test_the_engine_serves_every_kind(checkpoints, kind, tmp_path):
    folder, _ = checkpoints("llama")
    loaded = load(folder, dtype=kind)
    with Engine(loaded, slots=2, length=64, sizes=(1, 8)) as engine:
        results = [engine.generate(Request(list(range(1, 20)), max_tokens=8, stop_tokens=())).ids for _ in range(2)]
    assert results[0] == results[1] and len(results[0]) == 8


VARIANTS = ["-march=native", "-march=native -mno-amx-int8", "-march=x86-64-v3", "-march=x86-64"]
CHECK = """
import ctypes, sys, jax, jax.numpy as jnp, numpy as np
library = ctypes.CDLL(sys.argv[1])
jax.ffi.register_ffi_target("assistant_linear_int8", jax.ffi.pycapsule(library.linear_int8), platform="cpu")
from assistant.llm.packed import matrix, multiply
rng = np.random.default_rng(1)
x = rng.integers(-127, 128, (70, 320)).astype(np.float32); x[:, ::64] = 127
w = rng.integers(-127, 128, (9, 320)).astype(np.float32); w[:, 0] = 127
for rows in 3, 16, 70:
    got = multiply(jnp.asarray(x[:rows]), matrix(w, "int8"))
    assert np.array_equal(got, x[:rows] @ w.T), "integers must be exact"
"""


@pytest.mark.parametrize("march", VARIANTS)
def test_every_instruction_set_gives_the_same_integers(march, tmp_path):
    tmp_path.chmod(0o700)
    flags = ("-O2", *march.split(), *kernels.LOOSE, "-std=c++17", "-shared", "-fPIC")
    library = kernels.build(tmp_path, flags)
    ctypes.CDLL(str(library))
    subprocess.run([sys.executable, "-c", CHECK, str(library)], check=True, timeout=120)


def test_loading_the_kernels_leaves_the_arithmetic_of_the_process_alone():
    assert kernels.available() and 5e-324 / 2 == 0 and 2.3e-308 / 2 > 0  # subnormal numbers are still there


def test_without_a_compiler_xla_serves_alone(checkpoints, tmp_path):
    folder, _ = checkpoints("llama")
    code = f"import logging; logging.basicConfig(); from assistant.llm import load; load({str(folder)!r}, dtype='int8')"
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    environment = {**os.environ, "CXX": "/nonexistent/compiler", "LLM_ENGINE_CACHE": str(cache)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "CPU kernels are not available" in done.stderr and "without quantisation" in done.stderr


def test_clang_is_not_tried(tmp_path, monkeypatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("shutil.which", lambda name: "/usr/bin/clang++" if name == "clang++" else None)
    with pytest.raises(FileNotFoundError, match="install g"):
        kernels.build(tmp_path)


@pytest.mark.parametrize("kind", ["int8", "bfloat16"])
def test_a_mesh_of_cpu_devices_is_served_in_float32(checkpoints, kind, caplog):
    loaded = load(checkpoints("llama")[0], mesh=make_mesh(), dtype=kind)
    dtypes = {x.dtype for x in jax.tree.leaves(loaded.params)}
    assert dtypes == {jnp.dtype(loaded.cache_dtype)} == {jnp.dtype(jnp.float32)}
    assert f"{kind} weights need the CPU kernels" in caplog.text and "serving float32" in caplog.text


def test_folders_of_compiled_code_must_be_private(tmp_path):
    assert stat.S_IMODE(kernels.private_folder(tmp_path / "new").stat().st_mode) == 0o700
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o755)
    with pytest.raises(PermissionError, match="chmod 700"):
        kernels.private_folder(tmp_path / "open")
    (tmp_path / "link").symlink_to(tmp_path / "new")
    with pytest.raises(PermissionError):
        kernels.private_folder(tmp_path / "link")
