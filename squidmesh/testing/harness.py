"""A mesh for tests of workflows: time stands still until the test moves it, and work is done when the test says so.

::

    with Harness([RingErrand]) as h:
        run = h.start(RingErrand.leave_shire, LeaveShire(ring_id="one-ring"))
        h.drain()  # everything that is ready now
        h.skip(timedelta(days=30))  # a wait of 30 days takes no time
        h.drain()
        assert h.run(run).status == "completed"

It is a real mesh: the same journal, rules and lease backend as in production, over ``memory://`` or a SQLite file. Only
time, threads and the functions that the test replaces are its own.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta
from types import TracebackType
from typing import Any, Self

from squidmesh import Explanation, HistoryEvent, Mesh, Run, Workflow
from squidmesh.clock import check_duration, duration, in_words, to_datetime
from squidmesh.config import MeshConfig, check_integer
from squidmesh.errors import InvalidInput
from squidmesh.ids import parse_attempt_key
from squidmesh.ports.lease_backend import Release
from squidmesh.runtime.chance import new_request_id
from squidmesh.runtime.rehearsal import StepHandle, rehearse
from squidmesh.testing.clock import VirtualClock

A_YEAR = timedelta(days=366)
_LONGEST_SKIP = timedelta(days=366 * 100)
_OWNER = "harness"
_MOST_NAMED = 5
_NOBODY_GOES_ON = {"missing_step", "corrupt_history"}
_FOR_A_PERSON = {"approval", "pause", "event", "dead_letter", "compensation_failed"}
"""Reasons of ``explain_run``. Beside one of them, an attempt may still be scheduled: then time helps."""
_GOES_ON = {"scheduled", "claimed"}
_MOST = range(1, 1_000_001)


class StillGoing(AssertionError):
    """What should have come to rest did not: a test that meets this has failed. ``runs`` names those that go on."""

    def __init__(self, message: str, *, runs: tuple[str, ...]) -> None:
        self.runs = runs
        super().__init__(message)


class Harness:
    """One mesh on a virtual clock. Not thread-safe. A context manager; :meth:`close` ends it.

    ``mesh``: the mesh itself, with every verb: ``h.mesh.approve_run(run.run_id, actor="frodo")``.
    ``clock``: its time; it may be given, so that a second harness over the same SQLite file goes on where the first
    one ended.
    """

    def __init__(
        self,
        workflows: Iterable[type[Workflow]],
        *,
        store: str = "memory://",
        clock: VirtualClock | None = None,
        queue: str = "default",
        lease: timedelta | float = timedelta(seconds=60),
        max_deliveries: int = 5,
    ) -> None:
        """``store``: ``memory://`` or ``sqlite:///…`` (made where it is not there). The rest as in ``Mesh.connect``."""
        self.clock = VirtualClock() if clock is None else clock
        # A suspect step would run in a child process, where nobody stands in for anything.
        settings: dict[str, Any] = {"queue": queue, "lease": lease, "max_deliveries": max_deliveries}
        config = MeshConfig(**settings, quarantine=False)
        self.mesh: Mesh
        self.mesh, self._engine, self._stand_ins = rehearse(store, workflows, clock=self.clock, config=config)
        self._lease = config.lease
        self.start = self.mesh.start_run
        """``Mesh.start_run``, typed alike."""

    # ------------------------------------------------------------------------------------------------------ time

    @property
    def now(self) -> datetime:
        return to_datetime(self.clock.now())

    def skip(self, time: timedelta | float) -> datetime:
        """Moves the clock on, at once, and nothing else: what became due is done by the next :meth:`drain`."""
        self.clock.advance(check_duration(time, field="time", least=timedelta(0), most=_LONGEST_SKIP))
        return self.now

    # ------------------------------------------------------------------------------------------------------ work

    def drain(self, *, skipping: bool = False, horizon: timedelta | float = A_YEAR, most: int = 10_000) -> int:
        """Does everything that is ready now, and what follows from it, in order, until nothing is left; the number of
        attempts that it took. Waits and retries stay where they are: the clock does not move.

        ``skipping``: moves the clock on to the next moment at which something becomes ready, again and again, until no
        run waits for time any more: each has ended, or waits for a person. :class:`StillGoing` where that takes more
        than ``most`` attempts and moves, or reaches beyond ``horizon`` from now.
        """
        course = _Course(self, horizon, most)
        while True:
            course.do_what_is_ready()
            if not skipping or not course.skip():
                return course.attempts

    def run_to_end(self, run: Run | str, *, horizon: timedelta | float = A_YEAR, most: int = 10_000) -> Run:
        """As ``drain(skipping=True)``, until this run has ended, or only a person can move it on. Other runs do what is
        theirs to do in that time.
        """
        course = _Course(self, horizon, most)
        while True:
            course.do_what_is_ready()
            found = self.run(run)
            if found.ended or self._waits_for_a_person(found) or not course.skip():
                return found

    # ------------------------------------------------------------------------------------------------- stand-ins

    def replace(self, step: StepHandle, fn: Callable[..., Any]) -> None:
        """From now on ``fn`` stands in for the function of ``step`` (``RingErrand.pack``), in this harness only.

        It gets those of the step's arguments that it has parameters for, validated as for the step's own function, and
        what it gives back has to fit that one's return annotation: a stand-in can do nothing that the step could not.
        ``InvalidInput`` where it asks for what the step does not have. The definition stays as it is.
        """
        self._stand_ins.put(step, fn)

    def restore(self, step: StepHandle) -> None:
        """The step's own function is called again."""
        self._stand_ins.remove(step)

    # --------------------------------------------------------------------------------------------------- answers

    def run(self, run: Run | str) -> Run:
        """The run as it is now, with payload, output, texts of errors, and history."""
        return self.mesh.inspect_run(_id(run), history=True)

    def explain(self, run: Run | str) -> Explanation:
        """Why it stands where it stands."""
        return self.mesh.explain_run(_id(run))

    def history(self, run: Run | str) -> tuple[HistoryEvent, ...]:
        """What has happened to it, in order: ``[event.kind for event in h.history(run)]``."""
        return self.run(run).history or ()

    # ----------------------------------------------------------------------------------------------------- the end

    def close(self) -> None:
        self.mesh.close()
        self._engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Harness {self.mesh!r} at {self.now.isoformat()}>"

    # ---------------------------------------------------------------------------------------------------- inside

    def _execute_next(self) -> Run | None:
        """On every queue that has open attempts; without any, it may still be something else that is due."""
        return self.mesh.execute_next(owner_id=_OWNER, queues=self._engine.store.agenda_queues() or None)

    def _next_due(self) -> timedelta | None:
        """How long until time alone makes something ready; None where it does not. What has a moment of its own beside
        attempts and leases is one more line here.
        """
        moments = [
            self._next_attempt(),
            self._next_timer(),
        ]
        return min((moment for moment in moments if moment is not None), default=None)

    def _next_attempt(self) -> timedelta | None:
        """A claim that comes back empty tells it. What it does bring back nobody here can do (a step whose function is
        gone): that is passed over.
        """
        queues, skip = self._engine.store.agenda_queues(), set[str]()
        while queues:
            grants = self._engine.leases.claim(
                queues, owner=_OWNER, limit=1, lease=self._lease, request_id=new_request_id(), skip=skip
            )
            if not grants.claims:
                return grants.next_due
            self._engine.leases.release([Release(claim=claim) for claim in grants.claims])
            skip |= {parse_attempt_key(claim.item)[1] for claim in grants.claims}
        return None

    def _next_timer(self) -> timedelta | None:
        """Deadlines, and what runs have to tell each other."""
        due = self._engine.store.next_timer()
        return None if due is None else duration(max(0, due - self._engine.store.now()))

    def _waits_for_a_person(self, run: Run) -> bool:
        """Or nobody can go on with it at all."""
        reason = self.explain(run).reason
        if reason in _NOBODY_GOES_ON:
            return True
        return reason in _FOR_A_PERSON and not any(attempt.status in _GOES_ON for attempt in run.attempts)


