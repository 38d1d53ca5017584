"""`assistant run`: an errand given as a plan, carried out in this process."""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from rich.console import Console
from rich.text import Text

from assistant.config import Settings
from assistant.plugin.plan import Plan, PlanError

from . import exits
from .display import Display, ask, interactive, reply
from .local import open_executor

if TYPE_CHECKING:
    from assistant.execution.errand import ErrandRequest, ErrandState
    from assistant.execution.executor import Executor

T = TypeVar("T")


def read_plan(file: str) -> Plan:
    """A plan from a JSON file, or from stdin when the name is "-"; ends the command when it is none."""
    try:
        text = sys.stdin.read() if file == "-" else Path(file).read_text("utf-8")
        return Plan.from_json(json.loads(text))
    except OSError as error:
        exits.leave(f"{file}: {error.strerror}", exits.USAGE)
    except UnicodeDecodeError:
        exits.leave(f"{file}: not a text in UTF-8", exits.USAGE)
    except json.JSONDecodeError as error:
        exits.leave(f"{file}, line {error.lineno}, column {error.colno}: {error.msg}", exits.USAGE)
    except (PlanError, RecursionError) as error:
        exits.leave(f"{file}: {error}", exits.USAGE)


async def run_plan(settings: Settings, plan: Plan, approve: bool, as_json: bool, session: str) -> int:
    """Carry out a plan; the exit code."""
    from assistant.execution.errand import ErrandRequest

    console = Console(stderr=as_json)
    async with open_executor(settings) as executor:
        request = ErrandRequest(plan, session=session, approve=approve)
        try:
            state, unanswered = await carry_out(executor, request, console, quiet=as_json)
        except PlanError as error:
            exits.leave(str(error), exits.USAGE)
    if as_json:
        asked = unanswered or state.question
        print(json.dumps({**state.to_json(), "question": asked.to_json() if asked else None}, ensure_ascii=False))
    else:
        reply(console, state.status, state.reply)
    if unanswered:
        exits.leave(f"{unanswered.text} Nobody is here to answer; run it again with --approve.", exits.UNANSWERED)
    return exits.of(state.status, [e.state for e in state.effects])


async def carry_out(
    executor: Executor, request: ErrandRequest, console: Console, quiet: bool
) -> tuple[ErrandState, Any]:
    """Submit and follow an errand; its last state, and the question that nobody answered. Ctrl-C cancels it."""
    state, unanswered = await executor.submit(request), None
    with Display(console, quiet) as display:
        display.plan(state.plan.to_json())
        try:
            async for event in executor.events(state.id):
                display.event(event.type, event.data)
                # A replayed question may be answered already.
                if event.type == "question" and (question := (await executor.state(state.id)).question):
                    display.pause()
                    if quiet or not interactive():
                        unanswered = question
                        await executor.cancel(state.id)
                        continue
                    await _answer(executor, state.id, console, event.data)
                    display.resume()
        except asyncio.CancelledError:
            await executor.cancel(state.id)
    return await executor.state(state.id), unanswered


async def _answer(executor: Executor, id: str, console: Console, question: dict[str, Any]) -> None:
    from assistant.execution.errand import AnswerError

    while True:
        try:
            await executor.answer(id, **await in_thread(lambda: ask(console, question)), asked=question["text"])
            return
        except AnswerError as error:
            console.print(Text(str(error), "yellow"))
        except EOFError:
            await executor.cancel(id)
            return


async def in_thread(function: Callable[[], T]) -> T:
    """Wait for a function that may block for good: its thread does not keep the program alive after Ctrl-C."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def settle(result: T | None, error: BaseException | None) -> None:
        if not future.cancelled():
            future.set_exception(error) if error else future.set_result(result)  # type: ignore[arg-type]

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as problem:
            error = problem
        with contextlib.suppress(RuntimeError):  # the loop is closed
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, daemon=True).start()
    return await future
