"""`assistant eval planner`: how good a planner checkpoint is, on sentences that nobody wrote for training.

    python -m assistant.training.evaluate --model DIR [--limit N] [--out DIR]

Sets: `builtin` (the built-in tools), `misheard` (the same with simulated misrecognition), `unseen` (tools of domains
that were never trained, signatures only), `installed` and `beside` (a plugin beside the built-in tools: its sentences,
and theirs) and, with `--free`, `builtin` without the grammar. Writes `planner.json`
(figures and every outcome), `planner.md` and plots; `--calibrate` fits the confidence on training material that was
held out, and stores it in the checkpoint's folder.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Annotated, Any

import typer

from assistant.llm import Engine, Result, load
from assistant.planning import Calibrations, Earlier, Planned, Planner, PlanningError
from assistant.planning.planner import Draft
from assistant.plugin.plan import Plan, Step
from assistant.plugin.signature import ToolSpec

from . import report
from .errands import DATA, HELD_OUT_DOMAINS, Domain, Template, builtin, confusions, domains, held_out, make_domain
from .scoring import Outcome, Truth, figures
from .sentences import Example, Sentence, Unfillable, Word, fill, finish, noisy

EVAL = DATA / "eval"
SLOTS = 8
SILENT = tuple('.,;!?"()-–—')


@dataclass(frozen=True)
class Case:
    """One sentence to plan, with the session's previous errand."""

    say: str
    truth: Truth
    before: Earlier | None = None


@dataclass
class EvaluationSet:
    """Cases over one set of tools."""

    name: str
    tools: Mapping[str, ToolSpec]
    cases: list[Case] = field(default_factory=list)


def builtin_sets(limit: int | None = None, seed: int = 0) -> list[EvaluationSet]:
    """`builtin` and `misheard`."""
    tools = builtin().tools
    lines = (EVAL / "builtin.jsonl").read_text("utf-8").splitlines()
    templates = [Template.from_json(json.loads(line)) for line in lines if line.strip()]
    if limit:
        templates = Random(seed).sample(templates, min(limit, len(templates)))
    clean = [case(finish(fill(t, Random(seed))), t, tools) for t in templates]
    return [
        EvaluationSet("builtin", tools, clean),
        EvaluationSet("misheard", tools, list(map(partial(case, tools=tools), misheard(templates, seed), templates))),
    ]


