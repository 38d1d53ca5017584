"""A second look at a plan finds a likelier one where the model hesitated, and stays within the grammar."""

from __future__ import annotations

from assistant.planning import Planner, PlanningError
from assistant.planning.confidence import choices
from assistant.planning.search import MOST, hesitations


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
