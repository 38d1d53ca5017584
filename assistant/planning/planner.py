"""Utterance + tools → typed plan.

The prompt is static but for the user's words, so the engine's prefix cache serves it; decoding follows the grammar of
the installed tools; the result is checked once more by `plugin.plan.check`, which alone says what a valid plan is.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

from assistant.llm import Engine, Request, Result
from assistant.plugin.plan import Plan, PlanError, Step, check
from assistant.plugin.signature import Parameter, ToolSpec

from . import confidence, plantext, prompt, questions, reading, search
from .confidence import Calibrations
from .grammar import PlanConstraint, PlanGrammar
from .names import read_names
from .planned import Earlier, Planned, PlanningError, Question, Usage
from .reading import Place
from .retrieval import Retrieval
from .spelling import Spelled
from .text import Folded, fold, folds, normaliser

MOST_TOOLS = 12  # in one prompt
BESIDE = 6  # so many others may stand behind the familiar ones, if these fill more than half of that
MOST_TOKENS = 1024  # of one plan
_KEPT = 64  # grammars of tool sets


@dataclass(frozen=True)
class Draft:
    """A plan to be: the request for the engine (None when there is nothing to plan) and what reads its result."""

    planned: Planned
    grammar: PlanGrammar
    folded: tuple[Folded, ...]
    request: Request | None
    earlier: Earlier | None = None
    asks: bool = True  # whether it may ask for what an installed tool could make

    def constraint(self) -> PlanConstraint:
        """What the plan must follow, from its beginning."""
        return self.grammar.start(self.folded, self.planned.previous, self.asks)


class Planner:
    """Plans for one set of installed tools; safe to call from several threads.

    engine: serves the planner's checkpoint, which has a tokenizer with a chat template. threshold: plans whose
    confidence is below are asked about; None takes the checkpoint's own. `tools` has those first that the checkpoint
    was trained on, always in the same order, so that plugins change nothing about them. Raises AmbiguousName when two
    tools cannot be told apart.
    """

    def __init__(self, engine: Engine, tools: Mapping[str, ToolSpec], *, calibrations: Calibrations | None = None,
                 threshold: float | None = None) -> None:  # fmt: skip
        if engine.model.tokenizer is None:
            raise PlanningError("the planner's checkpoint has no tokenizer.json; choose another one (ASSISTANT_MODEL)")
        self.engine = engine
        self.tokenizer = engine.model.tokenizer
        self.calibrations = calibrations or Calibrations.load(self.tokenizer.folder)
        familiar = [name for name in tools if name in self.calibrations.tools]
        self._familiar = familiar if len(familiar) <= MOST_TOOLS else []
        self.tools = {name: tools[name] for name in dict.fromkeys([*self._familiar, *tools])}
        self.threshold = threshold
        # what uncalibrated confidence is worth nobody knows, and each order of the tools may cost a large model seconds
        fitted = None not in (self.calibrations.familiar.bias, self.calibrations.unfamiliar.bias)
        self._orders = search.ORDERS if fitted else 1
        self.spelled = folds(self.tokenizer)
        self._normalise = normaliser(self.tokenizer)
        self._sets: OrderedDict[tuple[str, ...], PlanGrammar] = OrderedDict()
        self._lock = threading.Lock()
        self._most = max(MOST_TOOLS, len(self._familiar) + BESIDE)
        self._all = read_names(self.tools.values(), self._normalise, self.spelled, self.tokenizer.special_tokens)
        self._spelled = Spelled.of(self.tools.values()) if self.spelled else None
        self._retrieval = Retrieval(self.tools) if len(self.tools) > self._most else None

    def warm_up(self) -> None:
        """Compile the engine's shapes and prefill the static part of the prompt. Call before the first plan."""
        self.engine.warm_up()
        shown = tuple(self._familiar if self._retrieval else self.tools)
        if shown:
            for n, names in enumerate([shown, *([] if self._retrieval else self._other_orders(shown))]):
                tools = self._grammar(names).tools
                self.engine.add_prefix(f"tools {n}", prompt.shared(self.tokenizer, list(tools.values())))

    # -- planning --------------------------------------------------------------------------------------------------

    def plan(self, text: str, history: Sequence[Earlier] = ()) -> Planned:
        """The plan for what the user said; `history` are the session's errands, oldest first (the last one counts).

        Raises PlanningError when the text does not fit the model.
        """
        begun = time.perf_counter()
        draft = self.draft(text, history)
        if draft.request is None:
            return draft.planned
        try:
            result = self.engine.generate(draft.request)
        except ValueError as error:
            raise PlanningError(f"this is too long for the planner's model: {error}; say it in fewer words") from error
        planned = self.settled(draft, result)
        return replace(planned, usage=replace(planned.usage, seconds=time.perf_counter() - begun))

    def draft(self, text: str, history: Sequence[Earlier] = ()) -> Draft:
        """What the engine must generate for a plan; `read` makes the plan of its result."""
        earlier = history[-1] if history else None
        said = (text, *((earlier.text, *earlier.answers) if earlier else ()))
        folded = tuple(self._fold(t) for t in said)
        planned = Planned(text, said=said, previous=earlier.results if earlier else ())
        grammar = self._grammar(self._chosen(text, earlier))
        if not folded[0].has_words:
            return Draft(replace(planned, refused=True, confidence=1.0), grammar, folded, None)
        return self._draft(planned, grammar, folded, earlier)

    def _draft(
        self, planned: Planned, grammar: PlanGrammar, folded: tuple[Folded, ...], earlier: Earlier | None
    ) -> Draft:
        request = Request(
            self._prompt(grammar, folded, earlier),
            constraint=grammar.start(folded, planned.previous),
            stop_tokens=(),  # the constraint wants to see the end, because how sure the model is of it counts
            max_tokens=MOST_TOKENS,
            logprobs=search.MOST,
        )
        return Draft(planned, grammar, folded, request, earlier)

    def settled(self, draft: Draft, result: Result) -> Planned:
        """The checked plan of what the engine generated, after a second look at it. Where that leaves much doubt, the
        one that the orders of the tools agree on best. Raises PlanningError."""
        planned = self.read(draft, self.reconsidered(draft, result))
        if planned.confidence >= search.DOUBT:
            return planned
        orders = self._other_orders(draft.grammar.names)
        drafts = [self._draft(draft.planned, self._grammar(names), draft.folded, draft.earlier) for names in orders]
        streams = [(d, self.engine.submit(d.request)) for d in drafts if d.request]
        plans = [planned]
        for other, stream in streams:
            with suppress(ValueError):  # one that fails (too long) has no vote
                plans.append(self.read(other, self.reconsidered(other, stream.result())))
        return search.agreed(plans)

    def _other_orders(self, names: tuple[str, ...]) -> list[tuple[str, ...]]:
        """Reversed, and the second half first; always the same, so that prompts share their prefixes. Familiar tools
        keep their places before two or more others."""
        first = tuple(name for name in names if name in self._familiar)
        turned = names[len(first) :]
        if len(turned) < 2:
            first, turned = (), names
        half = len(turned) // 2
        orders = dict.fromkeys([turned, turned[::-1], turned[half:] + turned[:half]])
        return [first + order for order in list(orders)[1 : self._orders]]

    def reconsidered(self, draft: Draft, result: Result) -> Result:
        """The likeliest plan among what the engine generated and what it would have with other choices."""
        if draft.request is None:
            return result
        found = search.best(self.engine, draft.request, result, draft.constraint)
        return self._with_makers(draft, found)

    def _with_makers(self, draft: Draft, result: search.Searched) -> search.Searched:
        """The plan in which tools make what `result` would ask the user for, if words of his tell them what ("park me
        near the station" says which space, "make a GIF" no photos) and the model does not find it far less likely."""
        assert draft.request is not None
        try:
            planned = self.read(draft, result)
        except PlanningError:
            return result
        if not any(self._has_makers(draft, planned, place) for place in planned.gaps):
            return result
        strict = replace(draft, asks=False)
        request = replace(draft.request, constraint=strict.constraint())
        again = search.best(self.engine, request, self.engine.generate(request), strict.constraint)
        try:
            other = self.read(strict, again)
        except PlanningError:
            return result.after(again)
        told = not other.refused and all(step.args for step in other.plan.steps)
        better = told and not other.gaps and other.confidence > planned.confidence / 2
        return again.after(result) if better else result.after(again)

    def _has_makers(self, draft: Draft, planned: Planned, place: Place) -> bool:
        spec, p = self._place(planned, place)
        return not p.type.is_value and bool(draft.grammar.makers(p.type, spec))

    def read(self, draft: Draft, result: Result) -> Planned:
        """The checked plan of what the engine generated. Raises PlanningError."""
        if result.finish_reason == "length":
            raise PlanningError("the plan for this became too long; ask for less at once")
        generated, forced = len(result.tokens), sum(token.forced for token in result.tokens)
        if isinstance(result, search.Searched):
            generated, forced = result.generated, result.forced
        usage = Usage(0.0, result.forwards, generated, forced, result.prompt_tokens, result.reused_tokens)
        return self._read(result, draft.grammar, replace(draft.planned, usage=usage), draft.folded)

    def _read(self, result: Result, grammar: PlanGrammar, planned: Planned, folded: Sequence[Folded]) -> Planned:
        ends = set(grammar.ends)
        text = self.tokenizer.decode([t.id for t in result.tokens if t.id not in ends])
        try:
            read = reading.read(text, grammar.tools, folded)
        except (ValueError, KeyError) as error:
            raise PlanningError(f"the model wrote something that is no plan: {error}") from error
        tokens = confidence.by_argument(result.tokens, self.tokenizer, read.lines)
        calibration = self.calibrations.of(read.plan, grammar.names)
        return self._finished(
            replace(
                planned,
                plan=read.plan,
                gaps=read.missing,
                refused=not read.plan.steps,
                confidence=calibration.confidence(confidence.choices(result.tokens)),
                arguments={place: calibration.of_argument(logprobs) for place, logprobs in tokens.items()},
            )
        )

    def _finished(self, planned: Planned) -> Planned:
        """With the gaps that the grammar cannot see, checked, and with the question that comes next."""
        gaps = list(planned.gaps)
        for n, step in enumerate(planned.plan.steps, 1):
            if (place := self._empty(n, step)) and place not in gaps:
                gaps.append(place)
        planned = replace(planned, gaps=tuple(sorted(gaps, key=lambda place: place[0])))
        try:
            self._check(planned)
        except PlanError as error:
            raise PlanningError(f"the plan does not hold: {error}") from error
        question = None
        threshold = self.calibrations.of(planned.plan).threshold if self.threshold is None else self.threshold
        if planned.missing:
            question = questions.ask(*self._place(planned, planned.missing))
        elif not planned.refused and planned.confidence < threshold:
            question = questions.read_back(planned.plan, self.tools)
        return replace(planned, question=question)

    def _empty(self, n: int, step: Step) -> Place | None:
        """Something that leaves the machine needs content: the argument to ask for when it has none."""
        spec = self.tools[step.tool]
        content = [p for p in spec.parameters if not p.required and (p.type.name == "Spoken" or not p.type.is_value)]
        words = [p for p in content if p.type.name == "Spoken"]
        if spec.effect != "send" or not words or any(step.args.get(p.name) for p in content):
            return None
        return n, words[0].name

    def _check(self, planned: Planned) -> None:
        """The plan is valid but for its gaps: required arguments that are missing are filled for the check alone."""
        places = set(planned.gaps)
        tools = {
            step.tool: replace(spec, parameters=tuple(_optional(p) for p in spec.parameters))
            for n, step in enumerate(planned.plan.steps, 1)
            if any(place[0] == n for place in places)
            for spec in [self.tools[step.tool]]
        }
        check(planned.plan, {**self.tools, **tools}, previous=planned.previous, said=planned.said)
        for n, step in enumerate(planned.plan.steps, 1):
            for p in self.tools[step.tool].parameters:
                if p.required and p.name not in step.args and (n, p.name) not in places:
                    raise PlanError(f"step {n}", f"{step.tool} lacks its required argument {p.name!r}")

    # -- answers ---------------------------------------------------------------------------------------------------

    def complete(self, planned: Planned, answer: str) -> Planned:
        """The plan with its missing argument taken from the answer; the question is then the next one, if any, or the
        same one again when the answer does not give it. An answer that names results ("my last five photos") is planned
        itself, and its steps go before."""
        place = planned.missing
        if place is None:
            raise PlanningError("nothing is missing in this plan")
        spec, p = self._place(planned, place)
        if not (p.type.item or p.type).is_value:
            return self._with_steps(planned, place, p, answer)
        try:
            value = questions.interpret(answer, spec, p)
        except questions.Unanswered as error:
            return replace(planned, question=replace(questions.ask(spec, p), text=str(error)))
        steps = list(planned.plan.steps)
        steps[place[0] - 1] = Step(spec.name, _ordered(spec, {**steps[place[0] - 1].args, p.name: value}))
        done = replace(planned, plan=Plan(tuple(steps)), gaps=planned.gaps[1:], said=(*planned.said, answer))
        return self._finished(replace(done, arguments={**planned.arguments, place: 1.0}))

    def _with_steps(self, planned: Planned, place: Place, p: Parameter, answer: str) -> Planned:
        first = self.plan(answer)
        makers = [n for n, s in enumerate(first.plan.steps, 1) if p.type.takes(self.tools[s.tool].returns)]
        if not makers or first.gaps:
            spec, _ = self._place(planned, place)
            text = f"I did not find that. {questions.ask(spec, p).text}"
            return replace(planned, question=Question("missing", text))
        before = first.plan.steps[: makers[-1]]
        moved = [
            step.mapped(self.tools[step.tool], lambda r: r if r.previous else replace(r, step=r.step + len(before)))
            for step in planned.plan.steps
        ]
        index = place[0] - 1
        value = f"${len(before)}" if p.required or not p.type.item else [f"${len(before)}"]
        spec = self.tools[moved[index].tool]
        moved[index] = Step(spec.name, _ordered(spec, {**moved[index].args, p.name: value}))
        gaps = tuple((n + len(before), name) for n, name in planned.gaps[1:])
        arguments = {(n + len(before), name): c for (n, name), c in planned.arguments.items()}
        done = replace(planned, plan=Plan((*before, *moved)), gaps=gaps, said=(*planned.said, answer))
        return self._finished(replace(done, arguments={**arguments, **first.arguments},
                                      confidence=min(planned.confidence, first.confidence)))  # fmt: skip

    def _place(self, planned: Planned, place: Place) -> tuple[ToolSpec, Parameter]:
        spec = self.tools[planned.plan.steps[place[0] - 1].tool]
        return spec, spec.by_name[place[1]]

    # -- the prompt ------------------------------------------------------------------------------------------------

    def _fold(self, text: str) -> Folded:
        return fold(text, self._normalise, self.tokenizer.special_tokens, self.tokenizer.encode)

    def _chosen(self, text: str, earlier: Earlier | None) -> tuple[str, ...]:
        if self._retrieval is None:
            return tuple(self.tools)
        used = [step.tool for step in earlier.plan.steps] if earlier else []
        keep = (*self._familiar, *used)
        return tuple(self._retrieval.choose(text, self._most, keep, earlier.results if earlier else ()))

    def _grammar(self, names: tuple[str, ...]) -> PlanGrammar:
        with self._lock:
            if names not in self._sets:
                model = self.engine.model
                written = {tool.spec.name: (written, tool) for written, tool in self._all.items()}
                tools = dict(written[name] for name in names)
                self._sets[names] = PlanGrammar(model.grammars, self.tokenizer, tools, tuple(sorted(model.stop_tokens)))
                if len(self._sets) > _KEPT:
                    self._sets.popitem(last=False)
            self._sets.move_to_end(names)
            return self._sets[names]

    def _prompt(self, grammar: PlanGrammar, folded: Sequence[Folded], earlier: Earlier | None) -> list[int]:
        before = None
        if earlier is not None:
            said = self._fold(earlier.shown) if earlier.shown else folded[1]
            before = said.text, self._fold_lines(self._written(earlier.plan))
        return prompt.render(self.tokenizer, list(grammar.tools.values()), folded[0].text, before)

    def _written(self, plan: Plan) -> str:
        """A past plan as the model would have written it; steps of tools that are gone are left out."""
        plan = Plan(tuple(step for step in plan.steps if step.tool in self.tools))
        if self._spelled is None:
            return plantext.write(plan, self.tools)
        return plantext.write(self._spelled.write(plan), self._spelled.tools)

    def _fold_lines(self, text: str) -> str:
        """As `_fold`, keeping the lines and the spaces before them."""
        return "".join(
            line[: len(line) - len(line.lstrip())] + self._fold(line).text + "\n" for line in text.splitlines()
        )


def _optional(p: Parameter) -> Parameter:
    return replace(p, required=False)


def _ordered(spec: ToolSpec, args: dict[str, Any]) -> dict[str, Any]:
    return {p.name: args[p.name] for p in spec.parameters if p.name in args}
