"""Starting runs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import timedelta
from typing import Any, TypeVar, overload

from pydantic import BaseModel

from squidmesh.reading.inspect import Run, inspect
from squidmesh.runtime import starting
from squidmesh.runtime.arguments import check_keys, check_list
from squidmesh.runtime.joining import joined_store, no_patience
from squidmesh.runtime.stamping import seen
from squidmesh.runtime.verbs.opening import Opening
from squidmesh.workflow.authoring import Manual, Workflow

P = TypeVar("P", bound=BaseModel)


class Starting(Opening):
    @overload
    def start_run(
        self,
        target: Manual[P],
        payload: P | None = None,
        *,
        key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
        connection: object | None = None,
    ) -> Run: ...

    @overload
    def start_run(
        self,
        target: type[Workflow] | str,
        payload: BaseModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
        connection: object | None = None,
    ) -> Run: ...

    def start_run(
        self,
        target: starting.Target,
        payload: BaseModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
        connection: object | None = None,
    ) -> Run:
        """Starts a run, or finds the one that ``key`` started before: one key, one run of a workflow, for ever (I12).

        ``target``: a trigger, a workflow that has one, or a name (``"RingErrand"``, ``"RingErrand.leave_shire"``).
        ``priority``: 0 (first) to 9. ``delay``: nothing of it becomes visible before. ``metadata``: JSON values of the
        host's own, kept with the run. Raises ``NotFound``, ``InvalidPayload``, ``InvalidInput``, ``KeyReused`` where
        the key started another payload, or ``RunPruned`` where it started a run that is not kept any more.

        ``connection``: the run is written in the host's own open transaction, and is committed or rolled back with it
        (journals in PostgreSQL; a psycopg ``Connection``, or SQLAlchemy's ``Connection`` or ``Session`` over psycopg
        3). Nothing is tried twice: ``BackendUnavailable`` and ``JournalConflict`` come at once, and leave that
        transaction usable. ``UsageError`` (``connection_unsupported``) on any other journal.
        """
        engine = self._engine()
        given = {} if payload is None else payload
        located = starting.locate(engine, target, patience=None if connection is None else no_patience())
        asked = starting.check_start(
            engine, located, given, key=key, queue=queue, priority=priority, delay=delay, metadata=metadata
        )
        state = starting.start_run(engine, asked, joined=joined_store(engine, connection))
        return inspect(state, now=engine.store.now())

    def start_runs(
        self,
        target: starting.Target,
        payloads: Iterable[BaseModel | Mapping[str, Any]],
        *,
        keys: Sequence[str] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        connection: object | None = None,
    ) -> list[Run]:
        """Many runs of one trigger in one commit; ``keys``, if given, has one for each payload. Every payload is
        checked before anything is written. ``KeyReused`` where a key started another payload before, ``RunPruned``
        where its run is not kept any more; all other runs have started then, and the same call without that key finds
        them.

        ``connection``: as in :meth:`start_run`. After ``KeyReused`` all other runs stand in the host's transaction.
        """
        wanted = check_list(payloads, field="payloads", of="payloads")
        each = None if keys is None else check_keys(keys, field="keys", count=len(wanted))
        engine = self._engine()
        located = starting.locate(engine, target, patience=None if connection is None else no_patience())
        asked = starting.check_starts(engine, located, wanted, keys=each, queue=queue, priority=priority, delay=delay)
        started = starting.start_runs(engine, asked, joined=joined_store(engine, connection))
        now = engine.store.now()
        return [seen(run, now) for run in started]
