"""A plugin's manifest: what it asks for beyond its arguments.

`assistant-plugin.toml` lies beside the plugin's module and is read without importing the plugin:

    read = ["photos"]                  # "photos", "data" (the plugin's own folder) or an absolute folder
    write = ["data"]
    hosts = ["api.coffee.example:443"]
    secrets = ["COFFEE_TOKEN"]         # the user stores them; they arrive in `context().secrets`
    effects = ["send"]                 # kinds that its tools may have beside "read" and "create"
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from .types import EFFECTS

FILE = "assistant-plugin.toml"
HOST = re.compile(r"(?=.{1,253}:)[A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?:(\d{1,5})")
SECRET = re.compile(r"[A-Z][A-Z0-9_]*")


class ManifestError(ValueError):
    """The manifest cannot be used; the message names the file, the key and what to write instead."""


@dataclass(frozen=True)
class Manifest:
    """The declared wishes of a plugin. An absent file declares nothing."""

    read: tuple[str, ...] = ()
    write: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    secrets: tuple[str, ...] = ()
    effects: tuple[str, ...] = ()

    @property
    def hash(self) -> str:
        """What a user's approval is bound to: a manifest that changes is asked about again."""
        return hashlib.sha256(repr(sorted(asdict(self).items())).encode()).hexdigest()

    @classmethod
    def load(cls, folder: Path) -> Manifest:
        """Read and check the manifest of the plugin in `folder`. Raises ManifestError."""
        file = folder / FILE
        try:
            data = tomllib.loads(file.read_text("utf-8"))
        except FileNotFoundError:
            return cls()
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise ManifestError(f"{file}: {error}") from error
        for key, value in data.items():
            if key not in cls.__dataclass_fields__:
                raise ManifestError(f"{file}: unknown key {key!r}; known are {', '.join(cls.__dataclass_fields__)}")
            if not isinstance(value, list) or not all(isinstance(v, str) for v in value):
                raise ManifestError(f"{file}: {key} must be a list of strings")
        manifest = cls(**{k: tuple(v) for k, v in data.items()})
        manifest._check(file)
        return manifest

    def _check(self, file: Path) -> None:
        for folder in self.read + self.write:
            if folder not in ("photos", "data") and not Path(folder).is_absolute():
                raise ManifestError(f'{file}: folder {folder!r} must be "photos", "data" or an absolute path')
        for host in self.hosts:
            match = HOST.fullmatch(host)
            if not match or not 0 < int(match[2]) < 65536:
                raise ManifestError(f"{file}: host {host!r} must be written name:port, without wildcards")
        for secret in self.secrets:
            if not SECRET.fullmatch(secret):
                raise ManifestError(f"{file}: secret {secret!r} must be an upper-case name such as COFFEE_TOKEN")
        for effect in self.effects:
            if effect not in EFFECTS:
                raise ManifestError(f"{file}: effect {effect!r} is none of {', '.join(EFFECTS)}")
