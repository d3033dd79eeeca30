"""``Mesh``: the verbs of the public API, over one journal and one lease backend."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from types import TracebackType
from typing import Any, Literal, TypeVar, get_args, overload

from msgspec import structs
from pydantic import BaseModel

from squidmesh.clock import Clock, check_duration
from squidmesh.config import MeshConfig, check_integer
from squidmesh.errors import CorruptHistory, InvalidInput, InvalidUrl, UsageError
from squidmesh.ids import is_identifier
from squidmesh.journal.state import RunStatus
from squidmesh.ports.journal_store import RunQuery
from squidmesh.ports.observer import Observer
from squidmesh.reading.dead_letters import DeadLetterList, DeadLettersMoved, dead_letter_list
from squidmesh.reading.explain import Explanation, explain, explain_corrupt
from squidmesh.reading.graph import RunGraph, run_graph
from squidmesh.reading.inspect import Run, inspect
from squidmesh.reading.listing import RunList, listing
from squidmesh.runtime import dead_letters, deciding, starting
from squidmesh.runtime.arguments import (
    LONGEST_KEY,
    MAX_COMMENT_BYTES,
    check_keys,
    check_list,
    check_name,
    check_names,
    check_offers,
    check_one_of,
    check_run_id,
    check_text,
    check_url,
)
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.inline import Inline
from squidmesh.runtime.looking import Look, look
from squidmesh.runtime.moving import move
from squidmesh.runtime.reconcile import Reconciled
from squidmesh.runtime.watch import LogObserver
from squidmesh.runtime.worker import DEFAULT_GRACE, Worker, check_grace
from squidmesh.workflow.authoring import Manual, Workflow
from squidmesh.workflow.registry import Registry

P = TypeVar("P", bound=BaseModel)

STATUSES: tuple[str, ...] = get_args(RunStatus)
_CONCURRENCY = range(1, 1025)
_PAGE = range(1, 1001)
_LONGEST_WAIT = timedelta(days=366)
_OWN_LEASES = "journal"


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
        self._opened: tuple[int, Engine, Inline] | None = None
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
        reconcile_every: timedelta | float = timedelta(seconds=1),
        sweep: timedelta | float = timedelta(minutes=5),
        max_deliveries: int = 5,
        quarantine: bool = True,
        clock: Clock | None = None,
        observer: Observer | None = None,
    ) -> Mesh:
        """A mesh over the journal at ``url`` (``sqlite:///errand.db``, ``memory://``). Touches no store yet. A relative
        path is relative to the folder of this call, also for verbs that come later.

        ``leases``: another lease backend than the journal's own, such as ``redis://localhost``. ``lease``: how long a
        silent worker keeps a claim (50 ms to 1 day); ``heartbeat``: how often a live one extends it (default: a quarter
        of a lease, at most half); ``idle_poll``: the longest that an idle worker sleeps without looking (1 ms to
        1 min). A worker with ``leases`` also tells that backend what has changed, each ``reconcile_every`` (10 ms to
        10 min), and asks it for all that is due, each ``sweep`` (100 ms to 1 day). ``clock`` serves embedded stores
        only. ``max_deliveries`` (1 to 1000): an attempt whose workers were lost that often is given up as a dead letter
        (:meth:`list_dead_letters`). One that was lost before runs alone, and with ``quarantine`` in a process of its
        own, where its workflow can be imported and its step is no coroutine. Raises ``WorkflowError`` with the problems
        of all workflows, ``InvalidUrl``, or ``InvalidInput``.
        """
        settings: dict[str, Any] = {"queue": queue, "lease": lease, "heartbeat": heartbeat, "idle_poll": idle_poll}
        settings |= {"reconcile_every": reconcile_every, "sweep": sweep, "max_deliveries": max_deliveries}
        settings["quarantine"] = quarantine
        config = MeshConfig(**settings)
        registry = Registry(check_list(workflows, field="workflows", of="Workflow classes"))
        time_source = SystemClock() if clock is None else clock
        check_offers(time_source, "now", field="clock")
        watcher = LogObserver() if observer is None else observer
        check_offers(watcher, "notice", field="observer")
        # A URL that is no good is refused here, and a relative one is resolved; nothing is touched yet.
        journal_url = _resolved(url, time_source, "url")
        leases_url = None if leases is None else _resolved(leases, time_source, "leases")

        if leases_url is not None and _forgets(leases_url) and not _forgets(journal_url):
            why = "a memory ends with its process, and nothing would offer the journal's open work to the next one"
            raise InvalidUrl(f"{why}; allowed is none (the journal's own leases)", field="leases")

        def open_engine() -> Engine:
            return Engine(
                journal=open_backend(journal_url, clock=time_source),
                leases=None if leases_url is None else open_backend(leases_url, clock=time_source, field="leases"),
                registry=registry,
                config=config,
                observer=watcher,
            )

        name = journal_url.partition("?")[0].rpartition("@")[2]
        return cls(name, registry=registry, config=config, open_engine=open_engine)

    @staticmethod
    def migrate(url: str, *, leases: str | None = None, tell: Callable[[str], None] = lambda said: None) -> list[str]:
        """Brings the store at ``url`` to this version's schema, making it where it is not there. The names of the
        migrations that were applied: none where it was up to date.

        ``leases`` moves the mesh to another lease backend, or back to its ``"journal"``; it is named among what was
        applied. Nobody claims meanwhile, and whoever still has the old one is refused from then on. Waits for what is
        claimed, at most for the longest lease of it; ``tell`` hears how far it has come. Where it is interrupted, the
        same call goes on. Raises ``WrongPlane`` where that backend works for another mesh.
        """
        clock = SystemClock()
        journal_url = check_url(url, field="url")
        elsewhere = None if leases in (None, _OWN_LEASES) else _resolved(leases, clock, "leases")
        if elsewhere is not None and _forgets(elsewhere):
            raise InvalidUrl("a memory ends with its process; allowed is a server, or journal", field="leases")
        backend = open_backend(journal_url, clock=clock)
        try:
            applied = backend.migrate()
            if leases is not None:
                lent = None if elsewhere is None else open_backend(elsewhere, clock=clock, field="leases")
                engine = Engine(
                    journal=backend, leases=lent, registry=Registry(()), config=MeshConfig(), observer=LogObserver()
                )
                applied += move(engine, tell=tell)
                engine.close()
            return applied
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
        given = {} if payload is None else payload
        asked = starting.check_start(engine, target, given, key=key, queue=queue, priority=priority, delay=delay)
        (state,) = starting.start_runs(engine, [asked])
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
    ) -> list[Run]:
        """Many runs of one trigger in one commit; ``keys``, if given, has one for each payload. Every payload is
        checked before anything is written. ``KeyReused`` where a key started another payload before; all other runs
        have started then, and the same call without that key finds them.
        """
        wanted = check_list(payloads, field="payloads", of="payloads")
        each = [None] * len(wanted) if keys is None else check_keys(keys, field="keys", count=len(wanted))
        engine = self._engine()
        asked = [
            starting.check_start(
                engine,
                target,
                payload,
                key=key,
                queue=queue,
                priority=priority,
                delay=delay,
                field=f"payloads[{index}]",
            )
            for index, (payload, key) in enumerate(zip(wanted, each, strict=True))
        ]
        states = starting.start_runs(engine, asked)
        now = engine.store.now()
        return [inspect(state, now=now) for state in states]

    # ------------------------------------------------------------------------------------------------- executing

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
        queues: Sequence[str] | None = None,
        owner_id: str | None = None,
        grace: timedelta | float = DEFAULT_GRACE,
    ) -> Worker:
        """A worker in 1 to 1024 threads of this process: ``with mesh.worker(concurrency=4): …`` runs until the block is
        left, then drains for ``grace`` (up to a day). Spawns no process; that is what ``squidmesh worker`` is for.
        """
        slots = check_integer(concurrency, field="concurrency", allowed=_CONCURRENCY)
        wanted = self._queues(queues)
        owner = _owner(owner_id)
        allowed = check_grace(grace)
        return Worker(self._engine(), concurrency=slots, queues=wanted, owner_id=owner, grace=allowed)

    def wait_for(self, run_id: str, timeout: timedelta | float | None = None) -> Run:
        """The ended run, with its output. ``TimeoutError`` if it has not ended by then; the run goes on."""
        wanted = check_run_id(run_id)
        allowed = None if timeout is None else _timeout(timeout).total_seconds()
        engine = self._engine()
        until = None if allowed is None else time.monotonic() + allowed
        for _ in engine.endings.looks():
            row = engine.store.run_row(wanted)
            if row is None or row.ended_at is not None:
                return self._inspect(engine, wanted, with_output=True)
            if until is not None and time.monotonic() >= until:
                raise TimeoutError(f"run {wanted} has not ended after {allowed:g} s; it is {row.status}")
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
        """Newest first, ``limit`` (1 to 1000) a page; ``after`` is the ``next`` of the page before. ``text`` is how the
        run's id or its key begins. A status is running, retrying, paused, waiting, completed or failed.
        """
        query = RunQuery(
            workflow=None if workflow is None else check_name(workflow, field="workflow"),
            status=None if status is None else check_one_of(status, STATUSES, field="status"),
            queue=None if queue is None else check_name(queue, field="queue"),
            text=None if text is None else check_text(text, field="text", most=LONGEST_KEY),
            limit=check_integer(limit, field="limit", allowed=_PAGE),
            after=after,  # what a cursor holds is the store's own business
        )
        engine = self._engine()
        return listing(engine.store.runs(query), now=engine.store.now())

    def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        """How many runs there are, by status."""
        wanted = None if workflow is None else check_name(workflow, field="workflow")
        return self._engine().store.count_runs(workflow=wanted)

    def inspect_run(self, run_id: str, *, history: bool = False) -> Run:
        """A run as the journal knows it. Payload, outputs, error texts and the history only with ``history``."""
        wanted = check_run_id(run_id)
        return self._inspect(self._engine(), wanted, history=history)

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
        registered = engine.registry.get(seen.state.workflow)
        known = registered.steps if registered else ()
        return explain(
            seen.definition, seen.state, now=engine.store.now(), known_steps=known if engine.registry.names else None
        )

    def inspect_run_graph(self, run_id: str, *, history: bool = False) -> RunGraph:
        """The definition that the run started with, as a graph, with what became of each node and edge."""
        wanted = check_run_id(run_id)
        engine = self._engine()
        seen = look(engine, wanted)
        return run_graph(seen.definition, seen.state, now=engine.store.now(), details=history)

    # --------------------------------------------------------------------------------------------------- control

    def approve_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Opens the gate that the run waits at; ``step`` says which, where several are open. The same ``key`` again
        changes nothing and gives the run as it is. ``NotWaiting`` where no gate is open, or it was decided before.
        ``actor``, ``comment`` and ``metadata`` (JSON values) are kept in the history.
        """
        return self._decide(run_id, "approved", actor, comment, metadata, key, step)

    def reject_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """As :meth:`approve_run`, the other way: the reject route is taken, or the run fails."""
        return self._decide(run_id, "rejected", actor, comment, metadata, key, step)

    # ---------------------------------------------------------------------------------------------- dead letters

    def list_dead_letters(
        self,
        *,
        run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        older_than: timedelta | float | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> DeadLetterList:
        """Attempts that were given up after too many lost deliveries, oldest first, ``limit`` (1 to 1000) a page;
        ``after`` is the ``next`` of the page before. ``cause``: ``lost_deliveries`` or ``lost_before_recording``.
        ``older_than``: that died at least so long ago.
        """
        size = check_integer(limit, field="limit", allowed=_PAGE)
        filters = {"run_id": run_id, "workflow": workflow, "step": step, "queue": queue, "cause": cause}
        engine = self._engine()
        query = dead_letters.check_filter(**filters, older_than=older_than, now=engine.store.now())
        page = engine.store.dead_letters(structs.replace(query, limit=size, after=after))
        return dead_letter_list(page.rows, page.next, now=engine.store.now())

    def replay_dead_letters(
        self,
        items: Sequence[str] | None = None,
        *,
        actor: str,
        comment: str | None = None,
        key: str | None = None,
        dry_run: bool = False,
        rate: float | None = None,
        all: bool = False,
        run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        older_than: timedelta | float | None = None,
        tell: Callable[[str], None] = lambda item: None,
    ) -> DeadLettersMoved:
        """Sends dead letters back to work, as a new generation of the same attempt, with its deliveries counted anew:
        the ``items`` named, or all that match the filters, or ``all``. At most ``rate`` a second. ``dry_run`` changes
        nothing and says what it would have done. The same ``key`` again changes nothing. ``tell`` hears of each item.
        Items that are no dead letters are among the answer's ``refused``; the others are replayed all the same.
        """
        deed = dead_letters.check_deed("replay", actor=actor, reason=comment, key=key, dry_run=dry_run, rate=rate)
        filters = {"run_id": run_id, "workflow": workflow, "step": step, "queue": queue, "cause": cause}
        return self._to_dead_letters(deed, items, all, {**filters, "older_than": older_than}, tell)

    def discard_dead_letters(
        self,
        items: Sequence[str] | None = None,
        *,
        actor: str,
        reason: str,
        key: str | None = None,
        dry_run: bool = False,
        rate: float | None = None,
        all: bool = False,
        run_id: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        queue: str | None = None,
        cause: str | None = None,
        older_than: timedelta | float | None = None,
        tell: Callable[[str], None] = lambda item: None,
    ) -> DeadLettersMoved:
        """Gives dead letters up for good: each attempt fails, its error route is taken, or its run fails. Otherwise as
        :meth:`replay_dead_letters`; ``reason`` is kept in the history.
        """
        check_text(reason, field="reason", least=1, most=MAX_COMMENT_BYTES)
        deed = dead_letters.check_deed("discard", actor=actor, reason=reason, key=key, dry_run=dry_run, rate=rate)
        filters = {"run_id": run_id, "workflow": workflow, "step": step, "queue": queue, "cause": cause}
        return self._to_dead_letters(deed, items, all, {**filters, "older_than": older_than}, tell)

    # --------------------------------------------------------------------------------------------------- operating

    def reconcile(self, *, rewound: bool = False) -> Reconciled:
        """Makes the lease backend hold what the journal says is open, now: what a worker's reconciler does by itself.
        ``rewound``: the journal was restored from a backup, so everything is offered, whatever was noted before.
        Nothing to do on the journal's own leases. Raises ``WrongPlane`` or ``BackendUnavailable``.
        """
        engine = self._engine()
        engine.reconciler.listen(self._queues(None))
        return engine.reconciler.everything(trusting=not rewound)

    # ---------------------------------------------------------------------------------------------------- ending

    def close(self) -> None:
        """Closes what was opened in this process. Workers must have ended."""
        with self._lock:
            opened, self._opened = self._opened, None
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

    def _open(self) -> tuple[Engine, Inline]:
        with self._lock:
            if self._closed:
                raise UsageError("this mesh is closed", code="mesh_closed")
            if self._opened is None or self._opened[0] != os.getpid():
                engine = self._open_engine()
                self._opened = (os.getpid(), engine, Inline(engine))
            return self._opened[1:]

    def _engine(self) -> Engine:
        return self._open()[0]

    def _queues(self, queues: Sequence[str] | None) -> tuple[str, ...]:
        """The queues to claim from; by default the mesh's own and those that its steps name."""
        if queues is not None:
            return check_names(queues, field="queues")
        named = (
            step.queue
            for name in self._registry.names
            if (workflow := self._registry.get(name)) is not None
            for step in workflow.definition.steps
            if step.kind != "approval" and step.queue is not None
        )
        return tuple(dict.fromkeys((self._config.queue, *named)))

    def _inspect(self, engine: Engine, run_id: str, *, history: bool = False, with_output: bool = False) -> Run:
        seen: Look = look(engine, run_id, history=history)
        return inspect(
            seen.state,
            now=engine.store.now(),
            history=seen.entries,
            with_output=with_output,
            anomaly=str(seen.anomaly) if seen.anomaly else None,
        )

    def _to_dead_letters(
        self,
        deed: dead_letters.Deed,
        items: Sequence[str] | None,
        every: bool,
        filters: Mapping[str, Any],
        tell: Callable[[str], None],
    ) -> DeadLettersMoved:
        """Those that are named, or those that match: never all of them by mistake."""
        if not isinstance(every, bool):
            raise InvalidInput(f"is a {type(every).__name__}; allowed are True and False", field="all")
        filtered = any(value is not None for value in filters.values())
        if (items is not None) + every + filtered != 1:
            raise InvalidInput("allowed is one of: items, a filter, all=True", field="items")
        named = None if items is None else dead_letters.check_items(items)
        engine = self._engine()
        query = dead_letters.check_filter(**filters, now=engine.store.now())
        if named is not None:
            return dead_letters.carry_out(engine, deed, named, tell)
        return dead_letters.carry_out_all(engine, deed, query, tell)

    def _decide(
        self,
        run_id: str,
        decision: Literal["approved", "rejected"],
        actor: str,
        comment: str | None,
        metadata: Mapping[str, Any] | None,
        key: str | None,
        step: str | None,
    ) -> Run:
        said = deciding.check_decision(
            run_id, decision, actor=actor, comment=comment, metadata=metadata, key=key, step=step
        )
        engine = self._engine()
        return inspect(deciding.decide(engine, said), now=engine.store.now())


def _resolved(url: object, clock: Clock, field: str) -> str:
    """The URL as it reads from every folder. ``InvalidUrl`` where it is no good."""
    return open_backend(check_url(url, field=field), clock=clock, field=field).url


def _forgets(url: str) -> bool:
    return url.startswith("memory:")


def _timeout(given: object) -> timedelta:
    return check_duration(given, field="timeout", least=timedelta(0), most=_LONGEST_WAIT)


def _owner(given: object) -> str:
    """Who holds a claim. By default host and process, in words that an operator can follow."""
    if given is not None:
        return check_name(given, field="owner_id")
    host = "".join(char if is_identifier(char) else "-" for char in socket.gethostname())[:80]
    return f"{host or 'host'}-{os.getpid()}"
