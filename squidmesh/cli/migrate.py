"""``squidmesh migrate``: bring a store to this version's schema."""

from __future__ import annotations

import click

from squidmesh import Mesh
from squidmesh.cli import target
from squidmesh.cli.output import json_option, show, show_json


@click.command()
@click.option("--leases", metavar="URL", help="Move the mesh to this lease backend, or back to its own: journal.")
@target.options
@json_option
@click.pass_context
def migrate(context: click.Context, leases: str | None, as_json: bool) -> None:
    """Bring a store to this version's schema, making it where it is not there.

    With --leases, work is delivered through that backend from then on. Workers of the old one are refused and leave.
    """
    app, url = target.chosen(context)
    if url is None:
        why = "which store? --url URL (or SQUIDMESH_URL)" if app is None else "a store is named by --url, not by --app"
        raise target.no_mesh(why)
    applied = Mesh.migrate(url, leases=leases, tell=lambda said: click.echo(said, err=True))
    if as_json:
        show_json({"applied": applied})
    elif applied:
        show(*(f"applied {name}" for name in applied))
    else:
        show("up to date")
