"""Templates become sentences whose plans still quote them, whatever noise is added."""

from __future__ import annotations

import re
import subprocess
import sys
from random import Random

import pytest

from assistant.plugin.plan import check, is_span
from assistant.training import errands, wording
from assistant.training.composing import before_noun, composed
from assistant.training.errands import ERRANDS, HELD_OUT_DOMAINS, Domain, Template, builtin, domains, words
from assistant.training.sentences import Example, fill, finish, join, noisy, say_number


def spoken(example: Example, tools) -> list[str]:
    values = []
    for step in example.plan.steps:
        for name, value in step.args.items():
            type_ = tools[step.tool].by_name[name].type
            if (type_.item or type_).name == "Spoken":
                values += value if isinstance(value, list) else [value]
    return values


def test_the_authored_errands_hold() -> None:
    done = subprocess.run([sys.executable, ERRANDS / "check.py"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:]


@pytest.mark.parametrize("kind", errands.KINDS)
def test_new_slot_values(kind: str) -> None:
    """Many that nobody wrote, none that is kept for evaluation, and every rule of the grammar leads to words."""
    rng = Random(kind)
    found = {wording.value(kind, rng) for _ in range(2000)}
    assert len(found - set(words(kind))) > 300
    assert not found & set(words(kind, evaluation=True)) and not any(errands.held_out(v.casefold()) for v in found)
    assert all(v and v == " ".join(v.split()) and "{" not in v and "|" not in v for v in found)
    texts = {fill(Template(f"x {{v:{kind}}}", ()), rng, evaluation=True).words[1].text for _ in range(50)}
    assert texts <= {t for v in words(kind, evaluation=True) for t in re.findall(r"\w+|[^\w\s]", v)}


def test_new_things_of_a_domains_own_slots() -> None:
    """Of the same make as those that were written; times, amounts and sentences stay; so do choices."""
    rng = Random(1)
    for values, shape in (
        (("the top bar hive", "our shed"), "article"),
        (("Blue Door",), "proper"),
        (("oak",), "bare"),
    ):
        found = [wording.own(values, rng) for _ in range(400)]
        assert 0.5 < sum(v in values for v in found) / 400 < 0.65 and len(set(found)) > 100
        assert all(v and v == " ".join(v.split()) and not set(v) & set("{}<>|") for v in found)
        assert wording._shape(values[0]) == shape
    days = {wording.own(("the 9th", "Monday", "on friday at eight"), rng) for _ in range(400)}
    assert len(days) > 80 and any(d.startswith("on ") and d != "on friday at eight" for d in days)
    assert len({wording.own(("hive one", "bay 7"), rng) for _ in range(400)}) > 60
    kept = (
        "in two hours",
        "I never watch it",
        "two dozen",
        "bread and milk",
        "next week",
        "Silent Night",
        "size forty two",
    )
    assert {wording.own(kept, rng) for _ in range(400)} == set(kept)
    chosen = Template("a {kind:choice} please", (), slots={"kind": ("lungo", "mocha")})
    assert {fill(chosen, rng).words[1].text for _ in range(50)} == {"lungo", "mocha"}
    asked = Template("feed the {hive:spoken}", (), slots={"hive": ("lungo", "mocha")})
    assert {fill(asked, rng, evaluation=True).words[2].text for _ in range(50)} == {"lungo", "mocha"}


def test_every_rule_of_the_grammar() -> None:
    for rule, alternatives in wording.grammar().items():
        for alternative in alternatives:
            for name in wording.RULE.findall(alternative):
                assert "{" not in wording.expand(name, Random(rule))


@pytest.mark.parametrize("seed", [1, 2])
def test_every_template_quotes_its_sentence_under_noise(seed: int) -> None:
    rng = Random(seed)
    for domain in [builtin(), *domains()]:
        for template in domain.templates:
            example = finish(noisy(fill(template, rng), rng))
            said = [example.say, example.before.say if example.before else ""]
            for value in spoken(example, domain.tools):
                assert any(is_span(value, text) for text in said), (template.say, example)


def test_composed_errands_are_valid_plans_that_name_every_part() -> None:
    tools, rng = builtin().tools, Random(4)
    templates = composed(400, seed=4)
    assert composed(400, seed=4) == templates
    spelled = Domain("composed", tools, templates).spelled()
    for template in spelled.templates:
        example = finish(fill(template, rng))
        check(example.plan, spelled.tools, said=[example.say])
    used = {(tool, arg) for t in templates for tool, args in t.plan for arg in args}
    media = ("photos.select", "photos.edit", "gif.create", "video.create", "collage.create", "messages.send")
    assert {(t, p.name) for t in media for p in tools[t].parameters} <= used


def test_composed_errands_name_places_before_the_noun_and_two_things_at_once() -> None:
    templates = composed(400, seed=4)
    before = [t for t in templates if re.search(r"\{\w+:choice\} (photo|pic|shot|snap|image)", t.say)]
    assert {arg for t in before for _, args in t.plan for arg in args} >= {"place", "about"}
    for template in before:
        said = fill(template, Random(1)).words
        assert not any(w.slot in template.slots and w.text in ("the", "my") for w in said), template.say
    makers = {"gif.create", "video.create", "collage.create"}
    made = [(t.say, [(tool, args["photos"]) for tool, args in t.plan if tool in makers]) for t in templates]
    assert any(len(m) == 2 and m[0][1] == m[1][1] for _, m in made), "a GIF and a collage of the same photos"
    short = [m for say, m in made if re.search(r"\bone (from|of|out of) .*\bone (from|of|out of) |another of", say)]
    assert short and all(len(m) == 2 and m[0][0] == m[1][0] and m[0][1] != m[1][1] for m in short)
    kept = [t for t in templates if {tool for tool, _ in t.plan} >= {"photos.add_to_album", "messages.send"}]
    for template in kept:  # what is sent is what was made, what is kept are the photos
        steps = {tool: (f"${n}", args) for n, (tool, args) in enumerate(template.plan, 1)}
        assert steps["photos.add_to_album"][1]["photos"] == "$1"
        assert [steps[tool][0] for tool in makers & steps.keys()] == steps["messages.send"][1]["attachments"]
    assert kept
    assert not set(before_noun()["about"]) & {"favourite", "evening", "mum", "photo"}


def test_joined_errands_keep_their_references() -> None:
    first = Template("gif of {x:about}", (("photos.select", {"about": "{x}"}), ("gif.create", {"photos": "$1"})))
    second = Template("a video of {x:about}", (("photos.select", {"about": "{x}"}), ("video.create", {"photos": "$1"})))
    rng = Random(0)
    example = finish(join(fill(first, rng), fill(second, rng), rng))
    assert [s.args.get("photos") for s in example.plan.steps] == [None, "$1", None, "$3"]
    assert all(is_span(s.args["about"], example.say) for s in example.plan.steps if "about" in s.args)


def test_numbers_are_said_as_they_are_meant() -> None:
    rng = Random(3)
    said = {say_number(12, rng) for _ in range(50)} | {say_number(21, rng) for _ in range(50)}
    assert {"12", "twelve", "dozen", "21", "twenty-one", "twenty one"} == said


def test_evaluation_words_and_domains_are_never_trained() -> None:
    for kind in errands.KINDS:
        assert words(kind) and not set(words(kind)) & set(words(kind, evaluation=True))
    assert set(HELD_OUT_DOMAINS) <= {d.name for d in domains()}


def test_choices_are_not_misheard() -> None:
    rng = Random(4)
    ours = builtin().spelled()
    templates = [t for t in ours.templates if any("via" in args for _, args in t.plan)][:60]
    for template in templates * 5:
        example = finish(noisy(fill(template, rng), rng))
        for step in example.plan.steps:
            assert step.args.get("via", "email") in ours.tools["messages send"].by_name["via"].type.choices
