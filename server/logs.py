"""Logs as lines of JSON with the request's id. What was said, tokens and addresses are never in them."""

from __future__ import annotations

import datetime as dt
import json
import logging
import re
import sys
from contextvars import ContextVar
from typing import Any

from starlette.types import Scope

from assistant.config import Settings

request_id: ContextVar[str] = ContextVar("request_id", default="")
_access = logging.getLogger("server.access")
URL_PASSWORD = re.compile(r"(\w+://[^\s:/@]*):[^\s@]+@")


class JsonLines(logging.Formatter):
    """One JSON object per record. secrets: strings that are struck out wherever they turn up."""

    def __init__(self, secrets: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._secrets = tuple(s for s in secrets if len(s) >= 6)

    def format(self, record: logging.LogRecord) -> str:
        when = dt.datetime.fromtimestamp(record.created, dt.UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {"time": when, "level": record.levelname.lower(), "logger": record.name,
                                "message": record.getMessage()}  # fmt: skip
        if given := request_id.get():
            line["request_id"] = given
        line.update(getattr(record, "fields", {}))
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return self._clean(json.dumps(line, ensure_ascii=False, default=str))

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return URL_PASSWORD.sub(r"\1:***@", text)


def configure(settings: Settings, token: str, level: str = "INFO") -> None:
    """Send all logs of this process to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines((token, *settings.channels.values(), *filter(None, [settings.smtp_url]))))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for noisy in ("httpx", "httpcore", "jax", "dbos", "urllib3"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


def access(scope: Scope, status: int, seconds: float) -> None:
    """Note a request. Without its query, which may hold the token."""
    route = getattr(scope.get("route"), "path", None)
    fields = {"method": scope["method"], "path": scope["path"][:200], "status": status, "ms": round(seconds * 1000, 1)}
    _access.info("%s %s %d", scope["method"], route or "-", status, extra={"fields": fields})
