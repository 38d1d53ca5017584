"""Packs hold what the chat template renders, and their attention is the ordinary one."""

from __future__ import annotations

from functools import partial
from random import Random

import jax
import numpy as np

from assistant.llm import ModelConfig, model
from assistant.llm.attention import attention
from assistant.planning import plantext
from assistant.training import network
from assistant.training.artificial import reading
from assistant.training.curriculum import BUILTIN, SMALL, STAGES, Curriculum, passed_on
from assistant.training.errands import Template, builtin
from assistant.training.packs import Encoder, Pack, Shape
from assistant.training.sentences import fill, finish

SHAPE = Shape(prefix=1000, rows=2, row=192, targets=256)


def tiny(vocab: int) -> ModelConfig:
    return ModelConfig("qwen3", vocab, 32, 48, 2, 4, 2, 8, tied=True, qk_norm=True, eos_token_ids=(1,))


def pack_of(encoder: Encoder, follow_ups: bool = False):
    domain = builtin().spelled()
    rng = Random(0)
    chosen = [t for t in domain.templates if bool(t.before) == follow_ups][:8]
    return domain, encoder.pack(domain.tools, [finish(fill(t, rng)) for t in chosen], SHAPE)


def test_a_segment_is_what_the_chat_template_renders(encoder: Encoder) -> None:
    domain, pack = pack_of(encoder, follow_ups=True)
    for n, example in enumerate(pack.examples):
        messages = []
        for e in filter(None, (example.before, example)):
            answer = plantext.write(e.plan, domain.tools, e.ask)
            messages += [{"role": "user", "content": e.say}, {"role": "assistant", "content": answer}]
        tools = [t.schema() for t in domain.tools.values()]
        wanted = encoder.tokenizer.apply_chat_template(messages, tools=tools, return_dict=False)
        row, start = np.argwhere(pack.segments == n + 1)[0]
        length = int((pack.segments == n + 1).sum())
        at = SHAPE.prefix + row * SHAPE.row + start
        assert wanted == [*pack.tokens[: pack.prefix], *pack.tokens[at : at + length]]


def test_targets_are_the_plan(encoder: Encoder) -> None:
    domain, pack = pack_of(encoder)
    for n, example in enumerate(pack.examples):
        text = encoder.tokenizer.decode(pack.labels[pack.owners == n], skip_special_tokens=True)
        assert text == encoder.normalise(plantext.write(example.plan, domain.tools, example.ask))


def test_pack_attention_is_ordinary_attention(encoder: Encoder) -> None:
    _, pack = pack_of(encoder)
    config = tiny(len(encoder.tokenizer))
    params = model.init(config, jax.random.key(0))
    packed = network.target_logits(params, config, SHAPE, network.batch([pack]))[0]
    for n in range(len(pack.examples)):
        places = np.flatnonzero(pack.segments.ravel() == n + 1) + SHAPE.prefix
        order = np.concatenate([np.arange(pack.prefix), places])
        tokens = pack.tokens[None, order]
        mask = np.tril(np.ones((len(order), len(order)), bool))[None, None]
        attend = partial(plain, mask=mask, scale=config.scale)
        positions = np.arange(len(order))[None]
        hidden = model.forward(params, config, tokens, positions, lambda _, q, k, v: attend(q, k, v))  # noqa: B023
        mine = np.flatnonzero(pack.owners == n)
        alone = model.logits(params, config, hidden)[
            0, np.searchsorted(order[pack.prefix :], pack.targets[mine]) + pack.prefix
        ]
        np.testing.assert_allclose(packed[mine], alone, atol=2e-4)


def plain(q, k, v, mask, scale):
    return attention(q, k, v, mask, scale)


def test_the_curriculum_depends_on_seed_and_step_alone(encoder: Encoder, curriculum: Curriculum) -> None:
    again = Curriculum(encoder, seed=5)
    for step in (0, 1250, 1900, 2250, 5000, 20_000):
        one, two = curriculum.packs(step, 2), again.packs(step, 2)
        for (_, a), (_, b) in zip(one, two, strict=True):
            assert all((x.tokens == y.tokens).all() for x, y in zip(a, b, strict=True))


