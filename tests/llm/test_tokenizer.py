"""Text that comes token by token is the text that all tokens decode to."""

from __future__ import annotations

import random

import pytest
from tokenizers import Tokenizer as FastTokenizer
from tokenizers import decoders, models, normalizers

from assistant.llm.tokenizer import TextStream, Tokenizer


@pytest.fixture(scope="module")
def fallback(tmp_path_factory) -> Tokenizer:
    """As Llama's and Gemma's: words with ▁ for the space, and everything else as single bytes."""
    vocabulary = {"<unk>": 0, **{f"<0x{n:02X}>": n + 1 for n in range(256)}}
    for piece in ("▁", "▁send", "▁it", "▁to", "a", "i", "l"):
        vocabulary[piece] = len(vocabulary)
    tokenizer = FastTokenizer(models.BPE(vocabulary, [], unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    folder = tmp_path_factory.mktemp("fallback")
    tokenizer.save(str(folder / "tokenizer.json"))
    return Tokenizer(folder)


def streamed(tokenizer: Tokenizer, tokens: list[int]) -> str:
    stream = TextStream(tokenizer)
    return "".join(stream.push(token) for token in tokens) + stream.flush()


def test_long_answers_keep_their_characters_with_byte_fallback(fallback: Tokenizer):
    text = "send it to 陈爱丽丝 🎉 ил " * 20
    tokens = fallback.encode(text)
    assert len(tokens) > 400 and streamed(fallback, tokens) == fallback.decode(tokens) == text


def test_random_texts_are_the_same_in_pieces(fallback: Tokenizer, chatty):
    rng = random.Random(4)
    for tokenizer in (fallback, Tokenizer(chatty)):
        for _ in range(60):
            text = "x" + "".join(rng.choice("ai l  陈🎉é") for _ in range(120))
            tokens = tokenizer.encode(text)
            assert streamed(tokenizer, tokens) == tokenizer.decode(tokens)
