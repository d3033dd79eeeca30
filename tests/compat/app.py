"""What workers and clients of both versions run: ``squidmesh --app tests.compat.app:mesh``."""

import os

from squidmesh import Mesh
from tests.compat.trade import Gift, Trade

mesh = Mesh.connect(
    os.environ["COMPAT_URL"],
    leases=os.environ["COMPAT_LEASES"] or None,
    workflows=[Trade, Gift],
    lease=4.0,
    heartbeat=0.2,
    idle_poll=0.5,
    reconcile_every=0.1,
    sweep=3,
    max_deliveries=3,
)
