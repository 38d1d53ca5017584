"""An evaluation as JSON, as a page to read, and as plots."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from assistant.plugin.signature import ToolSpec

from .scoring import Outcome, confusions, difference, exact, figures

WRONG_SHOWN = 60


def summary(outcomes: Sequence[Outcome], tools: Mapping[str, ToolSpec]) -> dict[str, Any]:
    """All figures of one set: overall, per category, confusions, how good the confidence is, every outcome."""
    categories = sorted({o.truth.category for o in outcomes})
    return {
        "all": figures(outcomes, tools),
        "categories": {c: figures([o for o in outcomes if o.truth.category == c], tools) for c in categories},
        "confusions": dict(confusions(outcomes, tools).most_common(40)),
        "reliability": reliability(outcomes, tools),
        "outcomes": [_outcome(o, tools) for o in outcomes],
    }


def reliability(outcomes: Sequence[Outcome], tools: Mapping[str, ToolSpec], bins: int = 5) -> list[dict[str, float]]:
    """Mean confidence and share of exact plans among plans of similar confidence."""
    ordered = sorted(outcomes, key=lambda o: o.confidence)
    groups = [ordered[len(ordered) * i // bins : len(ordered) * (i + 1) // bins] for i in range(bins)]
    return [
        {
            "confidence": round(sum(o.confidence for o in g) / len(g), 4),
            "exact": round(sum(exact(o, tools) for o in g) / len(g), 4),
            "count": len(g),
        }
        for g in groups
        if g
    ]


def _outcome(o: Outcome, tools: Mapping[str, ToolSpec]) -> dict[str, Any]:
    right = exact(o, tools)
    return {
        "say": o.say,
        "category": o.truth.category,
        "exact": right,
        **({} if right else {"difference": difference(o, tools)}),
        "plan": [[s.tool, s.args] for s in o.plan.steps],
        "truth": [[s.tool, s.args] for s in o.truth.plan.steps],
        "asked": list(o.asked),
        "ask": o.truth.ask,
        **({"error": o.error} if o.error else {}),
        "confidence": round(o.confidence, 4),
    }


def markdown(model: str, results: Mapping[str, Mapping[str, Any]]) -> str:
    """The readable report."""
    lines = [f"# Planner evaluation: {model}", ""]
    head = ["set", "sentences", "exact", "tools", "argument F1", "refused P/R", "wrongly refused", "asked P/R",
            "no plan", "forwards", "without jumps"]  # fmt: skip
    lines += [_row(head), _row(["---"] * len(head))]
    for name, result in results.items():
        lines.append(_row(_cells(name, result["all"])))
        if len(result["categories"]) > 1:
            lines += [_row(_cells(f"– {c}", f)) for c, f in result["categories"].items()]
    for name, result in results.items():
        lines += ["", f"## What went wrong: {name}", ""]
        lines += [f"- {count} × {what}" for what, count in list(result["confusions"].items())[:25]]
        lines += ["", "Confidence against truth: " + ", ".join(
            f"{g['confidence']:.2f} → {g['exact']:.2f}" for g in result["reliability"])]  # fmt: skip
    for name, result in results.items():
        wrong = [o for o in result["outcomes"] if not o["exact"]][:WRONG_SHOWN]
        lines += ["", f"## Wrong plans: {name}", ""]
        for o in wrong:
            lines.append(f"- “{o['say']}” ({o['difference']}, confidence {o['confidence']:.2f})")
            lines.append(f"  - got {_plan(o['plan'])}{_asked(o['asked'])}{' ' + o['error'] if 'error' in o else ''}")
            lines.append(f"  - want {_plan(o['truth'])}{_asked([o['ask']] if o['ask'] else [])}")
    return "\n".join(lines) + "\n"


def _cells(name: str, f: Mapping[str, Any]) -> list[str]:
    refusal, question = f["refusal"], f["question"]
    return [
        name, str(f["sentences"]), f"{f['exact']:.3f}", f"{f['tools']:.3f}", f"{f['argument_f1']:.3f}",
        f"{refusal['precision']:.2f}/{refusal['recall']:.2f}" if refusal["count"] else "–",
        f"{f['wrongly_refused']:.3f}",
        f"{question['precision']:.2f}/{question['recall']:.2f}" if question["count"] else "–",
        str(f["errors"]), f"{f['forwards']:.1f}", f"{f['forwards_without_jumps']:.1f}",
    ]  # fmt: skip


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _plan(steps: Sequence[Sequence[Any]]) -> str:
    calls = (
        f"{tool}({', '.join(f'{k}={json.dumps(v, ensure_ascii=False)}' for k, v in a.items())})" for tool, a in steps
    )
    return "`" + (" · ".join(calls) or "nothing") + "`"


def _asked(asked: Sequence[str]) -> str:
    return f" and asks for {', '.join(asked)}" if asked else ""


def write(folder: Path, model: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """`planner.json`, `planner.md`, `categories.png` and `confidence.png`."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "planner.json").write_text(json.dumps({"model": model, "sets": results}, indent=1, ensure_ascii=False))
    (folder / "planner.md").write_text(markdown(model, results), "utf-8")
    _plots(folder, results)


def _plots(folder: Path, results: Mapping[str, Mapping[str, Any]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    bars = [(f"{name}: {c}" if c else name, f["exact"]) for name, r in results.items()
            for c, f in {"": r["all"], **(r["categories"] if len(r["categories"]) > 1 else {})}.items()]  # fmt: skip
    figure, axes = pyplot.subplots(figsize=(8, 1 + 0.28 * len(bars)))
    axes.barh([label for label, _ in bars], [share for _, share in bars], color="tab:blue")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="share of exact plans", title="Exact plans")
    figure.tight_layout()
    figure.savefig(folder / "categories.png", dpi=120)
    figure, axes = pyplot.subplots(figsize=(5, 5))
    axes.plot([0, 1], [0, 1], color="lightgray")
    for name, result in results.items():
        points = result["reliability"]
        axes.plot([p["confidence"] for p in points], [p["exact"] for p in points], marker="o", label=name)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of exact plans", title="Calibration")
    axes.legend()
    figure.tight_layout()
    figure.savefig(folder / "confidence.png", dpi=120)
    pyplot.close("all")


def curves(log: Sequence[Mapping[str, Any]], file: Path) -> None:
    """A run's loss and its exact plans on the held-out sets, against its steps. log: the lines of `log.jsonl`."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, (above, below) = pyplot.subplots(2, sharex=True, figsize=(8, 7))
    above.plot([line["step"] for line in log], [line["loss"] for line in log], linewidth=0.8)
    above.set(yscale="log", ylabel="loss of a target token", title="Training")
    measured = [line for line in log if "test" in line]
    for name in ("lines", "domains", "test", "unseen"):
        below.plot([m["step"] for m in measured], [m[name] for m in measured], marker=".", label=name)
    below.set(ylim=(0, 1), xlabel="step", ylabel="share of exact plans")
    below.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=120)
    pyplot.close(figure)
