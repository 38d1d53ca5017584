"""The authored errands: templates with slots, the tools they use and the words that fill the slots.

The files are described in `data/errands/README.md`. Held out for evaluation: the domains in HELD_OUT_DOMAINS, a tenth
of all other lines and a tenth of the slot words, chosen by hash so that the choice never moves.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from assistant.planning.spelling import Spelled
from assistant.plugin.plan import Plan, Step
from assistant.plugin.registry import load_registry
from assistant.plugin.signature import Parameter, ToolSpec, Type

DATA = Path(__file__).parent / "data"
ERRANDS = DATA / "errands"
HELD_OUT_DOMAINS = ("laundry", "hotels", "translation", "beekeeping")
KINDS = ("name", "person", "time", "when", "about", "place", "album", "message", "todo", "note")


class Choice(str):
    """One of a parameter's choices: it stays as it is, even if the sentence has the same word."""

    __slots__ = ()


@dataclass(frozen=True)
class Template:
    """A sentence with slots and the plan that it means. `before` is the session's previous errand."""

    say: str
    plan: tuple[tuple[str, dict[str, Any]], ...]
    ask: str | None = None
    before: Template | None = None
    slots: dict[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    category: str = ""

    @classmethod
    def from_json(cls, data: dict[str, Any], category: str = "") -> Template:
        before = cls.from_json(data["before"]) if "before" in data else None
        slots = {k: tuple(v) for k, v in data.get("slots", {}).items()}
        plan = tuple((tool, args) for tool, args in data["plan"])
        return cls(data["say"], plan, data.get("ask"), before, slots, data.get("category", category))


@dataclass(frozen=True)
class Domain:
    """Tools that belong together and what people say to use them."""

    name: str
    tools: dict[str, ToolSpec]
    templates: tuple[Template, ...]

    def spelled(self) -> Domain:
        """The domain with names as the small model reads them (see `planning.spelling`)."""
        spelled = Spelled.of(self.tools.values())
        return Domain(self.name, spelled.tools, tuple(_spelled(t, spelled) for t in self.templates))


def _spelled(template: Template, spelled: Spelled) -> Template:
    plan = spelled.write(Plan(tuple(Step(tool, args) for tool, args in template.plan)))
    ask = template.ask
    for (tool, args), step in zip(template.plan, plan.steps, strict=True):
        if ask in spelled.originals[tool].by_name and ask not in args:
            ask = spelled.spelled_argument(step.tool, ask)
            break
    before = _spelled(template.before, spelled) if template.before else None
    steps = []
    for step in plan.steps:
        types = {p.name: p.type for p in spelled.tools[step.tool].parameters}
        args = {n: Choice(v) if isinstance(v, str) and v in types[n].choices else v for n, v in step.args.items()}
        steps.append((step.tool, args))
    return replace(template, plan=tuple(steps), ask=ask, before=before)


def held_out(text: str) -> bool:
    """Whether a line belongs to the tenth that is kept for evaluation."""
    return hashlib.sha256(text.encode()).digest()[0] < 26


def builtin() -> Domain:
    """The built-in tools, read from their own signatures, and everything authored over them."""
    tools = {n: s for n, s in load_registry().items() if not s.third_party}
    return Domain("built-in", tools, tuple(_lines(ERRANDS.glob("builtin-*.jsonl"))))


@cache
def domains() -> tuple[Domain, ...]:
    """The invented domains."""
    return tuple(domain(file) for file in sorted(ERRANDS.glob("domain-*.json")))


def training_domains() -> list[Domain]:
    """The invented domains that are not held out."""
    return [d for d in domains() if d.name not in HELD_OUT_DOMAINS]


def domain(file: Path) -> Domain:
    """One file of invented tools and errands."""
    data = json.loads(file.read_text("utf-8"))
    return make_domain(file.stem.removeprefix("domain-"), data)


def make_domain(name: str, data: dict[str, Any]) -> Domain:
    tools = {t["name"]: make_tool(t) for t in data["tools"]}
    return Domain(name, tools, tuple(Template.from_json(e, name) for e in data["errands"]))


def make_tool(data: dict[str, Any]) -> ToolSpec:
    """An invented tool's specification."""
    parameters = []
    for name, p in data.get("params", {}).items():
        required = bool(p.get("required"))
        default = None if required else p.get("default")
        parameters.append(Parameter(name, _type(p), required, default, p.get("description", "")))
    returns = Type.parse(data["returns"]) if data.get("returns") else Type("str")
    return ToolSpec(data["name"], data["description"], tuple(parameters), returns)


def _type(p: dict[str, Any]) -> Type:
    match p["type"]:
        case "enum":
            return Type("enum", choices=tuple(p["values"]))
        case "spoken":
            return Type("Spoken")
        case "ref":
            return Type.parse(p["of"])
        case "list":
            return Type("list", item=Type("Spoken") if p["of"] == "spoken" else Type.parse(p["of"]))
        case other:
            return Type(other)


def _lines(files: Iterable[Path]) -> Iterable[Template]:
    for file in sorted(files):
        for line in file.read_text("utf-8").splitlines():
            if line.strip():
                yield Template.from_json(json.loads(line), file.stem)


@cache
def words(kind: str, evaluation: bool = False) -> tuple[str, ...]:
    """The slot values of a kind; those of the evaluation never occur in training."""
    files = sorted(ERRANDS.glob(f"words-*{kind}.txt"))  # words-name, words-more-name, words-wide-name
    lines = [" ".join(w.split()) for f in files for w in f.read_text("utf-8").splitlines() if w.strip()]
    return tuple(w for w in dict.fromkeys(lines) if held_out(w.casefold()) == evaluation)


@cache
def confusions() -> dict[str, tuple[str, ...]]:
    """right word → what recognisers write instead."""
    heard: dict[str, list[str]] = {}
    for file in sorted(ERRANDS.glob("words*confusable.txt")):
        for line in file.read_text("utf-8").splitlines():
            wrong, _, right = line.partition("\t")
            if right and " " not in right:
                heard.setdefault(right, []).append(wrong)
    return {right: tuple(wrong) for right, wrong in heard.items()}


@cache
def thesaurus(part: str = "") -> dict[str, tuple[str, ...]]:
    """word → single words that may stand in its place; of all words, or of a `part` such as "-nouns"."""
    others: dict[str, list[str]] = {}
    for file in sorted(ERRANDS.glob(f"thesaurus{part}*.txt")):
        for line in file.read_text("utf-8").splitlines():
            word, _, rest = line.casefold().partition("\t")
            found = [w.strip() for w in rest.split(",")]
            others.setdefault(word.strip(), []).extend(w for w in found if w.isalpha())
    return {word: tuple(dict.fromkeys(found)) for word, found in others.items() if found}


def synonym(word: str, rng: Random) -> str | None:
    """Another word for it, a plural for a plural; None where the thesaurus has none."""
    if found := thesaurus().get(word):
        return rng.choice(found)
    if word.endswith("s") and (found := thesaurus().get(word[:-1])):
        other = rng.choice(found)
        return other if other.endswith("s") else other + "s"
    return None
