"""One service process with the shipped models over the drawn library, for all end-to-end tests."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.demo import draw
from tests.execution.kit import public_folder

from .service import Service


@pytest.fixture(scope="session")
def library() -> Iterator[Path]:
    folder = public_folder()
    draw(folder / "library")
    yield folder / "library"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def service(library: Path) -> Iterator[Service]:
    folder = public_folder()
    # MODEL: another checkpoint than the shipped one, while a planner is being trained.
    model = {"ASSISTANT_MODEL": os.environ["MODEL"]} if "MODEL" in os.environ else {}
    running = Service(folder / "home", library, model).start()
    yield running
    assert running.stop() == 0
    shutil.rmtree(folder, ignore_errors=True)
