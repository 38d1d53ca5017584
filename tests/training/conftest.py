from __future__ import annotations

import pytest

from assistant.training import tokenizer
from assistant.training.curriculum import Curriculum, texts
from assistant.training.errands import builtin, domains
from assistant.training.packs import Encoder


@pytest.fixture(scope="session")
def encoder() -> Encoder:
    """An encoder whose small tokenizer is trained on the project's own errands."""
    known = [builtin().spelled(), *(d.spelled() for d in domains()[:4])]
    return Encoder(tokenizer.train(texts(known, count=2000), 1500))


@pytest.fixture(scope="session")
def curriculum(encoder: Encoder) -> Curriculum:
    """Seconds to build, and never changed by what is asked of it."""
    return Curriculum(encoder, seed=5)