def unseen_sets(limit: int | None = None) -> list[EvaluationSet]:
    """One set for each domain of never trained tools."""
    sets = []
    domains = json.loads((EVAL / "unseen.json").read_text("utf-8"))
    for data in domains:
        domain = make_domain(data["domain"], data)
        templates = domain.templates[: max(1, limit // len(domains))] if limit else domain.templates
        cases = [case(finish(fill(t, Random(0))), t, domain.tools) for t in templates]
        sets.append(EvaluationSet(f"unseen/{domain.name}", domain.tools, cases))
    return sets


def installed_sets(limit: int | None = None) -> list[EvaluationSet]:
    """With one plugin installed beside the built-in tools, each of the never trained domains in turn: `installed/…` are
    its sentences, `beside/…` a share of those over the built-in tools."""
    ours, parts, sets = builtin_sets(limit)[0], unseen_sets(limit), []
    for i, part in enumerate(parts):
        tools = {**ours.tools, **part.tools}
        domain = part.name.partition("/")[2]
        sets.append(EvaluationSet(f"installed/{domain}", tools, part.cases))
        sets.append(EvaluationSet(f"beside/{domain}", tools, ours.cases[i :: len(parts)]))
    return sets


def misheard(templates: Iterable[Template], seed: int = 0) -> list[Example]:
    """The sentences as a recogniser writes them."""
    examples = []
    for i, template in enumerate(templates):
        rng = Random(f"{seed}/{i}")
        examples.append(finish(heard(fill(template, rng), rng)))
    return examples


def heard(sentence: Sentence, rng: Random, share: float = 0.15) -> Sentence:
    """Lower case, no punctuation, and a `share` of the confusable words (at least one) replaced by what recognisers
    write instead. Words that go into the plan change there, too: the assistant cannot know better."""
    texts = [w.text.casefold() for w in sentence.words]
    confusable = [i for i, text in enumerate(texts) if text in confusions()]
    wrong = {i for i in confusable if rng.random() < share} or set(rng.sample(confusable, min(1, len(confusable))))
    out: list[Word] = []
    for i, (word, text) in enumerate(zip(sentence.words, texts, strict=True)):
        inside = 0 < i < len(texts) - 1 and texts[i - 1][-1].isalnum() and texts[i + 1][0].isalnum() and not word.space
        spoken = text if text not in SILENT or (inside and text == "." and texts[i + 1][0].isdigit()) else ""
        after_dash = i > 0 and texts[i - 1] in SILENT and out[-1].text == ""
        out.append(replace(word, text=rng.choice(confusions()[text]) if i in wrong else spoken,
                           space=bool(spoken) and (word.space or after_dash)))  # fmt: skip
    return replace(sentence, words=out)


def case(example: Example, template: Template, tools: Mapping[str, ToolSpec]) -> Case:
    """A generated example as a case. Choices are the template's own, however they were said or heard."""
    before = None
    if example.before is not None:
        results = tuple(tools[step.tool].returns for step in example.before.plan.steps)
        before = Earlier(example.before.say, example.before.plan, results)
    steps = []
    for step, (_, meant) in zip(example.plan.steps, template.plan, strict=True):
        chosen = {p.name for p in tools[step.tool].parameters if (p.type.item or p.type).choices}
        steps.append(Step(step.tool, {**step.args, **{k: v for k, v in meant.items() if k in chosen}}))
    return Case(example.say, Truth(Plan(tuple(steps)), example.ask, example.category), before)


def run(planner: Planner, cases: Sequence[Case], constrained: bool = True) -> list[Outcome]:
    """Plan all cases, several at a time in the engine's slots."""
    drafts = [planner.draft(c.say, [c.before] if c.before else []) for c in cases]
    if not constrained:
        drafts = [
            replace(d, request=d.request and replace(d.request, constraint=None, stop_tokens=None)) for d in drafts
        ]
    streams = [planner.engine.submit(d.request) if d.request else None for d in drafts]
    results = [s.result() if s else None for s in streams]
    settle = planner.settled if constrained else planner.read
    return [_outcome(settle, c, d, r) for c, d, r in zip(cases, drafts, results, strict=True)]


def _outcome(settle: Callable[[Draft, Result], Planned], case: Case, draft: Draft, result: Result | None) -> Outcome:
    try:
        planned = settle(draft, result) if result else draft.planned
    except PlanningError as error:
        return Outcome(case.say, case.truth, Plan(), error=str(error))
    asked = tuple(argument for _, argument in planned.gaps)
    usage = planned.usage
    return Outcome(case.say, case.truth, planned.plan, asked, "", planned.confidence, usage.forwards, usage.tokens,
                   usage.forced)  # fmt: skip


def evaluate(
    engine: Engine,
    sets: Iterable[EvaluationSet],
    progress: Callable[[str], None] = print,
    calibrations: Calibrations | None = None,
    constrained: bool = True,
) -> dict[str, dict[str, Any]]:
    """Figures and outcomes by the first part of the sets' names: "unseen/hotels" counts as "unseen"."""
    done: dict[str, tuple[list[Outcome], dict[str, ToolSpec]]] = {}
    for part in sets:
        begun = time.monotonic()
        planner = Planner(engine, part.tools, calibrations=calibrations)
        outcomes, tools = done.setdefault(part.name.partition("/")[0], ([], {}))
        found = run(planner, part.cases, constrained)
        tools.update(part.tools)
        outcomes.extend(found)
        share = figures(found, part.tools)
        progress(f"{part.name}: exact {share['exact']:.3f} of {len(found)} in {time.monotonic() - begun:.0f} s")
    return {name: report.summary(outcomes, tools) for name, (outcomes, tools) in done.items()}


def familiar_cases(count: int, seed: int = 1) -> EvaluationSet:
    """Sentences from the held-out tenth of the lines over the built-in tools: what the confidence is fitted on."""
    domain = builtin()
    templates = [t for t in domain.templates if held_out(t.say)]
    return EvaluationSet("familiar", domain.tools, _noisy_cases(domain, templates, count, seed))


def unfamiliar_sets(seed: int = 1) -> list[EvaluationSet]:
    """One set for each domain of the training material that is never trained: the same for tools of others."""
    held = [d for d in domains() if d.name in HELD_OUT_DOMAINS]
    return [EvaluationSet(d.name, d.tools, _noisy_cases(d, d.templates, len(d.templates), seed)) for d in held]


def _noisy_cases(domain: Domain, templates: Sequence[Template], count: int, seed: int) -> list[Case]:
    rng = Random(seed)
    cases = []
    for template in rng.sample(templates, len(templates)) * (1 + count // max(1, len(templates))):
        try:
            sentence = fill(template, rng, evaluation=True)
            cases.append(case(finish(noisy(sentence, rng) if rng.random() < 0.5 else sentence), template, domain.tools))
        except Unfillable:
            continue
    return cases[:count]


def open_engine(model: str, slots: int = SLOTS) -> Engine:
    """An engine for evaluation: many slots, because throughput counts."""
    engine = Engine(load(model), slots=slots, length=2048, sizes=(1, 8, 32, 128), short=32)
    engine.warm_up()
    return engine


def main(
    model: Annotated[str, typer.Option(help="checkpoint folder or hub id")],
    limit: Annotated[int | None, typer.Option(help="sentences of each set; all when not given")] = None,
    out: Annotated[Path | None, typer.Option(help="folder for planner.json, planner.md and plots")] = None,
    free: Annotated[bool, typer.Option(help="also decode without the grammar")] = False,
    unseen: bool = True,
    calibrate: Annotated[bool, typer.Option(help="fit the confidence and store it with the checkpoint")] = False,
) -> None:
    """Evaluate a planner checkpoint."""
    with open_engine(model) as engine:
        calibrations = None
        if calibrate:
            from .calibrate import fit_all

            calibrations = fit_all(engine, familiar_cases(limit or 600), unfamiliar_sets())
            calibrations.save(engine.model.tokenizer.folder)  # type: ignore[union-attr]
            typer.echo(f"{calibrations}")
        sets = builtin_sets(limit) + (unseen_sets(limit) + installed_sets(limit) if unseen else [])
        results = evaluate(engine, sets, typer.echo, calibrations)
        if free:
            part = builtin_sets(limit)[0]
            part.name = "without grammar"
            results |= evaluate(engine, [part], typer.echo, calibrations, constrained=False)
    typer.echo(report.markdown(model, results))
    if out is not None:
        report.write(out, model, results)
        typer.echo(f"written to {out}")


if __name__ == "__main__":
    typer.run(main)
