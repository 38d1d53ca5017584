"""What the tests of errands share: the tools of `plugins/`, a sandbox, settings and executors in a folder."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

from assistant.config import Settings, load_settings
from assistant.execution.errand import ErrandRequest, ErrandState
from assistant.execution.executor import Executor
from assistant.execution.sandbox import Sandbox, SandboxOptions
from assistant.plugin.manifest import Manifest
from assistant.plugin.plan import Plan
from assistant.plugin.registry import OWN_DISTRIBUTION, Plugin, Registry, load_registry
from assistant.plugin.signature import ToolSpec

PLUGINS = Path(__file__).parent / "plugins"
CONTACTS = """BEGIN:VCARD
VERSION:3.0
FN:Alice Smith
N:Smith;Alice;;;
EMAIL:alice@example.org
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Ben Miller
N:Miller;Ben;;;
EMAIL:ben@example.org
CATEGORIES:Team
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Ben Baker
N:Baker;Ben;;;
NICKNAME:Benny
EMAIL:baker@example.org
CATEGORIES:Team
END:VCARD
BEGIN:VCARD
VERSION:3.0
FN:Carol Nobody
N:Nobody;Carol;;;
END:VCARD
"""


def public_folder(fast: bool = False) -> Path:
    """A folder that the tools' user may enter, unlike pytest's own; fast: in memory, where there is such a place."""
    memory = Path("/dev/shm")
    place = memory if fast and memory.is_dir() and os.access(memory, os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="errands-test-", dir=place))
    folder.chmod(0o755)
    return folder


def copy_plugins(target: Path) -> Path:
    """The test plugins where the tools' user can read them."""
    shutil.copytree(PLUGINS, target, ignore=shutil.ignore_patterns("__pycache__"))
    for path in [target, *target.rglob("*")]:
        path.chmod(0o755 if path.is_dir() else 0o644)
    return target


@contextlib.contextmanager
def sandbox_in(folder: Path, **options: Any) -> Iterator[Sandbox]:
    """A sandbox for the test plugins; artifacts lie where the executor of `settings_in(folder)` looks."""
    plugins = folder / "plugins"
    if not plugins.exists():
        copy_plugins(plugins)
    home = folder / "home"
    home.mkdir(mode=0o700, exist_ok=True)
    with Sandbox(
        SandboxOptions(artifacts=home / "artifacts", module_paths=(plugins,), workers=4, **options)
    ) as sandbox:
        yield sandbox


def test_registry(sandbox: Sandbox) -> Registry:
    """The built-in tools, `kit.…` as one of them, and `post.…` as a third party's."""
    registry = load_registry()
    add_plugin(registry, sandbox, "kit", "errandkit", OWN_DISTRIBUTION, Manifest(write=("data",), effects=("send",)))
    if sandbox.state().mode == "full":
        add_plugin(
            registry, sandbox, "post", "posting", "somebody", Manifest(write=("data",), effects=("send", "delete"))
        )
    return registry


test_registry.__test__ = False  # type: ignore[attr-defined]


def add_plugin(registry: Registry, sandbox: Sandbox, name: str, module: str, by: str, manifest: Manifest) -> Plugin:
    plugin = Plugin(name, module, by, "1", None, manifest)
    registry.plugins[name] = plugin
    for data in _describe(sandbox, module, name):
        spec = ToolSpec.from_json({**data, "plugin": name, "third_party": plugin.third_party})
        registry.specs[spec.name] = spec
    return plugin


def _describe(sandbox: Sandbox, module: str, name: str) -> list[dict[str, Any]]:
    if sandbox.state().mode == "full":
        return sandbox.describe(module, name)
    import importlib.util

    from assistant.plugin.tool import tools_of

    spec = importlib.util.spec_from_file_location(module, PLUGINS / f"{module}.py")
    assert spec and spec.loader
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return [s.to_json() for s, _ in tools_of(loaded, name, third_party=False).values()]


def settings_in(folder: Path, **more: Any) -> Settings:
    """Settings with the data folder `folder/home` and the contacts above."""
    cards = folder / "contacts.vcf"
    if not cards.exists():
        cards.write_text(CONTACTS)
    values = {"home": folder / "home", "contacts": [cards], "photos": [folder / "photos"], "timezone": "Europe/Berlin"}
    return load_settings(**{**values, **more})


@contextlib.asynccontextmanager
async def executor_in(folder: Path, sandbox: Sandbox, **more: Any) -> AsyncIterator[Executor]:
    """A started executor."""
    registry = more.pop("registry", None) or test_registry(sandbox)
    executor = Executor(settings_in(folder, **more), registry, sandbox, retry_s=0.01)
    await executor.start()
    try:
        yield executor
    finally:
        await executor.aclose()


def plan(*steps: tuple[str, dict[str, Any]]) -> Plan:
    return Plan.from_json({"steps": [{"tool": tool, "args": args} for tool, args in steps]})


def request(*steps: tuple[str, dict[str, Any]], **more: Any) -> ErrandRequest:
    return ErrandRequest(plan(*steps), **more)


async def carry_out(executor: Executor, *steps: tuple[str, dict[str, Any]], **more: Any) -> ErrandState:
    """Submit a plan and wait for its end or a question."""
    state = await executor.submit(request(*steps, **more))
    return await executor.wait(state.id, 30)


def mails(folder: Path) -> list[Path]:
    """The messages in the outbox in the order in which they were written; their names are random."""
    return sorted((folder / "home" / "outbox" / "new").glob("*.eml"), key=lambda file: file.stat().st_mtime_ns)


def calls(folder: Path, plugin: str = "kit") -> list[str]:
    """What the tools of a plugin have noted."""
    file = folder / "home" / "data" / plugin / "calls"
    return file.read_text().split("\n")[:-1] if file.exists() else []


def supported() -> bool:
    """Whether the full sandbox works here."""
    from assistant.execution.sandbox import landlock, seccomp

    return os.uname().sysname == "Linux" and landlock.abi() > 0 and seccomp.available() is None
