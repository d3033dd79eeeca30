"""What the workers of a chaos fleet run: ``squidmesh --app chaos.fleet.app:mesh worker``."""

from __future__ import annotations

import os
from pathlib import Path

from chaos.fleet.settings import MESH, PATIENCE
from chaos.fleet.tally import Tally
from chaos.workload.flows import JOURNAL, WORKFLOWS
from squidmesh import Mesh

LEASES, TALLIES = "CHAOS_LEASES", "CHAOS_TALLIES"
"""In the environment of a worker: the URL of the lease backend, if there is one, and a folder."""


def impatient() -> None:
    """A scenario waits for what these wait for."""
    if os.environ[JOURNAL].startswith("postgres"):
        from squidmesh_postgres import pool

        for name, seconds in PATIENCE.items():
            if not hasattr(pool, name):
                raise AttributeError(f"squidmesh_postgres.pool has no {name}")
            setattr(pool, name, seconds)


impatient()
mesh = Mesh.connect(
    os.environ[JOURNAL],
    leases=os.environ.get(LEASES) or None,
    workflows=WORKFLOWS,
    **MESH,
)
mesh.observe(Tally(Path(os.environ[TALLIES])))
