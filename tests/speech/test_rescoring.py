from __future__ import annotations

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from assistant.llm import ModelConfig, model
from assistant.llm.attention import attention
from assistant.llm.weights import load_params
from assistant.speech import sphinx_engine
from assistant.speech.rescoring import END, SHIPPED, Hypothesis, Rescorer, chosen
from assistant.speech.types import Word

SENTENCES = ["make a gif of my five most recent photos and send it to alice", "note that", "turn it to the left"]


@pytest.fixture(scope="module")
def rescorer() -> Rescorer:
    return Rescorer()


def test_its_scores_are_those_of_the_engine_s_forward(rescorer: Rescorer) -> None:
    config = ModelConfig.load(SHIPPED)
    params = jax.tree.map(lambda p: p.astype(jnp.float32), load_params(SHIPPED, config))
    scores = rescorer.score(SENTENCES)
    for sentence, score in zip(SENTENCES, scores, strict=True):
        ids = [END, *rescorer._tokenizer.encode(" " + sentence, add_special_tokens=False).ids, END]
        tokens = jnp.array([ids[:-1]])
        mask = jnp.tril(jnp.ones((len(ids) - 1,) * 2, bool))[None, None]

        def attend(_: int, q, k, v, mask=mask):
            return attention(q, k, v, mask, config.scale)

        hidden = model.forward(params, config, tokens, jnp.arange(len(ids) - 1)[None], attend)
        likely = jax.nn.log_softmax(model.logits(params, config, hidden)[0])
        assert score == pytest.approx(float(likely[jnp.arange(len(ids) - 1), jnp.array(ids[1:])].sum()), abs=0.05)


def test_what_people_say_is_likelier_than_what_sounds_like_it(rescorer: Rescorer) -> None:
    for said, heard in (
        ("send grandma the three newest photos of my dog", "sam and mum the three newest photos of my dog"),
        ("turn my last photo to the left", "turn my last photo to maria"),
        (
            "make a gif of my six latest photos and send it to tom",
            "make a gif of my six latest photos and send it of tom",
        ),
    ):
        likely, unlikely = rescorer.score([said, heard])
        assert likely > unlikely + 1


def test_neither_order_nor_padding_matters(rescorer: Rescorer) -> None:
    together = rescorer.score(SENTENCES)
    np.testing.assert_allclose(rescorer.score(SENTENCES[::-1])[::-1], together, atol=1e-3)
    np.testing.assert_allclose([rescorer.score([s])[0] for s in SENTENCES], together, atol=1e-3)
    assert rescorer.score([]).shape == (0,)


def test_what_sounded_far_better_wins_all_the_same(rescorer: Rescorer) -> None:
    odd, usual = "send it to me trombone", "send it to tom"
    said = Hypothesis(odd, odd, 0.0)
    assert rescorer.best([Hypothesis(usual, usual, -5.0), said])[0] is said
    close = [Hypothesis(usual, usual, -5.0), Hypothesis(odd, odd, -5.0)]
    best, likely, certain = rescorer.best(close)
    assert best is close[0] and 0.5 < certain <= 1
    assert likely == pytest.approx(rescorer.score([usual])[0] / 5, abs=1e-3)


def test_words_that_were_exchanged_share_the_time_of_what_stood_there() -> None:
    heard = (
        Word("sam", 0.1, 0.3, 0.9),
        Word("and", 0.3, 0.5, 0.8),
        Word("mum", 0.5, 0.9, 0.7),
        Word("it", 0.9, 1.0, 0.6),
    )
    words = chosen("send grandma it", heard, 0.4)
    assert words == (Word("send", 0.1, 0.5, 0.4), Word("grandma", 0.5, 0.9, 0.4), heard[3])
    assert chosen("sam and mum it", heard, 0.4) == heard, "what stays keeps its own"
    added = chosen("sam and mum with it", heard, 0.4)[3]
    assert added == Word("with", 0.9, 0.9, 0.4)
    assert [w.word for w in chosen("please it", heard, 0.4)] == ["please", "it"]


def test_names_are_found_where_they_are_names():
    names = sphinx_engine._only_names(["alice chen", "alice", "don", "june", "c. j."])
    found = {said: names.sub("anna", said) for said in (
        "send it to alice chen and don", "don't send it", "alice's photos of malice", "the first of june", "c. j.",
    )}  # fmt: skip
    assert list(found.values()) == [
        "send it to anna and anna", "don't send it", "anna's photos of malice", "the first of june", "anna",
    ]  # fmt: skip
    assert sphinx_engine._only_names([]).sub("anna", "send it") == "send it"


def test_the_shipped_model_is_small() -> None:
    assert json.loads((SHIPPED / "config.json").read_text())["model_type"] == "qwen3"
    assert sum(f.stat().st_size for f in Path(SHIPPED).iterdir()) < 12e6
