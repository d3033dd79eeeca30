"""What every example does around its workflow: a journal in a temporary folder, and a worker in this process."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from squidmesh import Mesh, Run, Workflow


@contextmanager
def mesh_with(*workflows: type[Workflow]) -> Iterator[Mesh]:
    """A mesh with one worker of four slots; everything is gone at the end."""
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'example.db'}"
        with Mesh.connect(url, workflows=workflows, idle_poll=0.05, heartbeat=0.5) as mesh, mesh.worker(concurrency=4):
            yield mesh


def until(mesh: Mesh, run: Run, status: str) -> None:
    """Looks until the run stands there. A host would be told by its users, and not look."""
    while mesh.inspect_run(run.run_id).status != status:
        time.sleep(0.01)


def tell(mesh: Mesh, run: Run) -> None:
    """How it ended, and why."""
    print(f"{run.workflow}: {run.status}; {mesh.explain_run(run.run_id).summary}")
