from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np
import pytest

from assistant.planning import Planned, Planner
from assistant.plugin.plan import Plan, Step
from assistant.training import report
from assistant.training.calibrate import judged, logistic, threshold
from assistant.training.errands import Template
from assistant.training.evaluate import EvaluationSet, builtin_sets, evaluate, heard, unseen_sets
from assistant.training.scoring import Outcome, Truth, difference, exact, facts, figures, same, words
from assistant.training.sentences import fill, finish

SELECT = Step("photos.select", {"count": 5})
GIF = Step("gif.create", {"photos": "$1"})


def plan(*steps: Step) -> Plan:
    return Plan(steps)


def outcome(have: Plan, want: Plan, asked: tuple[str, ...] = (), ask: str | None = None) -> Outcome:
    return Outcome("…", Truth(want, ask, "gif"), have, asked)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (plan(SELECT, GIF), plan(SELECT, GIF), True),
        (plan(SELECT, GIF), plan(SELECT, Step("gif.create", {"photos": ["$1"]})), True),
        (plan(SELECT, GIF), plan(SELECT, Step("gif.create", {"photos": "$1", "loop": True})), True),  # a default
        (plan(SELECT, GIF), plan(SELECT, Step("gif.create", {"photos": "$1", "loop": False})), False),
        (plan(SELECT), plan(Step("photos.select", {"count": 6})), False),
        (plan(Step("notes.add", {"text": "The gate code."})), plan(Step("notes.add", {"text": "gate code"})), True),
        (plan(Step("notes.add", {"text": "a"}), SELECT, Step("gif.create", {"photos": "$2"})),
         plan(SELECT, GIF, Step("notes.add", {"text": "a"})), True),  # independent steps in any order
        (plan(SELECT, Step("photos.select", {"count": 9}), Step("gif.create", {"photos": "$2"})),
         plan(Step("photos.select", {"count": 9}), SELECT, Step("gif.create", {"photos": "$2"})), False),
        (plan(Step("messages.send", {"to": ["A", "B"]})), plan(Step("messages.send", {"to": ["b", "a"]})), True),
        (plan(Step("gif.create", {"photos": "^1"})), plan(Step("gif.create", {"photos": "^2"})), False),
        (plan(), plan(SELECT), False),
    ],
)  # fmt: skip
def test_when_plans_are_the_same(tools, one: Plan, other: Plan, equal: bool):
    assert same(one, other, tools) is equal
    assert same(other, one, tools) is equal


def test_words_are_compared_without_case_and_leading_small_words():
    assert words("On Saturday") == words("saturday")
    assert words("My Dog's") == words("the dog")
    assert words("the") == "the"
    assert words("at nine") != words("ten")


def test_a_question_counts_only_when_it_is_the_right_one(tools):
    send = plan(Step("messages.send", {"to": ["Bob"]}))
    assert exact(outcome(send, send, ("text",), "text"), tools)
    assert not exact(outcome(send, send, (), "text"), tools)
    assert not exact(outcome(send, send, ("to",), "text"), tools)
    assert not exact(outcome(send, send, ("text",)), tools)


def test_figures(tools):
    right = outcome(plan(SELECT, GIF), plan(SELECT, GIF))
    wrong = outcome(plan(SELECT), plan(SELECT, GIF))
    refused = outcome(plan(), plan(SELECT))
    rightly = outcome(plan(), plan())
    found = figures([right, wrong, refused, rightly], tools)
    assert found["exact"] == 0.5 and found["tools"] == 0.5
    assert found["refusal"] == {"precision": 0.5, "recall": 1.0, "count": 1}
    assert found["wrongly_refused"] == round(1 / 3, 4)
    assert found["argument_f1"] == round(2 * 3 / (3 + 5), 4)
    assert facts(plan(SELECT, GIF), tools)[("gif.create", "photos", ("result of", "photos.select"))] == 1
    assert difference(wrong, tools) == "tool: gif.create → -"
    assert difference(refused, tools) == "refused"


def test_the_sets_hold_what_they_promise():
    clean, misheard = builtin_sets()
    assert len(clean.cases) == len(misheard.cases) >= 250
    assert sum(a.say != b.say for a, b in zip(clean.cases, misheard.cases, strict=True)) > 250
    unseen = unseen_sets()
    assert sum(len(s.cases) for s in unseen) >= 200 and sum(len(s.tools) for s in unseen) >= 30


def test_mishearing_changes_the_words_of_the_plan_with_the_sentence():
    template = Template("Send the photo to Ben, please.", (("messages.send", {"to": ["Ben"]}),))
    for seed in range(20):
        example = finish(heard(fill(template, Random(0)), Random(seed)))
        assert example.plan.steps[0].args["to"][0] in example.say
        assert not set(example.say) & set(".,") and example.say == example.say.lower()


def test_an_evaluation_from_end_to_end(planner: Planner, tmp_path: Path):
    part = builtin_sets(6)[0]
    results = evaluate(planner.engine, [part, EvaluationSet("unseen/x", part.tools, part.cases[:2])], lambda _: None)
    assert results["builtin"]["all"]["sentences"] == 6 and len(results["unseen"]["outcomes"]) == 2
    assert results["builtin"]["all"]["errors"] == 0  # the grammar lets nothing else through
    report.write(tmp_path, "random", results)
    written = json.loads((tmp_path / "planner.json").read_text("utf-8"))
    assert written["sets"]["builtin"]["all"]["exact"] == results["builtin"]["all"]["exact"]
    assert (tmp_path / "categories.png").stat().st_size > 1000
    assert "What went wrong: builtin" in (tmp_path / "planner.md").read_text("utf-8")


def test_logistic_regression_finds_the_weights():
    rng = np.random.default_rng(0)
    x = np.c_[np.ones(4000), rng.normal(size=(4000, 2))]
    y = (rng.random(4000) < 1 / (1 + np.exp(-x @ np.array([0.5, 2.0, -1.0])))).astype(float)
    assert logistic(x, y) == pytest.approx([0.5, 2.0, -1.0], abs=0.25)


def test_arguments_are_judged_where_the_tools_are_right(tools):
    meant = Truth(plan(SELECT, Step("gif.create", {"photos": "$1", "size": "small"})))
    found = plan(SELECT, Step("gif.create", {"photos": "$1", "size": "large", "bounce": True}))
    sure = {(1, "count"): 0.9, (2, "photos"): 1.0, (2, "size"): 0.5, (2, "bounce"): 0.0}
    right = judged(Planned("…", found, arguments=sure), meant, tools)
    assert [ok for _, ok in right] == [True, True, False, False]
    assert [logprob for logprob, _ in right][:3] == pytest.approx(np.log([0.9, 1.0, 0.5]))
    assert judged(Planned("…", plan(SELECT), arguments=sure), meant, tools) == []
    note, other = (Step("notes.add", {"text": t}) for t in "ab")
    swapped = Planned("…", plan(other, note), arguments={(1, "text"): 0.5, (2, "text"): 0.5})
    assert all(ok for _, ok in judged(swapped, Truth(plan(note, other)), tools)), "independent steps in any order"


def test_the_threshold_keeps_what_is_right():
    confidence = np.array([0.95, 0.9, 0.8, 0.7, 0.2, 0.1])
    assert threshold(confidence, np.array([1, 1, 0, 1, 1, 0.0])) == 0.2  # four of five
    assert threshold(confidence, np.array([1, 1, 1, 0, 0, 0.0])) == 0.8  # three of four would not do
    assert threshold(confidence, np.zeros(6)) == 0.9, "a model that is never right asks"
