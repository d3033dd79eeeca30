"""``squidmesh reconcile``: make the lease backend hold what the journal says is open."""

from __future__ import annotations

import click

from squidmesh.cli import target
from squidmesh.cli.output import json_option, show, show_json


@click.command()
@click.option("--leases", metavar="URL", help="With --url: the mesh's lease backend.")
@click.option("--rewound", is_flag=True, help="The journal was restored from a backup: offer everything.")
@target.options
@json_option
@click.pass_context
def reconcile(context: click.Context, leases: str | None, rewound: bool, as_json: bool) -> None:
    """Offer the lease backend what the journal says is open, and remove what is closed.

    Workers do that by themselves. By hand it is for the time without workers, and after a restore.
    """
    with target.connect(context, leases=leases) as mesh:
        done = mesh.reconcile(rewound=rewound)
    if as_json:
        show_json(done.to_json())
    elif done.queues == 0:
        show("nothing to do")
    else:
        show(f"{done.queues} queues: {done.offered} offered, {done.dropped} removed, {done.gone} gone")
