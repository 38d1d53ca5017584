"""A data folder, a few photos, a contact, and the command line called in this process."""

import contextlib
import json
import logging
import os
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from assistant.cli import main

CARD = "BEGIN:VCARD\nVERSION:3.0\nFN:Alice Smith\nN:Smith;Alice;;;\nEMAIL:alice@example.org\nEND:VCARD\n"
GIF_TO_ALICE = {
    "steps": [
        {"tool": "photos.select", "args": {"count": 5}},
        {"tool": "gif.create", "args": {"photos": "$1"}},
        {"tool": "messages.send", "args": {"to": ["Alice"], "attachments": ["$2"]}},
    ]
}


@dataclass
class Result:
    code: int
    out: str
    err: str

    def json(self):
        return json.loads(self.out)


@dataclass
class World:
    """A user's machine: `home` is the data folder."""

    folder: Path
    home: Path

    def plan(self, plan, name="plan.json"):
        file = self.folder / name
        file.write_text(plan if isinstance(plan, str) else json.dumps(plan))
        return str(file)

    def mails(self):
        return sorted((self.home / "outbox" / "new").glob("*.eml"))


@pytest.fixture
def world(tmp_path, monkeypatch):
    for name in [n for n in os.environ if n.startswith("ASSISTANT_")]:
        monkeypatch.delenv(name)
    photos = tmp_path / "photos"
    photos.mkdir()
    for n in range(7):
        exif = Image.Exif()
        exif._ifds[0x8769] = {0x9003: f"2024:05:0{n + 1} 12:00:00"}
        Image.new("RGB", (80, 60), (30 * n, 200 - 20 * n, 90)).save(photos / f"{n}.jpg", exif=exif)
    (tmp_path / "alice.vcf").write_text(CARD)
    monkeypatch.setenv("ASSISTANT_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("ASSISTANT_PHOTOS", str(photos))
    monkeypatch.setenv("ASSISTANT_CONTACTS", str(tmp_path / "alice.vcf"))
    monkeypatch.setenv("ASSISTANT_TIMEZONE", "Europe/Berlin")
    return World(tmp_path, tmp_path / "home")


@pytest.fixture
def cli(capsys, monkeypatch):
    """Call `assistant …`: exit code, stdout, stderr."""

    def call(*args):
        monkeypatch.setattr("sys.argv", ["assistant", *map(str, args)])
        code = 0
        with contextlib.suppress(SystemExit):
            try:
                main()
            except SystemExit as end:
                code = end.code or 0
                raise
        captured = capsys.readouterr()
        return Result(code, captured.out, captured.err)

    yield call
    logging.getLogger("dbos").handlers.clear()  # they write to this test's stderr, which is closed now
