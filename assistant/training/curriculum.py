"""What the model sees when: first copying, then single calls, then everything.

Mixed data from the start stays on a plateau, because copying has not formed; minutes of an artificial copy task on
short sequences break it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from random import Random

from assistant.planning.planner import BESIDE as MOST_BESIDE
from assistant.plugin.signature import ToolSpec

from .artificial import COPYING, READING, copying, reading
from .composing import composed
from .described import described
from .errands import KINDS, Domain, Template, builtin, held_out, synonym, training_domains, words
from .packs import Encoder, Pack, Shape
from .sentences import NUMBERS, TENS, Example, Sentence, Unfillable, fill, finish, join, noisy
from .unfamiliar import disguise, reworded, signature_words, without_parameters

BUILTIN = Shape(prefix=896, rows=8, row=192, targets=896)
INVENTED = Shape(prefix=512, rows=6, row=192, targets=672)
COPYING_SHAPE = Shape(prefix=96, rows=8, row=192, targets=1024)
READING_SHAPE = Shape(prefix=96, rows=1, row=128, targets=96)
SMALL = Shape(prefix=224, rows=3, row=160, targets=360)
NAMES_ONLY = 450  # steps of reading before arguments come in
MOST_INVENTED = 10  # tools in one prompt
FEW_INVENTED = 6  # in a small one
BESIDE = 0.5  # of the packs of built-in tools have tools of plugins behind them, where such fit
DESCRIBED = 3  # sentences in a signature's own words, of each invented tool
TOGETHER = 0.9  # of the packs of invented tools have some that an errand needs together
CHAINS = 0.45  # of the errands with invented tools are of several steps for sure
PASSED_ON = 0.15  # of the follow-ups come after another one that only passed the result on
TOO = ["now send it to {too:name} too", "and to {too:name}", "{too:name} as well", "send it to {too:name} too please",
       "also to {too:name}", "forward it to {too:name}", "the same for {too:name}"]  # fmt: skip
COMPOSED = 5000  # composed errands beside the authored ones over the built-in tools
# Domains whose errands a built-in tool could serve, so they are no evidence of refusal beside the built-in tools.
OVERLAPPING = {"alarms", "calendar", "contacts", "documents", "email", "files", "tasks", "newsletter", "podcaststudio"}
OVERLAPPING |= {"voice-memos", "travel-diary", "mood-diary", "kitchen-timers", "gift-list", "packing-list"}
OVERLAPPING |= {"send-later", "birthday-book", "photo-stories", "photo-metadata", "dictation", "notebook-sharing"}
OVERLAPPING |= {"bucket-list", "directory-enquiries"}
# Words of sentences in any domain that a built-in tool serves, which are no evidence of refusal beside it, either.
SERVED = re.compile(
    r"\b(remind|note (that|down|for)|photo|picture|gif\b"
    r"|(tell|let|ask|text|message|mail|email) (\{|him|her|them|the |my ))", re.IGNORECASE,
)  # fmt: skip


@dataclass(frozen=True)
class Stage:
    """Until which step it lasts, and the chances of each source of examples."""

    until: int
    copying: float = 0.0
    reading: float = 0.0
    single: float = 0.0  # of an example to be a short one-step errand, else anything
    noise: float = 0.6
    reworded: float = 0.45  # of the invented domains get words that mean nothing here, so that signatures must be read
    bare: float = 0.0  # of the small packs have tools without parameters, to practise the choice of tools


STAGES = (
    Stage(1200, copying=1.0),  # nothing else, on short prompts: many small steps, until the copying circuit has formed
    Stage(2200, reading=1.0),  # the same, until tools and arguments are looked up by what their signatures say
    Stage(2300, copying=0.1, reading=0.4, single=0.8, noise=0.3),
    Stage(4000, copying=0.02, reading=0.3, single=0.1),
    Stage(20_000, copying=0.02, reading=0.1, single=0.1),
    # Reading is learned; what is still wrong is mostly the choice of a tool, which takes knowing what words mean.
    Stage(10**9, reading=0.04, single=0.05, noise=0.45, reworded=0.15, bare=0.5),
)


class Curriculum:
    """Endless packs for training, reproducible by step number.

    extra: domains to be learned as they are, beside the mixture (see `adapt`).
    """

    def __init__(self, encoder: Encoder, seed: int = 0, extra: list[Domain] | None = None):
        self.encoder = encoder
        self.seed = seed
        ours = builtin()
        composed_too = replace(ours, templates=ours.templates + composed(COMPOSED, seed))
        self.builtin = _training_part(composed_too.spelled())
        self.domains = [_with_described(_training_part(d.spelled()), seed) for d in training_domains()]
        self.extra = extra or []
        self._away = [(d, pool) for d in self.domains if (pool := _unserved(d))]
        self.random_words = sorted({w.lower() for k in KINDS for v in words(k) for w in re.findall(r"[^\W\d_]+", v)})
        known = Counter(w for d in self.domains for w in signature_words(d))
        self.common_words = {w for w, domains in known.items() if domains > 8} | {*NUMBERS, *TENS.values(), "hundred"}

    def packs(self, step: int, invented: int, whole: int = 1) -> list[tuple[Shape, list[Pack]]]:
        """The packs of a training step by shape: `whole` of the built-in tools and as many of many other tools, and
        `invented` of few.

        Many domains a step matter more than many sentences of each: looking tools up is learned across domains.
        """
        rng = Random(f"{self.seed}/{step}")
        stage = next(s for s in STAGES if step < s.until)
        if stage.copying == 1.0:
            return [(COPYING_SHAPE, [self._lesson(copying(rng, self.random_words, 1, 1, 9), rng, COPYING_SHAPE)])]
        if stage.reading == 1.0:
            return [self._reading(step - STAGES[0].until, rng)]
        few = [self._invented(stage, rng, SMALL) for _ in range(invented)]
        return [
            (BUILTIN, [self._builtin(stage, rng) for _ in range(whole)]),
            (INVENTED, [self._invented(stage, rng, INVENTED) for _ in range(whole)]),
            (SMALL, few),
        ]

    def _reading(self, done: int, rng: Random) -> tuple[Shape, list[Pack]]:
        """The lesson of reading after `done` steps of it: a growing number of tools, later with arguments."""
        if done < NAMES_ONLY:
            shape, count, tools, parameters = READING_SHAPE, 16, 2 + min(4, max(0, done - 150) // 60), 0
        else:
            shape, count, tools, parameters = SMALL, 8, 3 + min(3, (done - NAMES_ONLY) // 100), 3
        domains = [reading(rng, self.random_words, tools, parameters) for _ in range(count)]
        return shape, [self._lesson(d, rng, shape) for d in domains]

    def _lesson(self, domain: Domain, rng: Random, shape: Shape) -> Pack:
        tools = dict(domain.tools)
        examples = (finish(fill(t, rng)) for t in domain.templates if _uses(t) <= tools.keys())
        while (pack := self.encoder.pack(tools, examples, shape)) is None:
            tools.popitem()
        return pack

    def _builtin(self, stage: Stage, rng: Random) -> Pack:
        """The built-in tools, and for up to half of the packs a plugin's behind them, as planners show them."""
        tools = dict(self.builtin.tools)
        others: list[Domain] = []
        order = rng.random()
        if order < BESIDE:
            others = self._beside(stage, rng)
            tools |= _some_tools(others, {}, rng.randint(1, MOST_BESIDE), rng) if others else {}
        elif order < BESIDE + 0.15:
            tools = dict(rng.sample(sorted(tools.items()), len(tools)))
        examples = partial(self._examples, [self.builtin, *others], stage=stage, rng=rng, others=1.0 if others else 0.0)
        while (pack := self.encoder.pack(tools, examples(tools=tools), BUILTIN)) is None:
            tools.popitem()
        return pack

    def _beside(self, stage: Stage, rng: Random) -> list[Domain]:
        """Domains whose tools may stand beside the built-in ones, with the errands that those do not serve."""
        some = [rng.choice(self.extra)] if self.extra else self._some_domains(rng)
        apart = [
            replace(d, templates=tuple(t for t in d.templates if not SERVED.search(t.say)))
            for d in some if d.name not in OVERLAPPING
        ]  # fmt: skip
        chosen = apart if self.extra else [self._unfamiliar(d, rng, stage.reworded) for d in apart]
        return [d for d in chosen if not d.tools.keys() & self.builtin.tools.keys()]

    def _invented(self, stage: Stage, rng: Random, shape: Shape) -> Pack:
        while True:
            lesson = rng.random()
            if lesson < stage.copying + stage.reading:
                make = copying if lesson < stage.copying else reading
                sources = [make(rng, self.random_words, rng.randint(2, 8 if shape == INVENTED else FEW_INVENTED))]
                tools = sources[0].tools
            else:
                sources = [self._unfamiliar(d, rng, stage.reworded) for d in self._some_domains(rng)]
                if self.extra and rng.random() < 0.6:
                    sources = [rng.choice(self.extra), *sources[:1]]
                bare = shape == SMALL and not self.extra and rng.random() < stage.bare
                sources = [without_parameters(d) for d in sources] if bare else sources
                most = rng.randint(2, FEW_INVENTED) if shape == SMALL and not bare else MOST_INVENTED
                others = self.builtin.tools if not (bare or any(d.name in OVERLAPPING for d in sources)) else {}
                tools = _some_tools(sources, others, most, rng)
                if rng.random() < 0.3 and len(tools) > 2:
                    tools.popitem()  # its sentences are near misses now
            while (pack := self.encoder.pack(tools, self._examples(sources, tools, stage, rng), shape)) is None:
                tools.popitem()
            if pack.examples:
                return pack

    def _unfamiliar(self, domain: Domain, rng: Random, reworded_share: float) -> Domain:
        """The domain as a model that knows it by heart would not recognise it."""
        reword = rng.random() < reworded_share
        words = sorted(signature_words(domain))
        if reword:
            chosen = [w for w in words if w not in self.common_words and rng.random() < rng.choice([0.4, 0.7, 1.0])]
            domain = reworded(domain, dict(zip(chosen, rng.sample(self.random_words, len(chosen)), strict=True)))
        elif rng.random() < 0.6:
            others = {w: other for w in words if rng.random() < 0.4 and (other := synonym(w, rng))}
            domain = reworded(domain, others, sentences=False)
        return disguise(domain, rng, meaningless=0.15, undescribed=0.0 if reword else 0.15)

    def _some_domains(self, rng: Random) -> list[Domain]:
        return rng.sample(self.domains, rng.choice([1, 1, 2, 2]))

    def _examples(
        self, sources: list[Domain], tools: dict[str, ToolSpec], stage: Stage, rng: Random, others: float = 0.3
    ) -> Iterator[Example]:
        """Endless examples that the tools serve, and some that they do not; a share `others` is not of the first source
        alone but of any."""
        served = [[t for t in d.templates if t.plan and _uses(t) <= tools.keys()] for d in sources]
        ours = [d is self.builtin for d, templates in zip(sources, served, strict=True) if templates]
        served = [templates for templates in served if templates]
        if not served:  # what is left of the tools does nothing by itself
            return
        short = [[t for t in s if len(t.plan) == 1 and not t.before] or s for s in served]
        chains = [[t for t in s if len(t.plan) > 1] for s in served]
        away = [pool for d, pool in self._away if not (d.tools.keys() & tools.keys())]
        refused = [t for d in sources for t in d.templates if not (t.plan or t.before)]
        # "thanks", "undo that": without these, everything that is said after an errand would be taken for another one
        after = [t for d in sources for t in d.templates if t.before and not t.plan and _uses(t) <= tools.keys()]
        near = [
            t for d in sources for t in d.templates if len(t.plan) == 1 and not (t.before or _uses(t) & tools.keys())
        ]
        artificial = sources[0].name in (COPYING, READING)
        while True:
            if not artificial and rng.random() < 0.06 * (1 - stage.single):
                sentence = self._refusal(rng.choice(away), rng)
            elif refused and rng.random() < 0.07:
                sentence = self._refusal(refused, rng)
            elif after and rng.random() < 0.06:
                sentence = self._refusal(after, rng)
            elif near and rng.random() < 0.06:
                sentence = self._refusal(near, rng)
            else:
                i = rng.randrange(len(served)) if rng.random() < others else 0
                pool = short[i] if rng.random() < stage.single else served[i]
                if pool is served[i] and chains[i] and not ours[i] and rng.random() < CHAINS:
                    pool = chains[i]
                then = rng.choice(served) if rng.random() < 0.5 else pool
                sentence = self._sentence(pool, then, rng, joined=0 if artificial else 0.14 * (1 - stage.single))
            try:
                yield finish(noisy(sentence, rng) if rng.random() < stage.noise and not artificial else sentence)
            except Unfillable:
                continue

    def _sentence(self, pool: list[Template], then: list[Template], rng: Random, joined: float) -> Sentence:
        """One of the pool; with the chance `joined`, and one of `then`."""
        template = _one_of(pool, rng)
        sentence = fill(template, rng)
        if rng.random() < joined and template.plan and not template.ask:
            second = rng.choice(then)
            if second.plan and not second.before and len(template.plan) + len(second.plan) <= 6:
                return join(sentence, fill(second, rng), rng)
        return sentence

    def _refusal(self, templates: Sequence[Template], rng: Random) -> Sentence:
        return replace(fill(_one_of(templates, rng), rng), plan=[], ask=None, category="refuse")


