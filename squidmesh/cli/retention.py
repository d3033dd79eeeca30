"""``squidmesh prune`` and ``squidmesh archive``: what ended long ago goes, and where it goes to."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

from squidmesh import Pruned
from squidmesh.cli import looks, target, times
from squidmesh.cli.output import clean, json_option, show, show_json
from squidmesh.cli.values import read_age

F = TypeVar("F", bound=Callable[..., Any])


def _terms(command: F) -> F:
    for option in (
        json_option,
        target.options,
        click.option("--dry-run", is_flag=True, help="Change nothing; say what would go."),
        click.option("--limit", type=int, metavar="N", help="No more once so many runs have gone."),
        click.option(
            "--status",
            "statuses",
            multiple=True,
            type=click.Choice(["completed", "failed", "cancelled"]),
            help="That ended so. May be said several times.",
        ),
        click.option("--workflow", help="Of this workflow."),
        click.option(
            "--older-than",
            required=True,
            callback=read_age,
            metavar="AGE",
            help="That ended so long ago: seconds, or as in 12h and 30d. At least a minute.",
        ),
    ):
        command = option(command)
    return command


@click.command()
@_terms
@click.pass_context
def prune(context: click.Context, /, **said: Any) -> None:
    """Remove runs that ended long ago, each whole, children with their parents.

    Runs with a key, of a cron trigger or of a parent leave a mark, and never start again.
    """
    _carry_out(context, "pruned", said)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@_terms
@click.pass_context
def archive(context: click.Context, /, file: str, **said: Any) -> None:
    """Write runs that ended long ago to FILE, a line of JSON each, and remove them.

    FILE is appended to. Each line is on the disk before its run goes. Secrets are hidden in it; nothing is encrypted.
    """
    _carry_out(context, "archived", said, file)


def _carry_out(context: click.Context, done: str, said: dict[str, Any], file: str | None = None) -> None:
    as_json = said.pop("as_json")
    asked = {**said, "statuses": said["statuses"] or None}
    with target.connect(context) as mesh, _progress(quiet=as_json) as progress:
        task = progress.add_task(done, total=None, runs=0)

        def tell(runs: int) -> None:
            progress.update(task, runs=runs)

        result = mesh.prune(**asked, tell=tell) if file is None else mesh.archive(file, **asked, tell=tell)
    if as_json:
        show_json(result.to_json())
    else:
        _show(result, done)
    if result.held:
        context.exit(1)


def _progress(*, quiet: bool) -> Progress:
    """On stderr, for people: how many have gone. How many there are is known when all have been looked at."""
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.fields[runs]} runs {task.description}"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=quiet or not sys.stderr.isatty(),
        transient=True,
    )


def _show(result: Pruned, done: str) -> None:
    for run_id, why in result.reasons.items():
        show(Text.assemble((f"{looks.sign('failed')} ", "red"), clean(f"{run_id} stays: {why}")))
    would = "would be " if result.dry_run else ""
    show(
        f"{result.runs} runs with {result.entries} entries {would}{done}, ended before {times.absolute(result.before)}"
    )
    if result.held:
        show(f"{result.held} stay, because they can not be read")
