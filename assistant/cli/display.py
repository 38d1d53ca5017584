"""An errand on the terminal: its steps as they go on, its questions, its reply."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

MARKS = {
    "waiting": ("○", "dim"), "running": ("●", "cyan"), "done": ("✓", "green"), "failed": ("✗", "red"),
    "skipped": ("–", "dim"), "cancelled": ("–", "yellow"),
}  # fmt: skip
STATUS_STYLE = {"done": "green", "planned": "green", "failed": "red", "cancelled": "yellow", "refused": "yellow"}


@dataclass
class _Step:
    tool: str
    args: str
    status: str = "waiting"
    text: str = ""
    ms: float | None = None


class Display:
    """Shows the events of one errand; a context manager. Without a terminal each finished step is one line."""

    def __init__(self, console: Console, quiet: bool = False):
        self._console, self._quiet = console, quiet
        self._steps: dict[int, _Step] = {}
        self._live: Live | None = None
        self._spinner = Spinner("dots", style="cyan")

    def __enter__(self) -> Display:
        if self._console.is_terminal and not self._quiet:
            self._live = Live(get_renderable=self._table, console=self._console, refresh_per_second=12)
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.pause()

    def plan(self, plan: dict[str, Any]) -> None:
        """The steps to come, as JSON."""
        for n, step in enumerate(plan.get("steps", []), 1):
            self._steps.setdefault(n, _Step(step["tool"], arguments(step["args"])))

    def event(self, type_: str, data: dict[str, Any]) -> None:
        """One event of the errand."""
        if type_ not in ("step", "progress") or data.get("id") not in self._steps:
            return
        step = self._steps[data["id"]]
        if type_ == "progress":
            step.text = f"{data['text']} {data['fraction']:.0%}"
            return
        step.status = data.get("status", step.status)
        step.text = data.get("summary") or data.get("error") or ""
        step.ms = data.get("ms", step.ms)
        if self._live is None and not self._quiet and step.status not in ("waiting", "running"):
            self._console.print(self._line(data["id"], step), soft_wrap=True)

    def pause(self) -> None:
        """Stop drawing, for a question or for good; what is there stays on the screen."""
        if self._live is not None:
            self._live.refresh()
            self._live.stop()
            self._live = None

    def resume(self) -> None:
        """Draw again after `pause`."""
        self.__enter__()

    def _line(self, n: int, step: _Step) -> Text:
        mark, style = MARKS[step.status]
        took = "" if step.ms is None else f"  {milliseconds(step.ms)}"
        return Text.assemble((f"{mark} {n} {step.tool}", style), f"  {step.args}  ", (f"{step.text}{took}", "dim"))

    def _table(self) -> RenderableType:
        table = Table.grid(padding=(0, 1))
        table.add_column(width=2)
        table.add_column(no_wrap=True)
        table.add_column(overflow="fold")
        table.add_column(justify="right", no_wrap=True)
        for n, step in self._steps.items():
            mark, style = MARKS[step.status]
            shown = self._spinner if step.status == "running" else Text(mark, style)
            what = Text.assemble(f"{step.args}", ("  → " if step.args and step.text else "", "dim"), (step.text, style))
            took = "" if step.ms is None else milliseconds(step.ms)
            table.add_row(shown, Text(f"{n} {step.tool}", "bold"), what, Text(took, "dim"))
        return Group(table)


def arguments(args: dict[str, Any]) -> str:
    """The arguments of a step on one line."""
    return ", ".join(f"{k} {_value(v)}" for k, v in args.items())


def _value(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_value(v) for v in value)
    if isinstance(value, str) and not value.startswith(("$", "^")):
        return f"“{value}”"
    return str(value)


def milliseconds(ms: float) -> str:
    """A duration as people read it."""
    return f"{ms:.0f} ms" if ms < 1000 else f"{ms / 1000:.1f} s"


def interactive() -> bool:
    """Whether somebody is there to answer."""
    return sys.stdin.isatty() and sys.stderr.isatty()


def ask(console: Console, question: dict[str, Any]) -> dict[str, Any]:
    """Put a question to the user: the answer as `POST /command/{id}/answer` takes it."""
    console.print(Text(question["text"], "bold"), soft_wrap=True)
    if question["kind"] == "confirm":
        said = console.input("\\[y/N] ").strip()
        return {"confirm": said.lower() in ("y", "yes")}
    for n, choice in enumerate(question["choices"], 1):
        console.print(f"  {n}  ", Text(choice), sep="")
    said = console.input("> ").strip()
    return {"choice": int(said)} if question["choices"] and said.isdigit() else {"text": said}


def reply(console: Console, status: str, text: str) -> None:
    """The end of an errand."""
    style = STATUS_STYLE.get(status, "")
    console.print(Text.assemble((status.replace("_", " "), f"bold {style}"), "  ", text), soft_wrap=True)
