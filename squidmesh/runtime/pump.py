"""The pump: one thread that owns all run state of a worker (protocol 5).

A turn takes the outcomes that have gathered, claims for the slots that are free, records both in one commit, and hands
what was recorded to the slots. What gathers during a commit is the next batch: group commit without timers, no locks
around state, one sequential loop. Slots run user code and nothing else; heartbeats have their own thread.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from operator import attrgetter
from typing import TypedDict, assert_never

from squidmesh.clock import Instant
from squidmesh.config import MeshConfig
from squidmesh.errors import StaleClaim, ThreadsLocked, UnstorableResult
from squidmesh.ids import RunId, claim_hash
from squidmesh.journal.facts import DeliveryLost
from squidmesh.planning.commands import (
    AnyCommand,
    NextClaim,
    PassStepDeadline,
    RecordCompletion,
    RecordFailure,
    RecordLoss,
    RecordRelease,
)
from squidmesh.ports.observer import Observer
from squidmesh.runtime import chance
from squidmesh.runtime.aside import Aside
from squidmesh.runtime.heartbeat import Heartbeats, Pulse
from squidmesh.runtime.held import HeldRun
from squidmesh.runtime.intake import Grant, Intake
from squidmesh.runtime.invoke import (
    Assignment,
    Completed,
    Died,
    Failed,
    Recorded,
    Snoozed,
    TimedOut,
    Unrecorded,
    Unstarted,
    describe,
)
from squidmesh.runtime.lull import Lull, only_goes_on
from squidmesh.runtime.recorder import Intent, Recorder, Verdict
from squidmesh.runtime.slots import Slots
from squidmesh.runtime.solitude import Solitude
from squidmesh.runtime.timers import Timers

MOST_CONTINUED = 32
"""Steps of one run in a row without a delivery; then the run takes its turn in the queue again, like everyone."""
_FIRST_LOSS_PAUSE, _LONGEST_LOSS_PAUSE = timedelta(milliseconds=50), timedelta(seconds=5)
_SUSPECT_PAUSE = timedelta(seconds=1)
"""For how long nobody claims a suspect that this worker has given back, so that it is not this one again at once."""


@dataclass(slots=True, kw_only=True)
class Turn:
    """``touched``: runs for which something was recorded. ``granted``: how many claims came. ``idle_for``: for how long
    there is nothing to do unless something happens (an outcome, a poke, the store changed); zero where the next turn
    should follow at once.
    """

    touched: list[HeldRun] = field(default_factory=list)
    granted: int = 0
    idle_for: timedelta = timedelta(0)


class Pump:
    """``pulse`` is None where steps run in the pump's own thread. ``continues``: goes on with a run's next step where
    that is visible at once, without a delivery in between.
    """

    def __init__(
        self,
        *,
        recorder: Recorder,
        intake: Intake,
        timers: Timers,
        slots: Slots,
        heartbeats: Heartbeats,
        solitude: Solitude,
        config: MeshConfig,
        observer: Observer,
        pulse: Pulse | None,
        continues: bool,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._intake = intake
        self._timers = timers
        self._rested = True
        self._slots = slots
        self._heartbeats = heartbeats
        self._solitude = solitude
        self._config = config
        self._observer = observer
        self._pulse = pulse
        self._continues = continues
        self._monotonic = monotonic
        self._running: dict[str, Assignment] = {}
        self._waiting: deque[Assignment] = deque()
        self._unrecorded: list[Unrecorded] = []
        self._aside = Aside(monotonic)
        self._lull = Lull(monotonic)
        self._recorded: list[RunId] = []

    @property
    def holds(self) -> int:
        """How many recorded claims have no recorded outcome yet."""
        return len(self._running) + len(self._waiting) + len(self._unrecorded)

    @property
    def busy(self) -> int:
        """How many slots have something."""
        return len(self._running)

    @property
    def has_room(self) -> bool:
        """Whether more assignments could start now."""
        return self._free() > 0

    def turn(self, *, claim: bool = True, start: bool = True) -> Turn:
        """``claim=False`` takes nothing new; ``start=False`` starts nothing that waits. Both: what has ended is
        recorded, nothing else, as a drain does.
        """
        if self._pulse is not None:
            self._pulse.turn()
        works = self._gather() or bool(self._running)
        fired = [] if self._continues else self._timers.fire_now_and_then(rested=self._rested, works=works)
        self._give_up_waiting()
        waiting, outcomes = self._aside.part(self._unrecorded)
        goes_on = self._continues and claim and not self._waiting and not self._solitude.closed
        held_up = self._intake.held_up() if goes_on and outcomes else None
        intents = [self._outcome_intent(outcome, held_up) for outcome in outcomes]
        going_on = [o.assignment for o, said in zip(outcomes, intents, strict=True) if said.following_id is not None]
        just_goes_on = bool(going_on) and len(going_on) == len(self._unrecorded) and bool(self._lull.rest)
        ends_first = bool(outcomes) and not self._running and self._lull.may_wait()
        asks = claim and not just_goes_on and not ends_first
        asked, idle_for = self._ask(self._free() - len(going_on) if asks else 0, going_on)
        grants = self._intake.sort_out(asked)
        decided_at = self._monotonic()
        verdicts = self._recorder.record([*intents, *map(self._intake.intent, grants)])
        self._unrecorded = waiting
        for outcome, verdict in zip(outcomes, verdicts, strict=False):
            if isinstance(verdict.error, ThreadsLocked):
                self._put_aside(outcome)
                continue
            self._concluded(outcome.assignment, verdict)
            self._go_on(outcome.assignment, verdict, decided_at)
        for grant, verdict in zip(grants, verdicts[len(outcomes) :], strict=True):
            self._admit(self._intake.admit(grant, verdict))
        begins = start and self._start()
        if self._continues:  # nobody waits for this turn's return: what is to run, runs first
            fired = self._timers.fire_now_and_then(rested=self._rested, works=works, begins=begins)
        recorded = self._recorder.refreshed(self._recorded)
        if fired or recorded or len(grants) < len(asked) or not all(map(only_goes_on, verdicts)):
            self._lull.end()
        if asked or outcomes or fired or recorded:
            idle_for = timedelta(0) if self._pulse is None else min(idle_for, self._lull.rest)
        idle_for = self._rest(idle_for)
        self._rested = idle_for > timedelta(0)
        self._recorded.clear()
        touched = [verdict.run for verdict in verdicts if verdict.error is None and verdict.run is not None] + recorded
        return Turn(touched=touched, granted=len(asked), idle_for=idle_for)

    def _rest(self, longest: timedelta) -> timedelta:
        return min(self._timers.rest(longest), self._aside.rest(longest))

    def _put_aside(self, outcome: Unrecorded) -> None:
        """It waits here, and is heartbeated, as long as any outcome that can not be recorded (protocol 3.5.4)."""
        self._unrecorded.append(outcome)
        if self._aside.put(outcome.assignment.run_id):
            self._observer.notice("run_locked", run_id=outcome.assignment.run_id, item=outcome.assignment.key)

    def release_waiting(self) -> None:
        """Gives back what has a recorded claim and no slot yet: the beginning of a drain."""
        self._release(list(self._waiting), timedelta(0))
        self._waiting.clear()

    def release_held(self) -> None:
        """Gives back every claim whose outcome has not come: the end of a drain. Unspent; what its step still does is
        refused from then on.
        """
        self._aside.clear()
        self.turn(claim=False, start=False)
        self._release(list(self._running.values()), timedelta(0))
        self._running.clear()
        self.release_waiting()

    def abandon(self) -> None:
        """Lets everything go without a word: this pump has come to grief. Its leases end by themselves."""
        for assignment in self._running.values():
            self._solitude.leave()
            self._let_go(assignment)
        for assignment in self._waiting:
            self._solitude.forget(assignment.key)
            self._let_go(assignment)
        for outcome in self._unrecorded:
            self._let_go(outcome.assignment)
        self._running.clear()
        self._waiting.clear()
        self._unrecorded.clear()

    def _release(self, assignments: list[Assignment], delay: timedelta) -> None:
        verdicts = self._recorder.record([_release_intent(assignment, delay) for assignment in assignments])
        for assignment, verdict in zip(assignments, verdicts, strict=True):
            self._let_go(assignment)
            if assignment.claim.claim_id in self._running:
                self._solitude.leave()
            else:
                self._solitude.forget(assignment.key)
            refused = verdict.error.code if verdict.error else None
            self._observer.notice("claim_released", item=assignment.key, refused=refused)

    def _give_up_waiting(self) -> None:
        """A suspect that has waited for a quarter of a lease to be alone is given back, and this worker goes on: where
        a step beside it takes long, another worker may be alone sooner.
        """
        if not self._waiting:
            return
        patience = self._config.lease.total_seconds() / 4
        late = [waiting for waiting in self._waiting if self._monotonic() - waiting.asked_at > patience]
        if late:
            self._release(late, _SUSPECT_PAUSE)
            for assignment in late:
                self._waiting.remove(assignment)

    def _let_go(self, assignment: Assignment) -> None:
        assignment.lost.set()
        self._heartbeats.let_go(assignment.claim)

    def _gather(self) -> bool:
        """Whether anything has ended."""
        ended = self._slots.drain()
        for outcome in ended:
            if self._running.pop(outcome.assignment.claim.claim_id, None) is None:
                continue  # released at the end of a drain; the journal would refuse it
            self._solitude.leave()
            if isinstance(outcome, Recorded):
                self._heartbeats.let_go(outcome.assignment.claim, recorded=True)
                self._recorded.append(outcome.assignment.run_id)
                continue
            self._heartbeats.outcome_waits(outcome.assignment.claim)
            self._unrecorded.append(outcome)
        return bool(ended)

    def _free(self) -> int:
        """How many more assignments could start."""
        if self._waiting or self._solitude.closed:
            return 0
        return self._slots.capacity - len(self._running)

    def _ask(self, limit: int, going_on: Collection[Assignment]) -> tuple[list[Grant], timedelta]:
        """``going_on``: those whose slot the next step of their run is to have."""
        if limit > 0:
            holders = (*self._running.values(), *self._waiting, *going_on)
            asked, idle_for = self._intake.ask(limit, lambda: Counter(holder.claim.queue for holder in holders))
            self._lull.asked(limit=limit, granted=len(asked), idle_for=idle_for)
            return asked, idle_for
        return [], self._intake.longest_rest

    def _admit(self, admitted: Assignment | Failed | None) -> None:
        if admitted is None:
            return
        assignment = admitted.assignment if isinstance(admitted, Failed) else admitted
        self._heartbeats.hold(assignment.claim, asked_at=assignment.asked_at, lost=assignment.lost, pulse=self._pulse)
        if isinstance(admitted, Failed):
            self._unrecorded.append(admitted)
        else:
            self._waiting.append(assignment)

    def _start(self) -> bool:
        """Whether any was. Those without a lost delivery first: a suspect waits until it is alone."""
        before = len(self._running)
        for assignment in sorted(self._waiting, key=_is_suspect):
            if len(self._running) >= self._slots.capacity:
                break
            if self._solitude.admit(assignment.key, suspect=assignment.suspect):
                self._waiting.remove(assignment)
                self._running[assignment.claim.claim_id] = assignment
                self._slots.submit(assignment)
        return len(self._running) > before

    def _go_on(self, ended: Assignment, verdict: Verdict, asked_at: float) -> None:
        following = verdict.following
        if following is not None and verdict.error is None and verdict.run is not None:
            self._admit(self._intake.follow(following, verdict.run, asked_at=asked_at, continued=ended.continued + 1))

    def _concluded(self, assignment: Assignment, verdict: Verdict) -> None:
        error = verdict.error
        self._heartbeats.let_go(assignment.claim, recorded=error is None)
        for fact in verdict.facts:
            if isinstance(fact, DeliveryLost):
                self._observer.notice("delivery_lost", item=assignment.key, cause=fact.cause)
        if isinstance(error, StaleClaim):
            self._observer.notice("stale_write_refused", item=assignment.key, fence=assignment.claim.fence)
        elif error is not None:
            self._observer.notice("outcome_refused", item=assignment.key, error=str(error))

    def _outcome_intent(self, outcome: Unrecorded, held_up: Collection[str] | None) -> Intent:
        """``held_up``: queues that nothing goes on into, None for all of them. What follows stays on its queue."""
        assignment = outcome.assignment
        if not isinstance(outcome, Completed):
            command = _outcome_command(outcome, self._config.max_snoozes)
            return Intent(run_id=assignment.run_id, command=command, claim=assignment.claim, trust_held=True)
        claim = assignment.claim
        following_id = then = epoch = None
        steps: frozenset[str] = frozenset()
        if held_up is not None and claim.queue not in held_up and assignment.continued < MOST_CONTINUED:
            steps = self._intake.steps_here(assignment.run_id, behind=assignment.spec.name)
        if steps:
            following_id, epoch = chance.new_claim_id(), self._intake.epoch
            then = NextClaim(
                owner=claim.owner, claim_hash=claim_hash(following_id), lease=self._config.lease, steps=steps
            )
        return Intent(
            run_id=assignment.run_id,
            command=_completion(outcome, then),
            claim=claim,
            trust_held=True,
            following_id=following_id,
            epoch=epoch,
            unstorable=_unstorable_command(assignment),
        )


_is_suspect = attrgetter("suspect")


def _completion(outcome: Completed, then: NextClaim | None) -> Callable[[Instant], AnyCommand]:
    under = _under(outcome.assignment)
    return lambda now: RecordCompletion(now=now, output=outcome.output, then=then, **under)


def _outcome_command(
    outcome: Failed | Snoozed | Unstarted | Died | TimedOut, max_snoozes: int
) -> Callable[[Instant], AnyCommand]:
    assignment = outcome.assignment
    under = _under(assignment)
    drawn = chance.jitter()

    def command(now: Instant) -> AnyCommand:
        match outcome:
            case Unstarted():
                return RecordRelease(now=now, reason="unstarted", delay=outcome.delay, **under)
            case TimedOut():
                return PassStepDeadline(now=now, step=assignment.spec.name, jitter=drawn)
            case Died():
                return RecordLoss(now=now, cause=outcome.cause, delay=_after_loss(assignment), **under)
            case Snoozed():
                return RecordRelease(now=now, reason="snooze", delay=outcome.after, max_snoozes=max_snoozes, **under)
            case Failed():
                return RecordFailure(
                    now=now,
                    error=outcome.error,
                    retryable=outcome.retryable,
                    retry_after=outcome.retry_after,
                    jitter=drawn,
                    **under,
                )
            case _:
                assert_never(outcome)

    return command


def _after_loss(assignment: Assignment) -> timedelta:
    """Doubles with each loss, so that a step which dies at once is not tried in a busy loop."""
    return min(_LONGEST_LOSS_PAUSE, _FIRST_LOSS_PAUSE * (1 << min(assignment.delivery, 16)))


def _unstorable_command(assignment: Assignment) -> Callable[[Instant, UnstorableResult], AnyCommand]:
    def command(now: Instant, error: UnstorableResult) -> AnyCommand:
        described = describe(error, assignment.secrets)
        return RecordFailure(now=now, error=described, retryable=False, **_under(assignment))

    return command


def _release_intent(assignment: Assignment, delay: timedelta) -> Intent:
    def command(now: Instant) -> AnyCommand:
        return RecordRelease(now=now, reason="drain", delay=delay, **_under(assignment))

    return Intent(run_id=assignment.run_id, command=command, claim=assignment.claim, trust_held=True)


class _Under(TypedDict):
    step: str
    attempt: int
    claim_hash: str
    fence: int


def _under(assignment: Assignment) -> _Under:
    """The attempt, and the claim under which its worker speaks."""
    return {
        "step": assignment.spec.name,
        "attempt": assignment.attempt,
        "claim_hash": assignment.claim.hash,
        "fence": assignment.claim.fence,
    }
