"""Recordings through `/command`: the real decoder, sandbox and offline recogniser behind the real routes."""

from __future__ import annotations

import asyncio
import io
import wave

import numpy as np
import pytest

from .conftest import DEMO_COMMAND, World

pytestmark = pytest.mark.asyncio(loop_scope="module")


def wav(samples: np.ndarray) -> bytes:
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return out.getvalue()


async def test_recording_becomes_a_command(world: World) -> None:
    spoken = DEMO_COMMAND.read_bytes()
    data = {"wait": "60", "session": "voice"}
    answer = await world.client.post("/command", files={"audio": ("c.flac", spoken)}, data=data, timeout=120)
    assert answer.status_code == 200, answer.text
    command = answer.json()
    assert command["transcript"]["engine"] == world.assistant.hearing.engine
    assert "gif" in command["transcript"]["text"].lower() and 0 < command["transcript"]["confidence"] <= 1
    assert command["timings"]["speech_ms"] > 0
    assert not list((world.home / "recordings").iterdir())  # a recording is gone once it is understood


@pytest.mark.parametrize(
    ("recording", "status"),
    [
        (b"", 422), (b"this is no sound", 415), (b"#EXTM3U\nhttp://evil.example/x\n", 415),
        (b"RIFF\xff\xff\xff\xffWAVE", 422),
        (wav(np.zeros(16_000)), 422), (wav(np.random.default_rng(0).normal(0, 0.02, 32_000)), 422),
    ],
    ids=["empty", "text", "playlist", "headless", "silence", "noise"],
)  # fmt: skip
async def test_what_is_no_speech(world: World, recording: bytes, status: int) -> None:
    answer = await world.client.post(
        "/command", files={"audio": ("a.wav", recording)}, data={"wait": "60"}, timeout=120
    )
    assert answer.status_code == status and answer.json()["detail"], answer.text
    kept = (await world.client.get(f"/command/{answer.json()['command']}")).json()
    assert kept["status"] == "failed" and kept["reply"] == answer.json()["detail"] and kept["transcript"] is None
    assert not list((world.home / "recordings").iterdir())  # nobody could use it any more


async def test_transcriptions(world: World) -> None:
    answer = await world.client.post("/v1/audio/transcriptions", files={"file": ("c.flac", DEMO_COMMAND.read_bytes())},
                                     data={"model": "whisper-1"}, timeout=120)  # fmt: skip
    assert answer.status_code == 200 and "gif" in answer.json()["text"].lower()


async def test_a_new_contact_is_learned_without_a_restart(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assistant.hearing.RENEW_S", 0.2)
    hearing = world.assistant.hearing
    recogniser = await hearing.recogniser()
    assert not any("Quintilla" in name for name in recogniser.hints.contacts)
    hearing._renewing.cancel()
    hearing._renewing = asyncio.create_task(hearing._renew())
    cards = world.folder / "contacts.vcf"
    before = cards.read_text()
    cards.write_text(before + "BEGIN:VCARD\nVERSION:3.0\nFN:Quintilla Marsh\nEMAIL:q@example.org\nEND:VCARD\n")
    try:
        for _ in range(600):
            if any("Quintilla" in name for name in recogniser.hints.contacts):
                break
            await asyncio.sleep(0.1)
        assert any("Quintilla" in name for name in recogniser.hints.contacts)
    finally:
        cards.write_text(before)
