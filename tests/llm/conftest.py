"""Tiny random checkpoints of every family, written by transformers, and a small tokenizer."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    LlamaConfig,
    LlamaForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

VOCAB = 384
SHAPE = {
    "vocab_size": VOCAB,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "eos_token_id": 0,
    "bos_token_id": None,
    "pad_token_id": None,
}
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
LAYERS = ["sliding_attention", "full_attention", "sliding_attention"]
FAMILIES = {
    "llama": (LlamaForCausalLM, LlamaConfig(**SHAPE, rope_parameters=LLAMA3_ROPE, tie_word_embeddings=True)),
    "llama-biased": (LlamaForCausalLM, LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True)),
    "qwen2": (Qwen2ForCausalLM, Qwen2Config(**SHAPE)),
    "qwen2-window": (
        Qwen2ForCausalLM,
        Qwen2Config(**SHAPE, use_sliding_window=True, sliding_window=8, layer_types=LAYERS, tie_word_embeddings=True),
    ),
    "qwen3": (Qwen3ForCausalLM, Qwen3Config(**SHAPE, head_dim=32, tie_word_embeddings=True)),
    "qwen3-untied": (Qwen3ForCausalLM, Qwen3Config(**SHAPE, head_dim=16)),
    "gemma3": (
        Gemma3ForCausalLM,
        Gemma3TextConfig(
            **SHAPE,
            head_dim=32,
            query_pre_attn_scalar=24,
            sliding_window=8,
            layer_types=LAYERS,
            final_logit_softcapping=30.0,
        ),
    ),
}


CHAT_TEMPLATE = (
    "{% if tools %}Tools:{% for tool in tools %} {{ tool.function.name }}{% endfor %}. Calls go between "
    "<tool_call> and </tool_call>.\n{% endif %}{% for m in messages %}<|{{ m.role }}|>{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>\n{{ c.function | tojson }}\n</tool_call>{% endfor %}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def random_model(family: str) -> torch.nn.Module:
    """A transformers model with weights large enough that its greedy choices are clear."""
    torch.set_num_threads(1)
    torch.manual_seed(1)
    architecture, config = FAMILIES[family]
    config._attn_implementation = "eager"
    model = architecture(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2 if parameter.ndim > 1 else 0.1)
            if parameter.ndim == 1 and family != "gemma3":
                parameter.add_(1.0)
    return model


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory):
    """`checkpoints(family)` → (folder, transformers model); made once per run."""
    made = {}

    def make(family: str):
        if family not in made:
            folder = tmp_path_factory.mktemp(family)
            model = random_model(family)
            model.save_pretrained(folder)
            made[family] = folder, model
        return made[family]

    return make


def write_tokenizer(folder: Path, size: int = VOCAB - 24) -> None:
    """A byte-level BPE tokenizer smaller than the model's table, as padded checkpoints have it; `<eos>` is 0."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    text = ['{"steps": [{"tool": "photos.select", "args": {"count": 5}}]}', "send the five newest photos to Alice"] * 3
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<eos>", "<|user|>", "<|assistant|>", "<tool_call>", "</tool_call>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(text, trainer)
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {"eos_token": "<eos>", "tokenizer_class": "PreTrainedTokenizerFast", "chat_template": CHAT_TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


@pytest.fixture(scope="session")
def chatty(checkpoints, tmp_path_factory):
    """A folder with weights (qwen3) and a tokenizer."""
    from safetensors.numpy import load_file, save_file

    source, _ = checkpoints("qwen3")
    folder = tmp_path_factory.mktemp("chatty")
    save_file(load_file(source / "model.safetensors"), folder / "model.safetensors")
    (folder / "config.json").write_bytes((source / "config.json").read_bytes())
    write_tokenizer(folder)
    return folder


def reference_logits(model: torch.nn.Module, tokens: np.ndarray) -> np.ndarray:
    """Logits of transformers for `tokens[B, T]`."""
    with torch.no_grad():
        return model(torch.tensor(tokens)).logits.numpy()


def reference_greedy(model: torch.nn.Module, prompt: list[int], count: int) -> list[int]:
    """Greedy continuation by transformers, never stopping early."""
    model.generation_config.eos_token_id = None
    ids = torch.tensor([prompt])
    out = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=count, do_sample=False)
    return out[0, len(prompt) :].tolist()
