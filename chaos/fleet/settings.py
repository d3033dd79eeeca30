"""How the mesh of a chaos fleet is set: everything is short, so that a minute holds many leases."""

from __future__ import annotations

from typing import Any

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
