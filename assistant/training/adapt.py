"""Fine-tune the planner on the plugins that are installed here: `assistant train adapt`.

An author's `examples` say how people ask for a tool, not what its arguments are. The planner itself labels them, with
that one tool to choose from, and what it is not sure of is left out. Numbers, choices and words of the user then become
slots, so that an example yields many sentences. Sentences in the words of the signature show every argument. Most of
what is trained on remains the original mixture, so that nothing is forgotten.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from assistant.llm import Engine, Model, load, weights
from assistant.llm import kernels as inference
from assistant.planning.planned import PlanningError
from assistant.planning.planner import Planner
from assistant.planning.spelling import spell
from assistant.plugin.plan import Reference
from assistant.plugin.signature import ToolSpec

from . import kernels
from .curriculum import Curriculum
from .described import described
from .errands import Domain, Template
from .export import save_checkpoint
from .heldout import HeldOut
from .loop import RunSettings, Trainer, continued
from .packs import Encoder
from .sentences import NUMBERS
from .tokenizer import SPECIAL

DESCRIBED = 6  # sentences in a signature's own words, of each tool
SURE = 0.5  # a label with an argument that is less probable is not learned
CARD = """

## Adapted

Fine-tuned for {steps} steps on the examples of {tools}. Exact plans before and after:
{before} → {after}.
"""


class NothingToLearn(ValueError):
    """No installed plugin offers examples that can be used, or the checkpoint is not ours; the message says what to
    do."""


@dataclass(frozen=True)
class Adapted:
    """What an adaptation did: templates learned from, and held-out accuracy before and after."""

    templates: int
    before: dict[str, float]
    after: dict[str, float]
    seconds: float


def label(planner: Planner, tool: ToolSpec) -> list[Template]:
    """The tool's examples as templates; one that the model takes for something else, or is unsure about, is left out.
    An input that the example does not say (a booking, made by another tool) is what the assistant is to ask for."""
    found = []
    for example in tool.examples:
        try:
            planned = planner.plan(example)
        except PlanningError:
            continue
        sure = all(confidence >= SURE for confidence in planned.arguments.values())
        if sure and len(planned.plan.steps) == 1 and len(planned.gaps) <= 1:
            ask = planned.gaps[0][1] if planned.gaps else None
            found.append(template(example, planned.plan.steps[0].args, tool, ask))
    return found


def template(say: str, values: Mapping[str, Any], tool: ToolSpec, ask: str | None = None) -> Template:
    """One labelled example with slots in place of what was said of its arguments."""
    slots: dict[str, tuple[str, ...]] = {}
    args: dict[str, Any] = {}

    def slot(name: str, value: Any, choices: tuple[str, ...], kind: str) -> Any:
        nonlocal say
        said = next((s for s in _sayings(value) if re.search(rf"(?<!\w){re.escape(s)}(?!\w)", say, re.I)), None)
        if said is None or isinstance(value, bool) or Reference.parse(value):
            return value
        say = re.sub(rf"(?<!\w){re.escape(said)}(?!\w)", f"{{{name}:{kind}}}", say, count=1, flags=re.I)
        if choices:
            slots[name] = tuple(spell(c) for c in choices)
        return f"{{{name}}}"

    for name, value in values.items():
        type_ = tool.by_name[name].type
        element = type_.item or type_
        kind = "choice" if element.choices else "int" if element.name == "int" else "spoken"
        if element.name == "float":
            args[name] = value
        elif isinstance(value, list):
            args[name] = [slot(f"{name}{i}", v, element.choices, kind) for i, v in enumerate(value)]
        else:
            args[name] = slot(name, value, element.choices, kind)
    return Template(say, ((tool.name, args),), ask=ask, slots=slots, category="adapted")


def _sayings(value: Any) -> list[str]:
    """How a value may stand in a sentence."""
    if isinstance(value, int) and 0 <= value < len(NUMBERS):
        return [str(value), NUMBERS[value]]
    return [str(value), str(value).replace("_", " ")]


def affordable_steps() -> int:
    """How many steps ten minutes on two cores allow."""
    if not kernels.available():
        return 60
    return 300 if b"amx_bf16" in inference.processor() else 200


def adapt(checkpoint: Path | str, tools: Mapping[str, ToolSpec], to: Path, *, steps: int,
          progress: Callable[[int, int, float], None] | None = None) -> Adapted:  # fmt: skip
    """Fine-tune `checkpoint` on the third-party tools among `tools` and write the result to `to`.

    progress(step, steps, loss) is called after every step. Raises NothingToLearn, and OSError for the folders.
    """
    begun = time.monotonic()
    theirs = {n: t for n, t in tools.items() if t.third_party}
    checkpoint = weights.find(checkpoint)
    model = load(checkpoint)
    if model.tokenizer is None or [model.tokenizer.token_id(name) for name in SPECIAL] != list(range(len(SPECIAL))):
        raise NothingToLearn(
            f"{checkpoint} does not read prompts as this project's planner does, and only that can be adapted; "
            "unset ASSISTANT_MODEL to adapt the shipped one"
        )
    to.mkdir(parents=True, exist_ok=True)  # an impossible place is told before the work
    domains = _domains(model, theirs)
    if not any(t.category == "adapted" for d in domains for t in d.templates):
        raise NothingToLearn(
            "no installed plugin has tools that can be learned; install one (assistant tools lists them)"
        )
    trainer, encoder = _trainer(checkpoint, domains, to, steps)
    heldout = HeldOut(encoder, trainer.config)
    before = heldout.measure(trainer.params)
    for n in range(steps):
        loss, _ = trainer.train_step()
        if progress:
            progress(n + 1, steps, loss)
    after = heldout.measure(trainer.params)
    save_checkpoint(to, trainer.params, trainer.config, encoder.tokenizer)
    _describe(checkpoint, to, theirs, steps, before, after)
    return Adapted(sum(len(d.templates) for d in domains), before, after, time.monotonic() - begun)


def _domains(model: Model, tools: Mapping[str, ToolSpec]) -> list[Domain]:
    """A domain for every plugin: its examples, and sentences in the words of its signatures."""
    rng = Random(0)
    plugins: dict[str, dict[str, ToolSpec]] = {}
    for tool in tools.values():
        plugins.setdefault(tool.plugin, {})[tool.name] = tool
    domains = []
    with Engine(model, slots=1, length=2048) as engine:
        for plugin, theirs in plugins.items():
            found = [t for tool in theirs.values() for t in label(Planner(engine, {tool.name: tool}), tool)]
            for _ in range(DESCRIBED):
                found += [t for tool in theirs.values() if (t := described(tool, theirs.values(), rng, "adapted"))]
            if found:
                domains.append(Domain(plugin, dict(theirs), tuple(found)).spelled())
    return domains


def _trainer(checkpoint: Path, domains: list[Domain], to: Path, steps: int) -> tuple[Trainer, Encoder]:
    from transformers import PreTrainedTokenizerFast

    encoder = Encoder(PreTrainedTokenizerFast.from_pretrained(checkpoint))
    settings, params = continued(checkpoint, RunSettings(steps=steps, warmup=5))
    curriculum = Curriculum(encoder, seed=1, extra=domains)
    return Trainer(to, settings, curriculum=curriculum, start=params), encoder


def _describe(checkpoint: Path, to: Path, tools: Mapping[str, ToolSpec], steps: int, before: dict, after: dict) -> None:
    """The files beside the weights: the original's calibration and card, and what was changed."""
    for name in ("planner.json", "README.md"):
        if (checkpoint / name).exists():
            (to / name).write_text((checkpoint / name).read_text("utf-8"), "utf-8")
    with (to / "README.md").open("a", encoding="utf-8") as file:
        file.write(CARD.format(steps=steps, tools=", ".join(tools), before=json.dumps(before), after=json.dumps(after)))
