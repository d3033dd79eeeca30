"""``squidmesh runs``: look at runs, and decide about them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any, TypeVar

import click
from rich.text import Text

from squidmesh import Run
from squidmesh.cli import looks, target
from squidmesh.cli.drawing import draw_graph, explanation_panel
from squidmesh.cli.output import json_option, show, show_json
from squidmesh.cli.tables import runs_table, show_run
from squidmesh.cli.values import read_json, read_moment, read_object

F = TypeVar("F", bound=Callable[..., Any])
STATUSES = (
    "running",
    "retrying",
    "paused",
    "waiting",
    "failing",
    "compensating",
    "completed",
    "failed",
    "cancelled",
)


@click.group(invoke_without_command=True)
@click.pass_context
def runs(context: click.Context) -> None:
    """Look at runs, and decide about them."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@runs.command("list")
@click.option("--workflow", help="Of this workflow only.")
@click.option("--status", type=click.Choice(STATUSES), help="With this status only.")
@click.option("--queue", help="On this queue only.")
@click.option("--text", help="Whose id or key begins so.")
@click.option("--since", callback=read_moment, metavar="TIME", help="Started then or later, as in 2026-11-22T21:00Z.")
@click.option("--until", callback=read_moment, metavar="TIME", help="Started before.")
@click.option(
    "--by", type=click.Choice(["started", "active"]), default="started", show_default=True, help="In which order."
)
@click.option("--limit", type=int, default=50, show_default=True)
@click.option("--after", metavar="CURSOR", help="The page after this cursor.")
@target.options
@json_option
@click.pass_context
def list_runs(
    context: click.Context,
    workflow: str | None,
    status: str | None,
    queue: str | None,
    text: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int,
    after: str | None,
    by: str,
    as_json: bool,
) -> None:
    """List runs, newest first, or those that were active last."""
    with target.connect(context) as mesh:
        page = mesh.list_runs(
            workflow=workflow,
            status=status,
            queue=queue,
            text=text,
            since=since,
            until=until,
            limit=limit,
            after=after,
            by=by,
        )
    if as_json:
        show_json(page.to_json())
    elif page.runs:
        show(runs_table(page))
    else:
        show(Text("no runs", style="dim"))


@runs.command("show")
@click.argument("run_id")
@click.option("--history", is_flag=True, help="Every fact, and payload, outputs and error texts.")
@target.options
@json_option
@click.pass_context
def show_one(context: click.Context, run_id: str, history: bool, as_json: bool) -> None:
    """Show one run: where it stands, its attempts, who decided what."""
    with target.connect(context) as mesh:
        run = mesh.inspect_run(run_id, history=history)
    if as_json:
        show_json(run.to_json())
    else:
        show(*show_run(run))


@runs.command()
@click.argument("run_id")
@target.options
@json_option
@click.pass_context
def explain(context: click.Context, run_id: str, as_json: bool) -> None:
    """Say why a run stands where it stands, and what may be done."""
    with target.connect(context) as mesh:
        explanation = mesh.explain_run(run_id)
    if as_json:
        show_json(explanation.to_json())
    else:
        show(explanation_panel(explanation))


@runs.command()
@click.argument("run_id")
@click.option("--history", is_flag=True, help="With --json: who works on each node, and error texts.")
@target.options
@json_option
@click.pass_context
def graph(context: click.Context, run_id: str, history: bool, as_json: bool) -> None:
    """Draw a run: its steps, the routes that it took, and those that it did not take."""
    with target.connect(context) as mesh:
        found = mesh.inspect_run_graph(run_id, history=history)
    if as_json:
        show_json(found.to_json())
    else:
        show(draw_graph(found))


def _said(command: F) -> F:
    """What every decision says: who, why, and under which key."""
    for option in (
        json_option,
        target.options,
        click.option("--key", help="The same key again changes nothing."),
        click.option("--comment", default="", help="Why. Kept in the history."),
        click.option("--actor", required=True, metavar="NAME", help="Who decides. Kept in the history."),
        click.argument("run_id"),
    ):
        command = option(command)
    return command


_metadata = click.option("--metadata", default="{}", metavar="JSON", help="JSON, @FILE, or - for stdin.")
_step = click.option("--step", help="Which one, where several are open.")


