"""One frame of ``squidmesh top``: a :class:`FleetView` as it is drawn."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeVar

from rich.console import Group, RenderableType
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from squidmesh import WorkerSeen
from squidmesh.cli import looks, times
from squidmesh.cli.fleet_view import ENDED, OPEN, FleetView
from squidmesh.cli.output import clean
from squidmesh.cli.workers import workers_table

R = TypeVar("R")
_BAR = 24
_LEFT = 14
"""Columns of what stands in front of each line."""
_WIDE = 110
_FIXED = 12
"""Lines of a frame that are there however much there is to list, and one to spare."""


class Header(NamedTuple):
    """``name``: the mesh. ``hint``: what the reader may do. ``trouble``: why this is not the newest state."""

    name: str
    hint: str = ""
    trouble: str | None = None


def frame(view: FleetView, header: Header, *, width: int, lines: int | None = None) -> RenderableType:
    """``lines``: how high it may be; None where it may be as high as it wants to."""
    for_workers, for_queues = _shares(len(view.workers.workers), len(view.vitals.queues), lines)
    return Group(
        _title(view, header),
        Rule(style="dim"),
        *_troubles(view, header),
        _runs(view),
        _rates(view),
        _dead_letters(view),
        _workers(view),
        "",
        *_list_of_workers(view, for_workers, narrow=width < _WIDE),
        "",
        *_list_of_queues(view, for_queues),
    )


def _title(view: FleetView, header: Header) -> RenderableType:
    grid = Table.grid(expand=True)
    grid.add_column(no_wrap=True, overflow="ellipsis")
    grid.add_column(justify="right", no_wrap=True)
    right = times.absolute(view.as_of) + (f"  {header.hint}" if header.hint else "")
    grid.add_row(Text.assemble(("squidmesh top  ", "bold"), clean(header.name)), Text(right, style="dim"))
    return grid


def _troubles(view: FleetView, header: Header) -> Iterator[RenderableType]:
    for told in (header.trouble, view.vitals.trouble):
        if told is not None:
            yield Text.assemble(("! ", "bold red"), clean(told))


def _line(name: str, *parts: Text | str) -> Text:
    """Its parts stay whole where it is folded."""
    line = Text.assemble((f"{name:<{_LEFT}}", "dim"))
    for number, part in enumerate(parts):
        line.append("   " if number else "")
        line.append_text(part if isinstance(part, Text) else Text(part))
    return line


def _runs(view: FleetView) -> RenderableType:
    counts = view.vitals.runs
    shown = [status for status in (*OPEN, *ENDED) if counts.get(status)]
    parts = [
        Text(f"{looks.sign(status)}\N{NO-BREAK SPACE}{counts[status]:,}\N{NO-BREAK SPACE}{status}", looks.style(status))
        for status in shown
    ]
    return _line("runs", *(parts or [Text("none")]))


def _rates(view: FleetView) -> RenderableType:
    if view.rates is None:
        return _line("a second", Text("-", style="dim"))
    ended = [
        Text(f"{looks.sign(status)} {_rate(rate)} {status}", looks.style(status))
        for status, rate in view.rates.ended.items()
        if rate
    ]
    return _line("a second", f"{_rate(view.rates.started)} started", *(ended or [Text("0 ended")]))


def _rate(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 10 or rate == 0 else f"{rate:.1f}"


def _dead_letters(view: FleetView) -> RenderableType:
    count = view.vitals.dead_letters
    if not count:
        return _line("dead letters", "none")
    told = Text(f"{looks.sign('dead')} {count:,}", style=looks.style("dead"))
    return _line("dead letters", told, Text("squidmesh dead-letters list", style="dim"))


def _workers(view: FleetView) -> RenderableType:
    states = [one.state for one in view.workers.workers]
    if not states:
        return _line("slots", Text("no worker is registered", style="yellow"))
    busy, slots = view.slots
    told = [
        Text(f"{looks.sign(state)} {states.count(state)} {state}", style=looks.style(state))
        for state in ("working", "idle", "draining", "lost")
        if state in states
    ]
    return _line("slots", Text.assemble(_bar(busy, slots), f"  {busy} busy, {slots - busy} free"), *told)


def _bar(busy: int, slots: int) -> Text:
    """Something that is busy is seen, and so is something that is free."""
    filled = round(_BAR * busy / slots) if slots else 0
    if 0 < busy < slots:
        filled = min(max(filled, 1), _BAR - 1)
    return Text.assemble(("━" * filled, "bold cyan"), ("─" * (_BAR - filled), "dim"))


def _list_of_workers(view: FleetView, most: int | None, *, narrow: bool) -> Iterator[RenderableType]:
    shown, more = _cut(view.workers.workers, most)
    if shown:
        yield workers_table(shown, view.as_of, narrow=narrow)
    if more:
        yield _more(more, "workers", [one for one in view.workers.workers[len(shown) :] if one.state == "lost"])


def _list_of_queues(view: FleetView, most: int | None) -> Iterator[RenderableType]:
    """Those in which something stands first, the longest-waiting on top."""
    stats = sorted(
        view.vitals.queues,
        key=lambda one: (
            -(one.oldest_ready.total_seconds() if one.oldest_ready is not None else -1.0),
            -(one.ready + one.delayed + one.leased),
            one.queue,
        ),
    )
    shown, more = _cut(stats, most)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("queue", no_wrap=True, overflow="ellipsis")
    for name in ("ready", "delayed", "leased", "oldest"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True)
    claimed = [one for one in view.workers.workers if one.state in ("working", "idle")]
    for one in shown:
        oldest = "" if one.oldest_ready is None else times.length(one.oldest_ready)
        counts = (f"{one.ready:,}", f"{one.delayed:,}", f"{one.leased:,}")
        table.add_row(clean(one.queue), *counts, Text(oldest, style="dim"), _note(one.queue, one.ready, view, claimed))
    if shown:
        yield table
    if more:
        yield _more(more, "queues", [])


def _note(queue: str, ready: int, view: FleetView, claimed: Sequence[WorkerSeen]) -> Text:
    if queue in view.vitals.paused:
        return Text(f"{looks.sign('paused')} paused", style=looks.style("paused"))
    if ready and not any(one.claims_from(queue) for one in claimed):
        return Text("nobody claims from it", style="yellow")
    return Text("")


def _more(count: int, what: str, lost: Sequence[WorkerSeen]) -> Text:
    return Text(f"… and {count} {what} more" + (f", {len(lost)} of them lost" if lost else ""), style="dim")


def _cut(rows: Sequence[R], most: int | None) -> tuple[Sequence[R], int]:
    """One line is kept for how many are left out."""
    if most is None or len(rows) <= most:
        return rows, 0
    shown = rows[: max(most - 1, 0)]
    return shown, len(rows) - len(shown)


def _shares(workers: int, queues: int, lines: int | None) -> tuple[int | None, int | None]:
    """How many lines each list gets: half of what there is, and what the other one does not need."""
    if lines is None:
        return None, None
    room = max(lines - _FIXED, 2)
    half = room // 2
    for_queues = min(queues, max(half, room - workers))
    return max(room - for_queues, 1), max(for_queues, 1)
