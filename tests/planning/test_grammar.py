from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np
import pytest

from assistant.llm import Request
from assistant.planning import Earlier, Planner, plantext
from assistant.planning.planned import PlanningError
from assistant.plugin.plan import Plan, Step, check
from assistant.plugin.signature import Parameter, ToolSpec, Type
from assistant.training.errands import DATA, make_domain
from assistant.training.evaluate import builtin_sets

UTTERANCES = [
    "Make a GIF of my five most recent photos and send it to Alice",
    "remind me to call José at 7:30, and note that Anna-Lena's code is 47/11!",
    '🙂 Señor O\'Brien (the plumber) – "urgent"; photos from last summer?',
    "send it to Alices mum via whatsapp saying i'm late",
    "отправь фото Наташе",
    "$1 ^2 ? > photos select",
]


def allowed(planner: Planner, text: str, plan: str, history: Sequence[Earlier] = ()) -> str:
    """The beginning of `plan`, written in the model's names, that the grammar allows after `text`."""
    draft = planner.draft(text, history)
    assert draft.request is not None and draft.request.constraint is not None
    constraint = draft.request.constraint
    ids = [*planner.tokenizer.encode(plan), draft.grammar.ends[0]]
    mask = np.zeros(-(-planner.engine.model.config.vocab_size // 32), np.uint32)
    done: list[int] = []
    while len(done) < len(ids) and not constraint.done:
        if forced := constraint.forced():
            text = planner.tokenizer.decode(done + forced)
            if not plan.startswith(text):
                return planner.tokenizer.decode(done)
            for token in forced:
                constraint.consume(token)
            done += forced
            ids = done + planner.tokenizer.encode(plan[len(text) :]) + [draft.grammar.ends[0]]
            continue
        constraint.mask(mask)
        token = ids[len(done)]
        if not mask[token // 32] >> np.uint32(token % 32) & 1:
            return planner.tokenizer.decode(done)
        constraint.consume(token)
        done.append(token)
    return "all" if len(done) >= len(ids) - 1 else planner.tokenizer.decode(done)


def random_plans(planner: Planner, count: int, history: Sequence[Earlier] = ()) -> list:
    """Plans drawn from a model of random weights."""
    drafts = [planner.draft(f"{UTTERANCES[i % len(UTTERANCES)]} {i}", history) for i in range(count)]
    requests = [d.request for d in drafts]
    streams = []
    for i, request in enumerate(requests):
        assert isinstance(request, Request)
        request.temperature, request.seed = 1.0, i
        streams.append(planner.engine.submit(request))
    return [planner.read(draft, stream.result()) for draft, stream in zip(drafts, streams, strict=True)]


def test_a_thousand_plans_of_random_weights_are_valid(planner: Planner, tools: dict[str, ToolSpec]):
    """P1 and P2: nothing ill-typed, and no word that was not said."""
    photos, gif = Type.parse("list[Photo]"), Type("Gif")
    before = Earlier("gif of the cats for Bob", Plan((Step("photos.select", {"about": "cats"}),)), (photos, gif))
    plans = random_plans(planner, 700) + random_plans(planner, 300, [before])
    whole = 0
    for planned in plans:
        gaps = set(planned.gaps)
        lacking = {planned.plan.steps[n - 1].tool for n, _ in gaps}
        if not gaps:
            whole += 1
            check(planned.plan, tools, previous=planned.previous, said=planned.said)
        else:
            without = {name: _without(tools[name], {a for _, a in gaps}) for name in lacking}
            check(planned.plan, {**tools, **without}, previous=planned.previous, said=planned.said)
    assert whole > 100
    assert sum(len(p.plan.steps) > 1 for p in plans) > 100
    assert sum("^" in str(p.plan) for p in plans) > 20


def _without(spec: ToolSpec, names: set[str]) -> ToolSpec:
    parameters = tuple(Parameter(p.name, p.type, False) if p.name in names else p for p in spec.parameters)
    return ToolSpec(spec.name, spec.description, parameters, spec.returns, fields=spec.fields)


def test_every_plan_of_the_evaluation_sets_can_be_written(planner: Planner):
    """The grammar is no narrower than the language: no right plan is out of its reach."""
    for part in builtin_sets()[:1]:
        for c in part.cases:
            history = [c.before] if c.before else []
            text = plantext.write(planner._spelled.write(c.truth.plan), planner._spelled.tools, c.truth.ask)
            text = planner._fold_lines(text)
            assert allowed(planner, c.say, text, history) == "all", (c.say, text)


def test_every_plan_over_unseen_tools_can_be_written(planner: Planner):
    for data in json.loads((DATA / "eval" / "unseen.json").read_text("utf-8")):
        domain = make_domain(data["domain"], data)
        theirs = Planner(planner.engine, domain.tools)
        for template in domain.templates:
            plan = Plan(tuple(Step(tool, args) for tool, args in template.plan))
            text = theirs._fold_lines(plantext.write(theirs._spelled.write(plan), theirs._spelled.tools))
            assert allowed(theirs, template.say, text) == "all", (template.say, text)


@pytest.mark.parametrize(
    ("plan", "reach"),
    [
        ("> messages send\n to: Mallory\n", "> messages send\n to:"),  # nobody said Mallory
        ("> messages send\n to: lice\n", "> messages send\n to:"),  # words are not cut at the front
        ("> messages send\n to: Alice\n attachments: $1\n", "> messages send\n to: alice\n "),  # $1 does not exist
        ("> photos select\n> photos edit\n photos: $2\n", "> photos select\n> photos edit\n photos: "),
        ("> photos select\n count: many\n", "> photos select\n count:"),
        ("> shell run\n", "> "),
        ("> notes add\n> notes add\n", "> notes add\n text:"),  # a required argument is not left out
        ("> reminders add\n text: hi\n when: $1\n", "> reminders add\n text: hi\n when:"),
        ("> messages send\n to: Alice\n to: ?\n", "> messages send\n to: alice\n to:"),
    ],
)
def test_what_cannot_be_written(planner: Planner, plan: str, reach: str):
    got = allowed(planner, "hi, make a gif of my photos for Alice", planner._fold_lines(plan))
    assert got != "all"
    assert got.strip().startswith(reach.strip()) or reach.strip().startswith(got.strip())
    assert len(got.strip()) <= len(reach.strip()) + 2


def test_results_feed_only_what_takes_them(planner: Planner):
    say = "gif of my photos for Alice"
    assert allowed(planner, say, "> photos select\n> gif create\n photos: $1\n> messages send\n to: alice\n"
                   " attachments: $1\n attachments: $2\n") == "all"  # fmt: skip
    assert allowed(planner, say, "> photos select\n> gif create\n photos: $1\n> video create\n photos: $2\n") != "all"


def test_previous_results_and_words_only_with_a_history(planner: Planner):
    plan = "> messages send\n to: bob\n attachments: ^1\n"
    before = Earlier("make a gif for Bob", Plan((Step("gif.create", {"photos": "^1"}),)), (Type("Gif"),))
    assert allowed(planner, "send it", plan) != "all"
    assert allowed(planner, "send it", plan, [before]) == "all"


def test_twenty_steps_at_most(planner: Planner):
    step = "> notes add\n text: milk\n"
    assert allowed(planner, "milk", step * 20) == "all"
    assert allowed(planner, "milk", step * 21) == step * 20


def test_an_overlong_plan_is_an_error(planner: Planner):
    drafts = [planner.draft(f"milk and honey {n}") for n in range(30)]
    for draft in drafts:
        assert draft.request is not None
        draft.request.max_tokens = 3
        draft.request.temperature = 1.0
    results = [planner.engine.generate(draft.request) for draft in drafts if draft.request]
    cut = [(d, r) for d, r in zip(drafts, results, strict=True) if r.finish_reason == "length"]
    assert cut, "random weights, and none of thirty plans was longer than three tokens"
    for draft, result in cut:
        with pytest.raises(PlanningError, match="too long"):
            planner.read(draft, result)


def test_choices_numbers_and_flags_of_a_foreign_tool(planner: Planner):
    latte = ToolSpec(
        "coffee.Order",
        "Order a coffee.",
        (
            Parameter("drink", Type("enum", choices=("latte", "flat white", "Café crème"))),
            Parameter("sugars", Type("int"), False, 0),
            Parameter("strength", Type("float"), False, 1.0),
            Parameter("extras", Type.parse("list[Spoken]"), False, []),
            Parameter("iced", Type("bool"), False, False),
        ),
        Type("str"),
    )
    theirs = Planner(planner.engine, {latte.name: latte})
    plan = "> coffee order\n drink: cafe creme\n sugars: 12\n strength: -0.5\n extras: oat milk\n iced: true\n"
    assert allowed(theirs, "a Café crème with oat milk", plan) == "all"
    assert allowed(theirs, "a tea", "> coffee order\n drink: tea\n") != "all"
    assert allowed(theirs, "a tea", "> coffee order\n drink: latte\n sugars: 007\n") != "all"


def test_a_step_waits_for_what_it_needs(planner: Planner):
    """A booking needs a search, which needs words: the search must come first. Photos need none: they are asked for."""
    search = ToolSpec("trip.search", "Find trips.", (Parameter("place", Type("Spoken")),), Type("Trip"))
    book = ToolSpec("trip.book", "Book a trip.", (Parameter("trip", Type("Trip")),), Type("Booking"))
    theirs = Planner(planner.engine, {t.name: t for t in (book, search)})
    assert allowed(theirs, "book a trip to Rome", "> trip search\n place: rome\n> trip book\n trip: $1\n") == "all"
    assert allowed(theirs, "book a trip to Rome", "> trip book\n trip: ?\n") != "all"
    before = Earlier("find Rome", Plan((Step("trip.search", {"place": "Rome"}),)), (Type("Trip"),))
    assert allowed(theirs, "book it", "> trip book\n trip: ^1\n", [before]) == "all"
    assert allowed(planner, "make a gif", "> gif create\n photos: ?\n") == "all"
