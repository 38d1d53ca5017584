"""`assistant history`: the errands of the journal, read beside a running service."""

from __future__ import annotations

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from assistant.config import Settings
from assistant.execution.errand import ErrandState
from assistant.execution.state import errand_state
from assistant.execution.store import Store, database_url

from .display import STATUS_STYLE


def show(settings: Settings, limit: int, session: str | None, as_json: bool) -> None:
    """Print the newest errands."""
    found = errands(settings, limit, session)
    if as_json:
        print(json.dumps([_json(e) for e in found], ensure_ascii=False))
        return
    if not found:
        print("No errand was carried out yet.")
        return
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("when", "status", "what", "reply"):
        table.add_column(column, overflow="fold", no_wrap=column in ("when", "status"))
    for e in found:
        what = e.text or ", ".join(s.tool for s in e.plan.steps)
        when = f"{e.created.astimezone():%Y-%m-%d %H:%M}"
        status = Text(e.status.replace("_", " "), STATUS_STYLE.get(e.status, "cyan"))
        table.add_row(when, status, Text(what), Text(e.question.text if e.question else e.reply))
    Console().print(table)


def errands(settings: Settings, limit: int, session: str | None) -> list[ErrandState]:
    """The newest errands; none when there is no journal yet."""
    if not settings.database_url and not (settings.home / "errands.db").exists():
        return []
    store = Store(database_url(settings.database_url, settings.home, "errands.db"))
    try:
        states = []
        for id in store.recent(limit, session):
            row = store.errand(id)
            if row is not None:
                states.append(errand_state(row, store.full(id)))
        return states
    finally:
        store.close()


def _json(errand: ErrandState) -> dict[str, Any]:
    effects = [{k: v for k, v in vars(e).items() if k != "id"} for e in errand.effects]
    return {
        **errand.to_json(), "session": errand.session, "text": errand.text, "created": errand.created.isoformat(),
        "effects": effects,
    }  # fmt: skip
