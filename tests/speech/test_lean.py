"""The decoder's process starts lean, and speech knows nothing of the layers above it."""

import subprocess
import sys


def _imported(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys\nprint(*sys.modules)"], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_the_decoder_starts_without_numpy_torch_or_onnxruntime():
    found = _imported("import assistant.speech.decode")
    assert not found & {"numpy", "torch", "onnxruntime", "whisper", "pocketsphinx"}


def test_the_service_imports_no_model_library():
    found = _imported("from assistant.speech import Recogniser, open_recogniser, SpeechError, Hints, Transcript")
    assert not found & {"torch", "whisper", "pocketsphinx", "onnxruntime"}
    assert not {name for name in found if name.startswith(("assistant.planning", "assistant.execution", "tools"))}
