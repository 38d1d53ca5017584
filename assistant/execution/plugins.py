"""What a tool's call is granted: its plugin's manifest, as far as the user has approved it, made concrete.

`$ASSISTANT_HOME/plugins.toml` (mode 0600) holds the user's word and the plugins' secrets:

    [coffee]
    manifest = "5f3a…"          # the hash of the approved manifest; a manifest that changes is asked about again
    COFFEE_TOKEN = "…"
"""

from __future__ import annotations

import datetime as dt
import json
import os
import re
import stat
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from assistant.config import Settings
from assistant.plugin.registry import Plugin

from .private import write_private
from .sandbox import Call

FILE = "plugins.toml"


class NotApproved(PermissionError):
    """The user has not approved what a plugin asks for; the message says how to."""


class Grants:
    """The grants of this machine's user."""

    def __init__(self, settings: Settings, zone: ZoneInfo, owner: tuple[int, int] | None = None):
        """owner: (uid, gid) that tools run as, when it is not ours; it owns the plugins' data folders."""
        self._settings, self._zone, self._owner = settings, zone, owner

    def approved(self, plugin: Plugin) -> bool:
        """Whether the plugin may have what its manifest asks for. Ours may, and one that asks for nothing."""
        asks = any(vars(plugin.manifest).values())
        return not plugin.third_party or not asks or self._word(plugin).get("manifest") == plugin.manifest.hash

    def approve(self, plugin: Plugin) -> None:
        """Keep the user's approval of the manifest as it is now."""
        self._keep(plugin, "manifest", plugin.manifest.hash)

    def keep_secret(self, plugin: Plugin, name: str, value: str) -> None:
        """Keep one of the plugin's declared secrets; value: printable, on one line."""
        self._keep(plugin, name, value)

    def _keep(self, plugin: Plugin, key: str, value: str) -> None:
        """Write `key = value` into the plugin's section; the rest of the file stays as it is."""
        file = self._settings.home / FILE
        text = file.read_text("utf-8") if file.exists() else ""
        line, head = f"{key} = {json.dumps(value)}", f"[{plugin.name}]"
        section = re.search(rf"(?ms)^\[{re.escape(plugin.name)}\]\s*$.*?(?=^\[|\Z)", text)
        if section is None:
            text = f"{text.rstrip()}\n\n{head}\n{line}\n".lstrip()
        else:
            kept = re.sub(rf"(?m)^{key}\s*=.*\n?", "", section[0])
            text = text[: section.start()] + kept.replace(head, f"{head}\n{line}", 1) + text[section.end() :]
        draft = file.with_suffix(".new")
        write_private(draft, text.encode())
        draft.replace(file)

    def call(self, tool: str, plugin: Plugin, args: Mapping[str, Any]) -> Call:
        """The sandboxed call of a tool. Raises NotApproved."""
        if not self.approved(plugin):
            how = f"run `assistant tools approve {plugin.name}`"
            raise NotApproved(f"{plugin.name} asks for more than you have approved; {how}")
        manifest, data = plugin.manifest, None
        if "data" in manifest.read + manifest.write:
            data = self._data(plugin.name)
        context: dict[str, Any] = {"now": dt.datetime.now(self._zone).isoformat(), "timezone": str(self._zone)}
        if "photos" in manifest.read:
            context["photos"] = [str(p) for p in self._settings.photos]
        if data is not None:
            context["data"] = str(data)
        return Call(
            tool=tool, module=plugin.module, function=tool.partition(".")[2], args=dict(args),
            third_party=plugin.third_party, read=self._folders(manifest.read, data),
            write=self._folders(manifest.write, data), hosts=manifest.hosts,
            secrets=self._secrets(plugin), context=context,
        )  # fmt: skip

    def _folders(self, declared: tuple[str, ...], data: Path | None) -> tuple[Path, ...]:
        found: list[Path] = []
        for name in declared:
            if name == "photos":
                found += [p for p in self._settings.photos if p.exists()]
            elif name == "data":
                found += [data] if data is not None else []
            elif Path(name).exists():
                found.append(Path(name))
        return tuple(found)

    def _data(self, plugin: str) -> Path:
        """The plugin's own folder, writable by whom tools run as."""
        folder = self._settings.home / "data" / plugin
        if not folder.exists():
            folder.mkdir(parents=True, mode=0o700)
            if self._owner is not None:
                os.chown(folder, *self._owner)
        return folder

    def _secrets(self, plugin: Plugin) -> dict[str, str]:
        """The declared secrets. Raises NotApproved when one is not stored."""
        if not plugin.manifest.secrets:
            return {}
        stored = self._word(plugin)
        if absent := [s for s in plugin.manifest.secrets if s not in stored]:
            where = self._settings.home / FILE
            how = f"write it into {where} under [{plugin.name}]"
            raise NotApproved(f"{plugin.name} needs the secret {absent[0]}; {how}")
        return {s: str(stored[s]) for s in plugin.manifest.secrets}

    def _word(self, plugin: Plugin) -> dict[str, Any]:
        file = self._settings.home / FILE
        try:
            if stat.S_IMODE(file.stat().st_mode) & 0o077:
                raise NotApproved(f"{file} can be read by others; run `chmod 600 {file}`")
            return dict(tomllib.loads(file.read_text("utf-8")).get(plugin.name, {}))
        except FileNotFoundError:
            return {}
        except (OSError, tomllib.TOMLDecodeError) as error:
            raise NotApproved(f"{file}: {error}") from error
