"""``squidmesh worker``: capacity. One process, or a parent that keeps several going (:mod:`squidmesh.cli.fleet`).

The first SIGTERM or SIGINT drains: nothing more is claimed, running steps may end within the grace, the rest is given
back unspent. The second one leaves at once.
"""

from __future__ import annotations

import logging
import os
import sys
from dataclasses import dataclass
from typing import NoReturn

import click

from squidmesh import Mesh, UsageError, Worker
from squidmesh.cli import listening, logs, target
from squidmesh.cli.fleet import Fleet
from squidmesh.cli.listening import Address, Listening, check_room
from squidmesh.cli.output import json_option, show_json
from squidmesh.cli.reload import Reloading, folder_of
from squidmesh.cli.signals import Events, Orphaned, Signalled, in_background, watch_lifeline
from squidmesh.cli.values import read_seconds

FAILED = 1
_CLOSING = 5.0
"""Seconds for closing the stores at the end: a step that does not return may hold something of theirs."""


@click.command()
@click.option(
    "--queue",
    "queues",
    multiple=True,
    metavar="NAME[*][=WEIGHT][:LIMIT]",
    help="Claim from this queue, or from all that begin with NAME. WEIGHT: its part of the claims; LIMIT: the most"
    " slots of each process that one queue may have. May be repeated. Else: all of the mesh.",
)
@click.option("--concurrency", type=int, default=4, show_default=True, help="Steps at a time, in each process.")
@click.option("--processes", type=click.IntRange(1, 256), default=1, show_default=True)
@click.option(
    "--grace",
    callback=read_seconds,
    default="20",
    show_default=True,
    metavar="SECONDS",
    help="How long running steps may go on after the worker was told to leave.",
)
@click.option(
    "--sidecar/--no-sidecar",
    default=True,
    show_default=True,
    help="A small process beside each, which extends its leases while a step holds the interpreter's lock.",
)
@listening.option
@logs.format_option
@click.option("--reload", is_flag=True, help="For development: begin anew when a .py file of the app has changed.")
@click.option("--lifeline", type=int, hidden=True)
@target.options
@json_option
@click.pass_context
def worker(
    context: click.Context,
    queues: tuple[str, ...],
    concurrency: int,
    processes: int,
    grace: float,
    sidecar: bool,
    listen: Address | None,
    log_format: str,
    reload: bool,
    lifeline: int | None,
    as_json: bool,
) -> int:
    """Run steps until told to leave.

    SIGTERM or Ctrl-C drains: running steps may end within the grace, the rest is given back. Again: leave at once.
    """
    logs.to_stderr(logging.INFO, log_format)
    if reload:
        code = _reload(context, processes)
        if as_json:
            show_json({"drained": code == 0})
        return code
    mesh = target.connect_app(context)
    made = mesh.worker(concurrency=concurrency, queues=queues or None, grace=grace, sidecar=sidecar)
    if processes == 1:
        listening.watch(mesh, log_format)
        code = _Process(mesh, made, listening.listen(mesh, made, listen)).run(lifeline)
    else:  # the worker was made to find out, once and here, whether it can be
        mesh.close()
        app, _ = target.chosen(context)
        said = [
            f"--concurrency={concurrency}",
            f"--grace={grace}",
            f"--log-format={log_format}",
            "--sidecar" if sidecar else "--no-sidecar",
            *(f"--queue={queue}" for queue in queues),
        ]
        if listen is not None:
            check_room(listen, processes)
        each = (lambda number: []) if listen is None else (lambda number: [f"--listen={listen.of_child(number)}"])
        code = Fleet(["--app", app or "", "worker", *said], processes, each=each).run()
    if as_json:
        show_json({"drained": code == 0})
    return code


def _reload(context: click.Context, processes: int) -> int:
    """The same command line again, in a process that is replaced."""
    if processes != 1:
        why = f"--reload with --processes={processes} is refused; allowed is one process"
        raise UsageError(why, field="--reload", code="invalid_reload")
    app = target.app_of(context)
    said = [argument for argument in sys.argv[1:] if argument not in ("--reload", "--json")]
    return Reloading(said, folder_of(app)).run()


@dataclass(frozen=True, slots=True)
class _PumpEnded:
    pass


@dataclass(frozen=True, slots=True)
class _Drained:
    clean: bool


class _Process:
    """One worker in this process."""

    def __init__(self, mesh: Mesh, worker: Worker, listening: Listening | None = None) -> None:
        self._mesh = mesh
        self._listening = listening
        self._worker = worker
        self._events: Events[Orphaned | _PumpEnded | _Drained] = Events()

    def run(self, lifeline: int | None) -> int:
        """The exit code: 0 after a clean drain."""
        with self._events:
            if lifeline is not None:
                watch_lifeline(lifeline, lambda: self._events.put(Orphaned()))
            self._worker.start()
            in_background(self._watch_pump)
            logs.info("worker_started", pid=os.getpid())
            if self._listening is not None and self._listening.url is not None:
                logs.info("worker_listens", pid=os.getpid(), url=self._listening.url)
            event = self._events.get()
            code = FAILED if isinstance(event, _PumpEnded) else self._drain(event)
            in_background(self._mesh.close).join(_CLOSING)
        logs.info("worker_ended", pid=os.getpid(), code=code)
        return code

    def _drain(self, event: object) -> int:
        because = event.number.name if isinstance(event, Signalled) else "the parent is gone"
        if self._listening is not None:
            self._listening.health.leave()
        logs.info("worker_drains", pid=os.getpid(), because=because)
        in_background(lambda: self._events.put(_Drained(self._worker.drain())))
        while not isinstance(event := self._events.get(), _Drained):
            if isinstance(event, Signalled):
                self._leave_at_once(event)
        return 0 if event.clean else FAILED

    def _leave_at_once(self, event: Signalled) -> NoReturn:
        self._worker.abort()
        logs.warning("worker_aborted", pid=os.getpid(), because=event.number.name)
        logging.shutdown()
        os._exit(event.exit_code)  # not sys.exit: that would run what a host's libraries want to wait for

    def _watch_pump(self) -> None:
        self._worker.join()
        self._events.put(_PumpEnded())
