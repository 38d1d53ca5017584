"""`assistant photos …`: commands for the library that are not errands.

Whoever mounts this application gives it a runner as `ctx.obj`: it calls a tool function in the sandbox, with this
plugin's folders, and returns the encoded result.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import Annotated, Any, Protocol

import typer

app = typer.Typer(help="The photo library.", no_args_is_help=True)


class Runner(Protocol):
    """Calls `module.function(**args)` confined; `progress(fraction, text)` is called meanwhile."""

    def __call__(
        self, module: str, function: str, args: dict[str, Any], progress: Callable[[float, str], None]
    ) -> dict[str, Any]: ...


@app.callback()
def photos() -> None:
    """Keeps `scan` a command of its own."""


@app.command()
def scan(
    ctx: typer.Context, as_json: Annotated[bool, typer.Option("--json", help="print the report as JSON")] = False
) -> None:
    """Bring the photo index up to date; stop it at any time, the next scan goes on."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn

    console = Console(stderr=True)
    total: Counter[str] = Counter()
    with Progress(TextColumn("{task.description}"), BarColumn(), console=console, disable=as_json) as bar:
        task = bar.add_task("looking at the folders", total=1.0)
        while True:
            report = ctx.obj(
                "tools.photos.scan",
                "scan",
                {"seconds": 30.0, "thorough": True},
                lambda fraction, text: bar.update(task, completed=fraction, description=text),
            )
            total.update({key: report[key] for key in ("read", "removed")})
            if report["done"]:
                break
    report |= dict(total)
    if as_json:
        typer.echo(json.dumps(report))
        return
    typer.echo(f"{report['photos']:,} photos; {report['read']:,} read now, {report['removed']:,} gone")
    if report["unusable"]:
        typer.echo(f"{report['unusable']:,} files cannot be used:")
        for line in report["reasons"]:
            typer.echo(f"  {line}")
