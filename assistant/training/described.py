"""Sentences in the words of a signature, for any tool: what its description and its parameters say is asked for.

Between made-up words and what people really say, they teach which words of a sentence belong to which of a signature;
for a plugin's tools they show every argument.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from random import Random
from typing import Any

from assistant.planning.spelling import spell
from assistant.plugin.signature import Parameter, ToolSpec

from .errands import Choice, Template

KINDS_OF = {"int": "int", "float": "int", "Spoken": "spoken"}  # the slots that fill what is said of a type
SMALL_WORDS = {"a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "and", "or", "is", "are"}
SMALL_WORDS |= {"be", "it", "its", "that", "which", "this", "one", "as", "if", "not"}
# names that nobody says: "x 41", "cm lvl"
SHORT = "a|am|an|as|at|be|by|do|go|he|i|id|if|in|is|it|me|my|no|of|off|ok|on|or|pc|so|to|tv|up|us|we"
ABBREVIATED = re.compile(rf"\d|\b(?!(?:{SHORT})\b)[a-z]{{1,2}}\b|\b[b-df-hj-np-tv-xz]{{3,}}\b")
NEGATED = re.compile(r"\b(not|no|never|without|nothing|nobody|none|instead|false|or|unless)\b", re.IGNORECASE)


def described(tool: ToolSpec, tools: Iterable[ToolSpec], rng: Random, category: str = "described") -> Template | None:
    """ "book tickets, count 3, day tomorrow" as a template. What the tool needs from another one is asked of that one
    first; None when nothing among `tools` makes it."""
    said = [_named(tool, rng)]
    args: dict[str, Any] = {}
    plan: list[tuple[str, dict[str, Any]]] = []
    for p in rng.sample(tool.parameters, len(tool.parameters)):
        element = p.type.item or p.type
        if not p.required and rng.random() < 0.5:
            continue
        if not element.is_value:
            maker = next((t for t in tools if t.name != tool.name and p.type.takes(t.returns)), None)
            first = described(maker, [], rng) if maker and not plan else None
            if first is None:
                if p.required:
                    return None
                continue
            plan = list(first.plan)
            said.insert(0, f"{first.say} and")
            args[p.name] = "$1" if p.required or not p.type.item else ["$1"]
            continue
        alone = sum(_kind(other) == _kind(p) for other in tool.parameters) == 1
        cue, value = _argument(tool, p, rng, alone)
        if cue is not None:
            said.append(cue)
            args[p.name] = [value] if p.type.item else value
        elif p.required:
            return None
    ordered = {p.name: args[p.name] for p in tool.parameters if p.name in args}
    return Template(" ".join(said), (*plan, (tool.name, ordered)), category=category)


def _kind(p: Parameter) -> str:
    """What its values look like."""
    element = p.type.item or p.type
    return KINDS_OF.get(element.name, str(element))


def _argument(tool: ToolSpec, p: Parameter, rng: Random, alone: bool) -> tuple[str | None, Any]:
    """(how an argument is said, its value); None where its type cannot be said. alone: no other argument of the tool
    looks the same, so that its value may stand without a word that says which it is."""
    element = p.type.item or p.type
    cue = rng.choice([*([""] if alone else []), spell(p.name) + " ", _some_words(p.description, rng, 2) + " "]).lstrip()
    cue = cue if cue or alone else spell(p.name) + " "
    if element.choices:
        choice = Choice(rng.choice(element.choices))
        return cue + spell(choice), choice
    if element.name in KINDS_OF:
        slot = re.sub(r"\W", "_", f"{tool.name}_{p.name}")
        return f"{cue}{{{slot}:{KINDS_OF[element.name]}}}", f"{{{slot}}}"
    if element.name == "bool":
        unclear = not p.description or NEGATED.search(p.description)  # part of it could mean the opposite
        return spell(p.name) if unclear or rng.random() < 0.3 else _some_words(p.description, rng, 3), True
    return None, None


def _named(tool: ToolSpec, rng: Random) -> str:
    """The tool's name, what its description says, or the words in it that count."""
    first, _, rest = re.split(r"[.;:]", tool.description)[0].strip().partition(" ")
    whole = f"{_bare(first.lower()) if rng.random() < 0.6 else first.lower()} {rest}".strip()
    name = spell(tool.name)
    spoken = whole if ABBREVIATED.search(name) else name
    return rng.choice([spoken, whole, _some_words(whole, rng, 4), _some_words(whole, rng, 3)]) or name


def _bare(verb: str) -> str:
    """ "books" → "book": descriptions say what a tool does, people tell it to."""
    for ending, instead in (("ies", "y"), ("ches", "ch"), ("shes", "sh"), ("sses", "ss"), ("ss", "ss"), ("s", "")):
        if verb.endswith(ending) and len(verb) > len(ending) + 1:
            return verb[: -len(ending)] + instead
    return verb


def _some_words(text: str, rng: Random, most: int) -> str:
    """Up to so many of its words that count, in their order."""
    counting = [w for w in re.findall(r"[^\W\d_]+", text.lower()) if w not in SMALL_WORDS]
    chosen = sorted(rng.sample(range(len(counting)), min(len(counting), rng.randint(1, most))))
    return " ".join(counting[i] for i in chosen)
