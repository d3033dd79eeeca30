"""What goes to stdout: one JSON document, or something for people."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import click

from squidmesh.cli import times

if TYPE_CHECKING:  # a worker says nothing for people on stdout, and has no rich in its memory
    from rich.console import Console, RenderableType
    from rich.text import Text

F = TypeVar("F", bound=Callable[..., Any])
_UNFOLDED = 400
"""Columns where nobody looks at a terminal: tables keep each row on one line, for grep and cut."""


def console() -> Console:
    """A console on stdout as it is now; without colours where that is no terminal."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(highlight=False, markup=False, emoji=False)
    return Console(highlight=False, markup=False, emoji=False, width=_UNFOLDED)


def json_option(command: F) -> F:
    """``--json``: one document on stdout, and nothing else there."""
    return click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")(command)


def clean(text: str) -> Text:
    """Text that came from outside: line breaks stay, nothing else in it may move the cursor or colour the screen."""
    from rich.text import Text

    return Text("".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text))


def show(*parts: RenderableType) -> None:
    out = console()
    for part in parts:
        out.print(part)


def show_json(document: Any) -> None:
    """One document, and nothing else on stdout."""
    click.echo(json.dumps(document, ensure_ascii=False, indent=2))


def shown(value: object, now: datetime | None) -> str:
    """A value of an answer, for people."""
    match value:
        case None:
            return "none"
        case bool():
            return "yes" if value else "no"
        case datetime():
            return times.both(value, now)
        case timedelta():
            return times.length(value)
        case tuple() | list():
            return ", ".join(shown(item, now) for item in value)
        case str() | int() | float():
            return str(value)
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)
