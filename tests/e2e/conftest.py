"""One service process with the shipped models over the drawn library, for all end-to-end tests."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from assistant.demo import draw
from tests.execution.kit import public_folder

from .service import Service, new_service


@pytest.fixture(scope="session")
def library() -> Iterator[Path]:
    folder = public_folder()
    draw(folder / "library")
    yield folder / "library"
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def service(library: Path) -> Iterator[Service]:
    with new_service(library) as running:
        yield running.start()
        assert running.stop() == 0
