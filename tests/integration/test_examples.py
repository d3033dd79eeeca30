"""Each example runs, and does what it says."""

import os
import subprocess
import sys
from pathlib import Path

from examples import (
    cancellable_wait,
    daily_digest,
    dependency_recovery,
    invite_delivery,
    ledger_checkout,
    manual_approval,
    saga_checkout,
)
from tests.support.redises import started

ROOT = Path(__file__).resolve().parents[2]


def test_manual_approval() -> None:
    ended = manual_approval.main()
    assert {said: run.status for said, run in ended.items()} == dict.fromkeys(("yes", "no", "nothing"), "completed")
    told = {key for run in ended.values() for key in run.output or {}}
    assert {"paid", "declined", "escalated"} <= told
    (approved,) = ended["yes"].command_history  # the second click is counted with it, unless the run has ended by then
    assert (approved.verb, approved.key) == ("approve", "click-1")
    assert approved.repeats <= 1


def test_dependency_recovery() -> None:
    run = dependency_recovery.main()
    assert run.status == "completed"
    assert run.output is not None
    assert run.output["label"] == "by hand: P-9 at 7"
    assert {attempt.step: attempt.attempt for attempt in run.attempts} == {
        "rates": 3,
        "book": 2,
        "label": 2,
        "by_hand": 1,
    }


def test_saga_checkout() -> None:
    run, outside = saga_checkout.main()
    assert run.status == "failed"
    assert sorted(outside[:2]) == ["card charged", "stock reserved"]
    assert run.history is not None
    completed = [event.step for event in run.history if event.kind == "AttemptCompleted" and event.step != "ship"]
    undone = {"charge": "refunded", "reserve": "given"}
    assert [told.partition(" ")[0] for told in outside[2:]] == [undone[str(step)] for step in reversed(completed[:2])]
    assert sorted(map(str, completed[:2])) == ["charge", "reserve"]


def test_ledger_checkout() -> None:
    assert ledger_checkout.main() == {"frodo": -250, "sam": -250, "inn": 500}


def test_invite_delivery() -> None:
    run, letters = invite_delivery.main()
    assert run.output is not None
    assert run.output["invited"] == 3
    assert letters == {"completed": 4, "failed": 2}


def test_daily_digest() -> None:
    runs = daily_digest.main()
    assert [run.output["digest"] for run in runs if run.output] == [
        "24.10. 20:30 WEST: a ring was found; a birthday is near",
        "25.10. 20:30 WET: the clocks went back",
        "26.10. 20:30 WET: a wizard knocked",
    ]


def test_cancellable_wait() -> None:
    offer, work = cancellable_wait.main()
    assert (offer.status, work.status) == ("cancelled", "cancelled")
    assert cancellable_wait.heard.is_set()


def test_rq_orders(tmp_path: Path) -> None:
    """In a process of its own: RQ's worker finds the same file there, under its own name."""
    with started("valkey", tmp_path / "valkey") as server:
        environment = {**os.environ, "REDIS_URL": server.url, "ORDERS_JOURNAL": f"sqlite:///{tmp_path / 'orders.db'}"}
        command = [sys.executable, "-W", "error", "-m", "examples.rq_orders"]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60)
    assert done.stderr == ""
    *attempts, end = done.stdout.splitlines()
    took = {"reserve": 1, "charge": 2, "cool_off": 1, "ship": 1}
    assert attempts == [f"{step} took {count} of its attempts" for step, count in took.items()]
    assert end.startswith("completed {'shelf': 'shelf-17'") and "'shipped': 'from shelf-17'" in end
