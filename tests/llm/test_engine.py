"""The engine's promises to its callers: same tokens however they were batched, constraints, streams, errors."""

import asyncio
import math
import time

import numpy as np
import pytest

from assistant.llm import Engine, Request, load

PROMPT = [5, 6, 7, 8, 9, 10, 11]


@pytest.fixture(scope="module")
def engine(chatty):
    with Engine(load(chatty), slots=3, length=256, sizes=(1, 8, 32)) as engine:
        engine.warm_up()
        yield engine


@pytest.fixture(scope="module")
def greedy(engine):
    """Greedy tokens of a prompt run alone in an engine that holds nothing."""

    def run(prompt, count=24):
        with Engine(engine.model, slots=1, length=256, sizes=(1, 32)) as alone:
            return alone.generate(Request(prompt, max_tokens=count, stop_tokens=())).ids

    return run


class Choices:
    """A constraint in plain Python: one of the given token sequences."""

    def __init__(self, *choices):
        self.left = [list(choice) for choice in choices]

    @property
    def done(self):
        return self.left == [[]]

    def forced(self):
        first = {choice[0] if choice else None for choice in self.left}
        return [choice[0] for choice in self.left[:1]] if len(first) == 1 else []

    def mask(self, out):
        out[:] = 0
        for choice in self.left:
            token = choice[0] if choice else 0
            out[token // 32] |= np.uint32(1 << token % 32)

    def consume(self, token):
        self.left = [choice[1:] for choice in self.left if choice and choice[0] == token]


def test_mixed_batches_equal_running_alone(engine, greedy):
    rng = np.random.default_rng(0)
    prompts = [rng.integers(1, 300, n).tolist() for n in (3, 90, 40, 1, 70)]
    streams = [engine.submit(Request(prompt, max_tokens=24, stop_tokens=())) for prompt in prompts]
    assert [stream.result().ids for stream in streams] == [greedy(prompt) for prompt in prompts]


def test_a_stored_prefix_is_reused_and_changes_nothing(engine, greedy):
    prefix = list(range(20, 90))
    assert engine.add_prefix("static", prefix) == 70
    streams = [engine.submit(Request([i, 4], prefix="static", max_tokens=8, stop_tokens=())) for i in range(1, 4)]
    results = [stream.result() for stream in streams]
    assert [r.ids for r in results] == [greedy([*prefix, i, 4], 8) for i in range(1, 4)]
    assert all(r.reused_tokens == 70 and r.prompt_tokens == 72 for r in results)
    with pytest.raises(ValueError, match="no prefix 'other'"):
        engine.submit(Request([1], prefix="other"))


def test_requests_in_the_background_leave_a_slot_free_and_come_last(engine):
    long = [engine.submit(Request(PROMPT, max_tokens=200, stop_tokens=(), background=True)) for _ in range(5)]
    result = engine.generate(Request(PROMPT, max_tokens=4, stop_tokens=()))
    assert len(result.ids) == 4 and not any(stream.done for stream in long)
    for stream in long:
        stream.cancel()
    assert {stream.result().finish_reason for stream in long} == {"cancelled"}

    with Engine(engine.model, slots=1, length=256, sizes=(1, 8, 32)) as single:  # one slot serves both
        running, last = (
            single.submit(Request(PROMPT, max_tokens=100, stop_tokens=(), background=True)) for _ in range(2)
        )
        assert single.generate(Request(PROMPT, max_tokens=4, stop_tokens=())).ids and running.done
        assert not last.done and len(last.result().ids) == 100


def test_cancelling_frees_the_slot_and_disturbs_nobody(engine, greedy):
    doomed = [engine.submit(Request([i] * 9, max_tokens=200, stop_tokens=())) for i in range(1, 3)]
    kept = engine.submit(Request(PROMPT, max_tokens=24, stop_tokens=()))
    next(iter(doomed[0]))
    for stream in doomed:
        stream.cancel()
    assert kept.result().ids == greedy(PROMPT)
    assert [stream.result().finish_reason for stream in doomed] == ["cancelled"] * 2
    assert engine.generate(Request(PROMPT, max_tokens=24, stop_tokens=())).ids == greedy(PROMPT)


def test_forced_tokens_cost_no_choice_and_are_scored(engine):
    result = engine.generate(Request(PROMPT, constraint=Choices([9, 8, 7, 6, 30, 31], [9, 8, 7, 6, 40, 41])))
    assert result.ids in ([9, 8, 7, 6, 30, 31], [9, 8, 7, 6, 40, 41])
    assert [token.forced for token in result.tokens] == [True] * 4 + [False, True]
    assert result.forwards == 1  # prompt and four forced tokens; then one choice, and nothing for the end
    assert all(token.logprob == 0 for token in result.tokens if token.forced)
    assert all(token.free_logprob < 0 for token in result.tokens[:5])
    assert math.isnan(result.tokens[5].free_logprob)  # never fed


def test_scores_equal_the_models_own_log_probabilities(engine):
    free = engine.generate(Request(PROMPT, max_tokens=6, stop_tokens=()))
    forced = engine.generate(Request(PROMPT, constraint=Choices(free.ids)))
    assert forced.ids == free.ids and forced.forwards == 0  # everything was known: no forward at all
    either = engine.generate(Request(PROMPT, constraint=Choices([*free.ids, 50], [*free.ids, 51])))
    wanted = [token.free_logprob for token in free.tokens]
    assert np.allclose([token.free_logprob for token in either.tokens[:6]], wanted, atol=1e-4)


def test_forced_tokens_of_long_chunks_are_not_scored(chatty):
    forced = list(range(20, 100))
    with Engine(load(chatty), slots=1, length=256, sizes=(1, 8, 128), score=True) as engine:
        result = engine.generate(Request(PROMPT, constraint=Choices([*forced, 5], [*forced, 6])))
    assert len(result.tokens) == 81 and result.forwards == 1
    assert all(math.isnan(token.free_logprob) for token in result.tokens[:80])


def test_masked_and_free_log_probabilities(engine):
    two = engine.generate(Request(PROMPT, constraint=Choices([50], [51]), logprobs=5)).tokens[0]
    assert sorted(token for token, _ in two.top) == [50, 51]
    assert math.isclose(sum(math.exp(p) for _, p in two.top), 1, rel_tol=1e-5)
    assert two.logprob == max(p for _, p in two.top) and two.free_logprob < two.logprob


def test_a_broken_constraint_fails_alone(engine, greedy):
    class Broken(Choices):
        def consume(self, token):
            raise KeyError("boom")

    class Empty(Choices):
        def mask(self, out):
            out[:] = 0

    bad = engine.submit(Request(PROMPT, constraint=Broken([1, 2], [3, 4])))
    empty = engine.submit(Request(PROMPT, constraint=Empty([1, 2], [3, 4])))
    good = engine.submit(Request(PROMPT, max_tokens=24, stop_tokens=()))
    assert good.result().ids == greedy(PROMPT)
    with pytest.raises(KeyError, match="boom"):
        bad.result()
    with pytest.raises(ValueError, match="allows no token"):
        empty.result()


def test_a_request_that_cannot_be_written_into_a_batch_fails_alone(engine, greedy):
    request = Request(PROMPT, max_tokens=200, stop_tokens=())
    bad = engine.submit(request)
    request.seed = None  # after it was checked
    good = engine.submit(Request(PROMPT, max_tokens=24, stop_tokens=()))
    with pytest.raises(TypeError):
        bad.result(30)
    assert engine.alive and good.result(30).ids == greedy(PROMPT)
    assert engine.generate(Request(PROMPT, max_tokens=24, stop_tokens=())).ids == greedy(PROMPT)


def test_seeds_decide_alone_what_is_drawn(engine):
    def draw(seed):
        return engine.submit(Request(PROMPT, max_tokens=12, temperature=3.0, seed=seed, stop_tokens=()))

    together = [stream.result().ids for stream in [draw(seed) for seed in range(3)]]
    assert together == [draw(seed).result().ids for seed in range(3)]
    assert len({tuple(ids) for ids in together}) == 3


def test_filters_leave_the_likeliest_token(engine):
    best = engine.generate(Request(PROMPT, max_tokens=8, stop_tokens=())).ids
    for filters in ({"top_k": 1}, {"top_p": 1e-6}, {"top_p": 1e-60}, {"min_p": 1.0}):
        result = engine.generate(Request(PROMPT, max_tokens=8, temperature=5.0, seed=1, stop_tokens=(), **filters))
        assert result.ids == best, filters


def test_stop_strings_end_the_text_before_them(engine):
    whole = engine.generate(Request("send", max_tokens=16, stop_tokens=()))
    stop = whole.text[5:7]
    cut = engine.generate(Request("send", max_tokens=16, stop=(stop,), stop_tokens=()))
    assert cut.text == whole.text[: whole.text.index(stop)] and cut.finish_reason == "stop"


def test_stop_tokens_end_the_text(engine):
    ids = engine.generate(Request(PROMPT, max_tokens=8, stop_tokens=())).ids
    cut = engine.generate(Request(PROMPT, max_tokens=8, stop_tokens=(ids[3],)))
    assert cut.ids == ids[: ids.index(ids[3])] and cut.finish_reason == "stop"


def test_streams_can_be_iterated_and_awaited(engine):
    request = Request(PROMPT, max_tokens=10, stop_tokens=())
    wanted = engine.generate(request).ids
    assert [token.id for token in engine.submit(request)] == wanted

    async def both():
        streamed = [token.id async for token in engine.submit(request)]
        return streamed, (await engine.agenerate(request)).ids

    assert asyncio.run(both()) == (wanted, wanted)


def test_cancelling_a_task_cancels_the_generation(engine):
    async def start():
        stream = engine.submit(Request(PROMPT, max_tokens=240, stop_tokens=()))
        task = asyncio.create_task(stream.wait())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return stream

    assert asyncio.run(start()).result(30).finish_reason == "cancelled"


def test_prompts_that_do_not_fit_and_senseless_requests_are_refused(engine):
    for request, words in [
        (Request([]), "empty"),
        (Request([1] * 256), "at most 255 fit"),
        (Request([100_000]), "between 0 and 383"),
        (Request([1], max_tokens=0), "max_tokens"),
        (Request([1], temperature=-1), "temperature"),
        (Request([1], top_p=0), "top_p"),
        (Request([1], logprobs=21), "logprobs"),
        (Request([1], top_k=3_000_000_000), "top_k"),
        (Request([1], stop=("",)), "stop string is empty"),
        (Request([1], stop="end"), "stop is 'end'"),
        (Request([1], stop=(None,)), "stop is"),
        (Request([1], stop_tokens=("</s>",)), "stop_tokens"),
        (Request([1], seed=None), "seed is None"),
        (Request([1], seed=1.5), "seed is 1.5"),
        (Request([1], max_tokens=2.5), "max_tokens is 2.5"),
        (Request([1], temperature=None), "temperature is None"),
        (Request([1], temperature=math.nan), "temperature is nan"),
        (Request([1], temperature=1e39), "temperature"),
        (Request([1], top_p=math.nan), "top_p is nan"),
        (Request([1], min_p="0.1"), "min_p is '0.1'"),
    ]:
        with pytest.raises(ValueError, match=words):
            engine.submit(request)
    assert len(engine.generate(Request([1] * 250, max_tokens=50, stop_tokens=())).ids) == 6


def test_padding_of_the_vocabulary_is_never_chosen(engine):
    result = engine.generate(Request(PROMPT, max_tokens=100, temperature=50.0, seed=4, stop_tokens=()))
    assert max(result.ids) < engine.model.vocabulary < engine.model.config.vocab_size


def test_a_closed_engine_refuses(chatty):
    engine = Engine(load(chatty), slots=1, length=64, sizes=(1, 8))
    stream = engine.submit(Request(PROMPT, max_tokens=3, stop_tokens=()))
    engine.close()
    assert len(stream.result().ids) == 3  # what was queued is finished
    with pytest.raises(RuntimeError, match="closed"):
        engine.submit(Request(PROMPT))


def test_an_error_on_the_device_reaches_every_caller(chatty):
    engine = Engine(load(chatty), slots=1, length=64, sizes=(1, 8))
    engine._runner.params = None
    with pytest.raises(RuntimeError, match="engine has failed"):
        engine.generate(Request(PROMPT), timeout=30)
    time.sleep(0.05)
    with pytest.raises(RuntimeError, match="engine has failed"):
        engine.generate(Request(PROMPT), timeout=30)