def test_refusals_are_learned_with_and_without_an_earlier_errand(curriculum: Curriculum) -> None:
    packs = builtin_packs(curriculum, STAGES[2].until, 30)
    examples = [e for p in packs for e in p.examples]
    refused = [e for e in examples if not e.plan.steps and not e.ask]
    assert 0.05 * len(examples) < len(refused) < 0.3 * len(examples)
    assert sum(e.before is not None for e in refused) > 0.02 * len(examples), '"thanks" is not another errand'


def builtin_packs(curriculum: Curriculum, first: int, count: int) -> list[Pack]:
    """Those with the built-in tools, of so many steps."""
    steps = range(first, first + count)
    return [p for step in steps for shape, packs in curriculum.packs(step, 1) if shape == BUILTIN for p in packs]


def test_half_of_the_packs_of_built_in_tools_have_a_plugin_behind_them(
    encoder: Encoder, curriculum: Curriculum
) -> None:
    ours = encoder.prefix(builtin().spelled().tools)[:-3]  # but for the end of the list
    packs = builtin_packs(curriculum, STAGES[-2].until, 30)
    used = [{step.tool for e in p.examples for step in e.plan.steps} for p in packs]
    beside = [p for p, tools in zip(packs, used, strict=True) if tools - builtin().spelled().tools.keys()]
    assert 0.25 * len(packs) < len(beside) < 0.75 * len(packs)
    assert all(p.tokens[: len(ours)].tolist() == ours for p in beside), "the built-in ones come first"
    mixed = [tools for tools in used if tools & builtin().spelled().tools.keys()]
    assert len(mixed) == len(packs), "and are used everywhere"


def test_the_choice_of_tools_is_practised_on_tools_without_parameters(curriculum: Curriculum) -> None:
    packs = [p for n in range(20_000, 20_016) for s, packs in curriculum.packs(n, 4) if s == SMALL for p in packs]
    whole, bare = [], []
    for pack in packs:
        (whole if any(step.args for e in pack.examples for step in e.plan.steps) else bare).append(pack)
    assert 0.25 * len(packs) < len(bare) < 0.75 * len(packs)
    assert any(len(e.plan.steps) > 1 for p in bare for e in p.examples), "their order is practised as well"
    assert not any(e.ask for p in bare for e in p.examples), "there is nothing to ask for"
    assert sum(len(p.examples) for p in bare) / len(bare) > 1.1 * sum(len(p.examples) for p in whole) / len(whole)


def test_a_follow_up_may_come_after_another_one() -> None:
    send = ("messages send", {"to": ["{who}"], "attachments": ["$1"]})
    before = Template("my newest photo to {who:name}.", (("photos select", {"count": 1}), send))
    follow = Template("and call it {x:note}", (("notes add", {"text": "{x}"}),), before=before)
    example = finish(fill(passed_on(follow, Random(3)), Random(3)))
    assert example.before is not None and len(example.before.plan.steps) == 3
    first, too = (step.args for step in example.before.plan.steps[1:])
    assert too["attachments"] == first["attachments"] and too["to"][0] in example.before.say
    assert example.before.say.startswith(f"my newest photo to {first['to'][0]}. ")
    same = Template("again", (("messages send", {"to": ["{who}"], "attachments": ["^1"]}),), before=before)
    assert passed_on(same, Random(3)) is same, "who is meant would be open"
    alone = Template("thanks", ())
    assert passed_on(alone, Random(3)) is alone


def test_a_tool_is_described_before_it_is_named(encoder: Encoder) -> None:
    """A causal model's reading of a name can then hold what it stands for."""
    tools = builtin().spelled().tools
    prompt = encoder.tokenizer.decode(encoder.prefix(tools))
    for spec in tools.values():
        said = encoder.normalise(f"\n{spec.description}\n> {spec.name}\n")
        assert said in prompt
        for p in spec.parameters:
            assert encoder.normalise(f"\n {p.description}: {p.name}" if p.description else f"\n {p.name}") in prompt


def test_a_lesson_that_is_too_long_goes_on_with_fewer_tools(encoder: Encoder, curriculum: Curriculum) -> None:
    rng = Random(2)
    lessons = iter(lambda: reading(rng, curriculum.random_words, 8, 3), None)
    lesson = next(x for x in lessons if len(encoder.prefix(x.tools)) > SMALL.prefix)
    pack = curriculum._lesson(lesson, rng, SMALL)
    assert pack.prefix <= SMALL.prefix and pack.examples
