"""Executing attempts, in the caller's thread or by a worker, and waiting for a run's end."""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import timedelta
from functools import partial

from squidmesh.config import check_integer
from squidmesh.errors import InvalidInput
from squidmesh.reading.inspect import Run, inspect
from squidmesh.runtime.arguments import check_name
from squidmesh.runtime.awaiting import Awaited
from squidmesh.runtime.register import host_name
from squidmesh.runtime.shares import QueueShare, check_shares
from squidmesh.runtime.verbs.reading import Reading
from squidmesh.runtime.worker import DEFAULT_GRACE, Worker, check_grace

_CONCURRENCY = range(1, 1025)
_FIRST_PAUSE, _FIRST_PAUSE_BESIDE_A_WORKER = 0.002, 0.016
"""Seconds until a wait looks at the store again. Of what a worker of this process ends it is told."""


class Executing(Reading):
    def execute_next(self, *, owner_id: str | None = None, queues: Sequence[str] | None = None) -> Run | None:
        """Claims one visible attempt, runs it in this thread, records it, and gives the run's new snapshot. A built-in
        wait that is over counts as one. Heartbeats go on meanwhile.

        None where nothing is visible on these queues, and also while another thread of this process runs an attempt
        that had a lost delivery: that one runs alone, and nothing is claimed beside it (protocol 3.5.5).
        """
        owner = _owner(owner_id)
        wanted = self._queues(queues)
        engine, inline = self._open()
        touched = inline.execute_next(owner, wanted)
        return inspect(touched.state, now=engine.store.now()) if touched else None

    def worker(
        self,
        *,
        concurrency: int = 4,
        queues: Sequence[str | QueueShare] | None = None,
        owner_id: str | None = None,
        grace: timedelta | float = DEFAULT_GRACE,
        sidecar: bool = False,
        reconcile: bool = True,
    ) -> Worker:
        """A worker in this process, for 1 to 1024 steps at a time: ``with mesh.worker(concurrency=4): …`` runs until
        the block is left, then drains for ``grace`` (up to a day). Async steps run on one event loop, others in
        threads.

        Spawns no process but for steps that ask for one (``isolation="process"``) or have cost a worker its life; more
        workers is what ``squidmesh worker`` is for. ``sidecar``: a small process beside this one, which extends leases
        while a step holds the interpreter's lock and no thread of this process can; ``squidmesh worker`` has one.

        ``queues``: texts or :class:`QueueShare` values. ``"tenant-*"`` stands for all queues that begin so;
        ``"default=3"`` gives a weight, and ``"bulk:2"`` at most two of the slots (``"bulk=1:2"``: both). By default the
        mesh's own and those that its steps name.

        ``reconcile=False``: it leaves it to others to tell a lease backend beside the journal what that has missed.
        """
        if not isinstance(sidecar, bool):
            raise InvalidInput(f"is a {type(sidecar).__name__}; allowed is True or False", field="sidecar")
        if not isinstance(reconcile, bool):
            raise InvalidInput(f"is a {type(reconcile).__name__}; allowed is True or False", field="reconcile")
        slots = check_integer(concurrency, field="concurrency", allowed=_CONCURRENCY)
        wanted = check_shares(self._queues(None) if queues is None else queues, field="queues")
        owner = _owner(owner_id)
        allowed = check_grace(grace)
        return Worker(
            self._engine(),
            concurrency=slots,
            queues=wanted,
            owner_id=owner,
            grace=allowed,
            sidecar=sidecar,
            reconcile=reconcile,
        )

    def wait_for(self, run_id: str, timeout: timedelta | float | None = None) -> Run:
        """The ended run, with its output, in which secrets are hidden. ``TimeoutError`` if it has not ended by then;
        the run goes on.
        """
        awaited = self._await(run_id, timeout)
        engine, run_id = awaited.engine, awaited.run_id
        first = _FIRST_PAUSE_BESIDE_A_WORKER if engine.workers else _FIRST_PAUSE
        with engine.endings.awaited(run_id):
            for _ in engine.endings.looks(run_id, first=first):
                if (ended := awaited.look()) is not None:
                    return ended
        raise AssertionError("looks() never ends")

    def _await(self, run_id: str, timeout: timedelta | float | None) -> Awaited:
        return Awaited(run_id, timeout, tell=partial(self._told, with_output=True), open_engine=self._engine)


def _owner(given: object) -> str:
    """Who holds a claim. By default host and process, in words that an operator can follow."""
    if given is not None:
        return check_name(given, field="owner_id")
    return f"{host_name()}-{os.getpid()}"
