"""Takes the files that a tool's answer names: its own into the artifact store, others only when they were granted."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from ..artifacts import ArtifactStore, StoredArtifact
from .model import Limits, ToolFailed, ToolLimit
from .workspace import Workspace


def files_in(value: Any) -> Iterator[str]:
    """The absolute paths of the files in a JSON value (see assistant.plugin.values)."""
    if isinstance(value, dict):
        path = value.get("path")
        if "$type" in value and isinstance(path, str) and path.startswith("/"):
            yield path
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ():
        yield from files_in(part)


class Results:
    """The answer of one call. granted: the paths that the tool could read. artifacts: by name in the workspace."""

    def __init__(self, workspace: Workspace, store: ArtifactStore, granted: Sequence[str], limits: Limits) -> None:
        self.artifacts: dict[str, StoredArtifact] = {}
        self._workspace, self._store, self._limits = workspace, store, limits
        self._granted = [Path(os.path.realpath(p)) for p in granted]
        self._bytes = 0

    def take(self, value: Any) -> Any:
        """The value with every file's path made absolute and checked. Raises ToolFailed or ToolLimit."""
        if isinstance(value, list):
            return [self.take(v) for v in value]
        if not isinstance(value, dict):
            return value
        taken = {k: self.take(v) for k, v in value.items()}
        if "$type" in value and "path" in value:
            return self._file(taken)
        return taken

    def _file(self, value: dict[str, Any]) -> dict[str, Any]:
        path = value["path"]
        if not isinstance(path, str) or not path:
            raise ToolFailed("the tool's answer has a file without a path")
        own = path.removeprefix(f"{self._workspace.path}/")
        if not own.startswith("/"):
            artifact = self._keep(own, str(value.get("name") or own))
            return {**value, "path": str(artifact.path), "name": artifact.name, "media_type": artifact.media_type}
        real = Path(os.path.realpath(path))
        if not any(real.is_relative_to(granted) for granted in self._granted):
            raise ToolFailed(f"the tool's answer names the file {path[:200]!r}, which it was not given")
        try:
            regular = stat.S_ISREG(real.stat().st_mode)
        except (OSError, ValueError):
            regular = False
        if not regular:
            raise ToolFailed(f"the tool's answer names {path[:200]!r}, which is not a plain file")
        return value

    def _keep(self, name: str, shown: str) -> StoredArtifact:
        if name not in self.artifacts:
            fd = self._workspace.open(name, self._limits.file_bytes)
            try:
                self._bytes += os.fstat(fd).st_size
                if self._bytes > self._limits.written_bytes:
                    raise ToolLimit(f"the tool's files have more than {self._limits.written_bytes:,} bytes together")
                self.artifacts[name] = self._store.add(fd, shown)
            finally:
                os.close(fd)
        return self.artifacts[name]
