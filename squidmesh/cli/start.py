"""``squidmesh start``: start a run."""

from __future__ import annotations

import click
from rich.text import Text

from squidmesh.cli import looks, target
from squidmesh.cli.output import json_option, show, show_json
from squidmesh.cli.values import read_object, read_seconds


@click.command()
@click.argument("workflow")
@click.option("--trigger", help="Which trigger, where the workflow has several.")
@click.option("--payload", default="{}", metavar="JSON", help="JSON, @FILE, or - for stdin.", show_default=True)
@click.option("--key", help="Start once for ever: the same key again gives the same run.")
@click.option("--queue", help="Instead of the mesh's own.")
@click.option("--priority", type=int, help="0 (first) to 9.")
@click.option("--delay", callback=read_seconds, metavar="SECONDS", help="Nothing of the run becomes visible before.")
@target.options
@json_option
@click.pass_context
def start(
    context: click.Context,
    workflow: str,
    trigger: str | None,
    payload: str,
    key: str | None,
    queue: str | None,
    priority: int | None,
    delay: float | None,
    as_json: bool,
) -> None:
    """Start a run of WORKFLOW."""
    given = read_object(payload, field="--payload")
    name = f"{workflow}.{trigger}" if trigger else workflow
    with target.connect_app(context) as mesh:
        run = mesh.start_run(name, given, key=key, queue=queue, priority=priority, delay=delay)
    if as_json:
        show_json(run.to_json())
    else:
        show(Text.assemble("run ", (run.run_id, "bold"), f" of {run.workflow}  ", looks.status_text(run.status)))
