"""A second look at a plan finds a likelier one where the model hesitated, and one that asks for less."""

from __future__ import annotations

from assistant.planning import Planner, PlanningError
from assistant.planning.confidence import choices
from assistant.planning.search import MOST, best, hesitations
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
    theirs = Planner(planner.engine, {find.name: find, rent.name: rent})
    asked = made = 0
    for place in ("opera", "old harbour", "station", "zoo", "north gate", "market", "river", "school", "theatre", "park"):
        draft = theirs.draft(f"a bike near the {place} please")
        assert draft.request is not None
        result = theirs.engine.generate(draft.request)
        before = theirs.read(draft, best(theirs.engine, draft.request, result, draft.constraint))
        after = theirs.read(draft, theirs.reconsidered(draft, result))
        if not before.gaps:
            assert after.plan == before.plan
        elif after.gaps:
            asked += 1
            assert after.plan == before.plan
        else:  # the tool that makes it goes first, and was told something
            made += 1
            assert after.plan.steps[0].tool == "dock.find" and all(step.args for step in after.plan.steps)
    assert asked and made  # random weights do both
