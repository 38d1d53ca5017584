from __future__ import annotations

from assistant.planning import Retrieval
from assistant.plugin.signature import Parameter, ToolSpec, Type
from assistant.training.errands import domains


def test_words_find_their_tool(tools):
    retrieval = Retrieval({**tools, **{n: s for d in domains() for n, s in d.tools.items()}})
    assert retrieval.rank("make an animated gif of my photos")[0] == "gif.create"
    assert "reminders.add" in retrieval.rank("remind me to call ben tonight")[:3]


def test_a_chosen_tool_keeps_what_makes_its_input(tools):
    invented = {n: s for d in domains() for n, s in d.tools.items()}
    chosen = Retrieval({**tools, **invented}).choose("animated gif please", 12)
    assert "gif.create" in chosen and "photos.select" in chosen and len(chosen) <= 12


def test_chains_of_producers():
    def tool(name: str, returns: str, *needs: str) -> ToolSpec:
        return ToolSpec(name, name, tuple(Parameter(n.lower(), Type(n)) for n in needs), Type(returns))

    tools = [tool("dough", "Dough"), tool("loaf", "Loaf", "Dough"), tool("slice", "Slice", "Loaf")]
    tools += [tool(f"other{i}", "str") for i in range(20)]
    retrieval = Retrieval({t.name: t for t in tools})
    assert retrieval.choose("slice", 3) == ["dough", "loaf", "slice"]
    assert retrieval.choose("slice", 1, previous=[Type("Loaf")]) == ["slice"]


def test_the_order_is_that_of_installation(tools):
    names = list(tools)
    chosen = Retrieval(tools).choose("send a gif to Ben", 5)
    assert [names.index(c) for c in chosen] == sorted(names.index(c) for c in chosen)
