"""``squidmesh worker``: capacity. One process, or a parent that keeps several going (:mod:`squidmesh.cli.fleet`).

The first SIGTERM or SIGINT drains: nothing more is claimed, running steps may end within the grace, the rest is given
back unspent. The second one leaves at once. One that begins while a store is away waits for it.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import click

from squidmesh import CronLoop, Mesh, UsageError, Worker
from squidmesh.cli import listening, logs, roles, systemd, target
from squidmesh.cli.arriving import Arrived, Refused, arrive, may_pass
from squidmesh.cli.collector import collect_rarely
from squidmesh.cli.fleet import Fleet
from squidmesh.cli.listening import Address, Listening, check_room
from squidmesh.cli.output import json_option, show_json
from squidmesh.cli.reload import Reloading, folder_of
from squidmesh.cli.signals import Events, Orphaned, Signalled, in_background, watch_lifeline
from squidmesh.cli.systemd import Notifier
from squidmesh.cli.values import read_seconds
from squidmesh.observe.standing import Standing

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
@roles.options
@listening.option
@logs.format_option
@click.option("--reload", is_flag=True, help="For development: begin anew when a .py file of the app has changed.")
@click.option("--lifeline", type=int, hidden=True)
@click.option("--tells", type=int, hidden=True)
@click.option("--watchdog", type=float, hidden=True)
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
    with_roles: tuple[str, ...],
    without_roles: tuple[str, ...],
    listen: Address | None,
    log_format: str,
    reload: bool,
    lifeline: int | None,
    tells: int | None,
    watchdog: float | None,
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
    notifier = systemd.take_over() if tells is None else systemd.to_parent(tells, watchdog)
    carried = roles.chosen(with_roles, without_roles)
    mesh = target.connect_app(context)

    def make() -> Worker:
        """Refuses what is wrong with what was said before it asks the stores."""
        made = mesh.worker(
            concurrency=concurrency,
            queues=queues or None,
            grace=grace,
            sidecar=sidecar,
            reconcile="reconcile" in carried,
        )
        made.look()
        return made

    if processes == 1:
        listening.watch(mesh, log_format)
        standing = Standing()
        heard = listening.listen(mesh, standing, listen)
        code = _Process(mesh, make, standing, heard, notifier, carried).run(lifeline)
    else:
        if listen is not None:
            check_room(listen, processes)
        app, _ = target.chosen(context)
        said = [
            f"--concurrency={concurrency}",
            f"--grace={grace}",
            f"--log-format={log_format}",
            "--sidecar" if sidecar else "--no-sidecar",
            *(f"--queue={queue}" for queue in queues),
            *roles.said(carried),
        ]
        each = (lambda number: []) if listen is None else (lambda number: [f"--listen={listen.of_child(number)}"])
        code = 0
        if _find_out(make, mesh):
            code = Fleet(["--app", app or "", "worker", *said], processes, each=each, notifier=notifier).run()
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


def _find_out(make: Callable[[], Worker], mesh: Mesh) -> bool:
    """Whether the children shall be started: not where a signal came first. What no waiting mends is raised once, and
    here; a store that is away is theirs to wait for.
    """
    events: Events[Arrived[Worker] | Refused] = Events()
    with events:
        arrive(make, events.put, once=True)
        event = events.get()
    if isinstance(event, Refused) and not may_pass(event.error):
        raise event.error
    in_background(mesh.close).join(_CLOSING)
    return not isinstance(event, Signalled)


@dataclass(frozen=True, slots=True)
class _Turns:
    """The pump has turned for the first time."""


@dataclass(frozen=True, slots=True)
class _PumpEnded:
    pass


@dataclass(frozen=True, slots=True)
class _Drained:
    clean: bool


_Event = Arrived[Worker] | Refused | Orphaned | _Turns | _PumpEnded | _Drained


class _Process:
    """One worker in this process, and the roles that it carries."""

    def __init__(
        self,
        mesh: Mesh,
        make: Callable[[], Worker],
        standing: Standing,
        listening: Listening,
        notifier: Notifier,
        carried: frozenset[str],
    ) -> None:
        self._mesh = mesh
        self._make = make
        self._standing = standing
        self._listening = listening
        self._notifier = notifier
        self._carried = carried
        self._cron: CronLoop | None = None
        self._waits = True
        self._ended = threading.Event()
        self._events: Events[_Event] = Events()

    def run(self, lifeline: int | None) -> int:
        """The exit code: 0 after a clean drain, or where it was told to leave before its stores were there."""
        with self._events:
            if lifeline is not None:
                watch_lifeline(lifeline, lambda: self._events.put(Orphaned()))
            if self._listening.url is not None:
                logs.info("worker_listens", pid=os.getpid(), url=self._listening.url)
            if self._notifier.listens:
                in_background(self._keep_telling)
            arrive(self._make, self._events.put, waits=self._tell_waiting)
            event = self._events.get()
            if isinstance(event, Refused):
                raise event.error
            code = self._work(event.made) if isinstance(event, Arrived) else self._leave_early()
            self._ended.set()
            in_background(self._mesh.close).join(_CLOSING)
        logs.info("worker_ended", pid=os.getpid(), code=code)
        return code

    def _work(self, worker: Worker) -> int:
        self._listening.counts.know(tuple(queue for queue in worker.queues if not queue.endswith("*")))
        collect_rarely()
        worker.start()
        self._standing.take_place(worker.signs)
        if "cron" in self._carried:
            self._cron = self._mesh.cron().start()
            self._standing.take_place(self._cron.signs)
        in_background(lambda: self._watch_pump(worker))
        logs.info("worker_started", pid=os.getpid())
        while isinstance(event := self._events.get(), _Turns):
            self._waits = False
            self._notifier.say("READY=1", "STATUS=works")
        return FAILED if isinstance(event, _PumpEnded) else self._drain(worker, event)

    def _leave_early(self) -> int:
        self._listening.health.leave()
        self._notifier.say("STOPPING=1", "STATUS=leaves before its stores were there")
        return 0

    def _drain(self, worker: Worker, event: object) -> int:
        because = event.number.name if isinstance(event, Signalled) else "the parent is gone"
        self._listening.health.leave()
        self._notifier.say("STOPPING=1", "STATUS=drains")
        logs.info("worker_drains", pid=os.getpid(), because=because)
        if self._cron is not None:
            self._cron.abort()  # it ends after the window that it is at
        in_background(lambda: self._events.put(_Drained(worker.drain())))
        while not isinstance(event := self._events.get(), _Drained):
            if isinstance(event, Signalled):
                self._leave_at_once(worker, event)
        return 0 if event.clean else FAILED

    def _leave_at_once(self, worker: Worker, event: Signalled) -> NoReturn:
        worker.abort()
        logs.warning("worker_aborted", pid=os.getpid(), because=event.number.name)
        logging.shutdown()
        os._exit(event.exit_code)  # not sys.exit: that would run what a host's libraries want to wait for

    def _watch_pump(self, worker: Worker) -> None:
        if worker.wait_turned():
            self._events.put(_Turns())
        worker.join()
        self._events.put(_PumpEnded())

    def _tell_waiting(self, error: BaseException) -> None:
        logs.warning("worker_waits", pid=os.getpid(), error=error)
        self._notifier.say(f"STATUS=waits: {error}", self._notifier.more_time())

    def _keep_telling(self) -> None:
        """That it lives, by the rule of ``/livez``; and before, that it waits."""
        while not self._ended.wait(self._notifier.every):
            if self._waits:
                self._notifier.say(self._notifier.more_time())
            elif self._notifier.watchdog is not None and self._listening.health.not_live() is None:
                self._notifier.say("WATCHDOG=1")
