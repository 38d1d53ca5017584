"""Whisper checkpoints: where they are, whether they can be had, and loading them.

Names, hashes and the cache folder are those of `openai-whisper`, so that its downloads are found and reused. Asking
where a model is does not import torch.
"""

from __future__ import annotations

import os
import socket
from pathlib import Path
from typing import Any

from .errors import ModelUnavailable

HOST = "openaipublic.azureedge.net"
_ALIASES = {"large": "large-v3", "turbo": "large-v3-turbo"}
_NAMES = """
tiny.en tiny base.en base small.en small medium.en medium large-v1 large-v2 large-v3 large large-v3-turbo
turbo
"""
NAMES = frozenset(_NAMES.split())
PROBE_SECONDS = 2.0
DOWNLOAD_SECONDS = 20.0  # without a byte


def cache_folder() -> Path:
    """Where `openai-whisper` keeps its downloads."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "whisper"


def checkpoint(name: str) -> Path:
    """The file that a model name or path stands for, whether or not it is there."""
    if name in NAMES:
        return cache_folder() / f"{_ALIASES.get(name, name)}.pt"
    return Path(name).expanduser()


def label(name: str) -> str:
    """What transcripts call the model: its name, or its file's without the suffix."""
    return name if name in NAMES else Path(name).stem


def installed(name: str) -> bool:
    """Whether the checkpoint lies on this machine (its hash is checked when it is loaded)."""
    return checkpoint(name).is_file()


def fetchable(name: str) -> bool:
    """Whether the weights' host answers, within two seconds."""
    if name not in NAMES:
        return False
    try:
        socket.create_connection((HOST, 443), timeout=PROBE_SECONDS).close()
    except OSError:
        return False
    return True


def demanded(engine: str, name: str) -> bool:
    """Whether no other engine may take Whisper's place: it was asked for, or a file of it was, and one that is not
    there is a mistake."""
    return engine == "whisper" or (engine == "auto" and name not in NAMES)


def check(name: str) -> None:
    """Raise ModelUnavailable, with what to do, unless the model is here or can be fetched."""
    if installed(name) or fetchable(name):
        return
    file = checkpoint(name)
    if name not in NAMES:
        raise ModelUnavailable(f"there is no Whisper checkpoint at {file}; give one of {', '.join(sorted(NAMES))}")
    raise ModelUnavailable(
        f"the Whisper model {name!r} is not on this machine and {HOST} cannot be reached; "
        f'put {file.name} at {file}, or set speech_engine = "pocketsphinx"'
    )


def load(name: str, device: str | None) -> Any:
    """The model, downloaded once with a progress bar and its hash checked. Raises ModelUnavailable."""
    import whisper

    check(name)
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(DOWNLOAD_SECONDS)
    try:
        return whisper.load_model(name if name in NAMES else str(checkpoint(name)), device=device)
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, EOFError) as error:
        file = checkpoint(name)
        raise ModelUnavailable(
            f"the Whisper model {name!r} cannot be loaded ({error}); put a sound checkpoint at {file}"
        ) from error
    except Exception as error:  # torch's unpickler raises its own kinds
        if type(error).__module__.partition(".")[0] not in ("_pickle", "pickle", "torch", "zipfile"):
            raise
        raise ModelUnavailable(f"{checkpoint(name)} is no Whisper checkpoint ({error})") from error
    finally:
        socket.setdefaulttimeout(before)
