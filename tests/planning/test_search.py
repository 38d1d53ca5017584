"""A second look at a plan finds a likelier one where the model hesitated, and one that asks for less."""

from __future__ import annotations

import pytest

from assistant.planning import Planned, Planner, PlanningError
from assistant.planning.confidence import Calibration, Calibrations, choices
from assistant.planning.planned import Usage
from assistant.planning.search import DOUBT, MOST, ORDERS, Searched, agreed, hesitations
from assistant.plugin.plan import Plan, Step
from assistant.plugin.signature import Parameter, ToolSpec, Type


def test_the_likeliest_plan_wins(planner: Planner) -> None:
    followed = 0
    for n in range(2, 14):
        draft = planner.draft(f"gif my {n} newest photos of Rex and send them to Zoë")
        assert draft.request is not None
        first = planner.engine.generate(draft.request)
        second = planner.reconsidered(draft, first)
        assert sum(choices(second.tokens)) >= sum(choices(first.tokens))
        assert second.forwards >= first.forwards
        followed += second.forwards > first.forwards
        try:
            planner.read(draft, second)  # checks it
        except PlanningError as error:
            assert "too long" in str(error)
    assert followed  # random weights hesitate everywhere


def test_only_close_choices_are_followed(planner: Planner) -> None:
    draft = planner.draft("note that the gate code is 4711")
    assert draft.request is not None
    tokens = planner.engine.generate(draft.request).tokens
    found = hesitations(tokens)
    assert 0 < len(found) <= MOST
    for i, other in found:
        assert not tokens[i].forced and other.id != tokens[i].id
        assert other.logprob <= tokens[i].logprob


def test_tools_make_what_would_be_asked_for(planner: Planner) -> None:
    find = ToolSpec("dock.find", "Find a free dock.", (Parameter("near", Type("Spoken"), False),), Type("Dock"))
    rent = ToolSpec("bike.rent", "Rent a bike.", (Parameter("dock", Type("Dock")),), Type("Rental"))
    sure = Calibrations(Calibration(bias=3.0, total=0.0), Calibration(bias=3.0, total=0.0))  # of all plans alike
    both = Planner(planner.engine, {find.name: find, rent.name: rent}, calibrations=sure)
    alone = Planner(planner.engine, {rent.name: rent}, calibrations=sure)
    asked = made = 0
    for place in ("opera", "old harbour", "station", "zoo", "north gate", "market", "river", "school", "park"):
        only, draft = (p.draft(f"a bike near the {place} please") for p in (alone, both))
        assert only.request is not None
        result = planner.engine.generate(only.request)
        asking = Searched(**vars(result), generated=len(result.tokens))
        before = both.read(draft, asking)
        after = both.read(draft, both._with_makers(draft, asking))
        if not before.gaps:  # random weights refuse, too
            assert after.plan == before.plan
            continue
        asked += 1
        if not after.gaps:  # the tool that makes it was told something
            made += 1
            assert all(step.args for step in after.plan.steps)
            assert after.plan.steps[0].tool == "dock.find"
        assert after.usage.forwards > before.usage.forwards and after.usage.tokens > before.usage.tokens, "both cost"
        assert alone._with_makers(only, asking) is asking  # nobody makes it
    assert asked and made


def test_the_plan_that_most_confidence_stands_behind_wins() -> None:
    note, remind = (Plan((Step(tool, {}),)) for tool in ("notes.add", "reminders.add"))
    said = [(note, 0.2), (remind, 0.25), (note, 0.28), (remind, 0.1)]
    plans = [Planned("", plan, confidence=c, usage=Usage(forwards=n)) for n, (plan, c) in enumerate(said)]
    found = agreed(plans)
    assert (found.plan, found.usage.forwards) == (note, 6)
    assert found.confidence == pytest.approx(0.12), "nothing from those that say otherwise"
    assert agreed(plans[:1]) == plans[0]
    asking = Planned("", note, gaps=((1, "text"),), confidence=0.27)
    assert not agreed([plans[0], plans[0], asking]).gaps, "a plan that asks is another one"


def test_a_doubtful_plan_is_made_with_the_tools_in_other_orders(planner: Planner) -> None:
    doubtful, sure = (Calibration(bias=bias, total=0.0) for bias in (-2.0, 2.0))
    assert doubtful.confidence([]) < DOUBT < sure.confidence([])
    forwards = {}
    for name, calibration in {"doubt": doubtful, "sure": sure, "uncalibrated": Calibration()}.items():
        other = Planner(planner.engine, planner.tools, calibrations=Calibrations(calibration, calibration))
        draft = other.draft("remind me to water the roses at eight")
        assert draft.request is not None
        result = other.engine.generate(draft.request)
        once = other.read(draft, other.reconsidered(draft, result))
        planned = other.settled(draft, result)
        forwards[name] = planned.usage.forwards / once.usage.forwards
        assert name == "doubt" or planned == once
    assert forwards["sure"] == forwards["uncalibrated"] == 1
    assert forwards["doubt"] > 1.5

    doubting = Planner(planner.engine, planner.tools, calibrations=Calibrations(doubtful, doubtful))
    doubting.warm_up()
    usage = doubting.plan("the gate code is 4711, note that").usage
    assert usage.reused_tokens > 0.8 * usage.prompt_tokens, "no order is read anew"


def test_orders_differ_whatever_the_number_of_tools(planner: Planner) -> None:
    fitted = Calibration(bias=0.0)
    planner = Planner(planner.engine, planner.tools, calibrations=Calibrations(fitted, fitted))
    for count in range(9):
        names = tuple("abcdefghi"[:count])
        orders = [names, *planner._other_orders(names)]
        assert len(set(orders)) == len(orders) == min(ORDERS, max(1, count))
        assert all(sorted(order) == list(names) for order in orders)