def _one_of(templates: Sequence[Template], rng: Random) -> Template:
    """A template; a follow-up comes now and then after another one."""
    template = rng.choice(templates)
    return passed_on(template, rng) if template.before and rng.random() < PASSED_ON else template


def passed_on(template: Template, rng: Random) -> Template:
    """The follow-up of an errand whose result was also sent to somebody else ("… now send it to Bob too"), as the
    planner is shown it; the template itself where nothing was sent, or where that would leave open who is meant."""
    before = template.before
    if before is None or not before.plan:
        return template
    tool, args = before.plan[-1]
    again = [a["to"] for _, a in template.plan if "to" in a]
    if not {"to", "attachments"} <= args.keys() or args["to"] in again:
        return template
    say = f"{before.say.rstrip(' .!?')}. {rng.choice(TOO)}"
    sent = (tool, {"to": ["{too}"], "attachments": args["attachments"]})
    return replace(template, before=replace(before, say=say, plan=(*before.plan, sent)))


def _some_tools(
    sources: Sequence[Domain], others: Mapping[str, ToolSpec], most: int, rng: Random
) -> dict[str, ToolSpec]:
    """Tools of the sources, and now and then two `others`, in any order. Mostly some that an errand needs together: of
    tools that are taken blindly, few could serve more than one step."""
    tools = {n: s for d in sources for n, s in d.tools.items()}
    chains = [_uses(t) for d in sources for t in d.templates if len(t.plan) > 1]
    chosen: set[str] = set()
    if chains and rng.random() < TOGETHER:
        for needed in rng.sample(chains, min(3, len(chains))):
            chosen |= needed if len(chosen | needed) <= most else set()
    if rng.random() < 0.2 and others:
        tools |= dict(rng.sample(sorted(others.items()), 2))
    rest = sorted(tools.keys() - chosen)
    names = [*sorted(chosen), *rng.sample(rest, min(max(0, most - len(chosen)), len(rest)))]
    return {n: tools[n] for n in rng.sample(names, len(names))}


def _unserved(domain: Domain) -> list[Template]:
    """What no other domain's tools and none of the built-in ones can do."""
    if domain.name in OVERLAPPING:
        return []
    return [t for t in domain.templates if not (t.before or SERVED.search(t.say))]


def _uses(template: Template) -> set[str]:
    return {name for name, _ in template.plan} | (_uses(template.before) if template.before else set())


def _training_part(domain: Domain) -> Domain:
    """Without the lines that are kept for evaluation."""
    return replace(domain, templates=tuple(t for t in domain.templates if not held_out(t.say)))


def _with_described(domain: Domain, seed: int) -> Domain:
    """With sentences in the words of its signatures beside the authored ones."""
    rng = Random(f"{seed}/{domain.name}")
    tools = list(domain.tools.values())
    more = [t for _ in range(DESCRIBED) for tool in tools if (t := described(tool, tools, rng))]
    return replace(domain, templates=(*domain.templates, *more))


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
