"""What workers of an earlier version run: as :mod:`chaos.fleet.app`, in words that both versions know.

Nothing of it is written down but what its steps do, in the ledger; and its log says where its package is.
"""

from __future__ import annotations

import os
import sys

import squidmesh
from chaos.fleet.alias import call_it_alike
from chaos.fleet.places import LEASES
from chaos.fleet.settings import MESH
from chaos.workload.flows import JOURNAL, WORKFLOWS
from squidmesh import Mesh

sys.stderr.write(f"package {squidmesh.__path__[0]}\n")
call_it_alike()
mesh = Mesh.connect(os.environ[JOURNAL], leases=os.environ.get(LEASES) or None, workflows=WORKFLOWS, **MESH)
