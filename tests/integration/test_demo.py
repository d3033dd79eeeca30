"""The demo keeps its promises: exit code 0 only if nothing was lost, and every fault really happened."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("options", [[], pytest.param(["--redis"], marks=pytest.mark.all)], ids=["plain", "redis"])
def test_nothing_is_lost(options: list[str], tmp_path: Path) -> None:
    search = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    done = subprocess.run(
        [sys.executable, "-m", "squidmesh", "demo", "--json", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout)["ok"] is True
    assert "Nothing was lost." in done.stderr
    assert "killed with SIGKILL, in the middle of" in done.stderr
    for word in ("FLUSHALL", "is back, with what its append-only file knows"):
        assert (word in done.stderr) is bool(options)
