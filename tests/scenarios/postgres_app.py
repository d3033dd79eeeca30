"""What the worker processes of a scenario on PostgreSQL run. ``SCENARIO_LIMITS``: how long they wait, name by name."""

import json
import logging
import os

from squidmesh_postgres import pool

from squidmesh import Mesh
from tests.scenarios.deal import Deal
from tests.scenarios.sale import LEASE

for name, seconds in json.loads(os.environ["SCENARIO_LIMITS"]).items():
    assert hasattr(pool, name), name
    setattr(pool, name, seconds)

logging.getLogger("squidmesh").setLevel(logging.DEBUG)  # each call that fails: scenarios look for them

mesh = Mesh.connect(
    os.environ["SCENARIO_URL"],
    leases=os.environ["SCENARIO_LEASES"] or None,
    workflows=[Deal],
    lease=LEASE,
    heartbeat=0.2,
    idle_poll=0.5,
    reconcile_every=0.1,
    sweep=float(os.environ["SCENARIO_SWEEP"]),
    max_deliveries=20,
)
