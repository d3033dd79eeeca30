"""How the mesh of a chaos fleet is set: everything is short, so that a minute holds many leases."""

from __future__ import annotations

from typing import Any

from squidmesh_postgres import pool

LEASE = 4.0
SWEEP = 3.0
MAX_DELIVERIES = 6
MESH: dict[str, Any] = {
    "lease": LEASE,
    "heartbeat": 0.5,
    "idle_poll": 0.5,
    "reconcile_every": 0.25,
    "sweep": SWEEP,
    "max_deliveries": MAX_DELIVERIES,
}
"""Seconds, in ``Mesh.connect``'s own words."""
_PATIENCE = {"LOCK_TIMEOUT": 1.0, "PATIENCE": 3.0, "IDLE_TIMEOUT": 3.0}
"""Seconds that a worker waits for a PostgreSQL, by their names in ``squidmesh_postgres.pool``; shorter than its own."""


def be_impatient() -> None:
    """This process waits shorter for a PostgreSQL than it would: a day waits for what its processes wait for."""
    for name, seconds in _PATIENCE.items():
        if not hasattr(pool, name):
            raise AttributeError(f"squidmesh_postgres.pool has no {name}")
        setattr(pool, name, seconds)
