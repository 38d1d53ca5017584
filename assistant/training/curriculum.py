"""What the model sees when: first copying, then single calls, then everything.

Mixed data from the start stays on a plateau, because copying has not formed; minutes of an artificial copy task on
short sequences break it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from random import Random

from assistant.planning.spelling import spell
from assistant.plugin.signature import Parameter, ToolSpec, Type

from .errands import KINDS, Domain, Template, builtin, held_out, training_domains, words
from .packs import Encoder, Pack, Shape
from .sentences import Example, Sentence, Unfillable, fill, finish, join, noisy

BUILTIN = Shape(prefix=640, rows=12, row=192, targets=1280)
INVENTED = Shape(prefix=512, rows=5, row=192, targets=576)
COPYING = Shape(prefix=48, rows=8, row=192, targets=1024)
# Domains whose errands a built-in tool could serve, so they are no evidence of refusal beside the built-in tools.
OVERLAPPING = {"alarms", "calendar", "contacts", "documents", "email", "files", "tasks", "newsletter", "podcaststudio"}


@dataclass(frozen=True)
class Stage:
    """Until which step it lasts, and the chances of each source of examples."""

    until: int
    copying: float = 0.0
    single: float = 0.0  # of an example to be a short one-step errand, else anything
    noise: float = 0.6


STAGES = (
    Stage(400, copying=1.0),  # nothing else, on short prompts: many small steps, until the copying circuit has formed
    Stage(480, copying=0.2, single=0.8, noise=0.3),
    Stage(10**9, copying=0.03, single=0.1),
)


class Curriculum:
    """Endless packs for training, reproducible by step number.

    extra: domains to be learned as they are, beside the mixture (see `adapt`).
    """

    def __init__(self, encoder: Encoder, seed: int = 0, extra: list[Domain] | None = None):
        self.encoder = encoder
        self.seed = seed
        self.builtin = _training_part(builtin().spelled())
        self.domains = [_training_part(d.spelled()) for d in training_domains()]
        self.extra = extra or []
        self.random_words = sorted({w.lower() for k in KINDS for v in words(k) for w in re.findall(r"[^\W\d_]+", v)})

    def packs(self, step: int, invented: int) -> list[tuple[Shape, list[Pack]]]:
        """The packs of a training step by shape: one of built-in tools and `invented` of other tools."""
        rng = Random(f"{self.seed}/{step}")
        stage = next(s for s in STAGES if step < s.until)
        if stage.copying == 1.0:
            return [(COPYING, [self._copying(rng)])]
        theirs = [self._invented(stage, rng, step) for _ in range(invented)]
        return [(BUILTIN, [self._builtin(stage, rng)]), (INVENTED, theirs)]

    def _copying(self, rng: Random) -> Pack:
        while True:
            domain = copying(rng, self.random_words, tools=1, parameters=1, longest=9)
            examples = (finish(fill(t, rng)) for t in domain.templates)
            if pack := self.encoder.pack(domain.tools, examples, COPYING):
                return pack

    def _builtin(self, stage: Stage, rng: Random) -> Pack:
        tools = dict(self.builtin.tools)
        others: list[Domain] = []
        if rng.random() < 0.35:
            names = list(tools)
            rng.shuffle(names)
            tools = {n: tools[n] for n in names}
            if rng.random() < 0.5:
                others = [d for d in rng.sample(self.domains, 1) if d.name not in OVERLAPPING]
                for d in others:
                    tools |= dict(rng.sample(sorted(d.tools.items()), min(2, len(d.tools))))
                tools = dict(rng.sample(sorted(tools.items()), len(tools)))
        sources = [self.builtin, *others]
        while (pack := self.encoder.pack(tools, self._examples(sources, tools, stage, rng), BUILTIN)) is None:
            tools.pop(rng.choice([n for n in tools if n not in self.builtin.tools] or list(tools)))
        return pack

    def _invented(self, stage: Stage, rng: Random, step: int) -> Pack:
        while True:
            if rng.random() < stage.copying:
                sources = [copying(rng, self.random_words)]
                tools = sources[0].tools
            else:
                sources = [disguise(d, rng, meaningless=0.1 if step > 400 else 0.0) for d in self._some_domains(rng)]
                if self.extra and rng.random() < 0.6:
                    sources = [rng.choice(self.extra), *sources[:1]]
                tools = {n: s for d in sources for n, s in d.tools.items()}
                if rng.random() < 0.2:
                    tools |= dict(rng.sample(sorted(self.builtin.tools.items()), 2))
                tools = dict(rng.sample(sorted(tools.items()), len(tools)))
            pack = self.encoder.pack(tools, self._examples(sources, tools, stage, rng), INVENTED)
            if pack is not None and pack.examples:
                return pack

    def _some_domains(self, rng: Random) -> list[Domain]:
        return rng.sample(self.domains, rng.choice([1, 1, 2, 2]))

    def _examples(
        self, sources: list[Domain], tools: dict[str, ToolSpec], stage: Stage, rng: Random
    ) -> Iterator[Example]:
        """Endless examples that the tools serve, and some that they do not."""
        served = [[t for t in d.templates if _uses(t) <= tools.keys()] for d in sources]
        served = [templates for templates in served if templates]
        short = [[t for t in s if len(t.plan) == 1 and not t.before] or s for s in served]
        away = [d for d in self.domains if not (d.tools.keys() & tools.keys()) and d.name not in OVERLAPPING]
        artificial = sources[0].name == "copying"
        while True:
            if not artificial and rng.random() < 0.06 * (1 - stage.single):
                sentence = self._refusal(rng.choice(away), rng)
            else:
                i = rng.randrange(len(served)) if rng.random() < 0.3 else 0
                pool = short[i] if rng.random() < stage.single else served[i]
                sentence = self._sentence(pool, rng, joined=0 if artificial else 0.14 * (1 - stage.single))
            try:
                yield finish(noisy(sentence, rng) if rng.random() < stage.noise and not artificial else sentence)
            except Unfillable:
                continue

    def _sentence(self, pool: list[Template], rng: Random, joined: float) -> Sentence:
        template = rng.choice(pool)
        sentence = fill(template, rng)
        if rng.random() < joined and template.plan and not template.ask:
            second = rng.choice(pool)
            if second.plan and not second.before and len(template.plan) + len(second.plan) <= 6:
                return join(sentence, fill(second, rng), rng)
        return sentence

    def _refusal(self, domain: Domain, rng: Random) -> Sentence:
        sentence = fill(rng.choice([t for t in domain.templates if not t.before]), rng)
        return replace(sentence, plan=[], ask=None, category="refuse")


def _uses(template: Template) -> set[str]:
    return {name for name, _ in template.plan} | (_uses(template.before) if template.before else set())


def _training_part(domain: Domain) -> Domain:
    """Without the lines that are kept for evaluation."""
    return replace(domain, templates=tuple(t for t in domain.templates if not held_out(t.say)))


def disguise(domain: Domain, rng: Random, meaningless: float = 0.0) -> Domain:
    """The domain with other styles of names, other orders of parameters and some descriptions left out."""
    names = {name: spell(_rename(name, rng, meaningless)) for name in domain.tools}
    if len(set(names.values())) < len(names):
        names = {name: name for name in domain.tools}
    tools = {}
    for name, spec in domain.tools.items():
        parameters = list(spec.parameters)
        if rng.random() < 0.5:
            rng.shuffle(parameters)
        if rng.random() < 0.15:
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


def copying(rng: Random, vocabulary: list[str], tools: int = 4, parameters: int = 3, longest: int = 4) -> Domain:
    """An artificial domain: sentences name the tool and its parameters, and everything else is copied.

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
    return Domain("copying", specs, tuple(_copy_template(specs, rng, some, longest) for _ in range(99)))


