"""Another version of the package: a wheel of a recorded commit, built from this repository's own history."""

from __future__ import annotations

import subprocess
from pathlib import Path

from squidmesh.testing.processes import NoServer
from tests.compat.recorded import COMMIT
from tests.compat.recorded import built as wheel

ROOT = Path(__file__).resolve().parents[2]


def built(folder: Path) -> Path:
    """The folder to import that version from. Raises :class:`NoServer` where this clone has not that commit."""
    known = subprocess.run(["git", "cat-file", "-e", f"{COMMIT}^{{commit}}"], cwd=ROOT, capture_output=True)
    if known.returncode:
        raise NoServer(f"the recorded commit {COMMIT[:12]} is not in this clone: git fetch --unshallow")
    folder.mkdir(parents=True, exist_ok=True)
    return wheel(folder)
