"""One run's history as it is told, fact by fact, and what may be told next: the promises of protocol 3.2 and 3.5.

It does not say what follows from a command; it says of each fact whether it may stand where it stands, of each entry
whether it left something out, and of each command whether it is carried out or refused, and why.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from squidmesh.errors import ClaimRefused, KeyReused, NotAllowed, NotFound, NotWaiting, SquidMeshError, StaleClaim
from squidmesh.journal import facts
from squidmesh.journal.facts import AnyFact
from tests.property.plots import PLOTS

MAX_DELIVERIES = 2
LAPSES = 3 * MAX_DELIVERIES
"""So many grants that nobody recorded are as good as deliveries that were lost."""
Phase = Literal["open", "failing", "undoing", "completed", "failed", "cancelled"]
Answer = Literal["done", "again", "nothing"] | type[SquidMeshError]
"""Carried out; counted as a repetition; accepted without a fact; or refused."""
ENDS = ("completed", "failed", "cancelled")


@dataclass
class Try:
    """The newest attempt of a runnable. ``over``: nothing more comes of it; ``failed``: unless it is tried again.
    ``lapsed``: how many grants of it in a row ended without a word, as the grants of some worker have told it.
    """

    number: int
    visible_at: int
    cause: str
    status: Literal["free", "held", "dead", "failed", "over"] = "free"
    fence: int = 0
    generation: int = 0
    holder: str | None = None
    deadline: int | None = None
    lost: int = 0
    lapsed: int = 0
    snoozes: int = 0
    forgiven: int = 0

    @property
    def is_open(self) -> bool:
        return self.status in ("free", "held")


@dataclass
class Story:
    """``begun`` and ``done``: steps, the latter in order of completion. ``waiting``: open gates, and until when.
    ``kept``: events that nobody has taken. ``unsettled``: siblings that were claimed when the run began to fail.
    ``all``: every run's story, by its id.
    """

    all: Mapping[str, "Story"]
    phase: Phase = "open"
    revision: int = 0
    begun: set[str] = field(default_factory=set)
    done: list[str] = field(default_factory=list)
    tries: dict[str, Try] = field(default_factory=dict)
    waiting: dict[str, int | None] = field(default_factory=dict)
    kept: int = 0
    unsettled: set[str] = field(default_factory=set)
    to_undo: list[str] = field(default_factory=list)
    children: dict[str, str | None] = field(default_factory=dict)
    keys: dict[str, tuple[str, str]] = field(default_factory=dict)
    failure: str | None = None
    takes_children: bool = False
    heard: list[AnyFact] = field(default_factory=list)
    """Of the present entry."""
    torn: list[tuple[Phase, Try]] = field(default_factory=list)
    """What was claimed and is cancelled by the present entry, and how the run stood before."""

    # --------------------------------------------------------------------------------------------- what is told

    def hear(self, fact: AnyFact) -> None:
        self.heard.append(fact)
        assert not self.ended, "I9: nothing follows the end"
        match fact:
            case facts.RunStarted():
                self.started, self.plot = fact, PLOTS[fact.workflow]
                length = self.plot.length
                assert fact.deadline == (None if length is None else fact.at + length)
                if fact.parent is not None:
                    assert fact.run_id in self.all[fact.parent.run_id].children, "I12: its parent knows it"
            case facts.AttemptScheduled():
                self._scheduled(fact)
            case facts.AttemptClaimed():
                self._claimed(fact)
            case facts.AttemptDeadLettered():
                self._died(fact)
            case facts.ClaimReleased() | facts.DeliveryLost():
                given_back = self._under_claim(fact)
                given_back.status, given_back.visible_at = "free", fact.visible_at
                given_back.lost += isinstance(fact, facts.DeliveryLost)
                given_back.snoozes += isinstance(fact, facts.ClaimReleased) and fact.reason == "snooze"
            case facts.AttemptCompleted():
                self._under_claim(fact).status = "over"
                if fact.step.endswith("!undo"):
                    self.to_undo.remove(fact.step.removesuffix("!undo"))
                else:
                    self.done.append(fact.step)
            case facts.AttemptFailed():
                self._fails_finally(fact, retryable=fact.error.code == "step_raised")
            case facts.AttemptTimedOut():
                late = self.tries[fact.step]
                assert late.deadline is not None and late.deadline <= fact.at, "nothing times out before its time"
                self._fails_finally(fact, retryable=True)
            case facts.AttemptCancelled():
                cancelled = self.tries[fact.step]
                assert self.phase != "undoing", "a compensation is not cancelled"
                if cancelled.status == "held":
                    self.torn.append((self.phase, cancelled))
                cancelled.status, cancelled.holder = "over", None
            case facts.DeadLetterReplayed() | facts.DeadLetterDiscarded():
                self._raised(fact)
            case facts.ApprovalRequested() | facts.PauseReached() | facts.EventAwaited() | facts.ChildrenAwaited():
                self._begins(fact.step)
                time = self.plot.times.get(fact.step)
                self.waiting[fact.step] = None if time is None else fact.at + time
                assert getattr(fact, "deadline", None) == self.waiting[fact.step]
            case facts.ApprovalDecided():
                self._leaves(fact.step, done=fact.decision == "approved")
                self._command(fact.key, "approve" if fact.decision == "approved" else "reject", fact.step)
            case facts.PauseResumed():
                self._leaves(fact.step)
                self._command(fact.key, "resume", fact.step)
            case facts.EventReceived():
                self.kept += 1
                self._command(fact.key, "send_event", fact.event)
            case facts.EventTaken():
                assert self.kept, "an event is taken once"
                self.kept -= 1
                self._leaves(fact.step)
            case facts.ChildrenEnded():
                assert None not in self.children.values(), "no child is open"
                told = fact.output[fact.step]
                assert {run["run_id"]: run["status"] for run in told["runs"]} == self.children
                self._leaves(fact.step)
            case facts.GateTimedOut():
                until = self.waiting[fact.step]
                assert until is not None and until <= fact.at, "nothing times out before its time"
                self._leaves(fact.step, done=False)
            case facts.GateClosed():
                self._leaves(fact.step, done=False)
            case facts.ChildStarted():
                assert self.phase == "open", "a run that fails starts no child"
                assert fact.run_id not in self.children, "I12: one child key, one child"
                parent = self.tries[fact.step]
                assert (parent.status, parent.number, parent.fence) == ("held", fact.attempt, fact.fence), "I4"
                self.children[fact.run_id] = None
            case facts.ChildEnded():
                assert self.children[fact.run_id] is None, "a signal is heard once"
                assert self.all[fact.run_id].phase == fact.status, "a child has ended when its parent hears of it"
                self.children[fact.run_id] = fact.status
            case facts.RunFailing():
                assert self.phase == "open"
                self._fails(fact)
                self.phase = "failing"
                self.unsettled = {step for step, one in self.tries.items() if one.status == "held"}
            case facts.CompensationStarted():
                assert self.phase == "failing"
                assert not self._open(), f"I15: {self._open()} is not over as the compensation begins"
                assert fact.steps == self._undoable(), "I15: what was done, the last first"
                self.phase, self.to_undo = "undoing", list(fact.steps)
            case facts.CompensationRetried():
                self._require_exhausted(fact.step)
                self.tries[fact.step].forgiven = self.tries[fact.step].number
                self._command(fact.key, "retry_compensation", fact.step)
            case facts.CompensationWaived():
                self._require_exhausted(fact.step)
                self.tries[fact.step].status = "over"
                self.to_undo.pop(0)
                self._command(fact.key, "waive_compensation", fact.step)
            case facts.CommandRepeated():
                assert fact.key in self.keys
            case facts.RunCompleted():
                assert (self.phase, set(self.done)) == ("open", set(self.plot.after)), "every step has succeeded"
                self.phase = "completed"
            case facts.RunFailed():
                assert not (self.to_undo if self.phase == "undoing" else self._undoable()), "I15: nothing is left out"
                self._fails(fact)
                self.phase = "failed"
            case facts.RunCancelled():
                assert self.phase == "open", "what fails is not cancelled"
                self._command(fact.key, "cancel", "")
                self.takes_children = fact.children == "cancel"
                if fact.signal is not None:
                    assert self.started.parent is not None
                    parent_story = self.all[self.started.parent.run_id]
                    assert (parent_story.phase, parent_story.takes_children) == ("cancelled", True), (
                        "its parent said so"
                    )
                self.phase = "cancelled"
            case facts.RouteTaken():
                assert self.started.workflow == "Rider"

    def end_of_entry(self) -> None:
        """All that became true together has been told (3.1)."""
        self.revision += 1
        told, self.heard = self.heard, []
        now = told[-1].at
        for before, one in self.torn:
            lost_for_good = one.lost + 1 >= MAX_DELIVERIES or one.lapsed >= LAPSES
            given_up = before == "failing" and lost_for_good
            assert self.phase == "cancelled" or self.is_late(now) or given_up, "what is claimed may end"
        self.torn = []
        if self.phase == "open":
            reached = {step for step, after in self.plot.after.items() if set(after) <= set(self.done)}
            assert self.begun == reached, "I14: what can begin has begun, in the entry of the last that it waited for"
            assert len(self.done) < len(self.plot.after), "a run of which all is done has completed"
            assert not any(one.status == "failed" for one in self.tries.values()), "what failed for good fails its run"
            assert not any(isinstance(fact, facts.AttemptCancelled | facts.GateClosed) for fact in told)
            events = [step for step in self.waiting if self.plot.gates[step] == "event"]
            assert not (self.kept and events), "who waits for an event takes it"
            assert "riders" not in self.waiting or None in self.children.values(), "who waits for children has some"
        elif self.phase == "failing":
            assert self._open(), "a run that fails waits for claimed siblings only"
            assert self._open() <= self.unsettled, "nothing begins in a run that fails"
            assert not self.waiting and not self.dead
        elif self.phase == "undoing":
            assert self.waiting == {}
            active = {step for step, one in self.tries.items() if one.is_open or one.status == "dead"}
            assert self.to_undo, "when all is undone the run has failed"
            present = f"{self.to_undo[0]}!undo"
            assert active == {present} or (not active and self.tries[present].status == "failed"), "one after the other"
        else:
            assert not self.waiting and not self._open() and not self.dead, "nothing is left open behind the end"

    # ------------------------------------------------------------------------------------------- what is answered

    def answer_claim(self, step: str, attempt: int, generation: int, fence: int, now: int) -> Answer:
        one = self.tries.get(step)
        if self.ended or one is None or one.number != attempt or not one.is_open:
            return ClaimRefused
        if (generation, fence) <= (one.generation, one.fence) or now < one.visible_at:
            return ClaimRefused
        return "done"

    def answer_report(self, step: str, holder: str) -> Answer:
        return "done" if self.holds(step, holder) else StaleClaim

    def answer_child(self, step: str, holder: str, run_id: str) -> Answer:
        if not self.holds(step, holder):
            return StaleClaim
        if run_id in self.children:
            return "nothing"
        return "done" if self.phase == "open" else NotAllowed

    def answer_word(self, verb: str, subject: str | None, attempt: int, key: str | None) -> Answer:
        """``subject``: the step, or the event's name; for a compensation the step that is undone."""
        if key is not None and key in self.keys:
            named = f"{subject}!undo" if subject is not None and "compensation" in verb else subject
            if self.keys[key][0] != verb or named not in (None, self.keys[key][1]):
                return KeyReused
            return "nothing" if self.ended else "again"
        match verb:
            case "approve" | "reject" | "resume":
                kind = "pause" if verb == "resume" else "approval"
                if subject is not None and self.plot.gates.get(subject) != kind:
                    return NotFound
                open_ones = [step for step in self.waiting if self.plot.gates[step] == kind]
                return "done" if open_ones and subject in (None, *open_ones) else NotWaiting
            case "cancel":
                return "done" if self.phase == "open" else NotAllowed
            case "send_event":
                known = subject == "horn" and self.started.workflow == "Muster"
                return "done" if self.phase == "open" and known else NotAllowed
            case "retry_compensation" | "waive_compensation":
                exhausted = self.exhausted
                return "done" if exhausted is not None and subject in (None, exhausted) else NotWaiting
            case _:  # of dead letters
                one = self.tries.get(subject or "")
                if one is None or one.number < attempt:
                    return NotFound
                return "done" if (one.number, one.status) == (attempt, "dead") else NotWaiting

    # -------------------------------------------------------------------------------------------- where it stands

    @property
    def ended(self) -> bool:
        return self.phase in ENDS

    @property
    def dead(self) -> list[str]:
        return [step for step, one in self.tries.items() if one.status == "dead"]

    @property
    def exhausted(self) -> str | None:
        """The step whose compensation waits for an operator."""
        if self.phase == "undoing" and self.tries[f"{self.to_undo[0]}!undo"].status == "failed":
            return self.to_undo[0]
        return None

    def is_late(self, now: int) -> bool:
        return self.started.deadline is not None and self.started.deadline <= now

    def holds(self, step: str, holder: str) -> bool:
        one = self.tries.get(step)
        return one is not None and one.status == "held" and one.holder == holder

    def status(self, now: int) -> str:
        if self.phase != "open":
            return "compensating" if self.phase == "undoing" else self.phase
        tries = [one for one in self.tries.values() if one.is_open]
        if any(one.status == "held" or one.visible_at <= now for one in tries):
            return "running"
        if any(one.cause == "retry" for one in tries):
            return "retrying"
        return "paused" if {"council", "vigil"} & self.waiting.keys() else "waiting"

    def reasons(self, now: int) -> set[str]:
        """What ``explain_run`` may say of it: something that is so."""
        if self.phase in ("completed", "cancelled"):
            return {self.phase}
        if self.phase == "failed":
            return {self.failure or ""}
        found = {self.plot.gates[step] for step in self.waiting}
        found |= {"dead_letter"} if self.dead else set()
        found |= {"compensation_failed"} if self.exhausted else set()
        for step, one in self.tries.items():
            if one.status == "held":
                found.add("failing" if self.phase == "failing" else "running")
            elif one.status == "free" and one.visible_at <= now:
                found.add("waiting_for_worker")
            elif one.status == "free":
                found.add("wait" if step == "rest" else "retry" if one.cause == "retry" else "redelivery")
                found |= {"snoozed"} if one.snoozes else set()
        return found

    # -------------------------------------------------------------------------------------------------- inside

    def _open(self) -> set[str]:
        return {step for step, one in self.tries.items() if one.is_open}

    def _undoable(self) -> list[str]:
        return [step for step in reversed(self.done) if step in self.plot.undone]

    def _begins(self, step: str) -> None:
        assert self.phase == "open", f"{step} begins in a run that is {self.phase}"
        assert set(self.plot.after[step]) <= set(self.done), f"I14: {step} begins too early"
        assert step not in self.begun, f"I14: {step} begins twice"
        self.begun.add(step)

    def _leaves(self, gate: str, *, done: bool = True) -> None:
        del self.waiting[gate]
        if done:
            self.done.append(gate)

    def _scheduled(self, fact: facts.AttemptScheduled) -> None:
        former = self.tries.get(fact.step)
        if fact.step.endswith("!undo"):
            assert self.phase == "undoing" and self.to_undo[0] == fact.step.removesuffix("!undo"), "I15: in order"
        elif fact.attempt == 1:
            self._begins(fact.step)
        else:
            assert self.phase == "open", f"{fact.step} is tried again in a run that is {self.phase}"
        new = Try(number=fact.attempt, visible_at=fact.visible_at, cause=fact.cause)
        if former is not None:
            assert (former.status, former.number + 1) == ("failed", fact.attempt), "I5"
            new.fence, new.generation, new.forgiven = former.fence, former.generation, former.forgiven
        assert fact.attempt - new.forgiven <= self.plot.attempts.get(fact.step, 1), "I8: no attempt too many"
        self.tries[fact.step] = new

    def _granted(self, fact: facts.AttemptClaimed | facts.AttemptDeadLettered) -> Try:
        one = self.tries[fact.step]
        assert one.is_open and one.number == fact.attempt
        assert fact.at >= one.visible_at, "I7: nothing is claimed early"
        assert (fact.generation, fact.fence) > (one.generation, one.fence), "I3: fences grow"
        assert fact.generation == one.generation
        one.lost += one.status == "held"
        one.fence = fact.fence
        return one

    def _claimed(self, fact: facts.AttemptClaimed) -> None:
        one = self._granted(fact)
        assert fact.step == "rest" or one.lost < MAX_DELIVERIES, "I8: no delivery too many"
        time = self.plot.times.get(fact.step)
        assert fact.deadline == (None if time is None else fact.at + time)
        one.status, one.holder, one.deadline = "held", fact.claim_hash, fact.deadline

    def _died(self, fact: facts.AttemptDeadLettered) -> None:
        assert self.phase in ("open", "undoing"), "a run that fails gives up what it can not find out"
        one = self._granted(fact)
        assert fact.lost == one.lost
        assert one.lost >= MAX_DELIVERIES or fact.lapsed >= LAPSES, "I8: nothing is given up early"
        one.status, one.holder = "dead", None

    def _raised(self, fact: facts.DeadLetterReplayed | facts.DeadLetterDiscarded) -> None:
        one = self.tries[fact.step]
        assert (one.status, one.number) == ("dead", fact.attempt), "I16"
        if isinstance(fact, facts.DeadLetterReplayed):
            assert fact.generation == one.generation + 1
            one.status, one.generation, one.lost, one.visible_at = "free", fact.generation, 0, fact.visible_at
            self._command(fact.key, "replay_dead_letter", fact.step)
        else:
            one.status = "failed"
            self._command(fact.key, "discard_dead_letter", fact.step)

    def _under_claim(self, fact: Any) -> Try:
        one = self.tries[fact.step]
        assert (one.status, one.number, one.fence) == ("held", fact.attempt, fact.fence), "I4: the current claim only"
        one.holder = None
        return one

    def _fails_finally(self, fact: facts.AttemptFailed | facts.AttemptTimedOut, *, retryable: bool) -> None:
        one = self._under_claim(fact)
        one.status = "failed"
        spent = one.number - one.forgiven >= self.plot.attempts.get(fact.step, 1)
        assert fact.final == (spent or not retryable or self.phase == "failing"), "I8: no attempt too few"

    def _command(self, key: str | None, verb: str, subject: str) -> None:
        if key is not None:
            assert key not in self.keys, "the same key again is the same command"
            self.keys[key] = (verb, subject)

    def _require_exhausted(self, runnable: str) -> None:
        assert self.exhausted is not None and runnable == f"{self.exhausted}!undo"

    def _fails(self, fact: facts.RunFailing | facts.RunFailed) -> None:
        """For the first reason that there was."""
        if self.phase == "open":
            assert fact.code in set(map(self._cause, self.heard)), f"it fails with {fact.code} for no reason"
            self.failure = fact.code
        assert fact.code == self.failure

    def _cause(self, fact: AnyFact) -> str:
        match fact:
            case facts.ApprovalDecided(decision="rejected"):
                return "rejected"
            case facts.GateTimedOut():
                return "timed_out"
            case facts.AttemptFailed(final=True) | facts.AttemptTimedOut(final=True) | facts.DeadLetterDiscarded():
                return "step_failed"
            case _:
                return "deadline_exceeded" if self.is_late(fact.at) else ""
