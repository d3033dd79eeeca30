"""Workers that claim, report, crash, stall and race on faulty stores, whatever it is that they work on.

A worker has a writer of its own, whose held runs go stale while others write, so that its appends truly conflict. What
a step would have done is drawn. A machine that inherits says which workflows there are, who starts runs of them, and
what is right.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, ClassVar, Literal, get_args

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from squidmesh import Workflow
from squidmesh.config import MeshConfig
from squidmesh.ports.lease_backend import Beat
from squidmesh.runtime.chance import new_nonce
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.intake import Grant, Intake
from squidmesh.runtime.invoke import Assignment, Failed
from squidmesh.runtime.recorder import Recorder, Verdict
from squidmesh.workflow.registry import Registry
from tests.property.speaking import Outcome, Plea
from tests.property.world import Fault, Plane, WorkerDied, World

LEASE = timedelta(seconds=30)
REMEMBERED = 8
"""How many spent claims a worker remembers, to report under them once more."""

faults = st.sampled_from([*([None] * 12), *get_args(Fault)])
limits = st.integers(1, 3)
picks = st.integers(0, 11)
"""Which of several: taken modulo their number, so that any pick will do."""
snoozes = st.builds(Outcome, st.just("snooze"), after=st.sampled_from([12, 50, 0]))
outcomes = st.one_of(
    st.just(Outcome("ok")),
    st.just(Outcome("ok", go_on=True)),
    st.builds(Outcome, st.just("ok"), st.sampled_from(["bridge", "gap", "nowhere"]), go_on=st.booleans()),
    st.builds(Outcome, st.just("fail"), after=st.sampled_from([None, 0, 20])),
    snoozes,
    st.sampled_from([Outcome("give up"), Outcome("drain", after=0), Outcome("killed", after=4)]),
)
last_words = st.one_of(snoozes, snoozes, outcomes)
a_turn = st.tuples(outcomes, st.sampled_from([0, 0, 6, 12]), faults)
some_turns = st.one_of(st.lists(a_turn, min_size=1, max_size=6), a_turn.map(lambda turn: [turn] * 8))


Incident = Literal["nothing", "heartbeat", "death", "leases lost", "leases reconciled"]
incidents = st.sampled_from(["nothing", "nothing", "heartbeat", "death", "leases lost", "leases reconciled"])

SOME = settings(
    stateful_step_count=40,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)


class Watchful:
    """An observer to whom a history that can not be read, or a timer that is refused, is a bug."""

    def notice(self, event: str, /, **fields: object) -> None:
        assert event not in ("corrupt_history", "timer_refused"), fields


@dataclass
class Worker:
    """One process: what it holds in memory ends with it. ``held``: recorded claims as far as it knows; ``spent``:
    claims that it has reported under before.
    """

    name: str
    engine: Engine
    grants: list[Grant] = field(default_factory=list)
    held: list[Assignment] = field(default_factory=list)
    spent: list[Assignment] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.writer = self.engine.writer(patience=None)
        self.intake = Intake(
            runs=self.writer.runs,
            leases=self.engine.leases,
            membership=self.engine.membership,
            registry=self.engine.registry,
            config=self.engine.config,
            observer=self.engine.observer,
            queues=("default",),
            owner=f"{self.name}@{new_nonce()}",
        )

    def ask(self, limit: int) -> None:
        """Claims up to ``limit`` items; they are recorded when the worker turns."""
        grants, _ = self.intake.ask(limit)
        self.grants += grants


class Fleet(RuleBasedStateMachine):
    plane: ClassVar[Plane]
    workflows: ClassVar[Sequence[type[Workflow]]]
    config: ClassVar[MeshConfig]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.plane)
        self.engine = Engine(
            journal=self.world,
            leases=None,
            registry=Registry(self.workflows),
            config=self.config,
            observer=Watchful(),
            heartbeat_thread=False,
        )
        self.client = self.engine.writer(patience=None)
        self.workers = [Worker(name, self.engine) for name in ("pippin", "merry", "gollum")]

    # -------------------------------------------------------------------------------- what the machine has to say

    def known_runs(self) -> list[str]:
        raise NotImplementedError

    def find_work(self) -> None:
        """Answers what waits for a person, and starts a run where there is room, so that there is something to do."""
        raise NotImplementedError

    def answer(self) -> None:
        """All that waits for a word from outside gets one, a good one."""
        raise NotImplementedError

    def is_current(self, held: Assignment) -> bool:
        """Whether that claim is the recorded one of an open attempt."""
        raise NotImplementedError

    def plead_claim(self, who: Worker, grant: Grant) -> Plea[Any, Any]:
        raise NotImplementedError

    def plead_report(self, who: Worker, held: Assignment, outcome: Outcome) -> Plea[Any, Any]:
        raise NotImplementedError

    def check_admitted(self, admitted: Assignment) -> None:
        """A worker is about to run this."""
        raise NotImplementedError

    def record(
        self,
        recorder: Recorder,
        pleas: Sequence[Plea[Any, Any]],
        fault: Fault | None = None,
        overtaken: Callable[[], None] | None = None,
    ) -> list[Verdict]:
        """Asks core and model the same thing, and compares. Raises ``WorkerDied`` when both have been told."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------------- workers

    @rule(worker=picks, limit=limits, turns=some_turns)
    def work(self, worker: int, limit: int, turns: list[tuple[Outcome, int, Fault | None]]) -> None:
        """As a pump turns: what has ended is reported, and what is free is claimed, in one batch."""
        for outcome, seconds, fault in turns:
            who = self.worker(worker)
            self.let_pass(seconds)
            who.ask(limit)
            self.turn(who, [(held, outcome) for held in who.held], fault)

    @rule(worker=picks, turns=st.integers(1, 6), approve=st.booleans())
    def work_well(self, worker: int, turns: int, approve: bool) -> None:
        self.work(worker, 3, [(Outcome("ok"), 6, None)] * turns)
        if approve:
            self.answer()

    @rule(worker=picks, limit=limits, lose_answer=st.sampled_from([False, False, False, True]))
    def only_claim(self, worker: int, limit: int, lose_answer: bool) -> None:
        """The grants wait; their leases may end before they are recorded."""
        self.world.lent.lose_answer = lose_answer
        self.worker(worker).ask(limit)

    @precondition(lambda self: any(worker.grants for worker in self.workers))
    @rule(worker=picks, fault=faults)
    def record_old_grants(self, worker: int, fault: Fault | None) -> None:
        self.turn(self.worker(worker, lambda who: who.grants), [], fault)

    @precondition(lambda self: any(worker.held or worker.spent for worker in self.workers))
    @rule(worker=picks, which=picks, outcome=outcomes, fault=faults)
    def report_one(self, worker: int, which: int, outcome: Outcome, fault: Fault | None) -> None:
        """Under a claim that the worker holds, or has held: what is over, is over."""
        who = self.worker(worker, lambda who: who.held or who.spent)
        known = [*who.held, *who.spent]
        self.turn(who, [(known[which % len(known)], outcome)], fault, grants=False)

    @rule(worker=picks, other=picks, record=st.booleans(), fault=faults)
    def take_over(self, worker: int, other: int, record: bool, fault: Fault | None) -> None:
        """A worker stalls for a lease, and becomes a zombie: another one is granted what it held."""
        _, heir = self.stall(worker, other)
        if record:
            self.turn(heir, [], fault)

    @rule(worker=picks, other=picks, zombie_first=st.sampled_from([True, False]), outcome=last_words, fault=faults)
    def race(self, worker: int, other: int, zombie_first: bool, outcome: Outcome, fault: Fault | None) -> None:
        """A zombie wakes up and reports while its heir records what it was granted. One comes between the other's
        decision and the other's append.
        """
        zombie, heir = self.stall(worker, other)
        held_by_zombie = {held.claim.item: held for held in zombie.held}
        heir.grants = [grant for grant in heir.grants if grant.claim.item in held_by_zombie][:1]
        if not heir.grants:
            return
        held = held_by_zombie[heir.grants[0].claim.item]

        def inherit(fault: Fault | None = None, overtaken: Callable[[], None] | None = None) -> None:
            self.turn(heir, [], fault, overtaken=overtaken)

        def wake(fault: Fault | None = None, overtaken: Callable[[], None] | None = None) -> None:
            self.turn(zombie, [(held, outcome)], fault, grants=False, overtaken=overtaken)

        if zombie_first:
            inherit(fault, overtaken=wake)
        else:
            wake(fault, overtaken=inherit)

    # -------------------------------------------------------------------------------------------------- nature

    @rule(
        what=incidents,
        worker=picks,
        seconds=st.sampled_from([0, 1, 5, 12, 60]),
    )
    def nature(self, what: Incident, worker: int, seconds: int) -> None:
        who = self.worker(worker)
        self.let_pass(seconds)
        match what:
            case "nothing":
                pass
            case "heartbeat":
                self._beat(who)
            case "death":
                self.crash(who)
            case "leases lost":
                self.world.lose_leases()
            case "leases reconciled":
                self.world.reconcile(self.known_runs())

    # -------------------------------------------------------------------------------------------------- inside

    @property
    def now(self) -> int:
        return self.world.clock.now()

    def let_pass(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    def worker(self, pick: int, able: Callable[[Worker], object] = lambda who: True) -> Worker:
        found = [worker for worker in self.workers if able(worker)]
        return found[pick % len(found)]

    def stall(self, worker: int, other: int) -> tuple[Worker, Worker]:
        """The zombie, whose leases have ended, and its heir, who has asked for work since."""
        zombie = self.worker(worker)
        if not zombie.held:
            self.find_work()
            zombie.ask(3)
            self.turn(zombie, [])
        heir = self.worker(other, lambda who: who is not zombie)
        self.let_pass(LEASE.seconds)
        heir.grants = []
        heir.ask(3)
        return zombie, heir

    def crash(self, worker: Worker) -> None:
        self.workers[self.workers.index(worker)] = Worker(worker.name, self.engine)

    def _beat(self, who: Worker) -> None:
        known = [*who.held, *who.spent]
        for assignment, beat in zip(known, self.world.lent.heartbeat([it.claim for it in known]), strict=True):
            current = self.is_current(assignment)
            assert current or beat is not Beat.EXTENDED, "a lease is extended under a claim that is over"

    def turn(
        self,
        who: Worker,
        reports: Sequence[tuple[Assignment, Outcome]],
        fault: Fault | None = None,
        *,
        grants: bool = True,
        overtaken: Callable[[], None] | None = None,
    ) -> None:
        """Records outcomes and grants in one batch."""
        asked = who.intake.sort_out(who.grants) if grants else []
        if grants:
            who.grants = []
        pleas = [self.plead_report(who, held, outcome) for held, outcome in reports]
        pleas += [self.plead_claim(who, grant) for grant in asked]
        try:
            verdicts = self.record(who.writer.recorder, pleas, fault, overtaken)
        except WorkerDied:
            self.crash(who)
            return
        for (held, _), verdict in zip(reports, verdicts, strict=False):
            if held in who.held:
                who.held.remove(held)
                who.spent = [*who.spent, held][-REMEMBERED:]
            following = verdict.following
            if following is not None and verdict.error is None and verdict.run is not None:
                self._holds(who, who.intake.follow(following, verdict.run, asked_at=0.0, continued=1))
        for grant, verdict in zip(asked, verdicts[len(reports) :], strict=True):
            admitted = who.intake.admit(grant, verdict)
            if admitted is not None:
                self._holds(who, admitted)

    def _holds(self, who: Worker, admitted: Assignment | Failed) -> None:
        assert isinstance(admitted, Assignment)
        self.check_admitted(admitted)
        who.held.append(admitted)
