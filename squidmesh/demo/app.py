"""What the demo's workers load: ``squidmesh worker --app squidmesh.demo.app:mesh``."""

from __future__ import annotations

import os

from squidmesh import Mesh
from squidmesh.demo.workflow import PaymentRecovery

JOURNAL_VARIABLE = "SQUIDMESH_DEMO_JOURNAL"
LEASE = 3.0
"""Seconds. Short, so that the killed worker's claims are taken over while one watches."""


def connect(url: str) -> Mesh:
    return Mesh.connect(url, workflows=[PaymentRecovery], lease=LEASE)


mesh = connect(os.environ.get(JOURNAL_VARIABLE, "sqlite:///demo.db"))
