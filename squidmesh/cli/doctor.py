"""``squidmesh doctor``: what is there, and whether it is as it should be."""

from __future__ import annotations

import click
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from squidmesh import Report
from squidmesh.cli import target
from squidmesh.cli.output import clean, json_option, show, show_json

_LOOKS = {"ok": "green", "warning": "yellow", "refused": "red"}


@click.command()
@click.option("--leases", metavar="URL", help="With --url: the mesh's lease backend.")
@target.options
@json_option
@click.pass_context
def doctor(context: click.Context, leases: str | None, as_json: bool) -> None:
    """Look at the stores, the lease backend and what waits in them. Changes nothing.

    Exit code 1 where something is refused: where it does not work like that.
    """
    with target.connect(context, leases=leases) as mesh:
        report = mesh.doctor()
    if as_json:
        show_json(report.to_json())
    else:
        show(_table(report))
    if report.level == "refused":
        context.exit(1)


def _table(report: Report) -> RenderableType:
    """What is wanted stands only beside what is not well."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "what", "found", "wanted"):
        table.add_column(name, overflow="fold", no_wrap=name in ("", "what"))
    for one in report.findings:
        wanted = Text("") if one.level == "ok" else clean(one.wanted)
        table.add_row(Text(one.level, style=_LOOKS[one.level]), clean(one.name), clean(one.found), wanted)
    return table
