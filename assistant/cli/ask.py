"""`assistant ask`: the whole way from words to the reply, through a running service or in this process."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NamedTuple

import httpx
from rich.console import Console
from rich.text import Text

from assistant.config import Settings

from . import exits
from .display import Display, ask, interactive, reply
from .local import service_runs
from .run import in_thread
from .service import Local, Service, ServiceError, service_at


async def ask_assistant(settings: Settings, text: str, as_json: bool, url: str | None, **fields: Any) -> int:
    """Give a command and follow it to its end; the exit code."""
    from assistant.command import CommandError
    from assistant.execution.errand import AnswerError

    console = Console(stderr=as_json)
    assistant = await connect(settings, url)
    try:
        command = await assistant.command(text=text, **{k: v for k, v in fields.items() if v is not None})
        command, unanswered, effects = await follow(assistant, command["id"], console, quiet=as_json)
    except httpx.TransportError as error:
        exits.leave(f"the service does not answer ({error}); is it still running?", exits.UNAVAILABLE)
    except (ServiceError, CommandError, AnswerError) as error:
        exits.leave(str(error), exits.USAGE)
    finally:
        await assistant.aclose()
    if as_json:
        print(json.dumps({**command, "question": unanswered or command["question"]}, ensure_ascii=False))
    else:
        reply(console, command["status"], command["reply"])
    if unanswered:
        exits.leave(f"{unanswered['text']} Nobody is here to answer.", exits.UNANSWERED)
    return exits.of(command["status"], effects.values())


async def connect(settings: Settings, url: str | None) -> Service | Local:
    """The service when one works with the data folder (or is named), else an assistant of our own."""
    if url or service_runs(settings.home):
        return service_at(settings, url)
    from assistant.assistant import Assistant
    from assistant.execution.sandbox import SandboxError

    assistant = Assistant(settings)
    try:
        await assistant.start()
    except (OSError, RuntimeError, ValueError, SandboxError) as error:
        exits.leave(f"{error} (`assistant doctor` says more)", exits.UNAVAILABLE)
    return Local(assistant)


class Followed(NamedTuple):
    """A command that has ended, the question that nobody answered, and the last state of each effect."""

    command: dict[str, Any]
    unanswered: dict[str, Any] | None
    effects: dict[str, str]


async def follow(assistant: Service | Local, id: str, console: Console, quiet: bool, answer: Any = None) -> Followed:
    """Show a command until it has ended. Ctrl-C cancels it.

    answer: gives the answer to a question (JSON → JSON) instead of the user.
    """
    unanswered: dict[str, Any] | None = None
    effects: dict[str, str] = {}
    with Display(console, quiet) as display:
        try:
            async for type_, data in assistant.events(id):
                _tell(display, console, quiet, type_, data)
                display.event(type_, data)
                if type_ == "effect":
                    effects[data["id"]] = data["state"]
                if type_ != "question" or not (asked := (await assistant.get(id))["question"]):
                    continue  # a replayed question may be answered already
                display.pause()
                if answer is not None:
                    await assistant.answer(id, answer(asked), asked["text"])
                elif quiet or not interactive():
                    unanswered = asked
                    await assistant.cancel(id)
                else:
                    await _ask(assistant, id, console, asked)
                display.resume()
        except asyncio.CancelledError:
            await assistant.cancel(id)
        return Followed(await assistant.get(id), unanswered, effects)


def _tell(display: Display, console: Console, quiet: bool, type_: str, data: dict[str, Any]) -> None:
    if type_ == "plan":
        display.plan(data)
    elif type_ == "transcript" and not quiet:
        heard = Text.assemble(("heard  ", "dim"), f"“{data['text']}”", (f"  {data['engine']}", "dim"))
        console.print(heard, soft_wrap=True)


async def _ask(assistant: Service | Local, id: str, console: Console, question: dict[str, Any]) -> None:
    from assistant.execution.errand import AnswerError

    while True:
        try:
            await assistant.answer(id, await in_thread(lambda: ask(console, question)), question["text"])
            return
        except (AnswerError, ServiceError) as error:
            console.print(Text(str(error), "yellow"))
        except EOFError:
            await assistant.cancel(id)
            return
