"""From a command's words to a plan that the executor has, or to the question or refusal that comes instead.

The plan is complete before anything runs, and nothing that a tool returned comes near the planner. What the user said
is put down here and not taken from the planner, so that the check of a plan's words and references holds against a
planner that goes astray.
"""

from __future__ import annotations

import re
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from . import metrics
from .command import ASKING, SUBMITTED, CommandError, UnknownCommand, planned_json, planned_of
from .execution.answers import same, understand
from .execution.errand import FINISHED, AnswerError, ErrandRequest, NotAsked, UnknownErrand, asking
from .execution.words import join
from .planning.planned import Earlier, Planned, PlanningError, Question
from .plugin.plan import Plan, PlanError, Reference, check
from .plugin.signature import Type
from .telemetry import span

if TYPE_CHECKING:
    from .assistant import Assistant
    from .speech.types import Expected

CORRECTION = re.compile(r"\s*(no|nope|actually|wait|sorry|not)\b[\s,.:;–-]+\S", re.IGNORECASE)
TURN_S = 60.0  # a command waits so long for the one before it in its session
FOLLOWS_S = 3600.0  # a command may refer to one that is not older
EXAMPLES = 3


class PlanRefused(CommandError):
    """The planner's plan does not hold."""

    title = "This could not be planned"


