"""What the workers of a restore drill run: ``squidmesh --app tests.scenarios.restored_app:mesh worker``.

Runs that end, and runs that wait: for a person, for a moment, and for a queue that is paused.
"""

import os

from squidmesh import Mesh, RetryPolicy, Workflow, approval, fixed, manual, step, wait
from tests.scenarios.sale import LEASE, Order, charge, pick, ship


class Sold(Workflow):
    version = "1"
    sell = manual(Order)
    picked = step(pick)
    rest = wait(0.3)
    charged = step(charge, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.3)))
    shipped = step(ship, queue="slow")
    flow = (picked >> rest >> charged >> shipped,)


class Asked(Workflow):
    version = "1"
    sell = manual(Order)
    picked = step(pick)
    gate = approval()
    shipped = step(ship)
    flow = (picked >> gate >> shipped,)


class Rested(Workflow):
    version = "1"
    sell = manual(Order)
    picked = step(pick)
    rest = wait(3600)
    shipped = step(ship)
    flow = (picked >> rest >> shipped,)


class Stopped(Workflow):
    """Its second queue is paused."""

    version = "1"
    sell = manual(Order)
    picked = step(pick)
    shipped = step(ship, queue="stopped")
    flow = (picked >> shipped,)


WORKFLOWS = (Sold, Asked, Rested, Stopped)


def connected(url: str, leases: str | None) -> Mesh:
    return Mesh.connect(
        url,
        leases=leases,
        workflows=WORKFLOWS,
        lease=LEASE,
        heartbeat=0.2,
        idle_poll=0.5,
        reconcile_every=0.1,
        sweep=3,
        max_deliveries=20,
    )


mesh = connected(os.environ.get("SCENARIO_URL", "memory://"), os.environ.get("SCENARIO_LEASES") or None)
