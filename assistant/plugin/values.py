"""How typed values travel as JSON between the executor and a tool.

Scalars and lists are themselves. A dataclass is {"$type": its name, **fields}; a file's `path` is relative to the
workspace (a file that the tool made) or absolute (one that it was given or found in a folder that it may read).
Datetimes are ISO 8601 with offset.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import math
import typing
from pathlib import Path
from typing import Any

from .signature import Type
from .types import DATACLASSES, Spoken, type_name


class ValueTypeError(TypeError):
    """A value is not of the type that the signature promises; the message says where."""


def encode(value: Any, where: str = "result") -> Any:
    """A tool's value as JSON. Raises ValueTypeError naming the part that cannot travel."""
    if value is None or isinstance(value, (bool, int, str)):
        return str(value) if isinstance(value, str) else value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueTypeError(f"{where}: {value} is not a finite number")
        return value
    if isinstance(value, dt.datetime):
        if value.tzinfo is None:
            raise ValueTypeError(f"{where}: the time {value} has no time zone")
        return value.isoformat()
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, (list, tuple)):
        return [encode(v, f"{where}[{i}]") for i, v in enumerate(value)]
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        name = type_name(type(value))
        parts = {f.name: encode(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value)}
        return {"$type": name, **parts}
    raise ValueTypeError(f"{where}: a {type(value).__name__} cannot leave a tool")


def decode(data: Any, type_: Type, classes: dict[str, type] | None = None, where: str = "argument") -> Any:
    """JSON as the Python value that a tool's parameter of type `type_` wants.

    classes: the plugin's own dataclasses by name. Raises ValueTypeError when the data do not fit.
    """
    if type_.item:
        if not isinstance(data, list):
            raise ValueTypeError(f"{where}: a list is wanted, not {type(data).__name__}")
        return [decode(d, type_.item, classes, f"{where}[{i}]") for i, d in enumerate(data)]
    if type_.choices or type_.name == "str":
        return _want(str, data, where)
    if type_.name == "Spoken":
        return Spoken(_want(str, data, where))
    if type_.name in ("int", "bool"):
        return _want({"int": int, "bool": bool}[type_.name], data, where)
    if type_.name == "float":
        return float(_want((int, float), data, where))
    return decode_dataclass(data, classes, where)


def decode_dataclass(data: Any, classes: dict[str, type] | None = None, where: str = "value") -> Any:
    """The dataclass that {"$type": …} names, from the common types or `classes`."""
    name = data.get("$type") if isinstance(data, dict) else None
    kind = DATACLASSES.get(name) or (classes or {}).get(name) if isinstance(name, str) else None
    if kind is None:
        raise ValueTypeError(f"{where}: not a known value: {str(data)[:80]}")
    hints = typing.get_type_hints(kind)
    known = {f.name for f in dataclasses.fields(kind)}
    try:
        return kind(**{k: _field(v, hints[k], classes, f"{where}.{k}") for k, v in data.items() if k in known})
    except (TypeError, ValueError) as error:
        raise ValueTypeError(f"{where}: {error}") from error


def _field(data: Any, hint: Any, classes: dict[str, type] | None, where: str) -> Any:
    args = [a for a in typing.get_args(hint) if a is not type(None)]
    wanted = args[0] if args and typing.get_origin(hint) is not list else hint
    optional = type(None) in typing.get_args(hint)
    if wanted in (Path, dt.datetime) and not isinstance(data, str) and not (data is None and optional):
        raise ValueTypeError(f"{where}: {data!r} is no {wanted.__name__}")
    if data is None or isinstance(data, (bool, int, float)):
        return data
    if isinstance(data, list):
        return [_field(d, args[0] if args else Any, classes, f"{where}[{i}]") for i, d in enumerate(data)]
    if isinstance(data, dict):
        return decode_dataclass(data, classes, where)
    if wanted is Path:
        return Path(data)
    if wanted is dt.datetime:
        return dt.datetime.fromisoformat(data)
    return Spoken(data) if wanted is Spoken else data


def _want(kind: Any, data: Any, where: str) -> Any:
    if not isinstance(data, kind) or (isinstance(data, bool) and kind is not bool):
        raise ValueTypeError(f"{where}: {data!r} is of the wrong type")
    return data
