"""``squidmesh queues``: what stands in each queue; stop one, and let it go on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from squidmesh import Mesh, Queue, QueueList
from squidmesh.cli import target, times
from squidmesh.cli.output import clean, json_option, show, show_json

F = TypeVar("F", bound=Callable[..., Any])


@click.group("queues", invoke_without_command=True)
@click.pass_context
def queues(context: click.Context) -> None:
    """Queues, and what is in them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def _leases(command: F) -> F:
    return click.option("--leases", metavar="URL", help="With --url: the mesh's lease backend.")(command)


def _word(command: F) -> F:
    for option in (
        json_option,
        target.options,
        _leases,
        click.option("--key", help="The same key again changes nothing."),
        click.option("--comment", default="", help="Why. Kept in the history."),
        click.option("--actor", required=True, metavar="NAME", help="Who decides. Kept in the history."),
        click.argument("queue"),
    ):
        command = option(command)
    return command


@queues.command("list")
@_leases
@target.options
@json_option
@click.pass_context
def list_all(context: click.Context, leases: str | None, as_json: bool) -> None:
    """List every queue that is known: with open work, of a registered workflow, or paused."""
    with target.connect(context, leases=leases) as mesh:
        found = mesh.queues()
    if as_json:
        show_json(found.to_json())
        return
    show(_table(found))
    if found.trouble is not None:
        show(Text.assemble(("no counts: ", "yellow"), clean(found.trouble)))


@queues.command()
@_word
@click.pass_context
def pause(context: click.Context, /, **said: Any) -> None:
    """Stop a queue: nothing of it is claimed. What is claimed goes on to its end."""
    _say(context, Mesh.pause_queue, said)


@queues.command()
@_word
@click.pass_context
def resume(context: click.Context, /, **said: Any) -> None:
    """Let a paused queue go on."""
    _say(context, Mesh.resume_queue, said)


def _say(context: click.Context, verb: Callable[..., Queue], said: dict[str, Any]) -> None:
    as_json, queue, leases = said.pop("as_json"), said.pop("queue"), said.pop("leases")
    with target.connect(context, leases=leases) as mesh:
        done = verb(mesh, queue, **said)
    if as_json:
        show_json(done.to_json())
    elif done.paused is None:
        show(clean(f"{done.name} is handed out"))
    else:
        left = "" if done.depth is None else f"; {done.depth.leased} leased, {done.depth.ready} ready"
        show(clean(f"{done.name} is paused by {done.paused.actor}{left}"))


def _table(found: QueueList) -> RenderableType:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("queue", no_wrap=True)
    for name in ("ready", "delayed", "leased", "oldest"):
        table.add_column(name, justify="right")
    table.add_column("paused")
    for one in found.queues:
        depth = one.depth
        counts = ("?", "?", "?") if depth is None else (str(depth.ready), str(depth.delayed), str(depth.leased))
        oldest = "" if depth is None or depth.oldest_ready is None else times.length(depth.oldest_ready)
        table.add_row(clean(one.name), *counts, Text(oldest, style="dim"), _paused(one, found))
    return table


def _paused(one: Queue, found: QueueList) -> Text:
    if one.paused is None:
        return Text("")
    why = f": {one.paused.comment}" if one.paused.comment else ""
    return Text.assemble(
        ("paused ", "yellow"), clean(f"by {one.paused.actor} {times.relative(one.paused.since, found.as_of)}{why}")
    )
