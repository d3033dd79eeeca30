"""Values that are typed or piped in: JSON, from an argument, a file or stdin."""

from __future__ import annotations

import json
import math
import re
import sys
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from squidmesh import UsageError

_LONGEST = 10 * 366 * 86_400
_SECONDS = {"s": 1, "min": 60, "h": 3_600, "d": 86_400}
_AGE = re.compile(r"([0-9]{1,12}(?:\.[0-9]{1,6})?) ?(s|min|h|d)?")


def read_seconds(_: click.Context, option: click.Parameter, given: str | None) -> float | None:
    """The callback of an option: a number of seconds, whole or not, from 0 to ten years."""
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds <= _LONGEST:
        raise click.BadParameter(f"{given!r} is refused; allowed are 0 to {_LONGEST} seconds", param=option)
    return seconds


def read_age(_: click.Context, option: click.Parameter, given: str) -> float:
    """The callback of an option: seconds, or a number with a unit, as in 30d."""
    found = _AGE.fullmatch(given)
    if found is None:
        allowed = "allowed are seconds, or a number with s, min, h or d, as in 30d"
        raise click.BadParameter(f"{given!r} is refused; {allowed}", param=option)
    return float(found[1]) * _SECONDS[found[2] or "s"]


def read_moment(_: click.Context, option: click.Parameter, given: str | None) -> datetime | None:
    """The callback of an option: a moment in ISO 8601 with its timezone."""
    if given is None:
        return None
    try:
        moment = datetime.fromisoformat(given)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        allowed = "allowed is a date and time with a timezone, as in 2026-11-22T21:00Z"
        raise click.BadParameter(f"{given!r} is refused; {allowed}", param=option)
    return moment


def read_json(given: str, *, field: str) -> object:
    """``given`` is JSON, ``@FILE``, or ``-`` for stdin: any value, strictly."""
    return _parse(_text(given, field), field)


def read_object(given: str, *, field: str) -> dict[str, Any]:
    """``given`` is JSON, ``@FILE``, or ``-`` for stdin. What it says must be an object, and strict JSON."""
    value = _parse(_text(given, field), field)
    if not isinstance(value, dict):
        raise _refused(f"{_kind(value)} is refused; allowed is an object, such as {{}}", field)
    return value


def _text(given: str, field: str) -> str:
    if given != "-" and not given.startswith("@"):
        return given
    path = Path(given[1:])
    where = "stdin" if given == "-" else str(path)
    try:
        raw = sys.stdin.buffer.read() if given == "-" else path.read_bytes()
        return raw.decode("utf-8-sig")
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UsageError(f"{where}: {why}", field=field, code="unreadable_file") from error
    except UnicodeDecodeError as error:
        raise _refused(f"{where}: byte {error.start} is not UTF-8", field) from error


def _parse(text: str, field: str) -> object:
    try:
        return json.loads(text, parse_constant=_no_constant, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise _refused(f"line {error.lineno} column {error.colno}: {error.msg}", field) from error
    except (ValueError, RecursionError) as error:
        why = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise _refused(why, field) from error


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON")


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} stands twice in one object")
    return found


def _kind(value: object) -> str:
    names = {list: "an array", str: "a text", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _refused(message: str, field: str) -> UsageError:
    return UsageError(message, field=field, code="invalid_json")
