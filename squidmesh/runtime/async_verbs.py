"""The verbs of a mesh as coroutines. Written by `./dev generate`, from the verbs of `Mesh`: not by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from os import PathLike
from typing import IO, Any, Literal, Self, overload

from pydantic import BaseModel

from squidmesh.clock import Clock
from squidmesh.ports.backend import Migration
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.observer import Observer
from squidmesh.ports.payload_codec import PayloadCodec
from squidmesh.ports.vitals import Vitals
from squidmesh.reading.cron import CronStatus
from squidmesh.reading.dead_letters import DeadLetterList, DeadLettersMoved
from squidmesh.reading.explain import Explanation
from squidmesh.reading.graph import RunGraph
from squidmesh.reading.inspect import Run
from squidmesh.reading.listing import RunList
from squidmesh.reading.queues import Queue, QueueList
from squidmesh.reading.retention import Archived, Pruned
from squidmesh.reading.workers import WorkerList
from squidmesh.reading.workflows import WorkflowSummary
from squidmesh.runtime import activating, starting
from squidmesh.runtime.async_calls import AsyncCalls, AsyncWorker
from squidmesh.runtime.commands import Command
from squidmesh.runtime.cron import LOOK_EVERY, CronLoop
from squidmesh.runtime.doctor import Report
from squidmesh.runtime.mesh import Mesh
from squidmesh.runtime.reconcile import Reconciled
from squidmesh.runtime.reindex import Reindexed
from squidmesh.runtime.shares import QueueShare
from squidmesh.runtime.verbs.starting import P
from squidmesh.runtime.worker import DEFAULT_GRACE
from squidmesh.workflow.actions import Action, Actions
from squidmesh.workflow.authoring import Cron, Manual, Workflow
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.editor import Draft


class AsyncVerbs(AsyncCalls):
    """See ``AsyncMesh``."""

    @classmethod
    def connect(
        cls,
        url: str,
        *,
        leases: str | None = None,
        workflows: Iterable[type[Workflow]] = (),
        actions: Actions | None = None,
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
        codec: PayloadCodec | None = None,
        threads: int = 16,
    ) -> Self:
        """A mesh over the journal at ``url`` (``sqlite:///errand.db``, ``postgresql://worker@db/shop``, ``memory://``).
        Touches no store yet. A relative path is relative to the folder of this call, also for verbs that come later.
        ``actions``: the functions that workflows made at run time may name (:meth:`activate_workflow`).

        ``leases``: another lease backend than the journal's own, such as ``redis://localhost``. ``lease``: how long a
        silent worker keeps a claim (50 ms to 1 day); ``heartbeat``: how often a live one extends it (default: a quarter
        of a lease, at most half); ``idle_poll``: the longest that an idle worker sleeps without looking (1 ms to
        1 min). A worker with ``leases`` also tells that backend what has changed, each ``reconcile_every`` (10 ms to
        10 min), and asks it for all that is due, each ``sweep`` (100 ms to 1 day). ``clock`` serves embedded stores
        only. ``max_deliveries`` (1 to 1000): an attempt whose workers were lost that often is given up as a dead letter
        (:meth:`list_dead_letters`). One that was lost before runs alone, and with ``quarantine`` in a process of its
        own, where its workflow can be imported and its step is no coroutine. ``codec``: what facts and checkpoints pass
        on their way to the journal and back, such as ``squidmesh.codecs.aes_gcm.AesGcm``; whoever opens this journal
        needs the same. Raises ``WorkflowError`` with the problems
        of all workflows, ``InvalidUrl``, or ``InvalidInput``.

        ``threads`` (1 to 256): how many verbs of each kind, quick and slow ones, are carried out at once.
        """
        return cls(
            Mesh.connect(
                url,
                leases=leases,
                workflows=workflows,
                actions=actions,
                queue=queue,
                lease=lease,
                heartbeat=heartbeat,
                idle_poll=idle_poll,
                reconcile_every=reconcile_every,
                sweep=sweep,
                max_deliveries=max_deliveries,
                quarantine=quarantine,
                clock=clock,
                observer=observer,
                codec=codec,
            ),
            threads=threads,
        )

    @staticmethod
    async def migrate(
        url: str, *, leases: str | None = None, tell: Callable[[str], None] = lambda said: None
    ) -> list[str]:
        """Brings the store at ``url`` to this version's schema, making it where it is not there. The names of the
        migrations that were applied: none where it was up to date.

        ``leases`` moves the mesh to another lease backend, or back to its ``"journal"``; it is named among what was
        applied. Nobody claims meanwhile, and whoever still has the old one is refused from then on. Waits for what is
        claimed, at most for the longest lease of it; ``tell`` hears how far it has come. Where it is interrupted, the
        same call goes on. Raises ``WrongPlane`` where that backend works for another mesh.
        """
        return await asyncio.to_thread(Mesh.migrate, url, leases=leases, tell=tell)

    @staticmethod
    async def migrations(url: str, *, every: bool = False) -> list[Migration]:
        """What :meth:`migrate` would apply to the store at ``url``, in order, with its SQL; ``every``: also what was
        applied before. Changes nothing, and makes nothing.
        """
        return await asyncio.to_thread(Mesh.migrations, url, every=every)

    @overload
    async def start_run(
        self,
        target: Manual[P],
        payload: P | None = None,
        *,
        key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Run: ...

    @overload
    async def start_run(
        self,
        target: type[Workflow] | str,
        payload: BaseModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Run: ...

    async def start_run(
        self,
        target: starting.Target,
        payload: BaseModel | Mapping[str, Any] | None = None,
        *,
        key: str | None = None,
        queue: str | None = None,
        priority: int | None = None,
        delay: timedelta | float | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> Run:
        """Starts a run, or finds the one that ``key`` started before: one key, one run of a workflow, for ever (I12).

        ``target``: a trigger, a workflow that has one, or a name (``"RingErrand"``, ``"RingErrand.leave_shire"``).
        ``priority``: 0 (first) to 9. ``delay``: nothing of it becomes visible before. ``metadata``: JSON values of the
        host's own, kept with the run. Raises ``NotFound``, ``InvalidPayload``, ``InvalidInput``, ``KeyReused`` where
        the key started another payload, or ``RunPruned`` where it started a run that is not kept any more.

        ``connection`` is a matter of ``mesh.mesh``, in a thread of the host's: a coroutine that is cancelled leaves its
        verb at work, and a transaction that has been rolled back meanwhile is no place for that.
        """
        return await self._call(
            self.mesh.start_run,
            target,
            payload,
            key=key,
            queue=queue,
            priority=priority,
            delay=delay,
            metadata=metadata,
        )

    async def start_runs(
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
        checked before anything is written. ``KeyReused`` where a key started another payload before, ``RunPruned``
        where its run is not kept any more; all other runs have started then, and the same call without that key finds
        them.

        ``connection`` is a matter of ``mesh.mesh``, in a thread of the host's: a coroutine that is cancelled leaves its
        verb at work, and a transaction that has been rolled back meanwhile is no place for that.
        """
        return await self._call(
            self.mesh.start_runs, target, payloads, keys=keys, queue=queue, priority=priority, delay=delay
        )

    async def validate_workflow(self, spec: dict[str, Any] | Definition) -> Draft:
        """All problems that would keep it from being activated here and now, each with a path and a code. Writes
        nothing.
        """
        return await self._call(self.mesh.validate_workflow, spec)

    async def activate_workflow(self, spec: dict[str, Any] | Definition, *, actor: str) -> WorkflowSummary:
        """From now on, runs can be started by its name, from every process that shares the journal, and workers that
        have its actions carry them out. An active one of that name is replaced: runs in flight keep the definition that
        they started with. The same again changes nothing.

        ``WorkflowError`` with all problems, an unknown or disabled action among them; nothing is written then.
        """
        return await self._call(self.mesh.activate_workflow, spec, actor=actor)

    async def deactivate_workflow(self, name: str, *, actor: str) -> None:
        """No run is started by that name any more (a start that is being made in this moment may still be). Runs in
        flight go on. ``NotFound`` where no workflow of that name was activated.
        """
        return await self._call(self.mesh.deactivate_workflow, name, actor=actor)

    async def actions(self) -> tuple[Action, ...]:
        """What such a workflow may name here, as it is now: for editors, ``to_json`` has the schemas."""
        return await self._call(self.mesh.actions)

    async def workflows(self) -> tuple[WorkflowSummary, ...]:
        """Those that can be started from here by name: first those of classes, in the order of registration."""
        return await self._call(self.mesh.workflows)

    async def workflow_definition(self, name: str) -> Definition:
        """What a run that is started by this name now would be pinned to. ``NotFound`` where there is none."""
        return await self._call(self.mesh.workflow_definition, name)

    async def execute_next(self, *, owner_id: str | None = None, queues: Sequence[str] | None = None) -> Run | None:
        """Claims one visible attempt, runs it in this thread, records it, and gives the run's new snapshot. A built-in
        wait that is over counts as one. Heartbeats go on meanwhile.

        None where nothing is visible on these queues, and also while another thread of this process runs an attempt
        that had a lost delivery: that one runs alone, and nothing is claimed beside it (protocol 3.5.5).
        """
        return await self._call_slow(self.mesh.execute_next, owner_id=owner_id, queues=queues)

    def worker(
        self,
        *,
        concurrency: int = 4,
        queues: Sequence[str | QueueShare] | None = None,
        owner_id: str | None = None,
        grace: timedelta | float = DEFAULT_GRACE,
        sidecar: bool = False,
        reconcile: bool = True,
    ) -> AsyncWorker:
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
        return AsyncWorker(
            self,
            partial(
                self.mesh.worker,
                concurrency=concurrency,
                queues=queues,
                owner_id=owner_id,
                grace=grace,
                sidecar=sidecar,
                reconcile=reconcile,
            ),
        )

    async def list_runs(
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
        return await self._call(
            self.mesh.list_runs,
            workflow=workflow,
            status=status,
            queue=queue,
            text=text,
            since=since,
            until=until,
            limit=limit,
            after=after,
            by=by,
        )

    async def count_runs(self, *, workflow: str | None = None) -> dict[str, int]:
        """How many runs there are, by status."""
        return await self._call(self.mesh.count_runs, workflow=workflow)

    async def inspect_run(self, run_id: str, *, history: bool = False) -> Run:
        """A run as the journal knows it. Payload, outputs, error texts and the history only with ``history``,
        and no secret in any of them.
        """
        return await self._call(self.mesh.inspect_run, run_id, history=history)

    async def explain_run(self, run_id: str) -> Explanation:
        """Why the run stands where it stands: one reason, its evidence, and what may safely be done next."""
        return await self._call(self.mesh.explain_run, run_id)

    async def inspect_run_graph(self, run_id: str, *, history: bool = False) -> RunGraph:
        """The definition that the run started with, as a graph, with what became of each node and edge. ``history``:
        with the details of each node, but no secret.
        """
        return await self._call(self.mesh.inspect_run_graph, run_id, history=history)

    async def approve_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Opens the approval that the run waits at; ``step`` says which, where several are open. ``NotWaiting`` where
        none is open, or it was decided before.
        """
        return await self._call(
            self.mesh.approve_run, run_id, actor=actor, comment=comment, metadata=metadata, key=key, step=step
        )

    async def reject_run(
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
        return await self._call(
            self.mesh.reject_run, run_id, actor=actor, comment=comment, metadata=metadata, key=key, step=step
        )

    async def resume_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        step: str | None = None,
    ) -> Run:
        """Opens the pause that the run waits at. ``NotWaiting`` where none is open."""
        return await self._call(
            self.mesh.resume_run, run_id, actor=actor, comment=comment, metadata=metadata, key=key, step=step
        )

    async def cancel_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        children: Literal["cancel", "leave"] = "cancel",
    ) -> Run:
        """Ends the run now: whatever is open is closed, and a step that runs is told within a heartbeat
        (``context.cancelled``). Nothing is compensated. Its open child runs are cancelled too, unless ``children`` says
        to leave them. ``NotAllowed``, with the reason, where the run has ended, is failing, or compensates.
        """
        return await self._call(
            self.mesh.cancel_run, run_id, actor=actor, comment=comment, metadata=metadata, key=key, children=children
        )

    async def send_event(
        self, run_id: str, event: str, data: Any = None, *, actor: str | None = None, key: str | None = None
    ) -> Run:
        """Tells the run that something has happened outside. The step that waits for ``event`` takes it, with ``data``
        (a JSON value, up to 256 KiB); where none waits yet, it is kept for the one that will. Two events with one
        ``key`` are one. ``NotAllowed`` where no step of the workflow waits for such an event, or the run has ended.
        """
        return await self._call(self.mesh.send_event, run_id, event, data, actor=actor, key=key)

    async def retry_compensation(
        self, run_id: str, *, actor: str, comment: str | None = None, key: str | None = None, step: str | None = None
    ) -> Run:
        """Gives the compensation that has failed for good another series of attempts. ``step``: the one that is to be
        undone. ``NotWaiting`` where none waits for an operator.
        """
        return await self._call(self.mesh.retry_compensation, run_id, actor=actor, comment=comment, key=key, step=step)

    async def waive_compensation(
        self, run_id: str, *, actor: str, comment: str | None = None, key: str | None = None, step: str | None = None
    ) -> Run:
        """Lets the compensation that has failed for good be: the next one follows, or the run has failed."""
        return await self._call(self.mesh.waive_compensation, run_id, actor=actor, comment=comment, key=key, step=step)

    async def replay_run(
        self,
        run_id: str,
        *,
        actor: str,
        comment: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        key: str | None = None,
        allow_irreversible: bool = False,
        queue: str | None = None,
        priority: int | None = None,
    ) -> Run:
        """Starts a new run from the trigger and the payload of one that has ended, by today's definition; the old run
        stays as it is, and the new one names it (``replay_of``). The same ``key`` gives the same new run.
        ``NotAllowed`` where the old run has passed a step that is ``irreversible`` or not ``compensatable``, unless
        ``allow_irreversible``.
        """
        return await self._call(
            self.mesh.replay_run,
            run_id,
            actor=actor,
            comment=comment,
            metadata=metadata,
            key=key,
            allow_irreversible=allow_irreversible,
            queue=queue,
            priority=priority,
        )

    @overload
    async def activate_cron(
        self,
        target: Cron[P],
        *,
        window: datetime | None = None,
        signal_id: str | None = None,
        payload: P | Mapping[str, Any] | None = None,
    ) -> Run | None: ...

    @overload
    async def activate_cron(
        self,
        target: type[Workflow] | str,
        *,
        window: datetime | None = None,
        signal_id: str | None = None,
        payload: BaseModel | Mapping[str, Any] | None = None,
    ) -> Run | None: ...

    async def activate_cron(
        self,
        target: activating.CronTarget,
        *,
        window: datetime | None = None,
        signal_id: str | None = None,
        payload: BaseModel | Mapping[str, Any] | None = None,
    ) -> Run | None:
        """Fires a cron trigger, for a host that has a scheduler of its own: the run of this window, or of this signal,
        started now or before. Call it as often as you like: one window, one run; one signal, one run.

        ``window``: the time that it stands for, with a timezone, which is what the steps see. ``signal_id``: the
        scheduler's own name for this firing; with it, the window (by default the minute that it is now) is only told.
        ``payload``: what is to differ from the defaults. A duplicate gives the run that is there, or None where the
        trigger is ``skip_duplicate``. Raises ``NotFound``, ``InvalidInput``, ``InvalidPayload``, ``KeyReused`` for a
        duplicate with another payload, or ``RunPruned`` for one whose run is not kept any more.
        """
        return await self._call(self.mesh.activate_cron, target, window=window, signal_id=signal_id, payload=payload)

    async def cron(self, *, look_every: timedelta | float = LOOK_EVERY) -> CronLoop:
        """A loop that fires the cron triggers of this mesh's workflows, and of those that are active in its journal:
        ``with mesh.cron(): …``, or ``look()`` by hand. Any number of them, on any number of nodes, start one run a
        window. ``look_every`` (10 ms to 1 min): the longest that it sleeps.
        """
        return await self._call(self.mesh.cron, look_every=look_every)

    async def list_cron(self, *, upcoming: int = 3) -> tuple[CronStatus, ...]:
        """The cron triggers that :meth:`cron` would fire, each with its next windows (1 to 100)."""
        return await self._call(self.mesh.list_cron, upcoming=upcoming)

    async def list_dead_letters(
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
        return await self._call(
            self.mesh.list_dead_letters,
            run_id=run_id,
            workflow=workflow,
            step=step,
            queue=queue,
            cause=cause,
            older_than=older_than,
            limit=limit,
            after=after,
        )

    async def replay_dead_letters(
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
        return await self._call_slow(
            self.mesh.replay_dead_letters,
            items,
            actor=actor,
            comment=comment,
            key=key,
            dry_run=dry_run,
            rate=rate,
            all=all,
            run_id=run_id,
            workflow=workflow,
            step=step,
            queue=queue,
            cause=cause,
            older_than=older_than,
            tell=tell,
        )

    async def discard_dead_letters(
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
        return await self._call_slow(
            self.mesh.discard_dead_letters,
            items,
            actor=actor,
            reason=reason,
            key=key,
            dry_run=dry_run,
            rate=rate,
            all=all,
            run_id=run_id,
            workflow=workflow,
            step=step,
            queue=queue,
            cause=cause,
            older_than=older_than,
            tell=tell,
        )

    async def queues(self) -> QueueList:
        """Every queue that is known, with how much is ready, delayed and leased, and who paused it, if anybody did."""
        return await self._call(self.mesh.queues)

    async def pause_queue(self, queue: str, *, actor: str, comment: str | None = None, key: str | None = None) -> Queue:
        """Nothing of the queue is claimed any more until :meth:`resume_queue`; what is claimed goes on to its end. It
        holds in this process at once, and in every other one a second later. The same ``key`` again changes nothing.
        ``NotWaiting`` where it is paused already, by a name that the error tells. ``actor`` and ``comment`` are kept.
        """
        return await self._call(self.mesh.pause_queue, queue, actor=actor, comment=comment, key=key)

    async def resume_queue(
        self, queue: str, *, actor: str, comment: str | None = None, key: str | None = None
    ) -> Queue:
        """Hands the queue out again. ``NotWaiting`` where it is not paused; otherwise as :meth:`pause_queue`."""
        return await self._call(self.mesh.resume_queue, queue, actor=actor, comment=comment, key=key)

    async def prune(
        self,
        *,
        older_than: timedelta | float,
        workflow: str | None = None,
        statuses: Sequence[str] | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        tell: Callable[[int], None] = lambda runs: None,
    ) -> Pruned:
        """Removes the runs that ended at least so long ago (1 minute to 36,500 days, by the journal's clock), each
        whole: its history, and all rows about it. A run goes with all its descendants or not at all; ``workflow`` and
        ``statuses`` (completed, failed, cancelled) are those of the run at their head. A run with a key, of a cron
        trigger or of a parent leaves a tombstone: it is never started again, and asked for raises ``RunPruned``.

        ``limit``: no more families once so many runs have gone. ``dry_run`` removes nothing, and counts. ``tell``
        hears, after each batch, how many runs have gone. What can not be read stays, and is told in the answer's
        ``held`` and ``reasons``.
        """
        return await self._call_slow(
            self.mesh.prune,
            older_than=older_than,
            workflow=workflow,
            statuses=statuses,
            limit=limit,
            dry_run=dry_run,
            tell=tell,
        )

    async def archive(
        self,
        path_or_file: str | PathLike[str] | IO[bytes] | IO[str],
        *,
        older_than: timedelta | float,
        workflow: str | None = None,
        statuses: Sequence[str] | None = None,
        limit: int | None = None,
        dry_run: bool = False,
        tell: Callable[[int], None] = lambda runs: None,
    ) -> Archived:
        """Prunes as :meth:`prune` does, and writes each run before it goes: a line of JSON with its entries and their
        facts, in which what is marked secret is hidden, and what a payload codec sealed is in the clear. A path is
        appended to; an open file is left open. The lines of a batch are on the disk before it is pruned: whoever
        interrupts an archive finds every run in the file or in the journal, those of the last batch perhaps in both.
        """
        return await self._call_slow(
            self.mesh.archive,
            path_or_file,
            older_than=older_than,
            workflow=workflow,
            statuses=statuses,
            limit=limit,
            dry_run=dry_run,
            tell=tell,
        )

    async def apply(self, command: Command | Mapping[str, Any]) -> Any:
        """Carries out a verb that is said as data, and gives what that verb gives. ``InvalidInput`` where the verb is
        none, or its arguments are not those of the verb; and whatever the verb itself raises.
        """
        return await self._call_slow(self.mesh.apply, command)

    async def reconcile(self, *, rewound: bool = False) -> Reconciled:
        """Makes the lease backend hold what the journal says is open, now: what a worker's reconciler does by itself.
        ``rewound``: the journal was restored from a backup, so everything is offered, whatever was noted before.
        Nothing to do on the journal's own leases. Raises ``WrongPlane`` or ``BackendUnavailable``.
        """
        return await self._call_slow(self.mesh.reconcile, rewound=rewound)

    async def reindex(self, *, dry_run: bool = False, tell: Callable[[str], None] = lambda said: None) -> Reindexed:
        """Makes the rows of all runs, agenda, timers, signals, dead letters and paused queues anew from the threads, of
        which they are an index; after a fault of the store, or of ours. Beside whoever works: nobody is stopped, and
        what is right is not written again. Leases are left alone. A run whose history can not be read is named in the
        answer, and left alone. ``dry_run`` changes nothing and says what it would have done; ``tell`` hears how far it
        has come.
        """
        return await self._call_slow(self.mesh.reindex, dry_run=dry_run, tell=tell)

    async def doctor(self) -> Report:
        """Looks at the stores and at what stands in them, and says what it found and what is wanted: see
        :class:`Report`. It only reads, makes nothing that is not there yet, and answers also where a store is damaged,
        out of date or out of reach: that is a finding whose level is ``refused``.
        """
        return await self._call_slow(self.mesh.doctor)

    async def observe(self, instrument: Instrument) -> None:
        """``instrument`` hears from now on what this mesh does in this process: see :class:`Instrument`, and
        ``squidmesh.observe`` for those that are there. Opens nothing.
        """
        return await self._call(self.mesh.observe, instrument)

    async def vitals(self) -> Vitals:
        """What the stores hold now, in numbers: runs by status, dead letters, queues. Asks them once, and raises what
        they raise. Where only the lease backend does not answer, ``trouble`` says so.
        """
        return await self._call(self.mesh.vitals)

    async def workers(self) -> WorkerList:
        """Who works for this mesh, in whatever process, and who is lost: see :class:`WorkerSeen`. Each worker tells of
        itself every ten seconds, when it begins to drain, and when it leaves. Hosts that call ``execute_next`` are not
        among them, nor are those of a bridge.
        """
        return await self._call(self.mesh.workers)
