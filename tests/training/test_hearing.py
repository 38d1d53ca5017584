from __future__ import annotations

import itertools
from pathlib import Path
from random import Random

import numpy as np
import pytest

from assistant.speech.rescoring import END, Rescorer
from assistant.speech.spoken import spoken
from assistant.training import hearing
from assistant.training.errands import held_out
from assistant.training.packs import Encoder


@pytest.fixture(scope="module")
def said(encoder: Encoder) -> hearing.Said:
    return hearing.Said(encoder)


def test_what_is_learned_is_what_people_say_as_it_is_heard(said: hearing.Said) -> None:
    rng = Random(1)
    sentences = []
    while len(sentences) < 300:
        try:
            sentences.append(said.sentence(rng))
        except ValueError:
            continue
    assert all(s == spoken(s) for s in sentences), "no capitals, no digits, no signs"
    assert len(set(sentences)) > 270
    assert not any(held_out(t.say) for t in said.authored)


def test_every_token_is_a_target_and_sees_its_own_sentence_alone(said: hearing.Said) -> None:
    lines = said.lines(Random(2))
    kept, again = itertools.tee(lines)
    pack = hearing.said(kept)
    wanted = list(itertools.islice(again, int(pack.owners.max()) + 1))
    at = 0
    for number in range(int(pack.owners.max()) + 1):
        mine = np.flatnonzero(pack.owners == number)
        ids = [int(pack.tokens[pack.targets[mine[0]]]), *pack.labels[mine].tolist()]
        assert ids[0] == ids[-1] == END and ids in wanted
        at += len(mine)
        assert pack.positions[pack.targets[mine]].tolist() == list(range(len(mine)))
        rows = pack.targets[mine] - hearing.SHAPE.prefix
        assert set(pack.segments.ravel()[rows]) == {number + 1}
    assert at > 0.7 * hearing.SHAPE.targets, "packs are full"


def test_the_training_goes_on_where_it_was_and_writes_a_model_that_can_be_read(tmp_path: Path) -> None:
    run, to = tmp_path / "run", tmp_path / "model"
    hearing.main(run=run, start=None, to=to, steps=1, layers=1)
    hearing.main(run=run, start=None, to=to, steps=2, layers=1)
    with np.load(run / "state.npz") as state:
        assert int(state["step"]) == 2
    scores = Rescorer(to).score(["send it to tom", "tom to it send"])
    assert np.isfinite(scores).all() and (scores < 0).all()
