"""The bridge keeps its promises with either major version of RQ: the newer one is what the other tests have."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from rq.version import VERSION

ROOT = Path(__file__).resolve().parents[2]
OLDER = ROOT / "requirements" / "rq2.txt"


@pytest.fixture(scope="module")
def older(tmp_path_factory):
    """A folder with the older version, as locked, that stands before everything else on the way of imports."""
    uv = os.environ.get("SQUIDMESH_UV") or shutil.which("uv")
    assert uv, "no uv: run the tests through ./dev, or put uv on PATH"
    folder = tmp_path_factory.mktemp("older")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", folder, "--require-hashes"]
    done = subprocess.run([*command, "-r", OLDER], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {**os.environ, "PYTHONPATH": str(folder)}


@pytest.mark.all
@pytest.mark.timeout(600)
def test_all_of_it_holds_with_the_older_major_version(older):
    assert VERSION.startswith("3.")
    asked = [sys.executable, "-c", "from rq.version import VERSION; print(VERSION)"]
    version = subprocess.run(asked, env=older, capture_output=True, text=True, check=True).stdout
    assert version.startswith("2."), version

    files = ["tests/contract/test_rq.py", "tests/contract/test_rq_processes.py"]
    command = [
        sys.executable,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:cacheprovider",
        "-m",
        "",
        "-k",
        "not postgresql and not redis-",
    ]
    done = subprocess.run([*command, *files], cwd=ROOT, env=older, capture_output=True, text=True)

    assert done.returncode == 0, done.stdout[-5000:]
    assert " passed" in done.stdout
