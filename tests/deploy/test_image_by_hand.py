"""The instructions of the Dockerfile, carried out without a container engine, make an environment that runs: in a
folder instead of the root, and with this Python.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.deploy.dockerfiles import Ignored, instructions
from tests.deploy.manifests import DEPLOY, ROOT

pytestmark = [pytest.mark.all, pytest.mark.timeout(400)]
FILE = DEPLOY / "image" / "Dockerfile"
OURS = re.compile(r"(?<![\w.])(?=/(?:build|opt/squidmesh)\b)")
"""The folders that instructions write to; elsewhere only accounts are made."""


class Root:
    """A folder that stands for the root of the image."""

    def __init__(self, folder):
        self.folder = folder
        self.here = folder
        self.ignored = Ignored(ROOT / ".dockerignore")
        self.environment = {"PATH": f"{Path(sys.executable).parent}:{os.defpath}", "HOME": str(folder)}

    def moved(self, text):
        return OURS.sub(str(self.folder), text)

    def carry_out(self, one):
        match one.name:
            case "ENV":
                self.environment |= dict(word.split("=", 1) for word in one.words)
            case "WORKDIR":
                self.here = self.folder / one.rest.lstrip("/")
                self.here.mkdir(parents=True, exist_ok=True)
            case "COPY" if not one.rest.startswith("--from"):
                *sources, target = one.words
                for source in sources:
                    self.copy(source, target)
            case "RUN" if "useradd" not in one.rest:
                done = subprocess.run(
                    ["sh", "-ec", self.moved(one.rest)],
                    cwd=self.here,
                    env=self.environment,
                    capture_output=True,
                    text=True,
                )
                assert done.returncode == 0, f"{one.rest}\n{done.stdout}{done.stderr}"

    def copy(self, source, target):
        """What .dockerignore lets through of it. A folder's contents go to the target, files into it."""
        below = self.here / (f"{self.folder}{target}" if target.startswith("/") else target)
        path = ROOT / source
        found = [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
        assert found, source
        for one in found:
            if not self.ignored(one.relative_to(ROOT).as_posix()):
                goal = below / one.name if path.is_file() else below / one.relative_to(path)
                goal.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(one, goal)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    root = Root(tmp_path_factory.mktemp("image"))
    for one in instructions(FILE):
        root.carry_out(one)
    return root


def test_what_is_built_runs_and_has_all_that_is_locked(root):
    folder = root.folder / "opt" / "squidmesh"
    environment = {"PATH": f"{folder / 'bin'}:{os.defpath}"}
    asked = ["python", folder / "image" / "entrypoint.py", "squidmesh", "--version"]
    done = subprocess.run(asked, env=environment, capture_output=True, text=True, cwd=root.folder)
    assert done.stdout.startswith("squidmesh "), done.stderr

    modules = "squidmesh_postgres, squidmesh_redis, psycopg, redis, hiredis, prometheus_client, opentelemetry.sdk"
    tell = f"import {modules}, squidmesh; print(squidmesh.__file__)"
    done = subprocess.run(["python", "-c", tell], env=environment, capture_output=True, text=True, cwd=root.folder)
    assert done.stdout.startswith(str(folder)), done.stderr


def test_what_builds_stays_behind(root):
    folder = root.folder / "opt" / "squidmesh"
    packages = {path.name.partition("-")[0] for path in folder.glob("lib/*/site-packages/*.dist-info")}
    assert "squidmesh" in packages
    assert {"pip", "hatchling", "pytest", "uv"}.isdisjoint(packages)
    assert not list(folder.glob("bin/pip*"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    assert size < 120 * 2**20


def test_the_rights_come_with_the_package(root):
    """Whoever has no psql runs the image's own program; here there is no server, and it says so."""
    folder = root.folder / "opt" / "squidmesh"
    environment = {"PATH": f"{folder / 'bin'}:{os.defpath}"}
    command = ["python", folder / "image" / "rights.py"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "rights: which database? SQUIDMESH_URL, or SQUIDMESH_URL_FILE\n")
    assert list(folder.glob("lib/*/site-packages/squidmesh_postgres/roles.sql"))
