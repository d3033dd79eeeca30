"""Workers, clients, crashes and faults against the real core, in any order, and a simple model that says what is right.

Every rule compares each run that it touched with the model and audits its thread; at the end one good worker finishes
whatever is open.
"""

import sys
from collections.abc import Callable, Iterable, Sequence
from copy import deepcopy

from hypothesis import strategies as st
from hypothesis.stateful import initialize, rule

from squidmesh.config import MeshConfig
from squidmesh.errors import KeyReused
from squidmesh.journal.state import RunState
from squidmesh.ports.journal_store import RunQuery
from squidmesh.runtime.intake import Grant
from squidmesh.runtime.invoke import Assignment
from squidmesh.runtime.recorder import Recorder, Verdict
from squidmesh.runtime.starting import check_start, start_run
from tests.property import speaking
from tests.property.expected import GATES, Errand, Expected, Refusal
from tests.property.fleet import LEASE, Fleet, Worker, faults, picks
from tests.property.speaking import Decision, Outcome, Plea
from tests.property.world import Fault, WorkerDied
from tests.support.audit import audit

MOST_RUNS = 8
decisions = st.sampled_from(["approved", "approved", "rejected"])
command_keys = st.sampled_from([None, "first", "second"])


class CoreMachine(Fleet):
    workflows = (Errand,)
    config = MeshConfig(lease=LEASE, max_deliveries=1000)
    """Dead letters are the other machine's: here, deliveries may be lost as often as chance will have it."""

    def __init__(self) -> None:
        super().__init__()
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
                self.record(writer.recorder, [speaking.decide(run_id, also, None, None)])

        self._decide(run_id, decision, gate, key, fault, another)
        if again is not None:
            self._decide(run_id, again, gate, key)

    # -------------------------------------------------------------------------------------------- to the fleet

    def known_runs(self) -> list[str]:
        return list(self.runs)

    def find_work(self) -> None:
        self.answer()
        if len(self.runs) < MOST_RUNS:
            self._start(1, None)

    def answer(self) -> None:
        for run_id in self._waiting():
            self._decide(run_id, "approved")

    def is_current(self, held: Assignment) -> bool:
        return self.runs[held.run_id].holder == held.claim.hash

    def plead_claim(self, who: Worker, grant: Grant) -> Plea[Expected, Refusal | None]:
        return speaking.claim(who.intake, grant)

    def plead_report(self, who: Worker, held: Assignment, outcome: Outcome) -> Plea[Expected, Refusal | None]:
        return speaking.report(who.intake, held, outcome)

    def check_admitted(self, admitted: Assignment) -> None:
        run = self.runs[admitted.run_id]
        assert (admitted.spec.name, admitted.attempt, admitted.delivery) == (run.at, run.attempt, run.lost + 1)
        if admitted.claim.hash != run.holder:
            assert admitted.claim.fence < run.fence, "it had an older grant on the same attempt, and recorded both"

    # -------------------------------------------------------------------------------------------------- inside

    def _start(self, miles: int, key: str | None, fault: Fault | None = None) -> None:
        payload = {"miles": miles}
        asked = check_start(self.engine, Errand, payload, key=key, queue=None, priority=None, delay=None)
        known = next((run for run in self.runs.values() if key is not None and run.key == key), None)
        got: RunState | KeyReused | None = None
        with self.world.store.call(fault) as call:
            try:
                got = start_run(self.engine, asked)
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
            self.runs[run_id] = Expected(payload, key, visible_at=self.now)
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
            self.record(self.client.recorder, [speaking.decide(run_id, decision, gate, key)], fault, overtaken)
        except WorkerDied:
            self.client = self.engine.writer(patience=None)

    def _waiting(self) -> list[str]:
        return [run_id for run_id, run in self.runs.items() if run.at in GATES]

    def record(
        self,
        recorder: Recorder,
        pleas: Sequence[Plea[Expected, Refusal | None]],
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
            before.append((run, plea.foresee(foreseen[plea.run_id], self.now)))
        changed = [run_id for run_id, run in foreseen.items() if run != self.runs[run_id]]
        assert verdicts is None or sorted(call.written) == sorted(changed), "what was foreseen is written, once"
        for run_id in call.written:
            self.runs[run_id] = foreseen[run_id]
            self.runs[run_id].entries += 1
        self._check(foreseen)
        if verdicts is None:
            raise WorkerDied
        for verdict, (run, refusal) in zip(verdicts, before, strict=True):
            speaking.compare(verdict.error, refusal, run, self.now)
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
                self.turn(good, [])
                self.turn(good, [(held, Outcome("ok")) for held in good.held])
                continue
            self.answer()
            self.let_pass(LEASE.seconds)
        raise AssertionError(f"these runs do not end: {self.runs}")
