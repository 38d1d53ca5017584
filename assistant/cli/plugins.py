"""`assistant tools`: what is installed, what the plugins ask for, and the user's word on it."""

from __future__ import annotations

import getpass
import json
import sys
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from assistant.config import Settings
from assistant.execution.plugins import Grants, NotApproved
from assistant.plugin.registry import Plugin, find_plugins
from assistant.plugin.signature import Parameter, ToolSpec

from . import exits
from .display import interactive
from .local import open_registry, open_sandbox

ASKS = {
    "read": "read", "write": "write", "hosts": "connect to", "secrets": "be given the secrets", "effects": "do",
}  # fmt: skip
FOLDERS = {"photos": "your photo folders", "data": "a folder of its own"}


def show(settings: Settings, as_json: bool) -> None:
    """List the tools by plugin."""
    with open_sandbox(settings) as sandbox:
        registry = open_registry(sandbox)
    grants = _grants(settings)
    if as_json:
        plugins = [{**_plugin(p), "approved": _approved(grants, p)} for p in registry.plugins.values()]
        print(json.dumps({"tools": [s.to_json() for s in registry.values()], "plugins": plugins}, ensure_ascii=False))
        return
    console = Console()
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("tool", style="bold", no_wrap=True)
    table.add_column("what it does", overflow="fold")
    table.add_column("arguments", overflow="fold")
    for spec in registry.values():
        what = Text(spec.description.splitlines()[0] if spec.description else "")
        if remark := _remark(spec, registry.plugin(spec.name), grants):
            what = Text("\n").join([what, remark])
        table.add_row(spec.name, what, Text(", ".join(_parameter(p) for p in spec.parameters)))
    console.print(table)
    for plugin in registry.plugins.values():
        if plugin.error:
            console.print(Text(f"{plugin.name} ({plugin.distribution} {plugin.version}): {plugin.error}", "red"))


def approve(settings: Settings, name: str, yes: bool) -> None:
    """Show a plugin's wishes and keep the user's approval."""
    plugin, grants = _find(name), _grants(settings)
    wishes = _wishes(plugin)
    if not plugin.third_party or not wishes:
        print(f"{name} needs no approval: {'it is one of ours' if not plugin.third_party else 'it asks for nothing'}.")
        return
    print(f"{name} ({plugin.distribution} {plugin.version}) wants to:")
    for wish in wishes:
        print(f"  {wish}")
    if not yes and not (interactive() and typer.confirm("Allow it?", err=True)):
        exits.leave(f"{name} was not approved; --yes approves without asking", exits.CANCELLED)
    _try(lambda: grants.approve(plugin), settings)
    print(f"{name} is approved as it is now. If a new version asks for more, you will be asked again.")
    if plugin.manifest.secrets:
        print(f"Store its secrets with `assistant tools secrets {name}`.")


def store_secrets(settings: Settings, name: str) -> None:
    """Ask for the secrets that a plugin declares, and keep them in a file that only the user can read."""
    plugin = _find(name)
    declared = plugin.manifest.secrets
    if not declared:
        exits.leave(f"{name} declares no secrets in its manifest", exits.USAGE)
    if interactive():
        values = {s: getpass.getpass(f"{s}: ") for s in declared}
    else:
        values = dict(line.rstrip("\n").split("=", 1) for line in sys.stdin if "=" in line)
    if unknown := set(values) - set(declared):
        known = ", ".join(declared)
        exits.leave(f"{name} does not declare {', '.join(sorted(unknown))}; it declares {known}", exits.USAGE)
    values = {k: v for k, v in values.items() if v}
    if any(not v.isprintable() for v in values.values()):
        exits.leave("a secret must be printable characters on one line", exits.USAGE)
    for key, value in values.items():
        _try(lambda k=key, v=value: _grants(settings).keep_secret(plugin, k, v), settings)
    print(f"Stored: {', '.join(values) or 'nothing'}.")


def adapt_planner(settings: Settings, to: Path, steps: int | None) -> None:
    """Fine-tune the planner on the third-party tools that are installed."""
    from rich.progress import Progress

    from assistant.shipped import planner_checkpoint
    from assistant.training.adapt import NothingToLearn, adapt, affordable_steps

    steps = steps or affordable_steps()
    with open_sandbox(settings) as sandbox:
        registry = open_registry(sandbox)
    try:
        with Progress(console=Console(stderr=True)) as bar:
            task = bar.add_task("adapting", total=steps)
            done = adapt(
                settings.model or planner_checkpoint(), registry, to, steps=steps,
                progress=lambda n, _, loss: bar.update(task, completed=n, description=f"adapting, loss {loss:.3f}"),
            )  # fmt: skip
    except (OSError, NothingToLearn) as error:
        exits.leave(str(error), exits.USAGE)
    print(f"Learnt {done.templates} sentences in {done.seconds:.0f} s. Use it with ASSISTANT_MODEL={to.absolute()}")


def _find(name: str) -> Plugin:
    plugins = {p.name: p for p in find_plugins()}
    if name not in plugins:
        exits.leave(f"there is no plugin {name!r}; installed are {', '.join(sorted(plugins))}", exits.USAGE)
    if plugins[name].error:
        exits.leave(f"{name}: {plugins[name].error}", exits.FAILED)
    return plugins[name]


def _grants(settings: Settings) -> Grants:
    return Grants(settings, ZoneInfo("UTC"))  # the zone matters to calls alone


def _approved(grants: Grants, plugin: Plugin) -> bool:
    try:
        return grants.approved(plugin)
    except NotApproved as error:
        exits.leave(str(error), exits.USAGE)


def _try(work: Any, settings: Settings) -> None:
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        work()
    except (OSError, NotApproved) as error:
        exits.leave(str(error), exits.FAILED)


def _wishes(plugin: Plugin) -> list[str]:
    return [
        f"{verb} {', '.join(FOLDERS.get(v, v) for v in getattr(plugin.manifest, kind))}"
        for kind, verb in ASKS.items() if getattr(plugin.manifest, kind)
    ]  # fmt: skip


def _plugin(plugin: Plugin) -> dict[str, Any]:
    keys = ("name", "module", "distribution", "version", "error", "third_party")
    return {k: getattr(plugin, k) for k in keys} | {"manifest": vars(plugin.manifest)}


def _parameter(p: Parameter) -> str:
    if p.required:
        return f"{p.name}: {p.type}"
    return p.name if p.default in (None, []) else f"{p.name} = {json.dumps(p.default)}"


def _remark(spec: ToolSpec, plugin: Plugin, grants: Grants) -> Text:
    parts = [("asks before it sends", "yellow")] if spec.effect == "send" else []
    parts += [("asks before it deletes", "yellow")] if spec.effect == "delete" else []
    if plugin.third_party:
        by = f"by {plugin.distribution} {plugin.version}"
        parts.append((by, "cyan") if _approved(grants, plugin) else (f"{by}, NOT APPROVED", "red"))
    return Text(" · ").join(Text(*p) for p in parts)
