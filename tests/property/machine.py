"""Workers, clients, crashes and faults against the real core, in any order, and a simple model that says what is right.

A worker has a writer of its own, whose held runs go stale while others write, so that its appends truly conflict. What
a step would have done is drawn. Every rule compares each run that it touched with the model and audits its thread; at
the end one good worker finishes whatever is open.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from datetime import timedelta
from typing import ClassVar, Literal, get_args

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from squidmesh.config import MeshConfig
from squidmesh.errors import KeyReused
from squidmesh.journal.state import RunState
from squidmesh.ports.journal_store import RunQuery
from squidmesh.ports.lease_backend import Beat
from squidmesh.runtime.chance import new_nonce
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.intake import Grant, Intake
from squidmesh.runtime.invoke import Assignment, Failed
from squidmesh.runtime.recorder import Recorder, Verdict
from squidmesh.runtime.starting import check_start, start_runs
from squidmesh.workflow.registry import Registry
from tests.property import speaking
from tests.property.expected import GATES, Errand, Expected
from tests.property.speaking import Decision, Outcome, Plea
from tests.property.world import Fault, Plane, WorkerDied, World
from tests.support.audit import audit

LEASE = timedelta(seconds=30)
CONFIG = MeshConfig(lease=LEASE, max_deliveries=1000)
"""Dead letters have tests of their own: here, deliveries may be lost as often as chance will have it."""
MOST_RUNS = 8
REMEMBERED = 8
"""How many spent claims a worker remembers, to report under them once more."""

faults = st.sampled_from([*([None] * 12), *get_args(Fault)])
decisions = st.sampled_from(["approved", "approved", "rejected"])
command_keys = st.sampled_from([None, "first", "second"])
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
    st.sampled_from([Outcome("give up"), Outcome("drain", after=0)]),
)
last_words = st.one_of(snoozes, snoozes, outcomes)
a_turn = st.tuples(outcomes, st.sampled_from([0, 0, 6, 12]), faults)
some_turns = st.one_of(st.lists(a_turn, min_size=1, max_size=6), a_turn.map(lambda turn: [turn] * 8))


Incident = Literal["nothing", "heartbeat", "death", "leases lost", "leases reconciled"]
incidents = st.sampled_from(["nothing", "nothing", "heartbeat", "death", "leases lost", "leases reconciled"])


class Silent:
    def notice(self, event: str, /, **fields: object) -> None:
        pass


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
            pauses=self.engine.pauses,
            registry=self.engine.registry,
            config=CONFIG,
            observer=self.engine.observer,
            queues=("default",),
            owner=f"{self.name}@{new_nonce()}",
        )

    def ask(self, limit: int) -> None:
        """Claims up to ``limit`` items; they are recorded when the worker turns."""
        grants, _ = self.intake.ask(limit)
        self.grants += grants


class CoreMachine(RuleBasedStateMachine):
    plane: ClassVar[Plane]

    def __init__(self) -> None:
        super().__init__()
        self.world = World(self.plane)
        self.engine = Engine(
            journal=self.world,
            leases=None,
            registry=Registry([Errand]),
            config=CONFIG,
            observer=Silent(),
            heartbeat_thread=False,
        )
        self.client = self.engine.writer(patience=None)
        self.workers = [Worker(name, self.engine) for name in ("pippin", "merry", "gollum")]
        self.runs: dict[str, Expected] = {}

    # ------------------------------------------------------------------------------------------------- clients

    @initialize(how_many=st.integers(1, 3))
    def begin(self, how_many: int) -> None:
        for miles in range(how_many):
            self._start(miles, None)

    @rule(miles=st.integers(1, 2), key=st.sampled_from([None, "k1", "k1", "k2"]), fault=faults)
    def start(self, miles: int, key: str | None, fault: Fault | None) -> None:
        if key is not None or len(self.runs) < MOST_RUNS:
            self._start(miles, key, fault)

    @rule(
        run=picks,
        aimed=st.sampled_from([True, True, False]),
        decision=decisions,
        gate=st.sampled_from([*([None] * 6), *GATES, "pack", "nonsense"]),
        key=command_keys,
        also=st.one_of(st.none(), decisions),
        again=st.one_of(st.none(), decisions),
        fault=faults,
    )
    def decide(
        self,
        run: int,
        aimed: bool,
        decision: Decision,
        gate: str | None,
        key: str | None,
        also: Decision | None,
        again: Decision | None,
        fault: Fault | None,
    ) -> None:
        """``aimed``: at a run that waits; if none does, somebody works until one may. ``also``: what another client
        decides at the same moment. ``again``: what the client says next, under the same key.
        """
        if aimed and not self._waiting():
            self.work(run, 3, [(Outcome("ok"), 6, None)] * 8)
        among = (self._waiting() if aimed else []) or list(self.runs)
        run_id = among[run % len(among)]

        def another() -> None:
            if also is not None:
                writer = self.engine.writer(patience=None)
                self._record(writer.recorder, [speaking.decide(run_id, also, None, None)])

        self._decide(run_id, decision, gate, key, fault, another)
        if again is not None:
            self._decide(run_id, again, gate, key)

    # ------------------------------------------------------------------------------------------------- workers

    @rule(worker=picks, limit=limits, turns=some_turns)
    def work(self, worker: int, limit: int, turns: list[tuple[Outcome, int, Fault | None]]) -> None:
        """As a pump turns: what has ended is reported, and what is free is claimed, in one batch."""
        for outcome, seconds, fault in turns:
            who = self._worker(worker)
            self._pass(seconds)
            who.ask(limit)
            self._turn(who, [(held, outcome) for held in who.held], fault)

    @rule(worker=picks, turns=st.integers(1, 6), approve=st.booleans())
    def work_well(self, worker: int, turns: int, approve: bool) -> None:
        self.work(worker, 3, [(Outcome("ok"), 6, None)] * turns)
        if approve:
            self._approve_all()

    @rule(worker=picks, limit=limits, lose_answer=st.sampled_from([False, False, False, True]))
    def only_claim(self, worker: int, limit: int, lose_answer: bool) -> None:
        """The grants wait; their leases may end before they are recorded."""
        self.world.lent.lose_answer = lose_answer
        self._worker(worker).ask(limit)

    @precondition(lambda self: any(worker.grants for worker in self.workers))
    @rule(worker=picks, fault=faults)
    def record_old_grants(self, worker: int, fault: Fault | None) -> None:
        self._turn(self._worker(worker, lambda who: who.grants), [], fault)

    @precondition(lambda self: any(worker.held or worker.spent for worker in self.workers))
    @rule(worker=picks, which=picks, outcome=outcomes, fault=faults)
    def report_one(self, worker: int, which: int, outcome: Outcome, fault: Fault | None) -> None:
        """Under a claim that the worker holds, or has held: what is over, is over."""
        who = self._worker(worker, lambda who: who.held or who.spent)
        known = [*who.held, *who.spent]
        self._turn(who, [(known[which % len(known)], outcome)], fault, grants=False)

    @rule(worker=picks, other=picks, record=st.booleans(), fault=faults)
    def take_over(self, worker: int, other: int, record: bool, fault: Fault | None) -> None:
        """A worker stalls for a lease, and becomes a zombie: another one is granted what it held."""
        _, heir = self._stall(worker, other)
        if record:
            self._turn(heir, [], fault)

    @rule(worker=picks, other=picks, zombie_first=st.sampled_from([True, False]), outcome=last_words, fault=faults)
    def race(self, worker: int, other: int, zombie_first: bool, outcome: Outcome, fault: Fault | None) -> None:
        """A zombie wakes up and reports while its heir records what it was granted. One comes between the other's
        decision and the other's append.
        """
        zombie, heir = self._stall(worker, other)
        held_by_zombie = {held.claim.item: held for held in zombie.held}
        heir.grants = [grant for grant in heir.grants if grant.claim.item in held_by_zombie][:1]
        if not heir.grants:
            return
        held = held_by_zombie[heir.grants[0].claim.item]

        def inherit(fault: Fault | None = None, overtaken: Callable[[], None] | None = None) -> None:
            self._turn(heir, [], fault, overtaken=overtaken)

        def wake(fault: Fault | None = None, overtaken: Callable[[], None] | None = None) -> None:
            self._turn(zombie, [(held, outcome)], fault, grants=False, overtaken=overtaken)

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
        who = self._worker(worker)
        self._pass(seconds)
        match what:
            case "nothing":
                pass
            case "heartbeat":
                self._beat(who)
            case "death":
                self._crash(who)
            case "leases lost":
                self.world.lose_leases()
            case "leases reconciled":
                self.world.reconcile(list(self.runs))

    # -------------------------------------------------------------------------------------------------- inside

    @property
    def _now(self) -> int:
        return self.world.clock.now()

    def _pass(self, seconds: int) -> None:
        self.world.clock.advance(timedelta(seconds=seconds))

    def _worker(self, pick: int, able: Callable[[Worker], object] = lambda who: True) -> Worker:
        found = [worker for worker in self.workers if able(worker)]
        return found[pick % len(found)]

    def _stall(self, worker: int, other: int) -> tuple[Worker, Worker]:
        """The zombie, whose leases have ended, and its heir, who has asked for work since."""
        zombie = self._worker(worker)
        if not zombie.held:
            self._approve_all()
            if len(self.runs) < MOST_RUNS:
                self._start(1, None)
            zombie.ask(3)
            self._turn(zombie, [])
        heir = self._worker(other, lambda who: who is not zombie)
        self._pass(LEASE.seconds)
        heir.grants = []
        heir.ask(3)
        return zombie, heir

    def _crash(self, worker: Worker) -> None:
        self.workers[self.workers.index(worker)] = Worker(worker.name, self.engine)

    def _beat(self, who: Worker) -> None:
        known = [*who.held, *who.spent]
        for assignment, beat in zip(known, self.world.lent.heartbeat([it.claim for it in known]), strict=True):
            current = self.runs[assignment.run_id].holder == assignment.claim.hash
            assert current or beat is not Beat.EXTENDED, "a lease is extended under a claim that is over"

    def _start(self, miles: int, key: str | None, fault: Fault | None = None) -> None:
        payload = {"miles": miles}
        asked = check_start(self.engine, Errand, payload, key=key, queue=None, priority=None, delay=None)
        known = next((run for run in self.runs.values() if key is not None and run.key == key), None)
        got: RunState | KeyReused | None = None
        with self.world.store.call(fault) as call:
            try:
                (got,) = start_runs(self.engine, [asked])
            except KeyReused as reused:
                got = reused
            except WorkerDied:
                assert fault in ("dies before", "dies after")
        if known is not None:
            assert call.written == [], "I12: one key, one run"
            assert got is None or isinstance(got, KeyReused) == (known.payload != payload), "I12: and one payload"
            return
        assert not isinstance(got, KeyReused)
        assert got is None or call.written == [got.run_id]
        for run_id in call.written:
            self.runs[run_id] = Expected(payload, key, visible_at=self._now)
        self._check(call.written)

    def _decide(
        self,
        run_id: str,
        decision: Decision,
        gate: str | None = None,
        key: str | None = None,
        fault: Fault | None = None,
        overtaken: Callable[[], None] | None = None,
    ) -> None:
        try:
            self._record(self.client.recorder, [speaking.decide(run_id, decision, gate, key)], fault, overtaken)
        except WorkerDied:
            self.client = self.engine.writer(patience=None)

    def _waiting(self) -> list[str]:
        return [run_id for run_id, run in self.runs.items() if run.at in GATES]

    def _approve_all(self) -> None:
        for run_id in self._waiting():
            self._decide(run_id, "approved")

    def _turn(
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
        pleas = [speaking.report(who.intake, held, outcome) for held, outcome in reports]
        pleas += [speaking.claim(who.intake, grant) for grant in asked]
        try:
            verdicts = self._record(who.writer.recorder, pleas, fault, overtaken)
        except WorkerDied:
            self._crash(who)
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
        run = self.runs[admitted.run_id]
        assert (admitted.spec.name, admitted.attempt, admitted.delivery) == (run.at, run.attempt, run.lost + 1)
        if admitted.claim.hash != run.holder:
            assert admitted.claim.fence < run.fence, "it had an older grant on the same attempt, and recorded both"
        who.held.append(admitted)

    def _record(
        self,
        recorder: Recorder,
        pleas: Sequence[Plea],
        fault: Fault | None = None,
        overtaken: Callable[[], None] | None = None,
    ) -> list[Verdict]:
        """Asks core and model the same thing, and compares: each verdict, what was written, and every run touched.

        Whoever dies in a commit has written what the store says; whoever does not, has written all that was foreseen.
        The model is asked afterwards, since it is told of what overtook in between.
        """
        verdicts: list[Verdict] | None = None
        with self.world.store.call(fault, overtaken) as call:
            try:
                verdicts = recorder.record([plea.intent for plea in pleas])
            except WorkerDied:
                assert fault in ("dies before", "dies after")
        foreseen = {plea.run_id: deepcopy(self.runs[plea.run_id]) for plea in pleas}
        before = []
        for plea in pleas:
            run = deepcopy(foreseen[plea.run_id])
            before.append((run, plea.foresee(foreseen[plea.run_id], self._now)))
        changed = [run_id for run_id, run in foreseen.items() if run != self.runs[run_id]]
        assert verdicts is None or sorted(call.written) == sorted(changed), "what was foreseen is written, once"
        for run_id in call.written:
            self.runs[run_id] = foreseen[run_id]
            self.runs[run_id].entries += 1
        self._check(foreseen)
        if verdicts is None:
            raise WorkerDied
        for verdict, (run, refusal) in zip(verdicts, before, strict=True):
            speaking.compare(verdict.error, refusal, run, self._now)
        return verdicts

    def _check(self, run_ids: Iterable[str], *, every_prefix: bool = False) -> None:
        for run_id in run_ids:
            state = audit(self.world.journal(), run_id, every_prefix=every_prefix)
            assert self.runs[run_id].agrees_with(state)

    # --------------------------------------------------------------------------------------------------- the end

    def teardown(self) -> None:
        try:
            if sys.exc_info()[0] is None:  # else a rule has failed, and that is what should be shown
                self._finish()
                self._check(self.runs, every_prefix=True)
                listed = {row.run_id: row.status for row in self.world.store.runs(RunQuery(limit=100)).rows}
                assert listed == {run_id: run.at for run_id, run in self.runs.items()}
        finally:
            self.engine.close()

    def _finish(self) -> None:
        """One good worker, and someone who approves. The other workers never come back."""
        good = Worker("sam", self.engine)
        self.workers.append(good)
        for _ in range(60):
            if all(run.ended for run in self.runs.values()):
                return
            self.world.reconcile(list(self.runs))
            good.ask(3)
            if good.grants:
                self._turn(good, [])
                self._turn(good, [(held, Outcome("ok")) for held in good.held])
                continue
            self._approve_all()
            self._pass(LEASE.seconds)
        raise AssertionError(f"these runs do not end: {self.runs}")
