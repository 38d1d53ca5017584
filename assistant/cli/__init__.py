"""The command line: `assistant …`.

Nothing heavy is imported before a command needs it: `assistant --help` answers at once. Files: local.py opens the parts
of an assistant in this process · run.py, ask.py errands · plugins.py tools, approvals, secrets · history.py ·
service.py the HTTP API · demo.py the demo · display.py what an errand looks like on a terminal · exits.py exit codes.
"""

from __future__ import annotations

import asyncio
import importlib
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Any

import typer

from . import exits

COMMANDS = "assistant.commands"
AsJson = Annotated[bool, typer.Option("--json", help="print JSON for programs on stdout, nothing else")]
Approve = Annotated[bool, typer.Option("--approve", help="send and delete without asking")]
Session = Annotated[str, typer.Option(help="follow-ups (“send it to Bob too”) refer to errands of the same session")]

app = typer.Typer(
    help="A voice assistant on your own machine that carries out errands.", epilog=exits.TABLE,
    no_args_is_help=True, rich_markup_mode="rich", pretty_exceptions_enable=False,
)  # fmt: skip
tools = typer.Typer(help="The installed tools, and what their plugins may do.", invoke_without_command=True)
evaluate = typer.Typer(help="Measure the shipped models.", no_args_is_help=True)
train = typer.Typer(help="Train the planner.", no_args_is_help=True)
app.add_typer(tools, name="tools")
app.add_typer(evaluate, name="eval")
app.add_typer(train, name="train")


@app.callback()
def root(
    context: typer.Context,
    home: Annotated[Path | None, typer.Option(help="data folder; default $ASSISTANT_HOME")] = None,
    version: Annotated[bool, typer.Option("--version", help="say which version this is", is_eager=True)] = False,
) -> None:
    """Settings come from config.toml in the data folder, ASSISTANT_… in the environment, and options; later wins."""
    if version:
        from importlib.metadata import version as installed

        typer.echo(installed("voice-errands"))
        raise typer.Exit
    context.meta["home"] = home
    name = context.invoked_subcommand or ""
    if name in mounted:
        from .local import confined

        context.obj = lambda *args: confined(_settings(context), name)(*args)


@app.command()
def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="where to listen; default 127.0.0.1, this machine alone")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="default 8080")] = None,
) -> None:
    """Serve the page and the API."""
    from server.serve import StartError
    from server.serve import serve as run_server
    from server.token import TokenError

    settings = _settings(context, host=host, port=port)
    try:
        run_server(settings)
    except (OSError, StartError, TokenError) as error:
        exits.leave(str(error), exits.UNAVAILABLE)


@app.command(epilog=exits.TABLE)
def run(
    context: typer.Context,
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="JSON file with the plan; - reads stdin")],
    approve: Approve = False,
    as_json: AsJson = False,
    session: Session = "default",
) -> None:
    """Carry out an errand that is given as a plan."""
    from .run import read_plan, run_plan

    _end(run_plan(_settings(context), read_plan(plan), approve, as_json, session))


@app.command(epilog=exits.TABLE)
def ask(
    context: typer.Context,
    text: Annotated[str, typer.Argument(help="what to do, in your words")],
    approve: Approve = False,
    plan_only: Annotated[bool, typer.Option("--plan-only", help="make the plan, do not carry it out")] = False,
    session: Annotated[str | None, typer.Option(help="follow-ups refer to what was done in the same session")] = None,
    url: Annotated[str | None, typer.Option(help="a running service; default the one of the data folder")] = None,
    as_json: AsJson = False,
) -> None:
    """Carry out an errand that is given in words, through the running service if there is one."""
    from .ask import ask_assistant

    fields = {"approve": approve, "plan_only": plan_only, "session": session}
    _end(ask_assistant(_settings(context), text, as_json, url, **fields))


@app.command(epilog=exits.TABLE)
def listen(
    context: typer.Context,
    file: Annotated[
        list[Path] | None, typer.Option(help="a recording instead of the microphone; may be repeated")
    ] = None,
    device: Annotated[str | None, typer.Option(help="microphone, by number or name: python -m sounddevice")] = None,
    push_to_talk: Annotated[bool, typer.Option("--push-to-talk", help="Enter begins and ends an utterance")] = False,
    once: Annotated[bool, typer.Option("--once", help="end after one command")] = False,
    speak: Annotated[bool, typer.Option("--speak", help="read replies aloud (needs espeak-ng)")] = False,
) -> None:
    """Talk to the assistant at this machine's microphone, and watch it work."""
    settings = _settings(context)
    from assistant.listen import Options, run

    named = int(device) if device and device.isdecimal() else device
    _end(run(settings, Options(tuple(file or ()), named, push_to_talk, once, speak)))


