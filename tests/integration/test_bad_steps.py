"""What a bad step does to its worker and to what runs beside it: it holds the lock, blocks the loop, crashes."""

from pathlib import Path

from tests.scenarios.bad_fleet import BadFleet
from tests.scenarios.bad_steps import OnTheLoop, Plain


def test_a_held_lock_and_a_blocked_loop_cost_no_lease(tmp_path: Path) -> None:
    """3.5.4: three leases long, beside a worker that waits for a lease to end."""
    with BadFleet(tmp_path, url=f"sqlite:///{tmp_path / 'journal.db'}") as fleet:
        worker = fleet.hire()
        runs = fleet.start(Plain, [("hold the lock", 6.0), ("wait", 6.0), ("wait", 1.0)])
        runs += fleet.start(OnTheLoop, [("block the loop", 6.0), ("wait", 1.0)])
        fleet.until_noted("began", runs)
        fleet.hire()
        assert fleet.until_ended(runs) == ["completed"] * 5
        assert [fleet.claims(run_id) for run_id in runs] == [1] * 5
        assert "leases_extended" in fleet.log(worker)
        assert "heartbeats_starved" in fleet.log(worker)
