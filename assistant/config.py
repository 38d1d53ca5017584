"""Every setting, in one place.

Sources, later wins: `$ASSISTANT_HOME/config.toml`, environment `ASSISTANT_…`, keyword arguments (command-line flags).
Unknown keys are refused with the line.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as Undecodable

DEFAULT_HOME = Path("~/.local/share/assistant").expanduser()


class SettingsError(ValueError):
    """The settings cannot be used; the message names the file or variable, the key and the fault."""


def absolute(path: Any) -> Path:
    """Tools run in folders of their own, where a relative path would mean another one."""
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"{path!r} is no path")
    return Path(path).expanduser().absolute()


def _paths(value: Any) -> Any:
    """Folders are given as a list, or in one string separated by the system's path separator."""
    if isinstance(value, str):
        value = json.loads(value) if value.lstrip().startswith("[") else [p for p in value.split(os.pathsep) if p]
    return list(map(absolute, value)) if isinstance(value, (list, tuple)) else value


def _zone(name: str | None) -> str | None:
    try:
        return name and ZoneInfo(name).key
    except (ZoneInfoNotFoundError, ValueError, OSError) as error:
        raise ValueError(f"there is no time zone {name!r}; give an IANA name such as Europe/Berlin") from error


def _words(value: Any) -> Any:
    """Names are given as a list, or in one string separated by commas."""
    return [w.strip() for w in value.split(",") if w.strip()] if isinstance(value, str) else value


Paths = Annotated[list[Path], NoDecode, BeforeValidator(_paths)]
Words = Annotated[list[str], NoDecode, BeforeValidator(_words)]


class Settings(BaseSettings):
    """The settings of one assistant. Read them with `load_settings`."""

    model_config = SettingsConfigDict(env_prefix="ASSISTANT_", env_ignore_empty=True, extra="forbid",
                                      validate_default=True)  # fmt: skip

    home: Path = Field(DEFAULT_HOME, description="data folder: token, outbox/, artifacts/, databases, caches")
    photos: Paths = Field(default_factory=list, description="photo folders")
    contacts: Paths = Field(default_factory=list, description="vCard files, or folders of them")
    model: str | None = Field(None, description="planner checkpoint: folder or hub id; default the shipped one")
    model_devices: int = Field(1, ge=1, description="devices over which the planner's weights are sharded")
    model_weights: Literal["float32", "bfloat16", "int8"] | None = Field(
        None, description="how they are kept; default float32 on a CPU, bfloat16 elsewhere"
    )
    speech_model: str | None = Field(None, description="Whisper name or checkpoint file")
    speech_engine: Literal["auto", "whisper", "pocketsphinx"] = "auto"
    speech_language: str | None = Field(
        None, pattern=r"^[a-z]{2,3}$", description="what is spoken, such as en; by default Whisper detects it"
    )
    database_url: str | None = Field(None, description="postgresql://…; default SQLite in the data folder")
    timezone: Annotated[str | None, AfterValidator(_zone)] = Field(
        None, description="IANA name such as Europe/Berlin; default the system's"
    )
    host: str = "127.0.0.1"
    port: int = Field(8080, ge=0, le=65535)
    allowed_hosts: Words = Field(default_factory=list, description="further names for the Host header")
    commands_per_minute: int = Field(60, ge=1, description="more are answered with 429")
    smtp_url: str | None = Field(None, description="smtp://user:password@host:587, or smtps://…")
    smtp_from: str | None = None
    send_location: bool = Field(False, description="leave GPS positions in photos that are sent")
    keep_days: int = Field(90, ge=1, description="finished errands and their files are forgotten after so many days")
    channels: dict[str, str] = Field(default_factory=dict, description="channel name → Apprise URL")
    plan_confidence: float = Field(0.0, ge=0, le=1, description="plans below are asked about; 0 = the model's own")
    sandbox_user: str | None = Field(None, description="user that tools run as when the service is root")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings  # `load_settings` leaves out what the environment says better than the file


def load_settings(**flags: Any) -> Settings:
    """Settings from file, environment and flags (None means not given). Raises SettingsError."""
    given = {k: v for k, v in flags.items() if v is not None}
    home = absolute(given.get("home") or os.environ.get("ASSISTANT_HOME") or DEFAULT_HOME)
    file = home / "config.toml"
    values = _read(file)
    environment = {n[len("ASSISTANT_") :].lower() for n, v in os.environ.items() if n.startswith("ASSISTANT_") and v}
    known = set(Settings.model_fields)
    if unknown := environment - known:
        names = ", ".join(f"ASSISTANT_{n.upper()}" for n in sorted(unknown))
        raise SettingsError(f"unknown setting in the environment: {names}")
    try:
        from_file = {k: v for k, v in values.items() if k not in environment}
        return Settings(**{**from_file, **given, "home": home})
    except Undecodable as error:
        how = 'in the environment it must be JSON, such as {"self": "ntfy://my-topic"}'
        raise SettingsError(f"{error}; {how}") from error
    except ValidationError as error:
        raise SettingsError(_explain(error, file, set(values) - environment - set(given))) from error


def _read(file: Path) -> dict[str, Any]:
    try:
        text = file.read_text("utf-8")
        values = tomllib.loads(text)
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"{file}: {error}") from error
    for key in values:
        if key not in Settings.model_fields or key == "home":
            raise SettingsError(f"{file}, line {_line(text, key)}: unknown key {key!r}")
    return values


def _line(text: str, key: str) -> int:
    """Where a key of the file's top level is set, as `key = …` or as a table `[key]`."""
    here = re.compile(rf"""\s*\[?\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
    return next((n for n, line in enumerate(text.splitlines(), 1) if here.match(line)), 1)


def _explain(error: ValidationError, file: Path, from_file: set[str]) -> str:
    fault = error.errors()[0]
    key = str(fault["loc"][0]) if fault["loc"] else "settings"
    where = f"{file}, line {_line(file.read_text('utf-8'), key)}" if key in from_file else f"ASSISTANT_{key.upper()}"
    return f"{where}: {key}: {fault['msg']}"
