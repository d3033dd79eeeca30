"""``squidmesh workers``: who works for a mesh, and who is lost."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import click
from rich.console import RenderableType
from rich.table import Table

from squidmesh import WorkerSeen
from squidmesh.cli import looks, target, times
from squidmesh.cli.output import clean, json_option, show, show_json

_NARROW_NAME, _NARROW_QUEUES = 28, 14
_URGENCY = {"lost": 0, "draining": 1, "working": 2, "idle": 3}


@click.group("workers", invoke_without_command=True)
@click.pass_context
def workers(context: click.Context) -> None:
    """Workers, in whatever process they run."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@workers.command("list")
@target.options
@json_option
@click.pass_context
def list_all(context: click.Context, as_json: bool) -> None:
    """List every worker, what it does, and when it was seen last. A lost one is listed for an hour."""
    with target.connect(context) as mesh:
        found = mesh.workers()
    if as_json:
        show_json(found.to_json())
    else:
        show(workers_table(found.workers, found.as_of))


def most_urgent_first(seen: Iterable[WorkerSeen]) -> list[WorkerSeen]:
    """What asks for somebody stands on top; then in order of name."""
    return sorted(seen, key=lambda one: (_URGENCY[one.state], one.name))


def workers_table(seen: Iterable[WorkerSeen], now: datetime, *, narrow: bool = False) -> Table:
    """One line a worker. ``narrow``: what fits into 80 columns."""
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("worker", no_wrap=True, overflow="ellipsis")
    table.add_column("state", no_wrap=True)
    table.add_column("busy", justify="right", no_wrap=True)
    table.add_column("leases", justify="right", no_wrap=True)
    table.add_column("queues", overflow="ellipsis", no_wrap=True)
    table.add_column("seen", no_wrap=True, style="dim")
    if not narrow:
        for name in ("started", "version", "host", "pid"):
            table.add_column(name, no_wrap=True, style="dim", justify="right" if name == "pid" else "left")
    for one in seen:
        table.add_row(*_cells(one, now, narrow=narrow))
    return table


def _cells(one: WorkerSeen, now: datetime, *, narrow: bool) -> list[RenderableType]:
    name, queues = clean(one.name), clean(", ".join(one.queues))
    if narrow:
        name.truncate(_NARROW_NAME, overflow="ellipsis")
        queues.truncate(_NARROW_QUEUES, overflow="ellipsis")
    cells: list[RenderableType] = [
        name,
        looks.status_text(one.state),
        f"{one.busy}/{one.slots}",
        str(one.leases),
        queues,
        _ago(one.seen_at, now),
    ]
    return cells if narrow else [*cells, _ago(one.started_at, now), clean(one.version), clean(one.host), str(one.pid)]


def _ago(moment: datetime, now: datetime) -> str:
    """To the second: a row is some seconds old in any case."""
    return f"{times.length(timedelta(seconds=max(0, (now - moment) // timedelta(seconds=1))))} ago"
