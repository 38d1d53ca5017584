"""Domains as a model that knows them by heart would not know them: other words, names, orders, or tools alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from random import Random
from typing import Any

from assistant.planning.spelling import spell
from assistant.plugin.signature import Parameter, Type

from .errands import Choice, Domain, Template

WORD = re.compile(r"\{\w+(?::\w+)?\}|[$^]\d+(?:\.\w+)?|[^\W\d_]+")


def signature_words(domain: Domain) -> set[str]:
    """The lower-case words, of four letters or more, of its tools' names, descriptions, parameters and choices."""
    texts = [t for s in domain.tools.values() for t in (s.name, s.description)]
    for p in (p for s in domain.tools.values() for p in s.parameters):
        texts += [p.name, p.description, *(p.type.item or p.type).choices]
    return {w.lower() for t in texts for w in re.findall(r"[^\W\d_]{4,}", t)}


def reworded(domain: Domain, words: Mapping[str, str], sentences: bool = True) -> Domain:
    """The domain with words exchanged alike in signatures and sentences: "brew a lungo" becomes "lantern a fjord".

    What links a sentence to a tool is then only what the signature says, so it must be read. Without `sentences`, only
    the signatures change: with other words for the same, they teach which words belong together. The domain itself
    when two names would become one.
    """

    def word(match: re.Match[str]) -> str:
        old = match[0].lower()
        new = words.get(old) or words.get(old + "s") or (words[old[:-1]] + "s" if old[:-1] in words else None)
        if new is None or old[0] in "{$^":
            return match[0]
        return new.capitalize() if match[0][0].isupper() else new

    def said(value: Any) -> Any:
        if isinstance(value, list):
            return [said(v) for v in value]
        return type(value)(WORD.sub(word, value)) if isinstance(value, str) else value

    def spoken(value: Any) -> Any:
        """An argument of a plan: words of the sentence stay as they are if the sentence does."""
        if isinstance(value, list):
            return [spoken(v) for v in value]
        return said(value) if sentences or isinstance(value, Choice) else value

    def kind(t: Type) -> Type:
        return replace(t, item=t.item and kind(t.item), choices=tuple(map(said, t.choices)))

    def template(t: Template) -> Template:
        plan = tuple((said(tool), {said(k): spoken(v) for k, v in args.items()}) for tool, args in t.plan)
        slots = {k: tuple(map(spoken, v)) for k, v in t.slots.items()}
        return replace(t, say=spoken(t.say), plan=plan, ask=t.ask and said(t.ask), slots=slots,
                       before=t.before and template(t.before))  # fmt: skip

    def parameter(p: Parameter) -> Parameter:
        return replace(
            p, name=said(p.name), type=kind(p.type), default=said(p.default), description=said(p.description)
        )

    tools = [
        replace(s, name=said(s.name), description=said(s.description), parameters=tuple(map(parameter, s.parameters)))
        for s in domain.tools.values()
    ]
    names = [[s.name for s in tools], *([p.name for p in s.parameters] for s in tools)]
    names += [list(p.type.choices) for s in tools for p in s.parameters]
    if any(len(set(group)) < len(group) for group in names):
        return domain
    return Domain(domain.name, {s.name: s for s in tools}, tuple(map(template, domain.templates)))


def disguise(domain: Domain, rng: Random, meaningless: float = 0.0, undescribed: float = 0.15) -> Domain:
    """The domain with other styles of names, other orders of parameters and some descriptions left out."""
    names = {name: spell(_rename(name, rng, meaningless)) for name in domain.tools}
    if len(set(names.values())) < len(names):
        names = {name: name for name in domain.tools}
    tools = {}
    for name, spec in domain.tools.items():
        parameters = list(spec.parameters)
        if rng.random() < 0.5:
            rng.shuffle(parameters)
        if rng.random() < undescribed:
            parameters = [replace(p, description="") for p in parameters]
        tools[names[name]] = replace(spec, name=names[name], parameters=tuple(parameters))
    templates = tuple(_renamed(t, names) for t in domain.templates)
    return Domain(domain.name, tools, templates)


def _renamed(template: Template, names: dict[str, str]) -> Template:
    before = _renamed(template.before, names) if template.before else None
    return replace(template, plan=tuple((names[tool], args) for tool, args in template.plan), before=before)


def _rename(name: str, rng: Random, meaningless: float) -> str:
    if rng.random() < meaningless:
        syllables = "".join(rng.choice("bdfgklmnprstvz") + rng.choice("aeiou") for _ in range(rng.randint(1, 3)))
        return rng.choice(
            [syllables, f"tool_{rng.randint(1, 99)}", f"{syllables}_{rng.randint(1, 9)}", f"x.{syllables}"]
        )
    parts = name.split()
    if len(parts) > 1 and rng.random() < 0.15:
        return " ".join(parts[::-1])
    return parts[-1] if len(parts) > 1 and rng.random() < 0.1 else name


def without_parameters(domain: Domain) -> Domain:
    """The domain with nothing but the choice of tools: short prompts and plans, so that many fit into a pack."""

    def bare(t: Template) -> Template:
        plan: tuple[tuple[str, dict[str, Any]], ...] = tuple((tool, {}) for tool, _ in t.plan)
        return replace(t, plan=plan, ask=None, before=t.before and bare(t.before))

    tools = {n: replace(s, parameters=()) for n, s in domain.tools.items()}
    return Domain(domain.name, tools, tuple(map(bare, domain.templates)))
