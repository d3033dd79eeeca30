"""Tables of figures: for people at a terminal, as Markdown where nobody looks at one, and as JSON."""

from __future__ import annotations

import statistics
import sys
from dataclasses import dataclass
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table as RichTable
from rich.text import Text

_UNFOLDED = 400
"""Columns where the output is piped: a row stays on one line."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured several times: shown as the median, and the range where there is one."""

    values: tuple[float, ...]

    @property
    def median(self) -> float:
        return statistics.median(self.values)

    def __str__(self) -> str:
        if len(self.values) == 1:
            return number(self.values[0])
        return f"{number(self.median)} ({number(min(self.values))} to {number(max(self.values))})"

    def to_json(self) -> dict[str, Any]:
        return {"median": self.median, "low": min(self.values), "high": max(self.values), "values": list(self.values)}


Cell = Figure | float | int | str


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """``columns`` name the cells of each row, the first of which says what the row is about. ``note`` stands below."""

    name: str
    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    def column(self, name: str) -> list[Cell]:
        at = self.columns.index(name)
        return [row[at] for row in self.rows]

    def to_json(self) -> dict[str, Any]:
        rows = [dict(zip(self.columns, map(_plain, row), strict=True)) for row in self.rows]
        return {"title": self.title, "rows": rows, "note": self.note}


def number(value: float) -> str:
    """Three digits are what a measurement is good for."""
    if isinstance(value, int) or value == 0 or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


class Printer:
    """Tables to stdout, progress to stderr."""

    def __init__(self) -> None:
        self._piped = not sys.stdout.isatty()

    def table(self, table: Table) -> None:
        if self._piped:
            print(markdown(table), flush=True)
        else:
            shown = _drawn(table, box.SIMPLE_HEAD, folded=True)
            Console().print(Text(table.title, style="bold"), shown, Text(table.note and f"{table.note}\n"))

    def progress(self, line: str) -> None:
        print(f"bench: {line}", file=sys.stderr, flush=True)


def markdown(table: Table) -> str:
    """With its title above, and its note below."""
    console = Console(width=_UNFOLDED)
    with console.capture() as capture:
        console.print(_drawn(table, box.MARKDOWN, folded=False))
    lines = filter(None, map(str.rstrip, capture.get().splitlines()))
    return "\n".join([f"### {table.title}\n", *lines, f"\n{table.note}\n" if table.note else ""])


def _drawn(table: Table, lines: box.Box, *, folded: bool) -> RichTable:
    shown = RichTable(box=lines)
    for name in table.columns:
        is_number = any(not isinstance(cell, str) for cell in table.column(name))
        shown.add_column(name, justify="right" if is_number else "left", no_wrap=not folded)
    for row in table.rows:
        shown.add_row(*map(_shown, row))
    return shown


def _shown(cell: Cell) -> Text:
    """As it is: nothing in it is markup."""
    return Text(number(cell) if isinstance(cell, float | int) else str(cell))


def _plain(cell: Cell) -> Any:
    return cell.to_json() if isinstance(cell, Figure) else cell
