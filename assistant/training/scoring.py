"""When is a plan right? The conventions of the evaluation sets, and the figures over many plans.

Two plans are equal when their steps can be matched one to one with the same tools, the same arguments and references
to matching steps; steps that do not depend on each other may stand in any order. Words are compared without case,
punctuation, and a leading article, possessive or preposition of time and place; a default that is said aloud equals one
that is left out.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from assistant.plugin.plan import Plan, Reference, Step
from assistant.plugin.signature import Parameter, ToolSpec

LEADING = re.compile(r"^(?:(?:a|an|the|my|our|your|his|her|their|on|at|in|to|that|from|of|it'?s) )+")


@dataclass(frozen=True)
class Truth:
    """What a sentence means. `ask` is the argument that must be asked for."""

    plan: Plan
    ask: str | None = None
    category: str = ""


@dataclass(frozen=True)
class Outcome:
    """One sentence: what it means, and what the planner made of it. `error` says why there is no plan at all."""

    say: str
    truth: Truth
    plan: Plan
    asked: tuple[str, ...] = ()
    error: str = ""
    confidence: float = 0.0
    forwards: int = 0
    tokens: int = 0
    forced: int = 0


def words(text: Any) -> str:
    """Words as they are compared."""
    plain = " ".join(re.sub(r"[^\w\s']", " ", str(text).casefold().replace("’", "'")).split())
    return LEADING.sub("", plain.removesuffix("'s")).strip() or plain


def arguments(step: Step, spec: ToolSpec | None) -> dict[str, Any]:
    """A step's arguments in comparable form; defaults are left out, references stand as Reference."""
    out = {}
    for name, value in step.args.items():
        p = spec.by_name.get(name) if spec else None
        values = [_comparable(v, p) for v in (value if isinstance(value, list) else [value])]
        default = p.default if p and not p.required else None
        if value is None or values == [] or (default is not None and values == [_comparable(default, p)]):
            continue
        out[name] = frozenset(values) if p and p.type.item else values[0] if len(values) == 1 else tuple(values)
    return out


def _comparable(value: Any, p: Parameter | None) -> Any:
    reference = Reference.parse(value)
    if reference is not None:
        return reference
    if isinstance(value, bool):
        return value
    if isinstance(value, (int, float)):
        return float(value)
    return str(value) if p and (p.type.item or p.type).choices else words(value)


def same(one: Plan, other: Plan, tools: Mapping[str, ToolSpec]) -> bool:
    """Whether two plans mean the same."""
    if sorted(s.tool for s in one.steps) != sorted(s.tool for s in other.steps):
        return False
    mine = [arguments(s, tools.get(s.tool)) for s in one.steps]
    theirs = [arguments(s, tools.get(s.tool)) for s in other.steps]

    def match(i: int, order: dict[int, int]) -> bool:
        if i == len(mine):
            return True
        for j in range(len(theirs)):
            if j in order.values() or one.steps[i].tool != other.steps[j].tool:
                continue
            if _moved(mine[i], order) == theirs[j] and match(i + 1, {**order, i + 1: j}):
                return True
        return False

    return match(0, {})


def _moved(args: dict[str, Any], order: dict[int, int]) -> dict[str, Any]:
    """References in terms of the other plan's steps; `order`: my step (from 1) → the other's (from 0)."""

    def moved(value: Any) -> Any:
        if isinstance(value, Reference) and not value.previous:
            return Reference(order[value.step] + 1, value.field) if value.step in order else None
        return value

    return {
        name: frozenset(map(moved, v)) if isinstance(v, frozenset)
        else tuple(map(moved, v)) if isinstance(v, tuple) else moved(v)
        for name, v in args.items()
    }  # fmt: skip


def exact(outcome: Outcome, tools: Mapping[str, ToolSpec]) -> bool:
    """The right plan, and the right question if one must be asked (and none otherwise)."""
    truth = outcome.truth
    if outcome.error or ((truth.ask is not None) != bool(outcome.asked)):
        return False
    if truth.ask is not None and truth.ask not in outcome.asked:
        return False
    return same(outcome.plan, truth.plan, tools)


