"""A workflow made at run time outlives the process that activated it: real processes over one file."""

import os
import subprocess
import sys
from pathlib import Path

from squidmesh import Mesh


def shop(*arguments: str) -> int:
    """Runs to its end; its process id."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "tests.support.shop", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return int(done.stdout)


def test_one_process_activates_one_starts_and_one_carries_out(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    activated = shop(url, "activate")
    with Mesh.connect(url) as mesh:
        run = mesh.start_run("Order", {"amount": 3}, key="k")
    worked = shop(url, "work", run.run_id)
    with Mesh.connect(url) as mesh:
        done = mesh.wait_for(run.run_id, timeout=0)
        assert done.output == {"charged": 3, "pid": worked}
        assert len({os.getpid(), activated, worked}) == 3
        assert [(one.name, one.activated_by) for one in mesh.workflows()] == [("Order", "sam")]
