"""``squidmesh migrate``: bring a store to this version's schema."""

from __future__ import annotations

from collections.abc import Sequence

import click

from squidmesh import Mesh, Migration
from squidmesh.cli import target
from squidmesh.cli.output import json_option, show, show_json


@click.command()
@click.option("--leases", metavar="URL", help="Move the mesh to this lease backend, or back to its own: journal.")
@click.option("--print", "print_", is_flag=True, help="Print the SQL that would be applied, and change nothing.")
@click.option("--all", "every", is_flag=True, help="With --print: also what was applied before.")
@target.options
@json_option
@click.pass_context
def migrate(context: click.Context, leases: str | None, print_: bool, every: bool, as_json: bool) -> None:
    """Bring a store to this version's schema, making it where it is not there.

    With --leases, work is delivered through that backend from then on. Workers of the old one are refused and leave.
    """
    if print_ and leases is not None:
        raise click.UsageError("--print tells what would be done to the schema, and --leases is another thing")
    if every and not print_:
        raise click.UsageError("--all goes with --print")
    app, url = target.chosen(context)
    if url is None:
        why = "which store? --url URL (or SQUIDMESH_URL)" if app is None else "a store is named by --url, not by --app"
        raise target.no_mesh(why)
    if print_:
        _print(Mesh.migrations(url, every=every), as_json)
        return
    applied = Mesh.migrate(url, leases=leases, tell=lambda said: click.echo(said, err=True))
    if as_json:
        show_json({"applied": applied})
    elif applied:
        show(*(f"applied {name}" for name in applied))
    else:
        show("up to date")


def _print(migrations: Sequence[Migration], as_json: bool) -> None:
    """The scripts as they stand, one after the other: good for a pipe, with a comment where there is none."""
    if as_json:
        plain = [{"number": one.number, "name": one.name, "sql": one.sql} for one in migrations]
        show_json({"migrations": plain})
        return
    for one in migrations:
        click.echo(f"-- {one.name}\n\n{one.sql.strip()}\n")
    if not migrations:
        click.echo("-- up to date")