def facts(plan: Plan, tools: Mapping[str, ToolSpec]) -> Counter[tuple]:
    """(tool, argument, value) of every argument, for F1; a reference counts as the tool that it refers to."""
    found: Counter[tuple] = Counter()
    for step in plan.steps:
        for name, value in arguments(step, tools.get(step.tool)).items():
            for v in value if isinstance(value, (frozenset, tuple)) else [value]:
                if isinstance(v, Reference) and not v.previous and v.step <= len(plan.steps):
                    v = ("result of", plan.steps[v.step - 1].tool)
                found[step.tool, name, v] += 1
    return found


def figures(outcomes: Sequence[Outcome], tools: Mapping[str, ToolSpec]) -> dict[str, Any]:
    """Everything that is measured over a set of outcomes."""
    if not outcomes:
        return {"sentences": 0}
    right = [exact(o, tools) for o in outcomes]
    sequence = [not o.error and Counter(s.tool for s in o.plan.steps) == Counter(s.tool for s in o.truth.plan.steps)
                for o in outcomes]  # fmt: skip
    common = mine = wanted = 0
    for o in outcomes:
        have, want = facts(o.plan, tools), facts(o.truth.plan, tools)
        common, mine, wanted = common + (have & want).total(), mine + have.total(), wanted + want.total()
    refused = [not o.plan.steps and not o.error for o in outcomes]
    meant = [not o.truth.plan.steps for o in outcomes]
    return {
        "sentences": len(outcomes),
        "exact": _share(right),
        "tools": _share(sequence),
        "argument_f1": round(2 * common / max(1, mine + wanted), 4),
        "refusal": precision_recall(refused, meant),
        "question": precision_recall([bool(o.asked) for o in outcomes], [o.truth.ask is not None for o in outcomes]),
        "wrongly_refused": round(
            sum(r and not m for r, m in zip(refused, meant, strict=True)) / max(1, len(meant) - sum(meant)), 4
        ),
        "errors": sum(bool(o.error) for o in outcomes),
        "forwards": round(sum(o.forwards for o in outcomes) / len(outcomes), 2),
        "forwards_without_jumps": round(sum(o.tokens for o in outcomes) / len(outcomes), 2),
    }


def precision_recall(said: Iterable[bool], meant: Iterable[bool]) -> dict[str, float | int]:
    """Precision and recall (1 where there is nothing to be right about), and how many there are."""
    pairs = list(zip(said, meant, strict=True))
    hit = sum(s and m for s, m in pairs)
    claimed, there = sum(s for s, _ in pairs), sum(m for _, m in pairs)
    return {
        "precision": round(hit / claimed, 4) if claimed else 1.0,
        "recall": round(hit / there, 4) if there else 1.0,
        "count": there,
    }


def _share(values: Sequence[bool]) -> float:
    return round(sum(values) / len(values), 4)


def confusions(outcomes: Iterable[Outcome], tools: Mapping[str, ToolSpec]) -> Counter[str]:
    """What went wrong, by kind: the first difference of each wrong plan."""
    return Counter(difference(o, tools) for o in outcomes if not exact(o, tools))


def difference(o: Outcome, tools: Mapping[str, ToolSpec]) -> str:
    """In what an outcome first differs from the truth."""
    if o.error:
        return "no plan"
    want, have = o.truth.plan.steps, o.plan.steps
    if not want or not have:
        return "refused" if want else "not refused"
    if o.truth.ask and not o.asked:
        return f"not asked: {o.truth.ask}"
    if o.asked and not o.truth.ask:
        return f"asked needlessly: {o.asked[0]}"
    lacking = Counter(s.tool for s in want) - Counter(s.tool for s in have)
    extra = Counter(s.tool for s in have) - Counter(s.tool for s in want)
    if lacking or extra:
        return f"tool: {'+'.join(sorted(lacking)) or '-'} → {'+'.join(sorted(extra)) or '-'}"
    for fact in facts(o.truth.plan, tools) - facts(o.plan, tools):
        return f"argument: {fact[0]} {fact[1]}"
    for fact in facts(o.plan, tools) - facts(o.truth.plan, tools):
        return f"needless argument: {fact[0]} {fact[1]}"
    return "reference" if not o.truth.ask else "question"
