"""``squidmesh dead-letters``: look at what was given up, send it back to work, or give it up for good."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import Console, RenderableType
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from squidmesh import DeadLetterList, DeadLettersMoved, Mesh
from squidmesh.cli import looks, target, times
from squidmesh.cli.drawing import explanation_panel
from squidmesh.cli.output import clean, json_option, show, show_json
from squidmesh.cli.values import read_seconds

F = TypeVar("F", bound=Callable[..., Any])


@click.group("dead-letters", invoke_without_command=True)
@click.pass_context
def dead_letters(context: click.Context) -> None:
    """Attempts that were given up after too many lost deliveries."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _filters(command: F) -> F:
    for option in (
        click.option("--older-than", callback=read_seconds, metavar="SECONDS", help="That died at least so long ago."),
        click.option("--cause", type=click.Choice(["lost_deliveries", "lost_before_recording"])),
        click.option("--queue", help="On this queue."),
        click.option("--step", help="Of this step."),
        click.option("--workflow", help="Of this workflow."),
        click.option("--run", "run_id", help="Of this run."),
    ):
        command = option(command)
    return command


def _deed(command: F) -> F:
    for option in (
        json_option,
        target.options,
        _filters,
        click.option("--rate", type=float, metavar="N", help="At most so many a second."),
        click.option("--dry-run", is_flag=True, help="Change nothing; say what would be done."),
        click.option("--key", help="The same key again changes nothing."),
        click.option("--all", "all_", is_flag=True, help="All there are."),
        click.option("--actor", required=True, metavar="NAME", help="Who decides. Kept in the history."),
        click.argument("items", nargs=-1, metavar="[RUN_ID/STEP#ATTEMPT]..."),
    ):
        command = option(command)
    return command


@dead_letters.command("list")
@_filters
@click.option("--limit", type=int, default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="The page after this cursor.")
@target.options
@json_option
@click.pass_context
def list_all(context: click.Context, /, as_json: bool, **asked: Any) -> None:
    """List dead letters, oldest first."""
    with target.connect(context) as mesh:
        page = mesh.list_dead_letters(**asked)
    if as_json:
        show_json(page.to_json())
    elif page.dead_letters:
        show(_table(page))
    else:
        show(Text("no dead letters", style="dim"))


@dead_letters.command("show")
@click.argument("item", metavar="RUN_ID/STEP#ATTEMPT")
@target.options
@json_option
@click.pass_context
def show_one(context: click.Context, item: str, as_json: bool) -> None:
    """Show one dead letter: why it was given up, and what may be done."""
    run_id = item.partition("/")[0]
    with target.connect(context) as mesh:
        explanation = mesh.explain_run(run_id)
        found = [one for one in mesh.list_dead_letters(run_id=run_id, limit=1000).dead_letters if one.item == item]
    if not found:
        raise click.ClickException(f"{item} is no dead letter; its run: {explanation.summary}")
    if as_json:
        show_json(found[0].to_json() | {"explanation": explanation.to_json()})
    else:
        show(_facts(found[0].to_json()), "", explanation_panel(explanation))


@dead_letters.command()
@_deed
@click.option("--comment", default="", help="Why. Kept in the history.")
@click.pass_context
def replay(context: click.Context, /, **said: Any) -> None:
    """Send dead letters back to work: those named, those that match, or --all."""
    _carry_out(context, Mesh.replay_dead_letters, "replayed", said)


@dead_letters.command()
@_deed
@click.option("--reason", required=True, help="Why. Kept in the history.")
@click.pass_context
def discard(context: click.Context, /, **said: Any) -> None:
    """Give dead letters up for good: the error route is taken, or the run fails."""
    _carry_out(context, Mesh.discard_dead_letters, "discarded", said)


def _carry_out(context: click.Context, verb: Callable[..., DeadLettersMoved], done: str, said: dict[str, Any]) -> None:
    as_json, items, every = said.pop("as_json"), said.pop("items"), said.pop("all_")
    with (
        target.connect(context) as mesh,
        Progress(console=Console(stderr=True), disable=as_json or not sys.stderr.isatty(), transient=True) as progress,
    ):
        task = progress.add_task(done, total=len(items) or None)
        result = verb(mesh, list(items) or None, all=every, tell=lambda item: progress.advance(task), **said)
    if as_json:
        show_json(result.to_json())
    else:
        for item, why in result.refused.items():
            show(Text.assemble((f"{looks.sign('failed')} ", "red"), clean(f"{item}: {why}")))
        would = "would be " if result.dry_run else ""
        for item in result.items if result.dry_run else ():
            show(clean(item))
        show(f"{len(result.items)} {would}{done}, {len(result.refused)} refused")
    if result.refused:
        context.exit(1)


def _table(page: DeadLetterList) -> RenderableType:
    """One line a letter; the item stands last and is never cut."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("died", "workflow", "step", "cause", "lost", "last owner"):
        table.add_column(name)
    table.add_column("item", no_wrap=True, min_width=36)
    for one in page.dead_letters:
        table.add_row(
            Text(times.relative(one.died_at, page.as_of), style="dim"),
            clean(one.workflow),
            clean(one.step),
            Text(one.detail or one.cause, style="red"),
            str(one.lost or one.lapsed),
            clean(one.owner or ""),
            clean(one.item),
        )
    if page.next is not None:
        table.caption = Text(f"more: --after {page.next}", style="dim")
        table.caption_justify = "left"
    return table


def _facts(letter: dict[str, Any]) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, value in letter.items():
        if value is not None:
            grid.add_row(name.replace("_", " "), clean(str(value)))
    return grid
