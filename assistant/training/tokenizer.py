"""The planner's tokenizer: byte-level BPE in which a word has the same tokens wherever it stands.

Text is lower-cased and stripped of accents (the planner finds the user's own spelling again by position), every
digit, punctuation mark and line end is a token of its own, and words carry the space before them. So copying a name
from the utterance into an argument is copying the same tokens.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

SPECIAL = ["<|pad|>", "<|end|>", "<|tools|>", "<|user|>", "<|plan|>"]
PAD, END, TOOLS, USER, PLAN = range(5)
WORDS = r" ?\p{L}+| ?\p{N}| ?[^\s\p{L}\p{N}]|\s"
TEMPLATE = Path(__file__).with_name("chat_template.jinja")


def train(texts: Iterable[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """A tokenizer of `vocab_size` tokens learned from `texts`, with the planner's chat template."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token=SPECIAL[PAD],
        eos_token=SPECIAL[END],
        additional_special_tokens=SPECIAL[TOOLS:],
        chat_template=TEMPLATE.read_text(),
        model_max_length=4096,
        clean_up_tokenization_spaces=False,
    )