class _Course:
    """One drain: what it has done, and how far it may go."""

    def __init__(self, harness: Harness, horizon: timedelta | float, most: int) -> None:
        self._harness = harness
        self._horizon = check_duration(horizon, field="horizon", least=timedelta(0), most=_LONGEST_SKIP)
        self._until = harness.now + self._horizon
        self._most = check_integer(most, field="most", allowed=_MOST)
        self._moves = 0
        self._seen: Counter[str] = Counter()

    @property
    def attempts(self) -> int:
        return self._seen.total()

    def do_what_is_ready(self) -> None:
        while (run := self._harness._execute_next()) is not None:
            self._seen[run.run_id] += 1
            if self.attempts + self._moves > self._most:
                self._give_up(f"after {self._most} attempts and moves of the clock there is still something to do")

    def skip(self) -> bool:
        """Moves the clock on to the next moment that something is due at; False where there is none."""
        due = self._harness._next_due()
        if due is None:
            return False
        if self._harness.now + due > self._until:
            self._give_up(f"the next thing is due in {in_words(due)}, beyond the horizon of {in_words(self._horizon)}")
        self._moves += 1
        if self.attempts + self._moves > self._most:
            self._give_up(f"after {self._most} attempts and moves of the clock something is still to become due")
        self._harness.skip(due)
        return True

    def _give_up(self, why: str) -> None:
        """Names the runs that took the most attempts and have not ended; else those that are open."""
        busiest = [run_id for run_id, _ in self._seen.most_common() if not self._harness.run(run_id).ended]
        store = self._harness._engine.store
        waiting = [row.run_id for row in store.open_attempts(limit=1000)]
        runs = tuple(dict.fromkeys([*busiest, *waiting]))
        told = "".join(f"\n  {self._told(run_id)}" for run_id in runs[:_MOST_NAMED])
        more = f"\n  and {len(runs) - _MOST_NAMED} more" if len(runs) > _MOST_NAMED else ""
        raise StillGoing(f"{why}; these runs keep going:{told}{more}", runs=runs)

    def _told(self, run_id: str) -> str:
        run = self._harness.mesh.inspect_run(run_id)
        summary = self._harness.explain(run_id).summary
        return f"{run.workflow} {run_id} ({self._seen[run_id]} attempts): {summary}"


def _id(run: Run | str) -> str:
    given: object = run
    if isinstance(given, Run):
        return given.run_id
    if isinstance(given, str):
        return given
    raise InvalidInput(f"is a {type(given).__name__}; allowed is a run, or its id", field="run")
