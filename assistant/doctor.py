"""What this machine can do: every check says in one line how to mend what does not work.

The sandbox is started, folders are read through it, the database is asked; models are looked for and not loaded.

checks = examine(settings)          # blocks for some seconds: a confined process is really run
code = show(checks, as_json=False)  # prints them; 1 if something fails that the assistant needs
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import stat
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from assistant.config import Settings
from assistant.shipped import PLANNER

Status = Literal["ok", "warn", "fail"]
OK: Status = "ok"
WARN: Status = "warn"
FAIL: Status = "fail"
PROBE = "assistant.execution.sandbox.probe"
FREE_MIB, SCARCE_MIB = 200, 1024
SECRET_FILES = ("config.toml", "plugins.toml", "token", "errands.db", "dbos.db")


@dataclass(frozen=True)
class Check:
    """One finding. `mend` is the line that mends it; empty when all is well. warn: something optional is missing."""

    name: str
    status: Status
    detail: str
    mend: str = ""


def examine(settings: Settings) -> list[Check]:
    """All checks. One that itself breaks is a failure, never an end of the others."""
    parts: list[Callable[[Settings], Iterator[Check]]] = [
        _python, _home, _secrets, _disk, _sandbox, _photos, _contacts, _planner, _speech, _microphone, _accelerators,
        _database, _channels,
    ]  # fmt: skip
    checks = []
    for part in parts:
        name = part.__name__.strip("_")
        try:
            checks += list(part(settings))
        except Exception as error:
            how = "this is a fault of the check itself; please report it"
            checks.append(Check(name, FAIL, f"{type(error).__name__}: {error}", how))
    return checks


def show(checks: list[Check], as_json: bool) -> int:
    """Print the checks; the exit code."""
    failed = any(c.status == FAIL for c in checks)
    if as_json:
        print(json.dumps({"ok": not failed, "checks": [asdict(c) for c in checks]}, ensure_ascii=False))
        return int(failed)
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {OK: ("✓", "green"), WARN: ("!", "yellow"), FAIL: ("✗", "red")}
    table = Table.grid(padding=(0, 1))
    for c in checks:
        detail = Text(c.detail)
        if c.mend:
            detail.append(f"\n→ {c.mend}", "bold")
        table.add_row(Text(*marks[c.status]), Text(c.name, "bold"), detail)
    Console().print(table)
    return int(failed)


def _python(settings: Settings) -> Iterator[Check]:
    what = f"Python {platform.python_version()} on {platform.system()} {platform.release()} ({platform.machine()})"
    yield Check("python", OK, what)


def _home(settings: Settings) -> Iterator[Check]:
    home = settings.home
    try:
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=home) as file:
            file.write(b"x")
    except OSError as error:
        yield Check("data folder", FAIL, f"{home}: {error.strerror}", "set ASSISTANT_HOME to a folder of yours")
        return
    if home.stat().st_mode & 0o077:
        yield Check("data folder", FAIL, f"{home} can be entered by others", f"chmod 700 {home}")
    else:
        yield Check("data folder", OK, str(home))


def _secrets(settings: Settings) -> Iterator[Check]:
    files = [f for name in SECRET_FILES if (f := settings.home / name).exists()]
    open_ = [f for f in files if stat.S_IMODE(f.stat().st_mode) & 0o077]
    foreign = [f for f in files if f.stat().st_uid != os.geteuid()]
    if open_:
        names = " ".join(str(f) for f in open_)
        yield Check("secret files", FAIL, f"{names} can be read by others", f"chmod 600 {names}")
    elif foreign:
        names = " ".join(str(f) for f in foreign)
        yield Check("secret files", FAIL, f"{names} belongs to another user", f"sudo chown {os.geteuid()} {names}")
    else:
        yield Check("secret files", OK, ", ".join(f.name for f in files) + " private" if files else "none yet")


def _disk(settings: Settings) -> Iterator[Check]:
    places = {"disk": (settings.home, "ASSISTANT_HOME"), "temporary files": (Path(tempfile.gettempdir()), "TMPDIR")}
    for name, (folder, variable) in places.items():
        there = next(place for place in (folder, *folder.absolute().parents) if place.exists())
        free = shutil.disk_usage(there).free >> 20
        if free < FREE_MIB:
            how = f"free some space there, or set {variable} to a folder on another disk"
            yield Check(name, FAIL, f"{free} MiB free at {folder}", how)
        else:
            how = "videos and long messages may not fit; free some space" if free < SCARCE_MIB else ""
            yield Check(name, WARN if how else OK, f"{free / 1024:.1f} GiB free at {folder}", how)


def _sandbox(settings: Settings) -> Iterator[Check]:
    from assistant.execution.sandbox import SandboxUnavailable

    try:
        with _confined(settings) as sandbox:
            state, times = sandbox.state(), []
            for _ in range(7):
                started = time.monotonic()
                sandbox.run_sync(f"{PROBE}:echo", b"x")
                times.append((time.monotonic() - started) * 1000)
    except SandboxUnavailable as error:
        yield Check("sandbox", FAIL, str(error), "run the assistant on Linux, or in its container (docs/deployment.md)")
        return
    if state.mode == "full":
        took = f"a confined call takes {statistics.median(times):.0f} ms"
        yield Check("sandbox", OK, f"full: Landlock ABI {state.landlock_abi}, seccomp, user {state.uid}; {took}")
    else:
        how = "third-party tools are refused; use a kernel from 5.13 on, booted with landlock in lsm="
        yield Check("sandbox", WARN, "reduced: " + "; ".join(state.reasons), how)


def _photos(settings: Settings) -> Iterator[Check]:
    if not settings.photos:
        how = "set ASSISTANT_PHOTOS=~/Pictures, or try with a drawn library: assistant demo-library DIR"
        yield Check("photos", WARN, "no photo folders are set", how)
        return
    from assistant.execution.sandbox import SandboxError

    for folder in settings.photos:
        if not folder.is_dir():
            yield Check("photos", FAIL, f"{folder} is not a folder", "correct ASSISTANT_PHOTOS")
            continue
        try:
            with _confined(settings) as sandbox:
                found = int(sandbox.run_sync(f"{PROBE}:count", str(folder).encode(), read=[folder]))
            yield Check("photos", OK, f"{folder}: tools can read it ({found} entries)")
        except SandboxError as error:
            how = f"let the user that tools run as enter it: chmod o+rX {folder} and the folders above it"
            yield Check("photos", FAIL, f"{folder}: tools cannot read it ({error})", how)


def _contacts(settings: Settings) -> Iterator[Check]:
    from assistant.execution.contacts import AddressBook

    if not settings.contacts:
        how = "set ASSISTANT_CONTACTS to a .vcf file or a folder of them"
        yield Check("contacts", WARN, "no contacts are set: nobody can be sent anything", how)
    elif absent := [c for c in settings.contacts if not c.exists()]:
        yield Check("contacts", FAIL, f"{absent[0]} is not there", "correct ASSISTANT_CONTACTS")
    else:
        book = AddressBook(settings.contacts)
        count = len(book.people)
        yield Check("contacts", OK if count else WARN, f"{count} contacts", "" if count else "export them as vCards")
        for problem in book.problems:
            yield Check("contacts", WARN, problem, "export it anew")


def _planner(settings: Settings) -> Iterator[Check]:
    folder = Path(settings.model).expanduser() if settings.model else PLANNER
    if settings.model and not folder.exists():
        how = "set ASSISTANT_MODEL to a folder, to start without a network"
        yield Check("planner", WARN, f"{settings.model} is no folder here; it will be looked up on the hub", how)
        return
    absent = [n for n in ("config.json", "tokenizer.json") if not (folder / n).is_file()]
    weights = sum(f.stat().st_size for f in folder.glob("*.safetensors"))
    if absent or not weights:
        how = "set ASSISTANT_MODEL to a checkpoint, or train one: make planner"
        yield Check("planner", FAIL, f"{folder} has no {' and no '.join(absent) or 'weights'}", how)
    else:
        yield Check("planner", OK, f"{folder} ({weights / 1e6:.0f} MB)")


def _speech(settings: Settings) -> Iterator[Check]:
    from assistant.speech import weights
    from assistant.speech.recogniser import DEFAULT_MODEL

    engine, name = settings.speech_engine, settings.speech_model or DEFAULT_MODEL
    if engine != "pocketsphinx" and weights.installed(name):
        yield Check("speech", OK, f"Whisper, {weights.checkpoint(name)}")
    elif engine != "pocketsphinx" and weights.fetchable(name):
        how = "it is downloaded at the first start; afterwards no network is needed"
        yield Check("speech", WARN, f"Whisper {name} is not on this machine yet", how)
    elif weights.demanded(engine, name):
        how = "set ASSISTANT_SPEECH_MODEL to a downloaded .pt file, or ASSISTANT_SPEECH_ENGINE=pocketsphinx"
        yield Check("speech", FAIL, f"there is no Whisper checkpoint {name}, and its host does not answer", how)
    elif find_spec("pocketsphinx"):
        how = "set ASSISTANT_SPEECH_MODEL to a Whisper checkpoint (a name such as small.en, or a .pt file)"
        yield Check("speech", WARN, "the offline recogniser is used: it understands errands, not free speech", how)
    else:
        yield Check("speech", FAIL, "no recogniser is installed", "pip install pocketsphinx")


def _microphone(settings: Settings) -> Iterator[Check]:
    if not find_spec("sounddevice"):
        how = 'pip install "voice-errands[microphone]"'
        yield Check("microphone", WARN, "`assistant listen` needs an extra; the page's microphone does not", how)
        return
    try:
        import sounddevice

        inputs = [d["name"] for d in sounddevice.query_devices() if d["max_input_channels"] > 0]
    except Exception as error:  # the library raises OSError without PortAudio, and its own error without devices
        yield Check("microphone", WARN, f"sound does not work here: {error}", "sudo apt install libportaudio2")
        return
    if inputs:
        yield Check("microphone", OK, ", ".join(dict.fromkeys(inputs)))
    else:
        how = "connect one for `assistant listen`; the page uses the browser's"
        yield Check("microphone", WARN, "no microphone is connected", how)


def _accelerators(settings: Settings) -> Iterator[Check]:
    import jax

    devices = jax.devices()
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    kinds = ", ".join(sorted({d.device_kind for d in devices}))
    where = f"{kinds} ({cores} cores)" if jax.default_backend() == "cpu" else f"{len(devices)} × {kinds}"
    idle = jax.default_backend() == "cpu" and Path("/dev/nvidiactl").exists()
    how = 'a GPU is not used: pip install "voice-errands[gpu]"' if idle else ""
    yield Check("accelerator", WARN if how else OK, f"JAX {jax.__version__} on {where}", how)


def _database(settings: Settings) -> Iterator[Check]:
    if not settings.database_url:
        yield Check("database", OK, "SQLite in the data folder")
        return
    import sqlalchemy as sa

    from assistant.execution.store import database_url

    try:
        engine = sa.create_engine(database_url(settings.database_url, settings.home, "errands.db"))
        with engine.connect() as connection:
            version = connection.execute(sa.text("SHOW server_version")).scalar()
        yield Check("database", OK, f"PostgreSQL {version}")
    except ModuleNotFoundError:
        yield Check("database", FAIL, "the PostgreSQL driver is missing", 'pip install "voice-errands[postgres]"')
    except sa.exc.SQLAlchemyError as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0]
        yield Check("database", FAIL, reason, "start the database, or correct ASSISTANT_DATABASE_URL")


def _channels(settings: Settings) -> Iterator[Check]:
    names = [*(["email"] if settings.smtp_url else []), *settings.channels]
    if names:
        yield Check("channels", OK, ", ".join(names))
    else:
        yield Check("channels", OK, f"none set: messages go to the outbox, {settings.home / 'outbox'}")


@contextlib.contextmanager
def _confined(settings: Settings) -> Iterator:
    from assistant.execution.sandbox import Sandbox, SandboxOptions

    with tempfile.TemporaryDirectory(prefix="assistant-doctor-") as folder:
        user = settings.sandbox_user or SandboxOptions.user
        with Sandbox(SandboxOptions(artifacts=Path(folder) / "artifacts", user=user)) as sandbox:
            yield sandbox
