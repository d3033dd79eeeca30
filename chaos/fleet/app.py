"""What the workers of a chaos fleet run: ``squidmesh --app chaos.fleet.app:mesh worker``."""

from __future__ import annotations

import os
from pathlib import Path

from chaos.fleet.alias import call_it_alike
from chaos.fleet.patience import be_impatient
from chaos.fleet.places import FOLDER_OF_HISTORY, LEASES, TALLIES
from chaos.fleet.settings import MESH
from chaos.fleet.tally import Tally
from chaos.recording import connect
from chaos.workload.flows import JOURNAL, WORKFLOWS
from squidmesh import Mesh


def connected() -> Mesh:
    """Its calls are written down."""
    url, leases = os.environ[JOURNAL], os.environ.get(LEASES) or None
    history = Path(os.environ[FOLDER_OF_HISTORY])
    return connect(url, history=history, process="worker", leases=leases, workflows=WORKFLOWS, **MESH)


be_impatient()
call_it_alike()
mesh = connected()
mesh.observe(Tally(Path(os.environ[TALLIES])))
