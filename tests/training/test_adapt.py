from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from assistant.llm import Engine, load
from assistant.planning import Calibrations, Planner
from assistant.plugin.registry import load_registry
from assistant.plugin.signature import Parameter, ToolSpec, Type
from assistant.shipped import planner_checkpoint
from assistant.training.adapt import NothingToLearn, adapt, label, template

BREW = ToolSpec(
    "coffee.brew", "Brew cups of coffee.",
    (Parameter("kind", Type("Literal", choices=("flat_white", "lungo")), required=True, description="Kind of coffee"),
     Parameter("cups", Type("int"), default=1, description="Number of cups"),
     Parameter("decaf", Type("bool"), default=False, description="Without caffeine")),
    Type("str"), examples=("brew two cups of lungo", "brew a flat white"), plugin="coffee",
)  # fmt: skip


def test_what_was_said_of_an_example_becomes_slots():
    learned = template("Brew two flat whites, decaf", {"kind": "flat_white", "cups": 2, "decaf": True}, BREW)
    assert learned.say == "Brew {cups:int} flat whites, decaf", "a choice that is part of another word stays"
    assert learned.plan == (("coffee.brew", {"kind": "flat_white", "cups": "{cups}", "decaf": True}),)
    learned = template("a Lungo please", {"kind": "lungo", "cups": 1}, BREW)
    assert learned.say == "a {kind:choice} please"
    assert set(learned.slots["kind"]) == {"flat white", "lungo"}, "any choice may be said there"
    assert learned.plan[0][1]["cups"] == 1, "nobody said one"


@pytest.fixture(scope="module")
def engine():
    with Engine(load(planner_checkpoint()), slots=1, length=2048) as engine:
        yield engine


def test_labels_come_from_the_planner_where_it_is_sure(engine: Engine):
    planner = Planner(engine, {BREW.name: BREW})
    for learned in label(planner, BREW):
        ((tool, args),) = learned.plan
        assert tool == BREW.name and set(args) <= set(BREW.by_name)
        assert learned.category == "adapted"
    never = Calibrations(unfamiliar=replace(planner.calibrations.unfamiliar, argument_bias=-99.0, argument_total=0.0))
    assert label(Planner(engine, {BREW.name: BREW}, calibrations=never), BREW) == []


def test_adapting_writes_a_checkpoint_that_plans(tmp_path: Path):
    checkpoint, to = planner_checkpoint(), tmp_path / "adapted"
    with pytest.raises(NothingToLearn, match="install one"):
        adapt(checkpoint, {n: t for n, t in load_registry().items() if not t.third_party}, to, steps=1)
    losses: list[float] = []
    done = adapt(checkpoint, {BREW.name: BREW}, to, steps=2, progress=lambda n, steps, loss: losses.append(loss))
    assert len(losses) == 2 and np.isfinite(losses).all()
    assert done.templates > 0 and done.before["test"] > 0.5 and done.after["test"] > 0.5
    assert Calibrations.load(to) == Calibrations.load(checkpoint)
    assert "Fine-tuned for 2 steps on the examples of coffee.brew" in (to / "README.md").read_text("utf-8")
    old, new = load(checkpoint), load(to)
    assert any(not np.array_equal(a, b) for a, b in zip(_arrays(old.params), _arrays(new.params), strict=True))
    with Engine(new, slots=1, length=2048) as engine:
        assert not Planner(engine, load_registry()).plan("make a gif of my last five photos").refused


def test_only_this_projects_planner_is_adapted(tmp_path: Path):
    """The shipped model with another tokenizer: its prompts would be nonsense to it."""
    foreign = tmp_path / "foreign"
    shutil.copytree(planner_checkpoint(), foreign)
    file = foreign / "tokenizer.json"
    file.write_text(file.read_text("utf-8").replace("<|plan|>", "<|assistant|>"), "utf-8")
    with pytest.raises(NothingToLearn, match="only that can be adapted"):
        adapt(foreign, {BREW.name: BREW}, tmp_path / "adapted", steps=1)
    with pytest.raises(FileNotFoundError, match="neither a folder nor a hub id"):
        adapt(tmp_path / "nowhere", {BREW.name: BREW}, tmp_path / "adapted", steps=1)
    assert not (tmp_path / "adapted").exists()


def _arrays(params) -> list[np.ndarray]:
    import jax

    return [np.asarray(x) for x in jax.tree.leaves(params)]
