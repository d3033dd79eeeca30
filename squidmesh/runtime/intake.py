"""From a grant of the lease backend to an assignment for a slot (protocol 3.5.1 and 3.5.2)."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import msgspec
from msgspec import structs

from squidmesh.clock import Instant
from squidmesh.config import MeshConfig
from squidmesh.errors import (
    BackendError,
    BackendUnavailable,
    ClaimRefused,
    CommitUnknown,
    InvalidInput,
    MissingInput,
    PlaneMoved,
    ThreadsLocked,
)
from squidmesh.ids import AttemptKey, EntryId, RunId, ThreadId, parse_attempt_key, undone_by
from squidmesh.journal.state import RunnableState
from squidmesh.planning.commands import AnyCommand, RecordClaim
from squidmesh.planning.sight import context_of, context_of_undo
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.journal_store import Entry, History
from squidmesh.ports.lease_backend import Claim, Grants, LeaseBackend, Release, Settlement
from squidmesh.ports.observer import Observer
from squidmesh.reading.hiding import secrets_known
from squidmesh.runtime import chance
from squidmesh.runtime.absent import FIRST_DELAY, LONGEST_DELAY, AbsentSteps
from squidmesh.runtime.asking import Asking
from squidmesh.runtime.away import event_of
from squidmesh.runtime.context import LeaseFlag
from squidmesh.runtime.held import HeldRun, Runs
from squidmesh.runtime.instruments import NOBODY
from squidmesh.runtime.invoke import Assignment, Failed, failed
from squidmesh.runtime.pauses import AGE, Pauses
from squidmesh.runtime.plane import Membership
from squidmesh.runtime.recorder import Intent, Verdict
from squidmesh.runtime.shares import QueueShare
from squidmesh.runtime.sharing import Sharing
from squidmesh.workflow.definition import FunctionStep, LogStep
from squidmesh.workflow.isolation import home_of
from squidmesh.workflow.mapping import BoundStep
from squidmesh.workflow.registry import Registry

_NONE, _BREATH = timedelta(0), timedelta(milliseconds=50)

_LOCKED_DELAY = timedelta(seconds=10)
"""For how long an attempt is left alone whose claim can not be recorded, since somebody holds its run's thread."""


class Grant(msgspec.Struct, frozen=True, kw_only=True):
    """``asked_at``: the monotonic time from before the claim was sent. ``epoch``: the plane's, from then.
    ``takes_over``: the lease before this one ended without a word. ``history``: the run's, where it came along.
    """

    claim: Claim
    asked_at: float
    run_id: RunId
    step: str
    attempt: int
    epoch: int
    continued: int = 0
    takes_over: bool = False
    history: History | None = None


