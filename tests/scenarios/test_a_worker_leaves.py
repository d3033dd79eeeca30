"""Workers that are told to leave under load: no attempt is spent, no lease is lost, and no run fails."""

import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.scenarios.fleet import Fleet, until
from tests.scenarios.postgres_fleet import PostgresFleet
from tests.scenarios.sale import LEASE
from tests.support.postgreses import VERSIONS, started
from tests.support.redises import started as redis_started

AT_ONCE = LEASE / 2
"""Seconds, well under a lease: within them somebody else has what was given back."""
LOAD = 12
"""Runs that are always open."""


def told_to_leave(fleet: Fleet, worker: "subprocess.Popen[bytes]") -> None:
    """It holds something then, and is gone with nothing in its hands."""
    until(lambda: keep_busy(fleet) and fleet.claimed_by(worker), "a claim of it", within=60)
    worker.send_signal(signal.SIGTERM)
    until(lambda: keep_busy(fleet) and worker.poll() is not None, "its end")
    assert worker.returncode == 0, fleet.log(worker)
    assert not fleet.claimed_by(worker)


def keep_busy(fleet: Fleet) -> bool:
    counts = fleet.mesh.count_runs()
    if len(fleet.runs) - counts.get("completed", 0) - counts.get("failed", 0) < LOAD:
        fleet.start(LOAD)
    return True


def roll(fleet: Fleet) -> None:
    """One worker after another is replaced, while there is work all the time."""
    for worker in list(fleet.workers):
        told_to_leave(fleet, worker)
        successor = fleet.successor_of(worker)
        until(lambda now=successor: keep_busy(fleet) and "worker_started" in fleet.log(now), "it", within=60)  # type: ignore[misc]


def nothing_was_spent(fleet: Fleet) -> None:
    """Every attempt has the number that it would have had anyway, and no delivery was lost."""
    fleet.finish(within=90)
    verdict = fleet.judge()
    assert verdict.lost == 0, fleet.logs()
    for number, run_id in enumerate(fleet.runs):
        run = fleet.mesh.inspect_run(run_id)
        fails_once = {"charged"} if number % 5 == 0 else set()
        found = {one.step: (one.attempt, one.lost) for one in run.attempts}
        assert found == {step: (2 if step in fails_once else 1, 0) for step in found}, run_id
        assert set(fleet.steps) <= set(found)


def begun(fleet: Fleet) -> Fleet:
    until(lambda: all("worker_started" in fleet.log(worker) for worker in fleet.workers), "the workers", within=60)
    return fleet


class Impatient(Fleet):
    options = ("--grace=0.1",)


class ImpatientOnPostgres(PostgresFleet):
    options = ("--grace=0.1",)


def gives_back(fleet: Fleet) -> None:
    """What its steps do not end within the grace goes to others at once, and not after a lease."""
    held = fleet.hold(2)
    holders = {run_id: worker for worker in fleet.workers for run_id in held if _holds(fleet, worker, run_id)}
    assert set(holders) == set(held)
    worker = holders[held[0]]
    theirs = [run_id for run_id in held if holders[run_id] is worker]
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(30) == 0, fleet.log(worker)
    gone_at = time.monotonic()
    until(lambda: all(fleet.claims_of(run_id, "picked") == 2 for run_id in theirs), "others to have it", within=AT_ONCE)
    assert time.monotonic() - gone_at < AT_ONCE
    fleet.let_go()
    fleet.successor_of(worker)
    nothing_was_spent(begun(fleet))


def _holds(fleet: Fleet, worker: "subprocess.Popen[bytes]", run_id: str) -> bool:
    return any(item.startswith(f"{run_id}/") for item in fleet.claimed_by(worker))


def test_a_worker_that_leaves_gives_its_work_to_others_at_once(tmp_path: Path) -> None:
    with Impatient(tmp_path, url=f"sqlite:///{tmp_path / 'journal.db'}", workers=2) as fleet:
        gives_back(begun(fleet))


@pytest.mark.all
@pytest.mark.timeout(180)
def test_a_fleet_is_replaced_under_load(tmp_path: Path) -> None:
    with Fleet(tmp_path, url=f"sqlite:///{tmp_path / 'journal.db'}", workers=3) as fleet:
        roll(begun(fleet))
        nothing_was_spent(fleet)


@pytest.mark.all
@pytest.mark.timeout(300)
@pytest.mark.parametrize("what", [roll, gives_back], ids=["rolling", "given-back"])
def test_a_fleet_on_postgres_and_redis_is_replaced_under_load(
    what: object, tmp_path: Path, postgres_templates: Path
) -> None:
    kind = PostgresFleet if what is roll else ImpatientOnPostgres
    with ExitStack() as stack:
        postgres = stack.enter_context(started(VERSIONS[0], tmp_path / "postgres", templates=postgres_templates))
        valkey = stack.enter_context(redis_started("valkey", tmp_path / "valkey"))
        fleet = stack.enter_context(kind(tmp_path, postgres, redis=valkey, workers=3))
        if what is roll:
            roll(fleet)
            nothing_was_spent(fleet)
        else:
            gives_back(fleet)