@app.command()
def history(
    context: typer.Context,
    limit: Annotated[int, typer.Option("--limit", "-n", min=1, help="how many errands")] = 20,
    session: Annotated[str | None, typer.Option(help="only this session's")] = None,
    as_json: AsJson = False,
) -> None:
    """Past errands, newest first, with what left the machine."""
    from .history import show

    show(_settings(context), limit, session, as_json)


@app.command(epilog="Exit code 1 when something that the assistant needs does not work.")
def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Check what this machine can do; each problem comes with the line that mends it."""
    from assistant.doctor import examine, show

    checks = examine(_settings(context))
    raise typer.Exit(show(checks, as_json))


@tools.callback()
def list_tools(context: typer.Context, as_json: AsJson = False) -> None:
    """List the installed tools."""
    if context.invoked_subcommand is None:
        from .plugins import show

        show(_settings(context), as_json)


@tools.command("approve")
def approve_plugin(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="the plugin: the part of its tools' names before the dot")],
    yes: Annotated[bool, typer.Option("--yes", help="do not ask")] = False,
) -> None:
    """Show what a plugin asks for, and allow it."""
    from .plugins import approve

    approve(_settings(context), name, yes)


@tools.command()
def secrets(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="the plugin: the part of its tools' names before the dot")],
) -> None:
    """Store the secrets that a plugin declares; they are asked for, or read from stdin as lines NAME=value."""
    from .plugins import store_secrets

    store_secrets(_settings(context), name)


@app.command("demo-library")
def demo_library(folder: Annotated[Path, typer.Argument(help="a new folder")]) -> None:
    """Draw a small photo library with real metadata, and contacts, for machines without photos."""
    from assistant.demo import draw

    try:
        photos = draw(folder)
    except OSError as error:
        exits.leave(str(error), exits.USAGE)
    typer.echo(f"{len(photos)} photos are in {folder}. Use them with:")
    typer.echo(f"  export ASSISTANT_PHOTOS={folder.absolute()} ASSISTANT_CONTACTS={folder.absolute() / 'contacts'}")


@app.command()
def demo(
    context: typer.Context,
    once: Annotated[
        bool, typer.Option("--once", help="end after the errand; exit code 0 if the GIF was delivered")
    ] = False,
) -> None:
    """Draw a photo library, start the service, speak a recorded errand to it, and show what came of it.

    Everything lies in ./.demo, or in $ASSISTANT_HOME if that is set.
    """
    import os

    from assistant.config import absolute

    from .demo import demo as run_demo

    home = context.meta.get("home") or os.environ.get("ASSISTANT_HOME") or ".demo"
    raise typer.Exit(run_demo(absolute(home), once))


def _pass_on(group: typer.Typer, name: str, module: str, about: str) -> None:
    """Add a command whose options are those of `module.main`, which is imported only when it is called."""

    @group.command(
        name, help=about, add_help_option=False,
        context_settings={"allow_extra_args": True, "ignore_unknown_options": True},
    )  # fmt: skip
    def command(context: typer.Context) -> None:
        inner = typer.Typer(pretty_exceptions_enable=False)
        inner.command(help=about)(importlib.import_module(module).main)
        inner(args=context.args, prog_name=context.command_path)


_pass_on(evaluate, "planner", "assistant.training.evaluate", "Measure a planner checkpoint on the evaluation sets.")
_pass_on(train, "planner", "assistant.training.loop", "Train a planner from nothing.")
_pass_on(train, "export", "assistant.training.export", "Write a trained planner as a checkpoint.")


@train.command()
def adapt(
    context: typer.Context,
    to: Annotated[Path, typer.Option(help="folder for the new checkpoint; set ASSISTANT_MODEL to it")],
    steps: Annotated[
        int | None, typer.Option(min=1, help="training steps; what ten minutes allow if not given")
    ] = None,
) -> None:
    """Adapt the planner to the plugins that are installed here."""
    from .plugins import adapt_planner

    adapt_planner(_settings(context), to, steps)


def _settings(context: typer.Context, **flags: Any) -> Any:
    from .local import settings

    return settings(home=context.meta.get("home"), **flags)


def _end(work: Any) -> None:
    """Run a command's coroutine and end with its exit code."""
    try:
        code = asyncio.run(work)
    except KeyboardInterrupt:
        code = exits.CANCELLED
    raise typer.Exit(code)


def _mount() -> list[str]:
    """Commands that our own tools bring along. A third party's would run here unconfined, so they are left out."""
    from assistant.plugin.registry import OWN_DISTRIBUTION

    found = []
    for entry in entry_points(group=COMMANDS):
        if entry.dist is not None and entry.dist.name == OWN_DISTRIBUTION and entry.name not in found:
            app.add_typer(entry.load(), name=entry.name)
            found.append(entry.name)
    return found


mounted = _mount()


def main() -> None:
    """The console script."""
    if hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal that is not UTF-8 is no reason to crash
    app(prog_name="assistant")
