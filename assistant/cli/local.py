"""The parts of an assistant, opened in this process for one command."""

from __future__ import annotations

import contextlib
import fcntl
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assistant.config import Settings, SettingsError, load_settings

from . import exits

if TYPE_CHECKING:
    from assistant.execution.executor import Executor
    from assistant.execution.sandbox import Sandbox
    from assistant.plugin.registry import Registry


def settings(**flags: Any) -> Settings:
    """The settings, or the end of the command with what is wrong about them."""
    try:
        return load_settings(**flags)
    except SettingsError as error:
        exits.leave(str(error), exits.USAGE)


@contextlib.contextmanager
def open_sandbox(settings: Settings) -> Iterator[Sandbox]:
    """A started sandbox; ends the command when none can run here."""
    from assistant.execution.sandbox import Sandbox, SandboxOptions, SandboxUnavailable

    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    options = SandboxOptions(artifacts=settings.home / "artifacts", user=settings.sandbox_user or SandboxOptions.user)
    sandbox = Sandbox(options)
    try:
        sandbox.start()
        yield sandbox
    except SandboxUnavailable as error:
        exits.leave(f"{error} (`assistant doctor` says more)", exits.UNAVAILABLE)
    finally:
        sandbox.close()


def open_registry(sandbox: Sandbox) -> Registry:
    """The installed tools; a third party's are described by a confined child."""
    from assistant.plugin.registry import load_registry

    return load_registry(lambda plugin: sandbox.describe(plugin.module, plugin.name))


@contextlib.asynccontextmanager
async def open_executor(settings: Settings) -> AsyncIterator[Executor]:
    """A started executor; ends the command when the data folder is in use."""
    from assistant.execution.errand import ExecutorError
    from assistant.execution.executor import Executor

    with open_sandbox(settings) as sandbox:
        executor = Executor(settings, open_registry(sandbox), sandbox)
        try:
            await executor.start()
        except ExecutorError as error:
            exits.leave(str(error), exits.UNAVAILABLE)
        try:
            yield executor
        finally:
            await executor.aclose()


def service_runs(home: Path) -> bool:
    """Whether a service, or another command, works with the data folder."""
    try:
        with (home / "executor.lock").open("r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def confined(settings: Settings, plugin: str) -> Callable[..., dict[str, Any]]:
    """A runner for a plugin's own commands: calls `module.function(**args)` with the plugin's grants."""

    def run(module: str, function: str, args: dict[str, Any], progress: Callable[[float, str], None]) -> dict[str, Any]:
        import dataclasses

        from assistant.execution.home import local_zone
        from assistant.execution.plugins import Grants
        from assistant.execution.sandbox import SandboxError

        with open_sandbox(settings) as sandbox:
            from zoneinfo import ZoneInfo

            from assistant.plugin.registry import find_plugins

            zone = ZoneInfo(settings.timezone) if settings.timezone else local_zone()
            found = next(p for p in find_plugins() if p.name == plugin and not p.third_party)
            call = Grants(settings, zone, owner(sandbox)).call(f"{plugin}.{function}", found, args)
            try:
                value = sandbox.call_sync(dataclasses.replace(call, module=module), progress).value
            except SandboxError as error:
                exits.leave(str(error), exits.FAILED)
            return dict(value)

    return run


def owner(sandbox: Sandbox) -> tuple[int, int] | None:
    """(uid, gid) of the user that tools run as, when it is not ours."""
    import os

    uid = sandbox.state().uid
    return (uid, uid) if os.geteuid() == 0 and uid > 0 else None
