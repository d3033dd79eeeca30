"""What the workers of a chaos fleet run: ``squidmesh --app chaos.fleet.app:mesh worker``."""

from __future__ import annotations

import os
from pathlib import Path

from chaos.fleet.patience import be_impatient
from chaos.fleet.places import FOLDER_OF_HISTORY, LEASES, PLANE, TALLIES
from chaos.fleet.settings import MESH
from chaos.fleet.tally import Tally
from chaos.recording import connect
from chaos.workload.flows import JOURNAL, WORKFLOWS
from squidmesh import Mesh


def call_it_alike() -> None:
    """A Redis is called by its address. A wire has another one, and a Redis that is empty knows nobody: it would be
    taken for another plane.
    """
    named = os.environ[PLANE].partition("?")[0]
    if named and os.environ[LEASES].startswith("redis://"):
        from squidmesh_redis.leases import RedisLeases

        RedisLeases.name = f"{named}?prefix=squidmesh"  # type: ignore[assignment, method-assign]


def connected() -> Mesh:
    """Its calls are written down."""
    url, leases = os.environ[JOURNAL], os.environ.get(LEASES) or None
    history = Path(os.environ[FOLDER_OF_HISTORY])
    return connect(url, history=history, process="worker", leases=leases, workflows=WORKFLOWS, **MESH)


be_impatient()
call_it_alike()
mesh = connected()
mesh.observe(Tally(Path(os.environ[TALLIES])))
