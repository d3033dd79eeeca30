"""What the workers of a chaos fleet run: ``squidmesh --app chaos.fleet.app:mesh worker``."""

from __future__ import annotations

import os
from pathlib import Path

from chaos.fleet.places import FOLDER_OF_HISTORY, LEASES, TALLIES
from chaos.fleet.settings import MESH, be_impatient
from chaos.fleet.tally import Tally
from chaos.workload.flows import JOURNAL, WORKFLOWS
from squidmesh import Mesh

be_impatient()


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
