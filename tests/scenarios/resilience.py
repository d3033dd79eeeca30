"""``./dev resilience``: runs that stand still in each way, over restarts of everything. After each of them new work
ends, and every run is accounted for; at last all runs end, once.
"""

import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from examples.shop import store
from examples.shop.premises import Premises, Process
from squidmesh import Mesh, Workflow
from tests.scenarios.resilience_app import ENDS, LATER, STANDS, Asked, Delayed, Listening, Paused, Probe, connected
from tests.scenarios.told import PATIENCE, told, until

EACH, WORKERS, LEASE = 5, 2, 3.0
SAM = "sam"


@dataclass(frozen=True)
class Runs:
    """``by_id``: those that were started, each with its workflow."""

    mesh: Mesh
    by_id: dict[str, type[Workflow]]

    @classmethod
    def start(cls, mesh: Mesh) -> "Runs":
        started = {}
        for workflow in STANDS:
            for number in range(EACH):
                delay = LATER if workflow is Delayed else None
                run = mesh.start_run(workflow, {"number": number}, key=f"one-{number}", delay=delay)
                started[run.run_id] = workflow
        return cls(mesh, started)

    def reasons(self) -> dict[str, str]:
        return {run_id: self.mesh.explain_run(run_id).reason for run_id in self.by_id}

    def stand(self) -> bool:
        return all(reason == STANDS[self.by_id[run_id]] for run_id, reason in self.reasons().items())

    def account(self, *, due: bool) -> str:
        """Waits until each stands where it stood; where it was due meanwhile, it may have ended. How many of each."""
        timely = {"delayed_start", "retry", "wait"}

        def strayed() -> dict[str, str]:
            found = {}
            for run_id, reason in self.reasons().items():
                stood = STANDS[self.by_id[run_id]]
                if reason != stood and not (stood in timely and due and reason == "completed"):
                    found[run_id] = f"{self.by_id[run_id].__name__}: {reason}"
            return found

        until(lambda: not strayed(), "runs that are not where they stood")
        counted = Counter(self.reasons().values())
        return ", ".join(f"{number} {reason}" for reason, number in sorted(counted.items()))

    def release(self) -> None:
        """Opens what people open."""
        self.mesh.resume_queue("stopped", actor=SAM)
        for run_id, workflow in self.by_id.items():
            if workflow is Asked:
                self.mesh.approve_run(run_id, actor=SAM)
            elif workflow is Listening:
                self.mesh.send_event(run_id, "word", {"said": "friend"})
        for paused in self.mesh.list_runs(workflow=Paused.__name__, status="paused").runs:
            self.mesh.resume_run(paused.run_id, actor=SAM)


def resilience(folder: Path) -> Generator[str]:
    with Premises(folder, app="tests.scenarios.resilience_main:mesh", lease=LEASE) as house:
        with store.opened(house.settings.database) as connection:
            connection.execute(ENDS)
        with connected(house.settings) as mesh:
            yield from _restarts(house, mesh)


def _restarts(house: Premises, mesh: Mesh) -> Iterator[str]:
    workers = [house.start_worker() for _ in range(WORKERS)]
    until(lambda: len(mesh.workers().workers) == WORKERS, "the workers")
    mesh.pause_queue("stopped", actor=SAM)
    probes = count(1)
    began = time.monotonic()
    runs = Runs.start(mesh)
    until(runs.stand, "runs that stand still", within=LATER)
    yield f"{len(runs.by_id)} runs stand still: {runs.account(due=False)}"

    def accounted() -> str:
        """When the fleet works again."""
        probe = mesh.start_run(Probe, {"number": next(probes)})
        assert mesh.wait_for(probe.run_id, timeout=PATIENCE).status == "completed"
        return runs.account(due=time.monotonic() - began > LATER)

    workers = _replaced(house, workers)
    yield f"all workers were killed, and others started: {accounted()}"

    house.redis.ask("FLUSHALL")
    yield f"Redis was emptied: {accounted()}"

    house.redis.kill()
    house.redis.start()
    yield f"Redis was killed, and came back with nothing: {accounted()}"

    house.postgres.kill()
    house.postgres.start()
    yield f"PostgreSQL was killed, and recovered: {accounted()}"

    house.postgres.restart()
    yield f"PostgreSQL was restarted: {accounted()}"

    for worker in workers:
        house.kill(worker)
    house.redis.kill()
    house.postgres.kill()
    house.postgres.start()
    house.redis.start()
    for _ in range(WORKERS):
        house.start_worker()
    yield f"all of it at once: {accounted()}"

    runs.release()
    until(lambda: set(runs.reasons().values()) == {"completed"}, "the end of all runs")
    with store.opened(house.settings.database) as connection:
        ends = connection.execute("SELECT run_id, count(*) FROM shop.ends GROUP BY run_id").fetchall()
    assert len(ends) == len(runs.by_id) + EACH + next(probes) - 1, f"{len(ends)} runs left a row"
    assert {rows for _, rows in ends} == {1}, "a row of each"
    assert mesh.count_runs() == {"completed": len(ends)}, mesh.count_runs()
    assert mesh.list_dead_letters().dead_letters == ()
    yield f"all {len(ends)} runs have ended, each once, child runs and new work among them"


def _replaced(house: Premises, workers: list[Process]) -> list[Process]:
    for worker in workers:
        house.kill(worker)
    return [house.start_worker() for _ in workers]


if __name__ == "__main__":
    sys.exit(told(resilience))
