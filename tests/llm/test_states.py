"""A state machine over the scheduler and cache: whatever is submitted, cancelled, copied or freed, in whatever order,
every request gets exactly the tokens that it gets alone. Freed slots are filled with NaN, so reading one would show."""

import jax
import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from assistant.llm import Engine, Model, ModelConfig, Request, kernels, model

CONFIG = ModelConfig("qwen3", 64, 32, 48, 2, 4, 2, 16, tied=True, qk_norm=True, windows=(None, 7), max_positions=96)
PREFIX = [7, 3, 7, 1, 9, 9, 2, 30, 31, 32, 33, 34, 35, 36, 37, 38, 39, 40, 41, 42]


def make_model() -> Model:
    params = jax.tree.map(lambda x: x * 4, model.init(CONFIG, jax.random.key(2)))
    return Model(CONFIG, params)


MODEL = make_model()
ALONE: dict[tuple[int, ...], list[int]] = {}


class Stepped(Engine):
    """An engine without a thread: the test decides when a turn happens. Freed slots lose their content to NaN."""

    poison = False

    def _send(self, job):
        self._inbox.put(job)
        self._receive(wait=False)
        if job.store_as is not None:
            while not job.stream.done:
                self._turn()

    def _settle(self, job):
        slot = job.sequence.slot
        super()._settle(job)
        if self.poison and job.ended and slot >= 0:
            self._scheduler.forget(slot)
            self._runner.fill(slot, np.nan)


def alone(prompt: list[int]) -> list[int]:
    """Greedy tokens by a one-slot engine that feeds the whole prompt at once."""
    key = tuple(prompt)
    if key not in ALONE:
        engine = Stepped(MODEL, slots=1, length=80, sizes=(1, 64))
        engine.poison = True
        stream = engine.submit(Request(prompt, max_tokens=12, stop_tokens=()))
        while not stream.done:
            engine._turn()
        ALONE[key] = stream.result().ids
    return ALONE[key]


class Batching(RuleBasedStateMachine):
    kernel = True

    @initialize(poison=st.booleans())
    def start(self, poison):
        self.engine = Stepped(MODEL, slots=3, length=80, sizes=(1, 4, 16), short=4)
        self.engine.poison = poison
        for slot in range(3):
            self.engine._runner.fill(slot, np.nan)
        self.engine.add_prefix("static", PREFIX)
        self.live = []

    @rule(kind=st.sampled_from(["new", "prefix", "repeat"]), length=st.integers(1, 40), seed=st.integers(0, 5))
    def submit(self, kind, length, seed):
        prompt = np.random.default_rng(seed).integers(0, 64, length).tolist()
        if kind == "repeat":
            prompt = [*prompt[: length // 2 + 1], seed]
        request = Request(prompt, prefix="static" if kind == "prefix" else None, max_tokens=12, stop_tokens=())
        whole = (PREFIX if kind == "prefix" else []) + prompt
        self.live.append((whole, self.engine.submit(request)))

    @rule(turns=st.integers(1, 12))
    def turn(self, turns):
        for _ in range(turns):
            self.engine._turn()

    @precondition(lambda self: self.live)
    @rule(which=st.integers(0, 100))
    def cancel(self, which):
        whole, stream = self.live.pop(which % len(self.live))
        stream.cancel()
        self.engine._turn()
        assert stream.done
        ids = stream.result().ids
        assert ids == alone(whole)[: len(ids)]

    def teardown(self):
        if not hasattr(self, "engine"):
            return
        while self.engine._jobs:
            self.engine._turn()
        for whole, stream in self.live:
            assert stream.result().ids == alone(whole)


Batching.TestCase.settings = settings(
    max_examples=25, stateful_step_count=15, deadline=None, database=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "xla"])
def test_batching_never_changes_what_is_generated(kernel, monkeypatch):
    if kernel and not kernels.available():
        pytest.skip("no kernels here")
    if not kernel:
        monkeypatch.setattr("assistant.llm.runner.kernels.available", lambda: False)
    ALONE.clear()
    Batching.TestCase("runTest").runTest()
