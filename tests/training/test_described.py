"""Sentences made of a signature's own words are well-formed errands of its tools."""

from __future__ import annotations

from random import Random

from assistant.plugin.plan import check
from assistant.plugin.signature import Parameter, ToolSpec, Type
from assistant.training.described import ABBREVIATED, described
from assistant.training.errands import training_domains
from assistant.training.sentences import fill, finish


def test_every_sentence_is_a_valid_plan_and_quotes_what_it_says() -> None:
    rng = Random(1)
    made = 0
    for domain in training_domains()[::20]:
        tools = domain.spelled().tools
        for tool in tools.values():
            template = described(tool, tools.values(), rng)
            if template is not None:
                example = finish(fill(template, rng))
                check(example.plan, tools, said=[example.say])
                assert example.plan.steps[-1].tool == tool.name
                made += 1
    assert made > 50


def test_it_says_the_words_that_count_and_tells_instead_of_describing() -> None:
    parameters = (Parameter("n", Type("int"), description="how many"),)
    tool = ToolSpec("xq", "Orders a pizza for the evening.", parameters, Type("str"))
    said = {fill(described(tool, [], Random(n)), Random(n)).plan[0][0] for n in range(5)}
    assert said == {"xq"}
    sentences = {described(tool, [], Random(n)).say.split(" {")[0] for n in range(80)}
    words = {w for s in sentences for w in s.split()}
    assert {"order", "orders", "pizza", "evening"} <= words
    assert any("order pizza" in s for s in sentences), "small words may be left out"
    assert "xq" not in words, "nobody says that"
    assert all(map(ABBREVIATED.search, ("x 41", "cm lvl", "op b"))) and not ABBREVIATED.search("set up my tv")


def test_what_nothing_makes_cannot_be_asked_for() -> None:
    eat = ToolSpec("eat", "Eats it.", (Parameter("what", Type("pizza"), required=True),), Type("str"))
    bake = ToolSpec("bake", "Bakes one.", (), Type("pizza"))
    assert described(eat, [eat], Random(0)) is None
    assert [tool for tool, _ in described(eat, [eat, bake], Random(0)).plan] == ["bake", "eat"]
