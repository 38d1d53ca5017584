"""`assistant photos scan`: batches until done, a report for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from assistant.plugin.values import encode
from tools.photos import scan as scanning
from tools.photos.cli import app

from .conftest import photo

Progress = Callable[[float, str], None]


def in_process(module: str, function: str, args: dict[str, Any], progress: Progress) -> dict[str, Any]:
    assert (module, function) == ("tools.photos.scan", "scan")
    progress(0.5, "half")
    return encode(scanning.scan(**args))


def test_scan_tells_what_it_found(surround, tmp_path: Path) -> None:
    library = tmp_path / "library"
    photo(library / "good.jpg", taken="2024:05:01 08:00:00")
    (library / "page.jpg").write_text("<html>")
    surround(library)
    result = CliRunner().invoke(app, ["scan"], obj=in_process)
    assert result.exit_code == 0, result.output
    assert "1 photos; 2 read now" in result.output and "page.jpg: not a picture of a known format" in result.output

    report = json.loads(CliRunner().invoke(app, ["scan", "--json"], obj=in_process).stdout)
    assert (report["photos"], report["read"], report["unusable"], report["done"]) == (1, 0, 1, True)


def test_scan_goes_on_until_all_is_read(surround, tmp_path: Path, monkeypatch) -> None:
    surround(tmp_path)
    reports = iter([scanning.ScanReport(photos=4, read=4, left=5, done=False), scanning.ScanReport(photos=9, read=5)])
    monkeypatch.setattr(scanning, "scan", lambda **args: next(reports))
    result = CliRunner().invoke(app, ["scan"], obj=in_process)
    assert "9 photos; 9 read now" in result.output
