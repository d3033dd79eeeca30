"""``Mesh``: the verbs of the public API, over one journal and one lease backend."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, TypeVar, overload

from pydantic import BaseModel

from squidmesh.clock import Clock, seconds
from squidmesh.config import MeshConfig
from squidmesh.errors import CorruptHistory, InvalidInput, UsageError
from squidmesh.ids import check_identifier
from squidmesh.planning.commands import DecideApproval
from squidmesh.ports.backend import Backend
from squidmesh.ports.journal_store import RunQuery
from squidmesh.ports.observer import Observer
from squidmesh.reading.explain import Explanation, explain, explain_corrupt
from squidmesh.reading.graph import RunGraph, run_graph
from squidmesh.reading.inspect import Run, inspect
from squidmesh.reading.listing import RunList, listing
from squidmesh.runtime import starting
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.engine import CALLER_PATIENCE, Engine
from squidmesh.runtime.held import HeldRun
from squidmesh.runtime.looking import Look, look
from squidmesh.runtime.pump import Pump
from squidmesh.runtime.recorder import Intent
from squidmesh.runtime.slots import InlineSlots
from squidmesh.runtime.watch import LogObserver
from squidmesh.runtime.worker import DEFAULT_GRACE, Worker
from squidmesh.workflow.authoring import Manual, Workflow
from squidmesh.workflow.payload import check_json
from squidmesh.workflow.registry import Registry

P = TypeVar("P", bound=BaseModel)

MAX_COMMENT_BYTES = 8 * 1024
MAX_CONCURRENCY = 1024
_REFUSED_IN_A_ROW = 100


class Mesh:
    """One journal, one lease backend, and the workflows that this process knows. Thread-safe; a context manager.

    Made by :meth:`connect`. Stores are opened by the first verb, once a process: a mesh that was made before a process
    was spawned opens its own there.
    """

    def __init__(self, name: str, *, registry: Registry, config: MeshConfig, open_engine: Callable[[], Engine]) -> None:
        """For hosts that assemble their own stores; everyone else uses :meth:`connect`. ``open_engine`` is called by
        the first verb, once a process. ``name`` is shown in ``repr``.
        """
        self._name = name
        self._registry = registry
        self._config = config
        self._open_engine = open_engine
        self._lock = threading.Lock()
        self._opened: tuple[int, Engine] | None = None
        self._idle_pumps: dict[tuple[str, tuple[str, ...]], list[Pump]] = {}
        self._closed = False

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        leases: str | None = None,
        workflows: Iterable[type[Workflow]] = (),
        queue: str = "default",
        lease: timedelta | float = timedelta(seconds=60),
        heartbeat: timedelta | float | None = None,
        idle_poll: timedelta | float = timedelta(seconds=5),
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> Mesh:
        """A mesh over the journal at ``url`` (``sqlite:///errand.db``, ``memory://``). Touches no store yet.

        ``leases``: another lease backend than the journal's own. ``lease``: how long a silent worker keeps a claim;
        ``heartbeat``: how often a live one extends it (default: a quarter of a lease). ``clock`` serves embedded stores
        only. Raises ``WorkflowError`` with the problems of all workflows, ``InvalidUrl``, or ``InvalidInput``.
        """
        config = MeshConfig(
            queue=queue,
            lease=_duration(lease, "lease"),
            heartbeat=None if heartbeat is None else _duration(heartbeat, "heartbeat"),
            idle_poll=_duration(idle_poll, "idle_poll"),
        )
        registry = Registry(workflows)
        time_source = clock or SystemClock()

        def open_stores() -> tuple[Backend, Backend | None]:
            journal = open_backend(url, clock=time_source)
            return journal, None if leases is None else open_backend(leases, clock=time_source, field="leases")

        def open_engine() -> Engine:
            journal, other = open_stores()
            return Engine(
                journal=journal,
                leases=other,
                registry=registry,
                config=config,
                observer=observer or LogObserver(),
            )

        open_stores()  # a URL that is no good is refused here; nothing is touched yet
        return cls(url.partition("?")[0].rpartition("@")[2], registry=registry, config=config, open_engine=open_engine)

    @staticmethod
    def migrate(url: str) -> list[str]:
        """Brings the store at ``url`` to this version's schema, making it where it is not there. The names of the
        migrations that were applied: none where it was up to date.
        """
        backend = open_backend(url, clock=SystemClock())
        try:
            return backend.migrate()
        finally:
            backend.close()

    # ------------------------------------------------------------------------------------------------- starting

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
    ) -> Run:
        """Starts a run, or finds the one that ``key`` started before: one key, one run of a workflow, for ever (I12).

        ``target``: a trigger, a workflow that has one, or a name (``"RingErrand"``, ``"RingErrand.leave_shire"``).
        ``priority``: 0 (first) to 9. ``delay``: nothing of it becomes visible before. Raises ``NotFound``,
        ``InvalidPayload``, ``InvalidInput``, or ``KeyReused`` where the key started another payload.
        """
        engine = self._engine()
        asked = starting.check_start(engine, target, payload, key=key, queue=queue, priority=priority, delay=delay)
        (state,) = starting.start_runs(engine, [asked])
        return inspect(state, now=engine.store.now())

    def start_runs(
        self,
        target: starting.Target,
        payloads: Sequence[BaseModel | Mapping[str, Any]],
        *,
        keys: Sequence[str] | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
    ) -> list[Run]:
        """Many runs of one trigger in one commit; ``keys``, if given, has one for each payload. Every payload is
        checked before anything is written.
        """
        if keys is not None and len(keys) != len(payloads):
            raise InvalidInput(f"{len(keys)} keys for {len(payloads)} payloads; allowed is one for each", field="keys")
        engine = self._engine()
        each: Sequence[str | None] = keys or [None] * len(payloads)
        asked = [
            starting.check_start(engine, target, payload, key=key, queue=queue, priority=priority, delay=delay)
            for payload, key in zip(payloads, each, strict=True)
        ]
        states = starting.start_runs(engine, asked)
        now = engine.store.now()
        return [inspect(state, now=now) for state in states]

    # ------------------------------------------------------------------------------------------------- executing

    def execute_next(self, *, owner_id: str | None = None, queues: Sequence[str] | None = None) -> Run | None:
        """Claims one visible attempt, runs it in this thread, records it, and gives the run's new snapshot; None where
        nothing is visible. A built-in wait that is over counts as one. Heartbeats go on meanwhile.
        """
        engine = self._engine()
        engine.start_heartbeats()
        owner = check_identifier(owner_id or _default_owner(), field="owner_id")
        wanted = self._queues(queues)
        pump = self._take_pump(engine, owner, wanted)
        try:
            touched = self._execute(engine, pump)
        except BaseException:
            pump.abandon()
            raise
        self._put_back(pump, owner, wanted)
        return inspect(touched.state, now=engine.store.now()) if touched else None

    def worker(
        self,
        *,
        concurrency: int = 4,
        queues: Sequence[str] | None = None,
        owner_id: str | None = None,
        grace: timedelta | float = DEFAULT_GRACE,
    ) -> Worker:
        """A worker in threads of this process: ``with mesh.worker(concurrency=4): …`` runs until the block is left,
        then drains for ``grace``. Spawns no process; that is what ``squidmesh worker`` is for.
        """
        if isinstance(concurrency, bool) or not 1 <= concurrency <= MAX_CONCURRENCY:
            raise InvalidInput(f"{concurrency!r} is refused; allowed is 1 to {MAX_CONCURRENCY}", field="concurrency")
        return Worker(
            self._engine(),
            concurrency=concurrency,
            queues=self._queues(queues),
            owner_id=check_identifier(owner_id or _default_owner(), field="owner_id"),
            grace=_duration(grace, "grace"),
        )

    def wait_for(self, run_id: str, timeout: timedelta | float | None = None) -> Run:
        """The ended run, with its output. ``TimeoutError`` if it has not ended by then; the run goes on."""
        engine = self._engine()
        allowed = None if timeout is None else _duration(timeout, "timeout").total_seconds()
        until = None if allowed is None else time.monotonic() + allowed
        for _ in engine.endings.looks():
            row = engine.store.run_row(run_id)
            if row is None or row.ended_at is not None:
                return self._inspect(engine, run_id, with_output=True)
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"run {run_id} has not ended after {allowed:g} s; it is {row.status}")
        raise AssertionError("looks() never ends")

    # --------------------------------------------------------------------------------------------------- reading

    def list_runs(
        self,
        *,
        workflow: str | None = None,
        status: str | None = None,
        queue: str | None = None,
        text: str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> RunList:
        """Newest first, ``limit`` (1 to 1000) a page; ``after`` is the ``next`` of the page before."""
        if isinstance(limit, bool) or not 1 <= limit <= 1000:
            raise InvalidInput(f"{limit!r} is refused; allowed is 1 to 1000", field="limit")
        engine = self._engine()
        page = engine.store.runs(
            RunQuery(workflow=workflow, status=status, queue=queue, text=text, limit=limit, after=after)
        )
        return listing(page, now=engine.store.now())

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        """How many runs there are, by status."""
        return self._engine().store.count_runs(workflow=workflow)

    def inspect_run(self, run_id: str, *, history: bool = False) -> Run:
        """A run as the journal knows it. Payload, outputs, error texts and the history only with ``history``."""
        return self._inspect(self._engine(), run_id, history=history)

    def explain_run(self, run_id: str) -> Explanation:
        """Why the run stands where it stands: one reason, its evidence, and what may safely be done next."""
        engine = self._engine()
        try:
            seen = look(engine, run_id)
        except CorruptHistory as error:
            return explain_corrupt(run_id, error)
        if seen.anomaly is not None:
            return explain_corrupt(run_id, seen.anomaly)
        registered = engine.registry.get(seen.state.workflow)
        known = registered.steps if registered else ()
        return explain(
            seen.definition, seen.state, now=engine.store.now(), known_steps=known if engine.registry.names else None
        )

    def inspect_run_graph(self, run_id: str, *, history: bool = False) -> RunGraph:
        """The definition that the run started with, as a graph, with what became of each node and edge."""
        engine = self._engine()
        seen = look(engine, run_id)
        return run_graph(seen.definition, seen.state, now=engine.store.now(), details=history)

    # --------------------------------------------------------------------------------------------------- control

    def approve_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str = "",
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Opens the gate that the run waits at; ``step`` says which, where several are open. The same ``key`` again
        changes nothing and gives the run as it is. ``NotWaiting`` where no gate is open, or it was decided before.
        """
        return self._decide(run_id, "approved", actor, comment, metadata, key, step)

    def reject_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str = "",
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """As :meth:`approve_run`, the other way: the reject route is taken, or the run fails."""
        return self._decide(run_id, "rejected", actor, comment, metadata, key, step)

    # ---------------------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Closes what was opened in this process. Workers must have ended."""
        with self._lock:
            opened, self._opened = self._opened, None
            self._idle_pumps.clear()
            self._closed = True
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def __enter__(self) -> Mesh:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Mesh {self._name} workflows={list(self._registry.names)}>"

    # --------------------------------------------------------------------------------------------------- inside

    def _engine(self) -> Engine:
        with self._lock:
            if self._closed:
                raise UsageError("this mesh is closed", code="mesh_closed")
            if self._opened is None or self._opened[0] != os.getpid():
                self._opened = (os.getpid(), self._open_engine())
                self._idle_pumps.clear()
            return self._opened[1]

    def _queues(self, queues: Sequence[str] | None) -> tuple[str, ...]:
        """The queues to claim from; by default the mesh's own and those that its steps name."""
        if queues is not None:
            if isinstance(queues, str) or not queues:
                raise InvalidInput("allowed is a list of one or more queue names", field="queues")
            return tuple(dict.fromkeys(check_identifier(queue, field="queues") for queue in queues))
        named = (
            step.queue
            for name in self._registry.names
            if (workflow := self._registry.get(name)) is not None
            for step in workflow.definition.steps
            if step.kind != "approval" and step.queue is not None
        )
        return tuple(dict.fromkeys((self._config.queue, *named)))

    def _execute(self, engine: Engine, pump: Pump) -> HeldRun | None:
        """Turns the pump until one claim has come to its end; what is refused is given back, and the next one asked."""
        touched: list[HeldRun] = []
        turn = pump.turn()
        for _ in range(_REFUSED_IN_A_ROW):
            if turn.touched or pump.holds or not turn.granted:
                break
            turn = pump.turn()
        touched += turn.touched
        while pump.holds:  # the step has run, or it waits to be alone: record, or look again when others have ended
            turn = pump.turn(claim=False)
            touched += turn.touched
            if pump.holds and turn.idle_for:
                engine.solitude.wait(turn.idle_for)
        return touched[-1] if touched else None

    def _take_pump(self, engine: Engine, owner: str, queues: tuple[str, ...]) -> Pump:
        """A pump that no other thread uses. It keeps the runs that it held, so the next call folds only what is new."""
        with self._lock:
            idle = self._idle_pumps.get((owner, queues))
            if idle:
                return idle.pop()
        return engine.pump(
            InlineSlots(engine.loop),
            owner_id=owner,
            queues=queues,
            pulse=None,
            patience=CALLER_PATIENCE,
            continues=False,
        )

    def _put_back(self, pump: Pump, owner: str, queues: tuple[str, ...]) -> None:
        with self._lock:
            self._idle_pumps.setdefault((owner, queues), []).append(pump)

    def _inspect(self, engine: Engine, run_id: str, *, history: bool = False, with_output: bool = False) -> Run:
        seen: Look = look(engine, run_id, history=history)
        return inspect(
            seen.state,
            now=engine.store.now(),
            history=seen.entries,
            with_output=with_output,
            anomaly=str(seen.anomaly) if seen.anomaly else None,
        )

    def _decide(
        self,
        run_id: str,
        decision: Literal["approved", "rejected"],
        actor: str,
        comment: str,
        metadata: Mapping[str, Any] | None,
        key: str | None,
        step: str | None,
    ) -> Run:
        said = {"actor": actor, "comment": comment, "metadata": dict(metadata or {})}
        check_json(said, field="decision", limit=MAX_COMMENT_BYTES, error=InvalidInput)
        if not str(actor).strip():
            raise InvalidInput("allowed is the name of who decides, as text", field="actor")
        if key is not None:
            starting.check_key(key)
        engine = self._engine()
        writer = engine.writer(patience=CALLER_PATIENCE)
        intent = Intent(
            run_id=run_id,
            command=lambda now: DecideApproval(now=now, decision=decision, step=step, key=key, **said),  # type: ignore[arg-type]
        )
        (verdict,) = writer.recorder.record([intent])
        engine.poke()
        if verdict.error is not None:
            raise verdict.error
        assert verdict.run is not None
        return inspect(verdict.run.state, now=engine.store.now())


def _duration(value: timedelta | float, field: str) -> timedelta:
    try:
        return seconds(value)
    except (TypeError, ValueError, OverflowError):
        raise InvalidInput(f"{value!r} is refused; allowed is a timedelta or seconds", field=field) from None


def _default_owner() -> str:
    """Host and process: who holds a claim, in words that an operator can follow."""
    host = "".join(char if char.isalnum() or char in "._-" else "-" for char in socket.gethostname())[:80]
    return f"{host or 'host'}-{os.getpid()}"
