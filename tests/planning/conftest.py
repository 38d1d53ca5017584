"""Checkpoints of random weights: one shaped like the shipped planner, one foreign with its own chat template."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from assistant.llm import Engine, ModelConfig, load
from assistant.llm.model import init
from assistant.llm.weights import save
from assistant.planning import Planner
from assistant.plugin.registry import load_registry
from assistant.plugin.signature import ToolSpec
from assistant.training import tokenizer as own

SENTENCES = [
    " make a gif of my five most recent photos and send it to alice",
    " remind me to call ben tomorrow at nine",
    " note that the gate code is 4711",
    "> photos select\n count: 5\n> gif create\n photos: $1\n> messages send\n to: alice\n attachments: $2\n",
]
# As Qwen's: roles between markers, tools as JSON in the system message.
FOREIGN_TEMPLATE = """{%- if tools %}{{ '<|im_start|>system\n' }}
{%- if messages[0].role == 'system' %}{{ messages[0].content + '\n\n' }}{%- endif %}
{{- '# Tools\n<tools>' }}{%- for tool in tools %}{{ '\n' ~ tool | tojson }}{%- endfor %}{{ '\n</tools><|im_end|>\n' }}
{%- endif %}
{%- for m in messages if m.role != 'system' %}
{{- '<|im_start|>' ~ m.role ~ '\n' ~ m.content ~ '<|im_end|>\n' }}{%- endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"""


def random_checkpoint(folder: Path, tokenizer: PreTrainedTokenizerFast, eos: int, seed: int = 0) -> Path:
    """A tiny Qwen3-shaped checkpoint of random weights around a tokenizer."""
    config = ModelConfig(
        family="qwen3", vocab_size=len(tokenizer) + 13, hidden_size=32, intermediate_size=48, num_layers=2, num_heads=4,
        num_kv_heads=2, head_dim=16, max_positions=8192, tied=True, qk_norm=True, eos_token_ids=(eos,),
    )  # fmt: skip
    params = init(config, jax.random.key(seed))
    save(folder, params, config, np.float32)
    tokenizer.save_pretrained(folder)
    return folder


def foreign_tokenizer(texts: list[str]) -> PreTrainedTokenizerFast:
    """Byte-level BPE with GPT's pre-tokenizer, case and accents kept."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=700, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", chat_template=FOREIGN_TEMPLATE,
        additional_special_tokens=special[1:],
    )  # fmt: skip


@pytest.fixture(scope="session")
def tools() -> dict[str, ToolSpec]:
    return {name: spec for name, spec in load_registry().items() if not spec.third_party}


def training_text(tools: dict[str, ToolSpec]) -> list[str]:
    """Enough text for a tokenizer that keeps the tools' prompt short."""
    signatures = [
        f" {t.description} {' '.join(f'{p.name} {p.description}' for p in t.parameters)}" for t in tools.values()
    ]
    return (SENTENCES + signatures + [text.replace("_", " ") for text in signatures]) * 3


@pytest.fixture(scope="session")
def shipped(tmp_path_factory: pytest.TempPathFactory, tools: dict[str, ToolSpec]) -> Iterator[Engine]:
    """An engine over random weights with the shipped planner's tokenizer and template."""
    tokenizer = own.train(training_text(tools), 700)
    folder = random_checkpoint(tmp_path_factory.mktemp("shipped"), tokenizer, own.END)
    with Engine(load(folder), slots=8, length=1536, sizes=(1, 8, 64)) as engine:
        yield engine


@pytest.fixture(scope="session")
def foreign(tmp_path_factory: pytest.TempPathFactory, tools: dict[str, ToolSpec]) -> Iterator[Engine]:
    """An engine over random weights of a foreign make."""
    tokenizer = foreign_tokenizer(training_text(tools))
    folder = random_checkpoint(tmp_path_factory.mktemp("foreign"), tokenizer, tokenizer.eos_token_id)
    with Engine(load(folder), slots=2, length=6144, sizes=(1, 8, 256)) as engine:
        yield engine


@pytest.fixture(scope="session")
def planner(shipped: Engine, tools: dict[str, ToolSpec]) -> Planner:
    return Planner(shipped, tools)


@pytest.fixture(scope="session")
def foreign_planner(foreign: Engine, tools: dict[str, ToolSpec]) -> Planner:
    return Planner(foreign, tools)
