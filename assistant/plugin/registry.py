"""Which tools are installed.

Plugins are found by the entry points of the group `assistant.tools`: the entry's name is the first part of its
tools' names, its value the module. Our own are imported here; a third party's module is never imported in this
process: `describe` asks a confined child for its signatures.
"""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from .manifest import Manifest, ManifestError
from .signature import SignatureError, ToolSpec, distinct
from .tool import tools_of

GROUP = "assistant.tools"
OWN_DISTRIBUTION = "voice-errands"
Describe = Callable[["Plugin"], list[dict[str, Any]]]


@dataclass(frozen=True)
class Plugin:
    """One installed plugin: where it lies and what it declares. `error` says why it cannot be used."""

    name: str
    module: str
    distribution: str
    version: str
    folder: Path | None
    manifest: Manifest = field(default_factory=Manifest)
    error: str | None = None

    @property
    def third_party(self) -> bool:
        return self.distribution != OWN_DISTRIBUTION


@dataclass
class Registry(Mapping[str, ToolSpec]):
    """The usable tools by name, and every plugin that was found, usable or not."""

    plugins: dict[str, Plugin]
    specs: dict[str, ToolSpec]

    def __getitem__(self, name: str) -> ToolSpec:
        return self.specs[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.specs)

    def __len__(self) -> int:
        return len(self.specs)

    def plugin(self, tool: str) -> Plugin:
        """The plugin of a tool."""
        return self.plugins[self.specs[tool].plugin]


def find_plugins(entries: Iterable[EntryPoint] | None = None) -> list[Plugin]:
    """All installed plugins, their manifests read, nothing of theirs imported."""
    found: dict[str, Plugin] = {}
    for entry in sorted(entry_points(group=GROUP) if entries is None else entries, key=lambda e: e.name):
        dist = entry.dist
        name, version = (dist.name, dist.version) if dist else ("unknown", "0")
        folder = locate(entry.module)
        manifest, error = Manifest(), None
        try:
            if folder is None:
                raise ManifestError(f"module {entry.module} is not installed")
            manifest = Manifest.load(folder)
        except ManifestError as problem:
            error = str(problem)
        plugin = Plugin(entry.name, entry.module, name, version, folder, manifest, error)
        if entry.name in found and found[entry.name].module != plugin.module:
            # Ours wins: a package cannot take over the name of a built-in tool.
            keep = plugin if not plugin.third_party else found[entry.name]
            found[entry.name] = keep
            continue
        found[entry.name] = plugin
    return list(found.values())


def load_registry(describe: Describe | None = None, entries: Iterable[EntryPoint] | None = None) -> Registry:
    """The registry of this machine.

    describe: gives a third party's signatures (ToolSpec JSON) from the confined child and raises an exception whose
    text says why the plugin cannot be used; without it third-party plugins are listed but refused.
    """
    plugins: dict[str, Plugin] = {}
    specs: dict[str, ToolSpec] = {}
    for plugin in sorted(find_plugins(entries), key=lambda p: p.third_party):  # ours keep their names
        try:
            if plugin.error is None:
                found = _specs(plugin, describe)
                for spec in found:
                    _allow(spec, plugin)
                distinct((*specs, *(spec.name for spec in found)), "the tools")
                specs |= {spec.name: spec for spec in found}
        except Exception as problem:  # a plugin's own fault must not stop the service
            plugin = Plugin(**{**vars(plugin), "error": f"{problem}"})
        plugins[plugin.name] = plugin
    return Registry(plugins, specs)


def _specs(plugin: Plugin, describe: Describe | None) -> list[ToolSpec]:
    if not plugin.third_party:
        module = importlib.import_module(plugin.module)
        return [spec for spec, _ in tools_of(module, plugin.name, third_party=False).values()]
    if describe is None:
        raise SignatureError("third-party plugins run only in the sandbox, which is not at hand")
    return [ToolSpec.from_json({**d, "plugin": plugin.name, "third_party": True}) for d in describe(plugin)]


def _allow(spec: ToolSpec, plugin: Plugin) -> None:
    if not spec.name.startswith(plugin.name + "."):
        raise SignatureError(f"{spec.name}: the tools of this plugin must be named {plugin.name}.…")
    if spec.effect in ("send", "delete") and spec.effect not in plugin.manifest.effects:
        raise ManifestError(f"{spec.name} has the effect {spec.effect!r}, which the manifest does not declare")


def locate(module: str) -> Path | None:
    """The folder of a module, found without importing it (its top-level package is not executed either)."""
    top, *rest = module.split(".")
    try:
        spec = importlib.util.find_spec(top)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None:
        return None
    folder = Path(spec.origin).parent
    for part in rest:
        if (folder / part).is_dir():
            folder = folder / part
    return folder
