"""What the workers of a chaos fleet run: ``squidmesh --app chaos.fleet.app:mesh worker``."""

from __future__ import annotations

import os
from pathlib import Path

from chaos.fleet.places import FOLDER_OF_HISTORY, LEASES, TALLIES
from chaos.fleet.settings import MESH, PATIENCE
from chaos.fleet.tally import Tally
from chaos.workload.flows import JOURNAL, WORKFLOWS
from squidmesh import Mesh


def impatient() -> None:
    """A scenario waits for what these wait for."""
    if os.environ[JOURNAL].startswith("postgres"):
        from squidmesh_postgres import pool

        for name, seconds in PATIENCE.items():
            if not hasattr(pool, name):
                raise AttributeError(f"squidmesh_postgres.pool has no {name}")
            setattr(pool, name, seconds)


impatient()


def connected() -> Mesh:
    """Its calls are written down, where there is a folder for that. (An old version's are not: it has other ports.)"""
    url, leases = os.environ[JOURNAL], os.environ.get(LEASES) or None
    if FOLDER_OF_HISTORY not in os.environ:
        return Mesh.connect(url, leases=leases, workflows=WORKFLOWS, **MESH)
    from chaos.recording import connect

    history = Path(os.environ[FOLDER_OF_HISTORY])
    return connect(url, history=history, process="worker", leases=leases, workflows=WORKFLOWS, **MESH)


mesh = connected()
mesh.observe(Tally(Path(os.environ[TALLIES])))
