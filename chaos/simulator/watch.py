"""Holds every entry to the invariants as it becomes durable: what a run has been told, and what may be told next.

It knows a run's definition, and nothing of how the core decides. Each promise is checked where it could be broken, by
its number in docs/protocol.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from squidmesh.ids import attempt_key, child_run_id, keyed_run_id, undo_of, undone_by
from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact
from squidmesh.workflow.definition import ApprovalStep, Definition, EventStep, FunctionStep

MAX_DELIVERIES = 3
LAPSES = 3 * MAX_DELIVERIES


class Red(Exception):
    """An invariant is broken."""


def hold(condition: object, otherwise: str) -> None:
    if not condition:
        raise Red(otherwise)


@dataclass(slots=True)
class Try:
    """The newest attempt of a runnable. ``since``: the place in the history at which its claim was recorded,
    and ``speaker``: by whom.
    """

    number: int
    visible_at: int
    status: str = "free"
    fence: int = 0
    generation: int = 0
    holder: str = ""
    speaker: str = ""
    since: int = 0
    deadline: int | None = None
    lost: int = 0
    forgiven: int = 0
    succeeded: bool = False

    @property
    def is_open(self) -> bool:
        return self.status in ("free", "held")


@dataclass(slots=True)
class Told:
    """One run, as far as it has been told."""

    started: facts.RunStarted
    definition: Definition
    phase: str = "open"
    revision: int = 0
    ids: set[str] = field(default_factory=set)
    begun: list[str] = field(default_factory=list)
    done: list[str] = field(default_factory=list)
    tries: dict[str, Try] = field(default_factory=dict)
    waiting: dict[str, int | None] = field(default_factory=dict)
    routed: list[str] = field(default_factory=list)
    to_undo: list[str] = field(default_factory=list)
    children: dict[str, str | None] = field(default_factory=dict)
    keys: dict[str, str] = field(default_factory=dict)
    kept: int = 0

    @property
    def ended(self) -> bool:
        return self.phase in ("completed", "failed", "cancelled")

    @property
    def name(self) -> str:
        return str(self.started.payload["name"])

    @property
    def dead(self) -> list[str]:
        return [step for step, one in self.tries.items() if one.status == "dead"]

    @property
    def exhausted(self) -> str | None:
        """The step whose compensation waits for an operator."""
        if self.phase == "undoing" and self.to_undo and self.tries[undo_of(self.to_undo[0])].status == "failed":
            return self.to_undo[0]
        return None


class Watch:
    """``definition`` finds a run's by its fingerprint. ``runs``: all that were started, in order."""

    def __init__(self, definition: Callable[[str], Definition]) -> None:
        self._definition = definition
        self.runs: dict[str, Told] = {}
        self.place = 0
        self.claimed: set[str] = set()
        """Hashes of all claims that were ever recorded."""
        self.scheduled: set[str] = set()
        """Keys of all attempts that there ever were."""
        self.speaker = ""
        """Whose entry it is: a process in one of its lives."""
        self.open = 0
        """How many runs have not ended."""

    def entry(self, run_id: str, revision: int, entry_id: str, told: list[AnyFact], now: int) -> None:
        """Raises :class:`Red`."""
        self.place += 1
        run = self.runs.get(run_id)
        if run is None:
            first = told[0]
            hold(isinstance(first, facts.RunStarted), "I1: a run's first fact is its start")
            assert isinstance(first, facts.RunStarted)
            run = self.runs[run_id] = Told(first, self._definition(first.fingerprint))
            self.open += 1
            self._begins_once(run_id, run)
        hold(revision == run.revision + 1, f"I1: entry {revision} follows {run.revision}")
        hold(entry_id not in run.ids, "I1: an entry's id is there twice")
        run.revision = revision
        run.ids.add(entry_id)
        run.routed.clear()
        for fact in told:
            hold(not run.ended, f"I9: {type(fact).__name__} follows the end")
            hold(fact.at <= now, "3.6: a fact is ahead of the journal's clock")
            self._fact(run_id, run, fact)
        self._end_of_entry(run)
        if run.ended:
            self.open -= 1

    def row(self, item: str) -> Try | None:
        """The open attempt of that key."""
        runnable, _, attempt = item.rpartition("#")
        run_id, _, step = runnable.partition("/")
        run = self.runs.get(run_id)
        one = None if run is None else run.tries.get(step)
        return one if one is not None and one.is_open and one.number == int(attempt) else None

    # ----------------------------------------------------------------------------------------------------- facts

    def _fact(self, run_id: str, run: Told, fact: AnyFact) -> None:
        match fact:
            case facts.RunStarted():
                hold(run.revision == 1, "I12: a run starts once")
            case facts.AttemptScheduled():
                self._scheduled(run_id, run, fact)
            case facts.AttemptClaimed():
                self._claimed(run, fact)
            case facts.AttemptDeadLettered():
                self._died(run, fact)
            case facts.ClaimReleased() | facts.DeliveryLost():
                given_back = self._under_claim(run, fact)
                given_back.status, given_back.holder, given_back.visible_at = "free", "", fact.visible_at
                given_back.lost += isinstance(fact, facts.DeliveryLost)
            case facts.AttemptCompleted():
                self._completed(run, fact)
            case facts.AttemptFailed() | facts.AttemptTimedOut():
                self._failed(run, fact)
            case facts.AttemptCancelled():
                one = run.tries[fact.step]
                hold(one.is_open or one.status == "dead", f"I5: {fact.step} is cancelled, and was closed before")
                one.status, one.holder = "over", ""
            case facts.DeadLetterReplayed() | facts.DeadLetterDiscarded():
                self._raised(run, fact)
            case facts.RouteTaken():
                run.routed.append(fact.target)
            case facts.ApprovalRequested() | facts.PauseReached() | facts.EventAwaited() | facts.ChildrenAwaited():
                self._begins(run, fact.step)
                run.waiting[fact.step] = getattr(fact, "deadline", None)
            case facts.ApprovalDecided():
                self._leaves(run, fact.step, done=fact.decision == "approved")
                hold(fact.actor, "I17: who decided?")
                self._command(run, fact.key, fact.decision)
            case facts.PauseResumed():
                self._leaves(run, fact.step)
                hold(fact.actor, "I17: who resumed?")
                self._command(run, fact.key, "resumed")
            case facts.EventReceived():
                run.kept += 1
                self._command(run, fact.key, "event")
            case facts.EventTaken():
                hold(run.kept, "I17: an event is taken once")
                run.kept -= 1
                self._leaves(run, fact.step)
            case facts.ChildrenEnded():
                hold(None not in run.children.values(), "I14: a child is still open")
                self._leaves(run, fact.step)
            case facts.GateTimedOut():
                until = run.waiting.get(fact.step)
                hold(until is not None and until <= fact.at, "I17: a gate times out before its time")
                self._leaves(run, fact.step, done=False)
            case facts.GateClosed():
                self._leaves(run, fact.step, done=False)
            case facts.ChildStarted():
                parent = run.tries[fact.step]
                current = (parent.status, parent.number, parent.fence) == ("held", fact.attempt, fact.fence)
                hold(current, "I4: a child is started under a claim that is over")
                hold(fact.run_id not in run.children, "I12: one child key, one child")
                hold(fact.run_id == child_run_id(run_id, fact.step, fact.key), "I12: a child's id is derived")
                run.children[fact.run_id] = None
            case facts.ChildEnded():
                hold(run.children.get(fact.run_id, "") is None, "I12: a child ends once, and its parent knows it")
                hold(self.runs[fact.run_id].phase == fact.status, "I10: a child has ended when its parent hears of it")
                run.children[fact.run_id] = fact.status
            case facts.RunFailing():
                hold(run.phase == "open", "I15: a run fails once")
                run.phase = "failing"
            case facts.CompensationStarted():
                still = [step for step, one in run.tries.items() if one.is_open]
                hold(not still, f"I15: {still} is not over as the compensation begins")
                hold(fact.steps == self._undoable(run), "I15: in reverse order of completion, completed steps only")
                run.phase, run.to_undo = "undoing", list(fact.steps)
            case facts.CompensationRetried():
                hold(undone_by(fact.step) == run.exhausted, "I15: nobody waits for this retry")
                run.tries[fact.step].forgiven = run.tries[fact.step].number
            case facts.CompensationWaived():
                hold(undone_by(fact.step) == run.exhausted, "I15: nobody waits for this waiver")
                run.tries[fact.step].status = "over"
                run.to_undo.pop(0)
            case facts.RunCompleted():
                hold(run.phase == "open", f"I9: it completes, and is {run.phase}")
                if run.definition.topology == "graph":
                    hold(len(run.done) == len(run.definition.steps), "I14: a run completes before its steps")
                run.phase = "completed"
            case facts.RunFailed():
                left = run.to_undo if run.phase == "undoing" else self._undoable(run)
                hold(not left, f"I15: {left} is left out")
                run.phase = "failed"
            case facts.RunCancelled():
                hold(run.phase == "open", f"3.2: it is cancelled, and is {run.phase}")
                self._command(run, fact.key, "cancel")
                run.phase = "cancelled"
            case facts.CommandRepeated():
                hold(fact.key in run.keys, "I17: a command is repeated that nobody has given")

    def _end_of_entry(self, run: Told) -> None:
        if run.phase == "open" and run.definition.topology == "graph":
            done = set(run.done)
            reached = {spec.name for spec in run.definition.steps if done.issuperset(spec.after)}
            hold(reached == set(run.begun), f"I14: {sorted(reached ^ set(run.begun))} begins in another entry")
            hold(len(done) < len(run.definition.steps), "I10: a run of which all is done has completed")
        if run.ended or run.phase == "failing":
            hold(not run.waiting and not run.dead, "I9: a gate or a dead letter is left behind the end")
        if run.ended:
            hold(not any(one.is_open for one in run.tries.values()), "I9: an attempt is left open behind the end")
        elif run.phase == "open":
            alive = run.waiting or any(one.is_open or one.status == "dead" for one in run.tries.values())
            hold(alive, "I10: a run goes on, and nothing of it is open")

    # -------------------------------------------------------------------------------------------------- attempts

    def _scheduled(self, run_id: str, run: Told, fact: facts.AttemptScheduled) -> None:
        former = run.tries.get(fact.step)
        undone = undone_by(fact.step)
        new = Try(fact.attempt, fact.visible_at)
        if former is not None:
            hold((former.status, former.number + 1) == ("failed", fact.attempt), "I5: a new attempt beside an open one")
            new.fence, new.generation, new.forgiven = former.fence, former.generation, former.forgiven
        elif undone is not None:
            hold(run.to_undo and run.to_undo[0] == undone, "I15: one after the other, in order")
        else:
            self._begins(run, fact.step)
        hold(fact.attempt - new.forgiven <= self._most(run, fact.step), f"I8: {fact.step} is tried too often")
        run.tries[fact.step] = new
        self.scheduled.add(attempt_key(run_id, fact.step, fact.attempt))

    def _most(self, run: Told, step: str) -> int:
        spec = run.definition.step(step)
        policy = spec.retry if isinstance(spec, FunctionStep) else None
        return policy.max_attempts if policy else 1

    def _granted(self, run: Told, fact: facts.AttemptClaimed | facts.AttemptDeadLettered) -> Try:
        one = run.tries[fact.step]
        hold(one.is_open and one.number == fact.attempt, f"I5: {fact.step}#{fact.attempt} is claimed, and is closed")
        hold(fact.at >= one.visible_at, f"I7: {fact.step} is claimed {one.visible_at - fact.at} us early")
        grown = (fact.generation, fact.fence) > (one.generation, one.fence)
        hold(grown, f"I3: fence {fact.fence} of {fact.step} is recorded after {one.fence}")
        hold(fact.generation == one.generation, "I3: a generation begins by a replay only")
        one.lost += one.status == "held"
        one.fence = fact.fence
        return one

    def _claimed(self, run: Told, fact: facts.AttemptClaimed) -> None:
        one = self._granted(run, fact)
        if isinstance(run.definition.step(fact.step), FunctionStep):
            hold(one.lost < MAX_DELIVERIES, f"I8: {fact.step} is delivered after {one.lost} lost deliveries")
        one.status, one.holder, one.deadline, one.since = "held", fact.claim_hash, fact.deadline, self.place
        hold(fact.claim_hash not in self.claimed, "I3: a claim is recorded twice")
        one.speaker = self.speaker
        self.claimed.add(fact.claim_hash)

    def _died(self, run: Told, fact: facts.AttemptDeadLettered) -> None:
        one = self._granted(run, fact)
        hold(fact.lost == one.lost, f"I16: {fact.lost} lost deliveries are told of {one.lost}")
        hold(one.lost >= MAX_DELIVERIES or fact.lapsed >= LAPSES, "I8: given up early")
        one.status, one.holder = "dead", ""

    def _under_claim(self, run: Told, fact: Any) -> Try:
        one = run.tries[fact.step]
        current = (one.status, one.number, one.fence) == ("held", fact.attempt, fact.fence)
        hold(current, f"I4: {fact.step}#{fact.attempt} under fence {fact.fence}; it is {one.status} under {one.fence}")
        if not isinstance(fact, facts.AttemptTimedOut) and one.status == "held":
            hold(self.speaker == one.speaker, f"I4: {self.speaker} speaks of a claim that {one.speaker} holds")
        return one

    def _completed(self, run: Told, fact: facts.AttemptCompleted) -> None:
        one = self._under_claim(run, fact)
        hold(not one.succeeded, f"I5: {fact.step} succeeds twice")
        one.status, one.holder, one.succeeded = "over", "", True
        undone = undone_by(fact.step)
        if undone is None:
            run.done.append(fact.step)
        else:
            hold(run.to_undo and run.to_undo[0] == undone, "I15: accepted once each, in order")
            run.to_undo.pop(0)

    def _failed(self, run: Told, fact: facts.AttemptFailed | facts.AttemptTimedOut) -> None:
        one = self._under_claim(run, fact)
        if isinstance(fact, facts.AttemptTimedOut):
            hold(one.deadline is not None and one.deadline <= fact.at, "I4: a step times out before its time")
        one.status, one.holder = "failed", ""

    def _raised(self, run: Told, fact: facts.DeadLetterReplayed | facts.DeadLetterDiscarded) -> None:
        one = run.tries[fact.step]
        hold((one.status, one.number) == ("dead", fact.attempt), "I16: it is no dead letter")
        hold(fact.actor, "I16: who replayed or discarded it?")
        if isinstance(fact, facts.DeadLetterReplayed):
            hold(fact.generation == one.generation + 1, "I16: a replay is the next generation")
            one.status, one.generation, one.lost, one.visible_at = "free", fact.generation, 0, fact.visible_at
        else:
            one.status = "failed"

    # ------------------------------------------------------------------------------------------------------ runs

    def _begins_once(self, run_id: str, run: Told) -> None:
        started = run.started
        if started.key is not None:
            hold(run_id == keyed_run_id(started.workflow, started.key), "I12: a key's run has another id")
        if started.parent is not None:
            parent = self.runs.get(started.parent.run_id)
            hold(parent is not None and run_id in parent.children, "I12: a child whose parent does not know it")

    def _begins(self, run: Told, step: str) -> None:
        hold(run.phase == "open", f"I9: {step} begins in a run that is {run.phase}")
        hold(step not in run.begun, f"I14: {step} begins twice")
        if run.definition.topology == "graph":
            missing = [name for name in run.definition.step(step).after if name not in run.done]
            hold(not missing, f"I14: {step} begins before {missing}")
        else:
            hold(step in run.routed or (run.revision == 1 and step in run.definition.roots), f"I14: no way to {step}")
        run.begun.append(step)

    def _leaves(self, run: Told, gate: str, *, done: bool = True) -> None:
        hold(gate in run.waiting, f"I17: {gate} is left, and was not waited at")
        del run.waiting[gate]
        if done:
            run.done.append(gate)

    def _undoable(self, run: Told) -> list[str]:
        known = run.definition.steps_by_name
        return [step for step in reversed(run.done) if undo_of(step) in known]

    def _command(self, run: Told, key: str | None, verb: str) -> None:
        if key is not None:
            hold(key not in run.keys, "I17: the same key again is the same command")
            run.keys[key] = verb


def waits_for(run: Told) -> list[tuple[str, str]]:
    """What a person, or the world outside, has to say to it: (what, step)."""
    asked = []
    for gate in run.waiting:
        spec = run.definition.step(gate)
        if isinstance(spec, ApprovalStep):
            asked.append(("approve", gate))
        elif isinstance(spec, EventStep):
            asked.append(("event", spec.event))
        elif gate in run.waiting and type(spec).__name__ == "PauseStep":
            asked.append(("resume", gate))
    asked += [("replay", f"{step}#{run.tries[step].number}") for step in run.dead]
    if run.exhausted is not None:
        asked.append(("waive", run.exhausted))
    return asked