@runs.command()
@_said
@_metadata
@_step
@click.pass_context
def approve(context: click.Context, /, run_id: str, metadata: str, as_json: bool, **said: Any) -> None:
    """Approve what a run waits for."""
    given = read_object(metadata, field="--metadata")
    with target.connect(context) as mesh:
        _decided(mesh.approve_run(run_id, metadata=given, **said), as_json)


@runs.command()
@_said
@_metadata
@_step
@click.pass_context
def reject(context: click.Context, /, run_id: str, metadata: str, as_json: bool, **said: Any) -> None:
    """Reject what a run waits for: its reject route is taken, or the run fails."""
    given = read_object(metadata, field="--metadata")
    with target.connect(context) as mesh:
        _decided(mesh.reject_run(run_id, metadata=given, **said), as_json)


@runs.command()
@_said
@_metadata
@_step
@click.pass_context
def resume(context: click.Context, /, run_id: str, metadata: str, as_json: bool, **said: Any) -> None:
    """Go on with a run that waits at a pause."""
    given = read_object(metadata, field="--metadata")
    with target.connect(context) as mesh:
        _decided(mesh.resume_run(run_id, metadata=given, **said), as_json)


@runs.command()
@_said
@_metadata
@click.option("--children", type=click.Choice(("cancel", "leave")), default="cancel", show_default=True)
@click.pass_context
def cancel(context: click.Context, /, run_id: str, metadata: str, as_json: bool, **said: Any) -> None:
    """End a run now. Nothing is compensated; its child runs are cancelled too, or left."""
    given = read_object(metadata, field="--metadata")
    with target.connect(context) as mesh:
        _decided(mesh.cancel_run(run_id, metadata=given, **said), as_json)


@runs.command("retry-compensation")
@_said
@_step
@click.pass_context
def retry_compensation(context: click.Context, /, run_id: str, as_json: bool, **said: Any) -> None:
    """Try a compensation again that has failed for good."""
    with target.connect(context) as mesh:
        _decided(mesh.retry_compensation(run_id, **said), as_json)


@runs.command("waive-compensation")
@_said
@_step
@click.pass_context
def waive_compensation(context: click.Context, /, run_id: str, as_json: bool, **said: Any) -> None:
    """Go on without a compensation that has failed for good."""
    with target.connect(context) as mesh:
        _decided(mesh.waive_compensation(run_id, **said), as_json)


@runs.command("send-event")
@click.argument("run_id")
@click.argument("event")
@click.option("--data", default="null", metavar="JSON", help="JSON, @FILE, or - for stdin.", show_default=True)
@click.option("--actor", metavar="NAME", help="Who sends it.")
@click.option("--key", help="Two events of one key are one.")
@target.options
@json_option
@click.pass_context
def send_event(context: click.Context, /, run_id: str, event: str, data: str, as_json: bool, **said: Any) -> None:
    """Tell a run that EVENT has happened."""
    given = read_json(data, field="--data")
    with target.connect(context) as mesh:
        _decided(mesh.send_event(run_id, event, given, **said), as_json)


@runs.command()
@_said
@_metadata
@click.option("--allow-irreversible", is_flag=True, help="Also where the old run has passed what can not be undone.")
@click.option("--queue", help="Instead of the old run's.")
@click.option("--priority", type=int, help="0 (first) to 9.")
@click.pass_context
def replay(context: click.Context, /, run_id: str, metadata: str, as_json: bool, **said: Any) -> None:
    """Start a new run with the payload of one that has ended."""
    given = read_object(metadata, field="--metadata")
    with target.connect_app(context) as mesh:
        run = mesh.replay_run(run_id, metadata=given, **said)
    if as_json:
        show_json(run.to_json())
    else:
        show(Text.assemble("run ", (run.run_id, "bold"), f" replays {run_id}  ", looks.status_text(run.status)))


def _decided(run: Run, as_json: bool) -> None:
    if as_json:
        show_json(run.to_json())
        return
    newest = max(run.audit, key=lambda event: event.at)
    what = newest.step or "the run"
    decided = f"{what} was {newest.action} by {newest.actor}; run "
    show(Text.assemble(decided, (run.run_id, "bold"), "  ", looks.status_text(run.status)))
