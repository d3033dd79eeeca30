"""Which mesh an RQ worker works for: what the environment names, never what a job says."""

from __future__ import annotations

import importlib
import os
import sys
from functools import cache
from pathlib import Path

from squidmesh.errors import UsageError
from squidmesh.runtime.mesh import Mesh

VARIABLE = "SQUIDMESH_APP"
"""``MODULE:ATTRIBUTE``, as for the ``squidmesh`` command."""


def app() -> Mesh:
    """The mesh of ``SQUIDMESH_APP``, imported once a process; modules of the working directory are found too. A process
    that was forked opens stores of its own. Raises ``UsageError``, or what the import raises.
    """
    named = os.environ.get(VARIABLE)
    if not named:
        raise UsageError(f"which mesh? {VARIABLE}=MODULE:ATTRIBUTE is not set where this runs", code="no_mesh")
    return load(named)


@cache
def load(named: str) -> Mesh:
    """The mesh that ``MODULE:ATTRIBUTE`` names."""
    module, _, attribute = named.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), attribute)):
        raise _bad(f"{named!r} is refused; allowed is MODULE:ATTRIBUTE, such as orders:mesh")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    found = getattr(importlib.import_module(module), attribute, None)
    if not isinstance(found, Mesh):
        raise _bad(f"{named!r} is no mesh but {type(found).__name__}; allowed is what Mesh.connect returns")
    return found


def _bad(message: str) -> UsageError:
    return UsageError(message, field="app", code="invalid_app")
