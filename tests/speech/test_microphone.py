"""`assistant listen` at a microphone that is a PulseAudio null sink: what is played into it is heard and acted on."""

import asyncio
import io
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from rich.console import Console

from assistant.listen import Conversation, Ears, Options, speaker
from assistant.speech import open_recogniser
from assistant.speech.spoken import spoken

from .conftest import DEMO, HINTS
from .test_listen import CONFIRM, Script

MISSING = [name for name in ("pulseaudio", "paplay", "espeak-ng") if shutil.which(name) is None]
pytestmark = pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}")
PATIENCE = 120.0  # seconds


@pytest.fixture
def microphone(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Name of the device that records what `paplay` plays."""
    sounddevice = pytest.importorskip("sounddevice", exc_type=OSError)
    folder = Path(tempfile.mkdtemp(prefix="pulse-"))
    socket = folder / "native"
    for name, value in (("PULSE_SERVER", f"unix:{socket}"), ("PULSE_SOURCE", "mic.monitor"), ("PULSE_SINK", "mic")):
        monkeypatch.setenv(name, value)
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    command += ["-L", f"module-native-protocol-unix auth-anonymous=1 socket={socket}"]
    command += ["-L", "module-null-sink sink_name=mic rate=16000"]
    environment = {**os.environ, "PULSE_RUNTIME_PATH": str(folder), "HOME": str(folder)}
    server = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(100):
            if socket.exists() or server.poll() is not None:
                break
            time.sleep(0.1)
        # PortAudio lists the devices once, and "pulse" only where its server answers.
        sounddevice._terminate()
        sounddevice._initialize()
        if not any(device["name"] == "pulse" for device in sounddevice.query_devices()):
            pytest.skip("PortAudio has no device for PulseAudio (Debian: libasound2-plugins)")
        yield "pulse"
    finally:
        server.terminate()
        server.wait(10)
        shutil.rmtree(folder, ignore_errors=True)


async def _play(sound: bytes) -> None:
    with tempfile.NamedTemporaryFile(suffix=".wav") as file:
        Path(file.name).write_bytes(sound)
        player = await asyncio.create_subprocess_exec("paplay", file.name)
        assert await player.wait() == 0


async def test_a_command_and_a_spoken_yes_complete_an_errand(microphone: str, tmp_path: Path) -> None:
    script, shown = Script(CONFIRM), io.StringIO()
    console = Console(file=shown, width=120)
    yes = subprocess.run(["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", "yes"], capture_output=True, check=True)

    async def person() -> None:
        await asyncio.sleep(1)
        await _play(files("assistant.speech").joinpath("data/demo-command.flac").read_bytes())
        while CONFIRM["text"] not in shown.getvalue():
            await asyncio.sleep(0.1)
        while not script.answers and not script.cancelled:
            await asyncio.sleep(1)
            await _play(yes.stdout)

    async with open_recogniser("pocketsphinx", cache_dir=tmp_path, hints=HINTS) as recogniser:
        await recogniser.warm()
        ears = Ears(recogniser, Options(device=microphone), console)
        talk = Conversation(script, ears, console, speaker(False, Console()))  # type: ignore[arg-type]
        speaking = asyncio.create_task(person())
        command = await asyncio.wait_for(talk.turn(), PATIENCE)
        await speaking
    assert spoken(script.text) == DEMO
    assert [answer["confirm"] for answer in script.answers] == [True]
    assert command is not None and command.status == "done"