def _copy_template(tools: dict[str, ToolSpec], rng: Random, some: Callable[[int, int], str], longest: int) -> Template:
    name = rng.choice(list(tools))
    args = {p.name: some(1, longest) for p in tools[name].parameters if rng.random() < 0.8}
    order = rng.sample(list(args), len(args))
    say = rng.choice(["", "please ", "now ", some(1, 3) + " "]) + name + "".join(f" {k} {args[k]}" for k in order)
    return Template(say, ((name, args),), category="copying")


def texts(curriculum_domains: list[Domain], seed: int = 0, count: int = 40_000) -> Iterator[str]:
    """Text on which the tokenizer is trained: signatures and sentences in the mixture that the model sees."""
    rng = Random(seed)
    every = [t for d in curriculum_domains for t in d.templates if not held_out(t.say)]
    first = [t for t in curriculum_domains[0].templates if not held_out(t.say)]
    for d in curriculum_domains:
        for spec in d.tools.values():
            for p in spec.parameters:
                yield f" {p.name} {p.type}: {p.description}"
            yield f"> {spec.name}: {spec.description}"
    for k in KINDS:
        yield from (" " + w for w in words(k))
    for _ in range(count):
        sentence = fill(rng.choice(first if rng.random() < 0.5 else every), rng)
        yield " " + finish(noisy(sentence, rng)).say
        steps = [f"> {tool}\n" + "".join(f" {name}: $1\n" for name in args) for tool, args in sentence.plan]
        if rng.random() < 0.1:
            yield "".join(steps)
