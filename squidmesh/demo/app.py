"""What the demo's workers load: ``squidmesh worker --app squidmesh.demo.app:mesh``."""

from __future__ import annotations

import os

from squidmesh import Mesh
from squidmesh.demo.workflow import PaymentRecovery

JOURNAL_VARIABLE = "SQUIDMESH_DEMO_JOURNAL"
LEASES_VARIABLE = "SQUIDMESH_DEMO_LEASES"
LEASE = 3.0
"""Seconds. Short, so that the killed worker's claims are taken over while one watches."""


def connect(url: str, leases: str | None = None) -> Mesh:
    """``leases`` is all that a host changes to deliver work through Redis."""
    return Mesh.connect(url, leases=leases, workflows=[PaymentRecovery], lease=LEASE)


mesh = connect(os.environ.get(JOURNAL_VARIABLE, "sqlite:///demo.db"), os.environ.get(LEASES_VARIABLE))
