"""What the worker processes of a scenario run: ``squidmesh --app tests.scenarios.app:mesh worker``."""

import logging
import os

from squidmesh import Mesh
from tests.scenarios.sale import LEASE, Sale

logging.getLogger("squidmesh").setLevel(logging.DEBUG)  # each call that fails: scenarios look for them

mesh = Mesh.connect(
    os.environ["SCENARIO_URL"],
    leases=os.environ["SCENARIO_LEASES"] or None,
    workflows=[Sale],
    lease=LEASE,
    heartbeat=0.2,
    idle_poll=0.5,
    reconcile_every=float(os.environ.get("SCENARIO_RECONCILE", "0.1")),
    sweep=3,
    max_deliveries=20,
)
