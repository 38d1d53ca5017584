"""transformers + torch and llama.cpp for `benchmarks.llm`: the same weights, prompts and steps."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

from safetensors.numpy import load_file
from tokenizers import Tokenizer as FastTokenizer

from benchmarks.llm import STATIC, UTTERANCE, Report, best, steps

PLAN = {
    "steps": [
        {"tool": "photos.select", "args": {"count": 5}},
        {"tool": "gif.create", "args": {"photos": "$1"}},
        {"tool": "messages.send", "args": {"to": "Alice", "attachments": "$2"}},
    ]
}
# The same language as the schema of the benchmark; llama.cpp's own conversion would also allow white space anywhere.
GRAMMAR = r"""
root ::= "{\"steps\": [" step ", " step ", " step "]}"
step ::= select | gif | send
select ::= "{\"tool\": \"photos.select\", \"args\": {\"count\": " [1-9] [0-9]? "}}"
gif ::= "{\"tool\": \"gif.create\", \"args\": {\"photos\": \"$1\"}}"
send ::= "{\"tool\": \"messages.send\", \"args\": {\"to\": \"" ("Alice" | "Bob") "\", \"attachments\": \"$2\"}}"
"""


def measure_torch(folder: Path, kind: str, report: Report, runs: int, batches: list[int]) -> None:
    """transformers with its own cache. Its plan has the static prompt cached and no grammar: one forward a token."""
    import torch
    from transformers import AutoModelForCausalLM, DynamicCache

    torch.set_num_threads(len(os.sched_getaffinity(0)))
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=getattr(torch, kind)).eval()
    size = sum(p.numel() * p.element_size() for p in model.parameters())

    @torch.inference_mode()
    def forward(rows: int, tokens: int, cache: Any) -> Any:
        ids = torch.ones(rows, tokens, dtype=torch.long)
        return model(ids, past_key_values=cache, logits_to_keep=1).past_key_values

    for rows, tokens in steps(batches):
        cache = forward(rows, 128, DynamicCache())

        def once(rows: int = rows, tokens: int = tokens, cache: Any = cache) -> None:
            forward(rows, tokens, cache)
            cache.crop(-tokens)

        report.rate(rows, tokens, best(once, runs), size)
    tokenizer = FastTokenizer.from_file(str(folder / "tokenizer.json"))
    static, asked, count = (len(tokenizer.encode(text).ids) for text in (STATIC, UTTERANCE, json.dumps(PLAN)))
    cache = forward(1, static, DynamicCache())

    def plan() -> None:
        forward(1, asked, cache)
        for _ in range(count - 1):
            forward(1, 1, cache)
        cache.crop(-(asked + count - 1))

    report.add("plan without a grammar", best(plan, max(1, runs // 3)) * 1e3, "ms", f"{count} tokens")


def measure_llama(folder: Path, kind: str, report: Report, runs: int, batches: list[int]) -> None:
    """llama.cpp through llama-cpp-python: `llama_decode` for the steps, `create_completion` for plans."""
    import llama_cpp

    threads = len(os.sched_getaffinity(0))
    file = gguf_file(folder, kind)
    if kind == "q8_0" and "amx_int8" in Path("/proc/cpuinfo").read_text():
        _without_repacking(llama_cpp)
    llama = llama_cpp.Llama(str(file), n_ctx=1024, n_threads=threads, n_threads_batch=threads, verbose=False)
    size = file.stat().st_size
    for rows, tokens in steps(batches):
        report.rate(rows, tokens, _llama_step(llama_cpp, llama, rows, tokens, threads, runs), size)
    grammar = llama_cpp.LlamaGrammar.from_string(GRAMMAR, verbose=False)
    tokens = json.dumps(PLAN)
    for what, given in (("plan under a grammar", grammar), ("plan without a grammar", None)):
        times, count = [], len(llama.tokenize(tokens.encode(), add_bos=False))
        for i in range(max(2, runs // 3) + 1):  # the first one fills the prompt cache
            prompt = STATIC + UTTERANCE.replace("five", str(100 + i))
            begin = time.perf_counter()
            length = 300 if given is not None else count
            answer: Any = llama.create_completion(prompt, max_tokens=length, temperature=0.0, grammar=given)
            times.append(time.perf_counter() - begin)
            if given is not None:
                assert json.loads(answer["choices"][0]["text"])["steps"][2]
        report.add(what, min(times[1:]) * 1e3, "ms", f"{answer['usage']['completion_tokens']} tokens")


def _without_repacking(lib: Any) -> None:
    """Keep 8-bit weights out of llama.cpp's AMX buffers, whose product crashes (ggml-org/llama.cpp#20824): they are
    multiplied with AVX-512 VNNI."""
    defaults = lib.llama_model_default_params

    def params() -> Any:
        changed = defaults()
        changed.use_extra_bufts = False
        return changed

    lib.llama_model_default_params = lib.llama_cpp.llama_model_default_params = params


def _llama_step(lib: Any, llama: Any, rows: int, tokens: int, threads: int, runs: int) -> float:
    """Seconds of one `llama_decode` of `tokens` tokens for each of `rows` sequences of 128 tokens."""
    params = lib.llama_context_default_params()
    params.n_ctx, params.n_seq_max, params.n_batch, params.n_ubatch = rows * 512, rows, 512, 512
    params.n_threads = params.n_threads_batch = threads
    context = lib.llama_init_from_model(llama._model.model, params)
    memory = lib.llama_get_memory(context)

    def decode(sequences: range, start: int, count: int) -> None:
        batch = lib.llama_batch_init(len(sequences) * count, 0, 1)
        for i in range(len(sequences) * count):
            sequence, at = sequences[i // count], i % count
            batch.token[i], batch.pos[i] = 1, start + at
            batch.n_seq_id[i], batch.seq_id[i][0] = 1, sequence
            batch.logits[i] = at == count - 1
        batch.n_tokens = len(sequences) * count
        assert lib.llama_decode(context, batch) == 0
        lib.llama_synchronize(context)
        lib.llama_batch_free(batch)

    for row in range(rows):
        decode(range(row, row + 1), 0, 128)

    def once() -> None:
        decode(range(rows), 128, tokens)
        for row in range(rows):
            lib.llama_memory_seq_rm(memory, row, 128, -1)

    seconds = best(once, runs)
    lib.llama_free(context)
    return seconds


def gguf_file(folder: Path, kind: str) -> Path:
    """The checkpoint as GGUF (`f32`, `bf16` or `q8_0`; norms stay float32), written once."""
    import gguf

    file = folder / f"{kind}.gguf"
    if file.exists():
        return file
    config = json.loads((folder / "config.json").read_text())
    writer = gguf.GGUFWriter(file.with_suffix(".part"), "qwen3")
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(config["head_dim"])
    writer.add_value_length(config["head_dim"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(config["rope_parameters"]["rope_theta"])
    _add_tokenizer(writer, folder, config["vocab_size"])
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.QWEN3, config["num_hidden_layers"])
    type_ = gguf.GGMLQuantizationType[kind.upper()]
    for name, value in load_file(folder / "model.safetensors").items():
        packed = value if value.ndim == 1 or kind == "f32" else gguf.quants.quantize(value, type_)
        raw = gguf.GGMLQuantizationType.F32 if packed is value else type_
        writer.add_tensor(names.get_name(name, try_suffixes=(".weight",)), packed, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    file.with_suffix(".part").rename(file)
    return file


def _add_tokenizer(writer: Any, folder: Path, size: int) -> None:
    import gguf

    model = json.loads((folder / "tokenizer.json").read_text())["model"]
    tokens = sorted(model["vocab"], key=model["vocab"].__getitem__)
    padding = [f"[unused {i}]" for i in range(len(tokens), size)]
    normal, unused, control = gguf.TokenType.NORMAL, gguf.TokenType.UNUSED, gguf.TokenType.CONTROL
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens + padding)
    writer.add_token_types([control] + [normal] * (len(tokens) - 1) + [unused] * len(padding))
    writer.add_token_merges([" ".join(merge) for merge in model["merges"]])
    writer.add_eos_token_id(0)
    writer.add_bos_token_id(0)
    writer.add_add_bos_token(False)
