"""Folders, sandboxes and executors for the tests of errands."""

import shutil

import pytest

from . import kit


@pytest.fixture(scope="module")
def world():
    """A folder for one module's errands, with one sandbox."""
    folder = kit.public_folder(fast=True)
    with kit.sandbox_in(folder) as box:
        yield folder, box
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def folder(world):
    """The module's folder, with a data folder as new."""
    home = world[0] / "home"
    for entry in home.iterdir():
        if entry.name == "artifacts":
            continue  # the sandbox holds it open
        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    return world[0]


@pytest.fixture
def errand_sandbox(world):
    return world[1]


@pytest.fixture
async def executor(folder, errand_sandbox):
    async with kit.executor_in(folder, errand_sandbox) as started:
        yield started
