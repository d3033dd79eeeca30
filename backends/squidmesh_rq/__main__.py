"""``python -m squidmesh_rq``: the bridge as a process of its own."""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

import click

from squidmesh.errors import SquidMeshError
from squidmesh_rq.app import VARIABLE, app
from squidmesh_rq.bridge import Bridge
from squidmesh_rq.jobs import DEFAULT_PREFIX


@click.command()
@click.option(
    "--app", "named", metavar="APP", envvar=VARIABLE, required=True, show_envvar=True, help="MODULE:ATTRIBUTE."
)
@click.option("--redis", "url", metavar="URL", envvar="RQ_REDIS_URL", required=True, show_envvar=True, help="Of RQ.")
@click.option("--queue", "queues", multiple=True, help="Follow this queue; may be repeated. Else: all of the mesh.")
@click.option("--prefix", default=DEFAULT_PREFIX, show_default=True, help="What RQ's names of our queues begin with.")
def main(named: str, url: str, queues: tuple[str, ...], prefix: str) -> None:
    """Put a job into RQ for each attempt that is open in a mesh's journal, until told to leave.

    SIGTERM or Ctrl-C ends it. It holds nothing: what it was at is seen by the next one.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr)
    os.environ[VARIABLE] = named
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    try:
        with app() as mesh, Bridge(mesh, url, queues=queues or None, prefix=prefix):
            logging.info("rq_bridge_started")
            told.wait()
        logging.info("rq_bridge_ended")
    except SquidMeshError as error:
        raise click.ClickException(f"{error} ({error.code})") from error


if __name__ == "__main__":
    main()