class Understanding:
    """Part of an assistant: hears, plans and submits one command at a time."""

    def __init__(self, assistant: Assistant) -> None:
        self._a = assistant

    async def hear(self, row: dict[str, Any]) -> dict[str, Any]:
        """The row with the transcript of its recording. Raises CommandError."""
        last = await self._last(row)
        asked = last["question"]["kind"] if last is not None and last["question"] is not None else None
        expected: Expected = "command" if asked is None else "consent" if asked == "confirm" else "answer"
        begun = time.perf_counter()
        with span("speech", command=row["id"]):
            transcript = await self._a.hearing.transcribe(row["id"], expected=expected)
        seconds = time.perf_counter() - begun
        metrics.STAGE.labels("speech").observe(seconds)
        timings = {**row["timings"], "speech_ms": round(seconds * 1000, 1)}
        told = ("transcript", transcript)
        await self._a._update(row["id"], told, transcript=transcript, text=transcript["text"], timings=timings)
        self._a.hearing.forget(row["id"])
        return {**row, "transcript": transcript, "text": transcript["text"], "timings": timings}

    async def plan(self, row: dict[str, Any]) -> bool:
        """Plan a command; whether its plan is to be submitted now. Raises CommandError."""
        if (await self._a._db(self._a.commands.get, row["id"]))["status"] != "running":
            return False  # cancelled while it waited
        last = await self._last(row)
        # What was said before a question was asked is no answer to it.
        asked = last is not None and last["question"] is not None and last["asked"] <= row["created"]
        waits = last if asked and not row["plan_only"] else None
        if waits is not None and await self._answers(row, waits):
            return False
        corrects = last is not None and self._corrects(row, last)
        if corrects and last is not None:
            last["results"] = last["began"]  # what it has made so far is there, although it waits for consent
        source = await self._source(row, last)
        earlier = self._earlier(source)
        begun = time.perf_counter()
        with span("plan", command=row["id"]):
            planned = await self._planned(row["text"], earlier)
        seconds = time.perf_counter() - begun
        metrics.STAGE.labels("plan").observe(seconds)
        if planned.refused and waits is not None and await self._completes(row, waits):
            return False
        if corrects and waits is not None and _replaces(planned, waits):
            await self._a.cancel(waits["id"])  # "no, to Priya": the message that was asked about does not leave
        timings = {**row["timings"], "plan_ms": round(seconds * 1000, 1)}
        previous = source["id"] if source is not None and source["results"] else None
        return await self._settle(row["id"], planned, row["plan_only"], timings=timings, previous=previous)

    async def submit(self, row: dict[str, Any]) -> None:
        """Give a row's plan to the executor. Raises CommandError."""
        planned = planned_of(row)
        assert planned is not None
        request = ErrandRequest(planned.plan, text=row["text"], session=row["session"], approve=row["approve"],
                                said=planned.said, id=row["id"], previous=row["previous"] or "")  # fmt: skip
        try:
            await self._a.executor.submit(request)
        except PlanError as error:
            raise PlanRefused(f"the plan does not hold: {error}; say it in other words") from error

    async def answer(self, row: dict[str, Any], *, confirm: bool | None, choice: int | None, text: str | None,
                     asked: str | None) -> None:  # fmt: skip
        """The answer to a question that was asked before the errand began. Raises AnswerError."""
        planned, answers = planned_of(row), tuple(row["planned"]["answers"])
        assert planned is not None and planned.question is not None
        question = planned.question
        same(asked, question.text)
        given = understand(question.kind, question.choices, confirm=confirm, choice=choice, text=text)
        if question.kind == "confirm":
            if not given["confirm"]:
                told = (("reply", {"text": "Cancelled."}), ("status", {"status": "cancelled"}))
                if not await self._a._update(row["id"], *told, expect=ASKING, status="cancelled", reply="Cancelled."):
                    raise NotAsked("the question was answered already")
                metrics.ENDED.labels("cancelled").inc()
                return
            planned = replace(planned, question=None)
        else:
            try:
                completed = await self._a._in_planner(self._a.planner.complete, planned, given["text"])
            except PlanningError as error:
                raise AnswerError(str(error)) from error
            planned = self._own(completed, (*planned.said, given["text"]), planned.previous)
            answers = (*answers, given["text"])
        if not await self._a._update(row["id"], expect=ASKING, status="running"):
            raise NotAsked("the question was answered already")
        if await self._settle(row["id"], planned, row["plan_only"], answers):
            self._a._begin(await self._a._db(self._a.commands.get, row["id"]))

    # within

    async def _settle(
        self, id: str, planned: Planned, plan_only: bool, answers: tuple[str, ...] = (), **values: Any
    ) -> bool:
        """Keep what was planned and what follows from it; whether the plan is to be submitted."""
        status = SUBMITTED
        told: list[tuple[str, dict[str, Any]]] = []
        if planned.refused:
            status, values["reply"] = "refused", self.refusal()
        elif planned.question is not None and not (plan_only and planned.question.kind == "confirm"):
            status = asking(planned.question.kind)
        elif plan_only:
            status = "planned"
        if not planned.refused:
            told.append(("plan", {**planned.plan.to_json(), "hash": planned.plan.hash}))
        if status in ASKING and planned.question is not None:
            asked = planned.question
            told.append(("question", {"kind": asked.kind, "text": asked.text, "choices": list(asked.choices)}))
        if "reply" in values:
            told.append(("reply", {"text": values["reply"]}))
        if status != SUBMITTED:
            told.append(("status", {"status": status}))
        kept = {"status": status, "planned": planned_json(planned, answers), **values}
        changed = await self._a._update(id, *told, expect=("running",), **kept)
        if changed and status in ("refused", "planned"):
            metrics.ENDED.labels(status).inc()
        return changed and status == SUBMITTED

    async def _planned(self, text: str, earlier: Earlier | None) -> Planned:
        history = [earlier] if earlier else []
        try:
            planned = await self._a._in_planner(self._a.planner.plan, text, history)
        except PlanningError as error:
            raise PlanRefused(str(error)) from error
        said = (text, *((earlier.text, *earlier.answers) if earlier else ()))
        return self._own(planned, said, earlier.results if earlier else ())

    def _own(self, planned: Planned, said: tuple[str, ...], previous: tuple[Type, ...]) -> Planned:
        """The planner's answer with what only we may say. Raises PlanRefused for a plan that could not run."""
        planned = replace(planned, said=said, previous=previous)
        if planned.refused or not planned.plan.steps:
            return replace(planned, refused=True)
        if not planned.gaps:
            try:
                check(planned.plan, self._a.registry, previous=previous, said=said)
            except PlanError as error:
                raise PlanRefused(f"the plan does not hold: {error}; say it in other words") from error
            if planned.question is not None and planned.question.kind != "confirm":
                return replace(planned, question=None)
        elif planned.question is None:
            name = planned.gaps[0][1]
            return replace(planned, question=Question("missing", f"What is the {name.replace('_', ' ')}?"))
        return planned

    async def _last(self, row: dict[str, Any]) -> dict[str, Any] | None:
        """The command before this one in its session: id, text, answers, plan, question, whether the executor has it
        (`began`) and whether it has results, or would have if it were not only planned."""
        before = await self._a._db(self._a.commands.last, row["session"], row["created"], row["plan_only"])
        if before is None or row["created"] - before["created"] > FOLLOWS_S:
            return None
        now = await self._a.rest(before["id"], TURN_S)
        before = await self._a._db(self._a.commands.get, before["id"])
        if not now.plan.steps:
            return None
        asked = await self._a._db(self._a.executor.store.asked, before["id"]) if now.question else 0.0
        began, only_planned = before["status"] == SUBMITTED, before["status"] == "planned"
        return {
            "id": before["id"], "text": before["text"], "shown": "", "plan": now.plan, "made": len(now.plan.steps),
            "answers": tuple(before["planned"]["answers"]), "question": now.question, "began": began,
            "asked": asked,
            "results": only_planned or (began and now.status in FINISHED), "previous": before["previous"],
        }  # fmt: skip

    def _corrects(self, row: dict[str, Any], last: dict[str, Any]) -> bool:
        """Whether the words go against the consent that the last command waits for ("no, to Priya")."""
        asked = last["question"]
        return asked is not None and asked["kind"] == "confirm" and CORRECTION.match(row["text"]) is not None

    async def _source(self, row: dict[str, Any], last: dict[str, Any] | None) -> dict[str, Any] | None:
        """What a follow-up refers to: the last command; but after one that only passed on what an earlier command had
        made ("now send it to Bob too"), the earlier one, with what came after as part of it."""
        if last is None or last["previous"] is None or not self._passes_on(last):
            return last
        try:
            before = await self._a._db(self._a.commands.get, last["previous"])
            planned = planned_of(before) if before["status"] == "planned" else None
            steps = (planned or await self._a.executor.state(last["previous"])).plan.steps
        except (UnknownCommand, UnknownErrand):
            return last  # forgotten in the meantime
        if row["created"] - before["created"] > FOLLOWS_S:
            return last

        def joined(reference: Reference) -> Reference:
            n = reference.step + (0 if reference.previous else len(steps))
            return replace(reference, step=n, previous=False)

        after = [s.mapped(self._a.registry[s.tool], joined) for s in last["plan"].steps]
        answers = (before["text"], *before["planned"]["answers"], *last["answers"])
        shown = f"{before['text'].rstrip(' .!?')}. {last['text']}"
        return {**last, "id": before["id"], "shown": shown, "plan": Plan((*steps, *after)), "made": len(steps),
                "answers": answers, "results": True}  # fmt: skip

    def _passes_on(self, last: dict[str, Any]) -> bool:
        """Whether a command uses results of the one before and makes nothing that a tool could take. One that waits for
        a missing argument does not: the next words may be that."""
        tools, steps = self._a.registry, last["plan"].steps
        if any(s.tool not in tools for s in steps) or (last["question"] and last["question"]["kind"] != "confirm"):
            return False
        taken = [p.type for spec in tools.values() for p in spec.inputs]
        uses = any(r.previous for s in steps for r in s.references(tools[s.tool]))
        return uses and not any(type_.takes(tools[s.tool].returns) for s in steps for type_ in taken)

    def _earlier(self, source: dict[str, Any] | None) -> Earlier | None:
        if source is None:
            return None
        tools, plan = self._a.registry, source["plan"]
        made = plan.steps[: source["made"]] if source["results"] else ()
        types = tuple(tools[s.tool].returns for s in made if s.tool in tools)
        return Earlier(source["text"], plan, types, source["answers"], source["shown"])

    async def _answers(self, row: dict[str, Any], last: dict[str, Any]) -> bool:
        """Whether the words are plainly the answer to the open question; then they have been given as such."""
        asked = last["question"]
        if asked["kind"] == "missing":
            return False
        try:
            given = understand(asked["kind"], asked["choices"], confirm=None, choice=None, text=row["text"])
        except AnswerError:
            return False
        return "text" not in given and await self._give(row, last)

    async def _completes(self, row: dict[str, Any], last: dict[str, Any]) -> bool:
        """Whether words that are no errand by themselves answer the open question; then they have been given."""
        return last["question"]["kind"] in ("missing", "choose") and await self._give(row, last)

    async def _give(self, row: dict[str, Any], last: dict[str, Any]) -> bool:
        try:
            await self._a.answer(last["id"], text=row["text"], asked=last["question"]["text"], wait=0)
        except AnswerError:
            return False
        await self._a._update(row["id"], expect=("running",), status="continued", continues=last["id"])
        return True

    def refusal(self) -> str:
        """What the assistant can do, from the installed tools, in a sentence or two."""
        tools = self._a.registry
        plugins = list(dict.fromkeys(spec.plugin for spec in tools.values()))
        if not plugins:
            return "I cannot do anything yet: no tools are installed."
        examples = [spec.examples[0] for spec in tools.values() if spec.examples][:: max(1, len(tools) // EXAMPLES)]
        areas = join([{"gif": "GIFs"}.get(p, p) for p in plugins[:12]])
        such = f" Say, for example, {join([f'“{e}”' for e in examples[:EXAMPLES]])}." if examples else ""
        return f"I cannot help with that. I can help with {areas}.{such}"


def _replaces(planned: Planned, waiting: dict[str, Any]) -> bool:
    """Whether a plan does something of the waiting command's anew; "wait, what is Bob's number" does not."""
    return bool({s.tool for s in planned.plan.steps} & {s.tool for s in waiting["plan"].steps})