class Intake:
    """Claims for one pump. Every grant ends in one of: an assignment, a step of its own kind that needs no slot, or a
    release or settlement that gives the item back for the right reason. ``item``: nothing but that one is asked for.
    """

    def __init__(
        self,
        *,
        runs: Runs,
        leases: LeaseBackend,
        membership: Membership,
        pauses: Pauses,
        registry: Registry,
        config: MeshConfig,
        observer: Observer,
        queues: Sequence[str | QueueShare],
        owner: str,
        item: AttemptKey | None = None,
        monotonic: Callable[[], float] = time.monotonic,
        instruments: Instrument = NOBODY,
    ) -> None:
        self._instruments = instruments
        self._item = item
        self._runs = runs
        self._leases = leases
        self._membership = membership
        self._pauses = pauses
        self._registry = registry
        self._config = config
        self._observer = observer
        shares = [QueueShare(one) if isinstance(one, str) else one for one in queues]
        self._sharing = None if all(share.is_plain for share in shares) else Sharing(leases, shares)
        self._asking = Asking(leases, [share.name for share in shares], every=item is not None)
        self._unanswered: dict[str, tuple[str, float]] = {}
        """Of shares, by queue: the request whose answer was lost, and when it was made."""
        self._owner = owner
        self._monotonic = monotonic
        self._request: tuple[str, float] | None = None
        self.epoch = 0
        """The plane's, as of the last claim."""
        self._absent = AbsentSteps(registry, monotonic)
        self._pinned: dict[tuple[str, str], BoundStep] = {}
        self._change = registry.actions.change
        self._here: dict[str, frozenset[str]] = {}

    def ask(self, limit: int, held: Callable[[], Mapping[str, int]] = dict) -> tuple[list[Grant], timedelta]:
        """Up to ``limit`` grants, and for how long there is nothing more to ask for unless something happens. A call
        whose answer was lost is asked again under the same request id (3.5.7). Raises ``WrongPlane`` where another
        backend than this one delivers the mesh's work. ``held``: by queue, the slots that this pump has given it.
        """
        if self._sharing is not None:
            return self._ask_in_turns(self._sharing, limit, held() if self._sharing.has_limits else {})
        if self._request is None:
            self._request = chance.new_request_id(), self._monotonic()
        request_id, asked_at = self._request
        try:
            self.epoch = self._membership.epoch()
            paused = self._paused()
        except (BackendUnavailable, CommitUnknown) as error:
            self._observer.notice(event_of(error, self._leases), error=str(error))
            return [], self.longest_rest
        try:
            asked = self._asking.asked(request_id, paused, limit)
            grants = Grants(claims=())
            if asked.queues:
                grants = self._leases.claim(
                    asked.queues,
                    owner=self._owner,
                    limit=limit,
                    lease=self._config.lease,
                    request_id=request_id,
                    item=self._item,
                    skip=self._absent.skipped,
                )
        except (BackendUnavailable, CommitUnknown) as error:
            self._observer.notice("lease_backend_unavailable", error=str(error))
            return [], self.longest_rest
        self._request = None
        for event in ("journal_unavailable", "lease_backend_unavailable"):
            self._instruments.answered(event)
        if asked.rest == _NONE and not grants.claims:
            asked = replace(asked, rest=_BREATH)  # those that are due have nothing for this worker
        idle = min([self.longest_rest, *(due for due in (grants.next_due, asked.rest) if due is not None)])
        if paused:
            idle = min(idle, AGE)  # by then it may have been resumed
        return self._readable(grants, asked_at), idle

    def _ask_in_turns(self, sharing: Sharing, limit: int, held: Mapping[str, int]) -> tuple[list[Grant], timedelta]:
        """As :meth:`ask`, a claim a queue. What was granted before an error is not lost to it."""
        granted: list[Grant] = []
        rest = self.longest_rest
        try:
            self.epoch = self._membership.epoch()
            paused = frozenset[str]() if self._leases.in_journal else self._pauses.queues()
            for queue in [queue for queue in self._unanswered if queue not in paused]:
                granted += self._claim_one(queue, limit)[0]  # first: what was granted then must not lapse
            taken = Counter(held) + Counter(grant.claim.queue for grant in granted)
            if (free := limit - len(granted)) > 0:
                due = sharing.look(free, held=taken, paused=paused)
                rest = min(rest, _BREATH if due == _NONE else due if due is not None else rest)
                while free > 0 and (word := sharing.next(free)) is not None:
                    came, next_due = self._claim_one(*word)
                    sharing.took(len(came))
                    granted += came
                    free -= len(came)
                    rest = min(rest, next_due if next_due is not None else rest)
        except (BackendUnavailable, CommitUnknown) as error:
            self._observer.notice("lease_backend_unavailable", error=str(error))
            return granted, self.longest_rest
        return granted, min(rest, AGE) if any(map(sharing.covers, paused)) else rest

    def _claim_one(self, queue: str, number: int) -> tuple[list[Grant], timedelta | None]:
        request_id, asked_at = self._unanswered.setdefault(queue, (chance.new_request_id(), self._monotonic()))
        grants = self._leases.claim(
            [queue],
            owner=self._owner,
            limit=number,
            lease=self._config.lease,
            request_id=request_id,
            skip=self._absent.skipped,
        )
        del self._unanswered[queue]
        return self._readable(grants, asked_at), grants.next_due

    def _paused(self) -> frozenset[str]:
        """The queues to leave out. Leases in the journal read its pauses themselves; any other backend may have lost
        what it was told of them, so its word alone would not do.
        """
        return frozenset() if self._leases.in_journal else self._pauses.queues().intersection(self._asking.names)

    def held_up(self) -> Collection[str] | None:
        """The queues that no run may go on into; None where that can not be known now, so that none may."""
        try:
            return self._pauses.queues()
        except (BackendUnavailable, CommitUnknown):
            return None

    @property
    def longest_rest(self) -> timedelta:
        """An idle pump looks again after that time at the latest: often enough to show its heartbeats that it lives."""
        return min(self._config.idle_poll, self._config.lease / 4)

    def _readable(self, grants: Grants, asked_at: float) -> list[Grant]:
        """Grants of items whose key is one of ours."""
        granted, odd = [], []
        for claim in grants.claims:
            try:
                granted.append(self._grant(claim, asked_at, first=grants.begun.get(claim.item)))
            except InvalidInput as error:
                self._observer.notice("unreadable_item", error=str(error))
                odd.append(Release(claim=claim, delay=LONGEST_DELAY))
        self._give_back(releases=odd)
        return granted

    def sort_out(self, grants: Sequence[Grant]) -> list[Grant]:
        """The grants to be recorded. The others are given back: their step has no function here, their history can not
        be read, or they are suspect and another suspect came with them. What is recorded already is none of these: the
        core refuses the grant, and the backend is told who holds the attempt.
        """
        if not grants:
            return []
        known: dict[str, History] = {grant.run_id: grant.history for grant in grants if grant.history is not None}
        loaded = self._runs.load((grant.run_id for grant in grants), known=known)
        kept, back = [], []
        suspects = 0
        for grant in grants:
            run = loaded.get(grant.run_id)
            if isinstance(run, HeldRun) and _is_recorded(run, grant):
                kept.append(grant)
                continue
            delay = self._not_here(run, grant)
            suspect = isinstance(run, HeldRun) and self._would_be_suspect(run, grant)
            suspects += suspect and delay is None
            if delay is None and not (suspect and suspects > 1):
                kept.append(structs.replace(grant, takes_over=True) if suspect and _takes_over(run, grant) else grant)
            else:
                back.append(Release(claim=grant.claim, delay=delay or timedelta(0)))
        self._give_back(releases=back)
        return kept

    def intent(self, grant: Grant) -> Intent:
        claim = grant.claim

        def command(now: Instant) -> AnyCommand:
            return RecordClaim(
                now=now,
                step=grant.step,
                attempt=grant.attempt,
                claim_hash=claim.hash,
                generation=claim.generation,
                fence=claim.fence,
                owner=claim.owner,
                lease=claim.lease,
                max_deliveries=self._config.max_deliveries,
                lapsed=claim.lapsed,
            )

        return Intent(run_id=grant.run_id, command=command, claim=claim, trust_held=True, epoch=grant.epoch)

    def admit(self, grant: Grant, verdict: Verdict) -> Assignment | Failed | None:
        """The assignment of a recorded claim; its failure where its input is missing; None where there is nothing to
        run: the claim was refused, it was a wait's and completed it, or a dead letter took its place.
        """
        if verdict.error is not None or verdict.run is None:
            self._refused(grant, verdict)
            return None
        if grant.takes_over:
            self._instruments.taken_over(queue=grant.claim.queue)
        runnable = verdict.run.state.runnables.get(grant.step)
        spec = verdict.run.definition.step(grant.step)
        if runnable is not None and runnable.status == "dead":
            self._observer.notice("dead_letter", item=grant.claim.item, lost=runnable.lost, lapsed=grant.claim.lapsed)
        if isinstance(spec, LogStep) and runnable is not None and runnable.status == "completed":
            self._observer.notice(
                "workflow_log", level=spec.level, message=spec.message, run_id=grant.run_id, step=spec.name
            )
        if runnable is None or runnable.claim is None or not isinstance(spec, FunctionStep):
            return None
        return self._assign(grant, verdict.run, spec)

    def follow(self, claim: Claim, run: HeldRun, *, asked_at: float, continued: int) -> Assignment | Failed:
        """The assignment of a step that was claimed by the entry that completed the one before."""
        grant = self._grant(claim, asked_at, continued)
        spec = run.definition.step(grant.step)
        assert isinstance(spec, FunctionStep)
        return self._assign(grant, run, spec)

    def steps_here(self, run_id: str, *, behind: str) -> frozenset[str]:
        """The steps of a run that is held which this worker could go on with now; none behind the last one, whose slot
        is free for another run then.
        """
        run = self._runs.get(run_id)
        if run is None or behind in run.definition.last_steps:
            return frozenset()
        if self._change is not self._registry.actions.change:
            self._change = self._registry.actions.change
            self._here.clear()
        fingerprint = run.definition.fingerprint
        if fingerprint not in self._here:
            specs = [spec for spec in run.definition.steps_by_name.values() if isinstance(spec, FunctionStep)]
            self._here[fingerprint] = frozenset(spec.name for spec in specs if self._is_here(run, spec))
        return self._here[fingerprint]

    def _assign(self, grant: Grant, run: HeldRun, spec: FunctionStep) -> Assignment | Failed:
        state = run.state
        runnable = state.runnables[grant.step]
        step = self._bound(run, spec)
        assert step is not None, "sort_out() gives back what has no function here"
        context = self._context(run, grant.step)
        suspect = is_suspect(runnable, step, lapsed=grant.claim.lapsed)
        try:
            inputs, missing = step.pick(context), None
        except MissingInput as error:
            inputs, missing = {}, error
        assignment = Assignment(
            claim=grant.claim,
            run_id=grant.run_id,
            workflow=state.workflow,
            spec=spec,
            step=step,
            attempt=grant.attempt,
            delivery=runnable.lost + 1,
            inputs=inputs,
            context=dict(context) if step.wants_context else {},
            payload_fields=frozenset(state.payload),
            lost=LeaseFlag(),
            asked_at=grant.asked_at,
            trigger=state.trigger,
            activation=state.activation,
            visible_at=Instant(runnable.visible_at),
            traceparent=state.traceparent,
            continued=grant.continued,
            suspect=suspect,
            home=self._home(state.workflow, step, suspect=suspect),
            secrets=secrets_known(run.definition, state).union(step.secrets_of(inputs)),
        )
        return assignment if missing is None else failed(assignment, missing)

    def _context(self, run: HeldRun, step: str) -> Mapping[str, Any]:
        undone = undone_by(step)
        if undone is None:
            return context_of(run.definition, run.state, step)
        spec = run.definition.step(undone)
        done = self._bound(run, spec) if isinstance(spec, FunctionStep) else None
        return context_of_undo(run.definition, run.state, undone, done.pick if done else dict)

    def _home(self, workflow: str, step: BoundStep, *, suspect: bool) -> str | None:
        """Where a child process finds the step's workflow, or its action; None where it is to run in this one."""
        quarantined = suspect and self._config.quarantine and not (step.is_async or step.step.transaction)
        if not quarantined and step.isolation is None:
            return None
        if step.step.action is not None:
            return home_of(step.fn)
        registered = self._registry.get(workflow)
        return None if registered is None else home_of(registered.source)

    def _would_be_suspect(self, run: HeldRun, grant: Grant) -> bool:
        """Whether a claim recorded now would follow a lost delivery, or supersede one."""
        spec = run.definition.steps_by_name.get(grant.step)
        step = self._bound(run, spec) if isinstance(spec, FunctionStep) else None
        runnable = run.state.runnables.get(grant.step)
        if runnable is None:
            return grant.claim.lapsed > 0
        return runnable.status == "claimed" or is_suspect(runnable, step, lapsed=grant.claim.lapsed)

    def _grant(
        self, claim: Claim, asked_at: float, continued: int = 0, first: tuple[EntryId, bytes] | None = None
    ) -> Grant:
        run_id, step, attempt = parse_attempt_key(claim.item)
        history = None
        if first is not None:
            entry = Entry(thread=ThreadId(run_id), revision=1, entry_id=first[0], body=first[1])
            history = History(checkpoint=None, tail=(entry,))
        return Grant(
            claim=claim,
            asked_at=asked_at,
            run_id=run_id,
            step=step,
            attempt=attempt,
            epoch=self.epoch,
            continued=continued,
            history=history,
        )

    def _not_here(self, run: HeldRun | Exception | None, grant: Grant) -> timedelta | None:
        """How long to give the item back for, or None where this worker can go on with it."""
        if run is None:
            return LONGEST_DELAY
        if isinstance(run, Exception):
            self._observer.notice("corrupt_history", run_id=grant.run_id, error=str(run))
            return LONGEST_DELAY
        spec = run.definition.steps_by_name.get(grant.step)
        if not isinstance(spec, FunctionStep) or self._is_here(run, spec):
            return None
        what = "missing_step" if self._registry.standing(run.state.workflow, spec) == "missing" else "disabled_action"
        self._observer.notice(what, workflow=run.state.workflow, step=grant.step, run_id=grant.run_id)
        return self._absent.met(run.state.workflow, grant.step)

    def _is_here(self, run: HeldRun, spec: FunctionStep) -> bool:
        """Whether there is a function, and no host has disabled it. What is claimed already goes on all the same."""
        disabled = spec.action is not None and self._registry.standing(run.state.workflow, spec) == "disabled"
        return not disabled and self._bound(run, spec) is not None

    def _bound(self, run: HeldRun, spec: FunctionStep) -> BoundStep | None:
        """Today's function, bound as the run's own definition says; None where there is no such function here."""
        key = (run.definition.fingerprint, spec.name)
        found = self._pinned.get(key)
        if found is None:
            found = self._registry.bound(run.state.workflow, spec)
            if found is not None:
                self._pinned[key] = found
        return found

    def _refused(self, grant: Grant, verdict: Verdict) -> None:
        """3.5.2: refused because closed: settle. Because another claim is recorded: held by that one. Else: free."""
        error = verdict.error
        self._observer.notice("claim_refused", item=grant.claim.item, fence=grant.claim.fence, error=str(error))
        if isinstance(error, PlaneMoved):
            self._membership.leave()
        if isinstance(error, ClaimRefused) and error.settle:
            self._give_back(settlements=[Settlement(claim=grant.claim)])
        elif isinstance(error, ClaimRefused):
            release = Release(claim=grant.claim, delay=error.delay, floor=error.floor, as_claim=error.current)
            self._give_back(releases=[release])
        else:
            delay = _LOCKED_DELAY if isinstance(error, ThreadsLocked) else FIRST_DELAY
            self._give_back(releases=[Release(claim=grant.claim, delay=delay)])

    def _give_back(self, *, settlements: Sequence[Settlement] = (), releases: Sequence[Release] = ()) -> None:
        """Losing the call costs the rest of a lease, no more."""
        try:
            if settlements:
                self._leases.settle(settlements)
            if releases:
                self._leases.release(releases)
        except BackendError as error:
            self._observer.notice("lease_backend_unavailable", error=str(error))


def is_suspect(runnable: RunnableState, step: BoundStep | None, *, lapsed: int) -> bool:
    """Whether a delivery was lost before: recorded, or seen by the backend and by nobody else (``lapsed``). Where a
    step has a process to itself, and a live worker has told how that ended, nobody else was hurt, and nobody will be.
    """
    known = runnable.reported if step is not None and step.isolation is not None else 0
    return runnable.lost > known or lapsed > 0


def _is_recorded(run: HeldRun, grant: Grant) -> bool:
    """Whether the attempt is held under a claim that this one does not supersede: the backend has lost that one."""
    runnable, claim = run.state.runnables.get(grant.step), grant.claim
    return (
        runnable is not None
        and runnable.claim is not None
        and (claim.generation, claim.fence) <= (runnable.generation, runnable.fence)
    )


def _takes_over(run: object, grant: Grant) -> bool:
    runnable = run.state.runnables.get(grant.step) if isinstance(run, HeldRun) else None
    return grant.claim.lapsed > 0 or (runnable is not None and runnable.status == "claimed")
