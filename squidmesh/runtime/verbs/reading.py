"""Lists, counts and answers about runs: they change nothing."""

from __future__ import annotations

from datetime import datetime
from typing import get_args

from squidmesh.config import check_integer
from squidmesh.errors import CorruptHistory
from squidmesh.journal.state import RunStatus
from squidmesh.ports.journal_store import RunQuery
from squidmesh.ports.pages import ORDERS
from squidmesh.reading.explain import Explanation, explain, explain_corrupt
from squidmesh.reading.graph import RunGraph, run_graph
from squidmesh.reading.inspect import Run, inspect, inspect_row
from squidmesh.reading.listing import RunList, listing
from squidmesh.runtime.arguments import LONGEST_KEY, check_moment, check_name, check_one_of, check_run_id, check_text
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.looking import Look, look
from squidmesh.runtime.verbs.opening import PAGE, Opening
from squidmesh.workflow.definition import FunctionStep

STATUSES: tuple[str, ...] = get_args(RunStatus)


class Reading(Opening):
    def list_runs(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        queue: str | None = None,
        text: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 50,
        after: str | None = None,
        by: str = "started",
    ) -> RunList:
        """Newest first, ``limit`` (1 to 1000) a page; ``after`` is the ``next`` of the page before. ``text`` is how the
        run's id or its key begins. ``since`` and ``until`` (aware datetimes): started at or after the one, and before
        the other. A status is running, retrying, paused, waiting, failing, compensating, completed, failed or
        cancelled.

        ``by``: ``started``, or ``active`` for those first whose history grew last. A page by ``active`` looks at 1000
        runs at most, or at ``limit`` if that is more: where few of them match, it holds few, and has a ``next``. A run
        that is active meanwhile goes to the front.
        """
        query = RunQuery(
            workflow=None if workflow is None else check_name(workflow, field="workflow"),
            status=None if status is None else check_one_of(status, STATUSES, field="status"),
            queue=None if queue is None else check_name(queue, field="queue"),
            text=None if text is None else check_text(text, field="text", most=LONGEST_KEY),
            since=None if since is None else check_moment(since, field="since"),
            until=None if until is None else check_moment(until, field="until"),
            limit=check_integer(limit, field="limit", allowed=PAGE),
            after=after,  # what a cursor holds is the store's own business
            by="active" if check_one_of(by, ORDERS, field="by") == "active" else "started",
        )
        engine = self._engine()
        return listing(engine.store.runs(query), now=engine.store.now())

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        """How many runs there are, by status."""
        wanted = None if workflow is None else check_name(workflow, field="workflow")
        return self._engine().store.count_runs(workflow=wanted)

    def inspect_run(self, run_id: str, *, history: bool = False) -> Run:
        """A run as the journal knows it. Payload, outputs, error texts and the history only with ``history``,
        and no secret in any of them.
        """
        wanted = check_run_id(run_id)
        engine = self._engine()
        try:
            return self._inspect(engine, wanted, history=history)
        except CorruptHistory as error:
            row = engine.store.run_row(wanted)
            if row is None:
                raise
            return inspect_row(row, now=engine.store.now(), anomaly=str(error))

    def explain_run(self, run_id: str) -> Explanation:
        """Why the run stands where it stands: one reason, its evidence, and what may safely be done next."""
        wanted = check_run_id(run_id)
        engine = self._engine()
        try:
            seen = look(engine, wanted)
        except CorruptHistory as error:
            return explain_corrupt(wanted, error)
        if seen.anomaly is not None:
            return explain_corrupt(wanted, seen.anomaly)
        registry = engine.registry
        paused = {row.queue: row for row in engine.store.paused_queues()}
        if not registry.names and not registry.actions:
            return explain(seen.definition, seen.state, now=engine.store.now(), known_steps=None, paused=paused)
        standing = {
            name: registry.standing(seen.state.workflow, spec)
            for name, spec in seen.definition.steps_by_name.items()
            if isinstance(spec, FunctionStep)
        }
        return explain(
            seen.definition,
            seen.state,
            now=engine.store.now(),
            known_steps={name for name, said in standing.items() if said != "missing"},
            disabled={name for name, said in standing.items() if said == "disabled"},
            paused=paused,
        )

    def inspect_run_graph(self, run_id: str, *, history: bool = False) -> RunGraph:
        """The definition that the run started with, as a graph, with what became of each node and edge. ``history``:
        with the details of each node, but no secret.
        """
        wanted = check_run_id(run_id)
        engine = self._engine()
        seen = look(engine, wanted)
        return run_graph(seen.definition, seen.state, now=engine.store.now(), details=history)

    def _inspect(self, engine: Engine, run_id: str, *, history: bool = False) -> Run:
        return self._told(engine, look(engine, run_id, history=history))

    def _told(self, engine: Engine, seen: Look, *, with_output: bool = False) -> Run:
        return inspect(
            seen.state,
            now=engine.store.now(),
            definition=seen.definition,
            history=seen.entries,
            with_output=with_output,
            anomaly=str(seen.anomaly) if seen.anomaly else None,
        )
