"""Artificial domains, which teach what everything else rests on: copying words, and finding a tool by its signature.

Neither forms by itself in the mixture of real errands: a model does well on those for a long time by knowing them.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from assistant.plugin.signature import Parameter, ToolSpec, Type

from .errands import Choice, Domain, Template
from .sentences import say_number

COPYING, READING = "copying", "reading"
GLUE = ["", "", "", "the ", "a ", "please ", "with ", "for ", "my ", "to "]
TEMPLATES = 99  # sentences of a domain


def copying(rng: Random, vocabulary: list[str], tools: int = 4, parameters: int = 3, longest: int = 4) -> Domain:
    """Sentences name the tool and its parameters, and everything else is copied.

    tools, parameters: at most so many (of a tool). longest: words of a copied value.
    """

    def some(low: int, high: int) -> str:
        return " ".join(rng.choice(vocabulary) for _ in range(rng.randint(low, high)))

    specs: dict[str, ToolSpec] = {}
    for _ in range(rng.randint(min(2, tools), tools)):
        keys = list(dict.fromkeys(rng.choice(vocabulary) for _ in range(rng.randint(1, parameters))))
        name = rng.choice(vocabulary)
        spoken = tuple(Parameter(k, Type("Spoken"), required=False) for k in keys)
        specs[name] = ToolSpec(name, some(1, 3), spoken, Type("str"))
    return Domain(COPYING, specs, tuple(_copy_template(specs, rng, some, longest) for _ in range(TEMPLATES)))


def _copy_template(tools: dict[str, ToolSpec], rng: Random, some: Callable[[int, int], str], longest: int) -> Template:
    name = rng.choice(list(tools))
    args = {p.name: some(1, longest) for p in tools[name].parameters if rng.random() < 0.8}
    order = rng.sample(list(args), len(args))
    say = rng.choice(["", "please ", "now ", some(1, 3) + " "]) + name + "".join(f" {k} {args[k]}" for k in order)
    return Template(say, ((name, args),), category=COPYING)


def reading(rng: Random, vocabulary: list[str], tools: int = 8, parameters: int = 3) -> Domain:
    """Sentences hold words of a tool's description, of its parameters' descriptions and of its choices. No word stands
    for two things, so each says which tool, which argument or which value is meant, and nothing else does."""
    fresh = iter(rng.sample(vocabulary, 240))

    def words(low: int, high: int) -> str:
        return " ".join(next(fresh) for _ in range(rng.randint(low, high)))

    specs: dict[str, ToolSpec] = {}
    for _ in range(rng.randint(2, tools)):
        several = min(parameters, rng.choice([0, 0, 0, 1, 1, 1, 2, 3]))
        taken = tuple(_parameter(rng, words) for _ in range(several))
        spec = ToolSpec(words(1, 2 if parameters else 1), words(1, 4 if parameters else 2), taken, Type("str"))
        specs[spec.name] = spec
    return Domain(READING, specs, tuple(_read_template(specs, rng, vocabulary) for _ in range(TEMPLATES)))


def _parameter(rng: Random, words: Callable[[int, int], str]) -> Parameter:
    kind = rng.choice(["Spoken", "Spoken", "int", "bool", "enum", "enum"])
    choices = tuple(words(1, 1) for _ in range(rng.randint(2, 4))) if kind == "enum" else ()
    return Parameter(words(1, 1), Type(kind, choices=choices), required=False, description=words(0, 2))


def _read_template(tools: dict[str, ToolSpec], rng: Random, vocabulary: list[str]) -> Template:
    if rng.random() < 0.06:  # words of no tool
        known = {w for s in tools.values() for w in f"{s.name} {s.description}".split()}
        return Template(" ".join(w for w in rng.sample(vocabulary, 3) if w not in known) or "nothing", ())
    asked = rng.sample(list(tools.values()), min(len(tools), rng.choice([1, 1, 1, 1, 2])))
    parts = [_asked(spec, rng, vocabulary) for spec in asked]
    say = rng.choice([" and ", ", then ", " and also ", ". "]).join(said for said, _ in parts)
    return Template(say, tuple(step for _, step in parts), category=READING)


def _asked(spec: ToolSpec, rng: Random, vocabulary: list[str]) -> tuple[str, tuple[str, dict[str, Any]]]:
    """A request for the tool in words of its signature, and the step that it means."""
    described = spec.description.split()
    said = [
        spec.name if rng.random() < 0.2 else " ".join(rng.sample(described, rng.randint(1, min(2, len(described)))))
    ]
    values: dict[str, Any] = {}
    for p in spec.parameters:
        if rng.random() < 0.3:
            continue
        cue = rng.choice([p.name, *p.description.split()])
        if p.type.choices:
            values[p.name] = Choice(rng.choice(p.type.choices))
            said.append(rng.choice([str(values[p.name]), f"{cue} {values[p.name]}"]))
        elif p.type.name == "bool":
            values[p.name] = True
            said.append(cue)
        elif p.type.name == "int":
            values[p.name] = rng.randint(2, 30)
            said.append(f"{cue} {say_number(values[p.name], rng)}")
        else:
            values[p.name] = " ".join(rng.choice(vocabulary) for _ in range(rng.randint(1, 4)))
            said.append(f"{cue} {values[p.name]}")
    args = {p.name: values[p.name] for p in spec.parameters if p.name in values}
    rng.shuffle(said)
    return " ".join(rng.choice(GLUE) + part for part in said), (spec.name, args)
