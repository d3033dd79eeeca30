"""``squidmesh reindex``: make the derived rows again from the threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.text import Text

from squidmesh import Reindexed
from squidmesh.cli import looks, target
from squidmesh.cli.output import clean, json_option, show, show_json


@click.command()
@click.option("--dry-run", is_flag=True, help="Compare only, and say what would be done.")
@target.options
@json_option
@click.pass_context
def reindex(context: click.Context, dry_run: bool, as_json: bool) -> None:
    """Make lists, agenda, timers, dead letters and paused queues again from the journal's threads.

    Workers go on meanwhile. Leases are left alone. Exit code 1 where the history of a run can not be read.
    """
    with target.connect(context) as mesh, _progress() as tell:
        done = mesh.reindex(dry_run=dry_run, tell=tell)
    if as_json:
        show_json(done.to_json())
    else:
        _show(done)
    if done.unreadable:
        context.exit(1)


@contextmanager
def _progress() -> Iterator[Callable[[str], None]]:
    """Where somebody looks at a terminal."""
    if not sys.stderr.isatty():
        yield lambda said: None
        return
    with Console(stderr=True).status("reindexing") as status:
        yield status.update


def _show(done: Reindexed) -> None:
    for one in done.unreadable:
        show(Text.assemble((f"{looks.sign('failed')} ", "red"), clean(one.why)))
    would = "would be " if done.dry_run else ""
    show(f"{done.threads} threads: {done.put} rows {would}put, {done.removed} removed, {done.changed} changed")
