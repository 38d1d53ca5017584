"""Errands said to the running service with the shipped models: the world afterwards is what was asked for, no more."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from .check import carry_out, faults
from .errands import ERRANDS, SPOKEN, Errand
from .service import Service


@pytest.mark.parametrize("errand", ERRANDS, ids=lambda e: e.id)
def test_errand(service: Service, errand: Errand) -> None:
    command, came = carry_out(service, errand)
    assert not (found := faults(errand, command, came)), (found, command["plan"])


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="espeak-ng, which speaks the errands, is not installed")
@pytest.mark.parametrize("errand", SPOKEN, ids=lambda e: e.id)
def test_spoken_errand(service: Service, errand: Errand) -> None:
    speech = subprocess.run(
        ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", errand.say], capture_output=True, check=True
    )
    command, came = carry_out(service, errand, speech.stdout)
    assert command["transcript"]["engine"] == "pocketsphinx"
    assert not (found := faults(errand, command, came)), (found, command["transcript"], command["plan"])
