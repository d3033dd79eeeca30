"""The other version of the package: a wheel of a recorded commit, built from this repository's own history.

A newer commit is recorded by writing its hash here: one on the main line, of the version that users have
(docs/compatibility.md).
"""

import io
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

COMMIT = "3bec314f21d712280e311e72ce8c6eb7cf844802"
ON_FILE = "f3c236d1b63c17a5514b5a9ecf6ff4fc3a1c28e4"
"""For SQLite, where code goes with exactly the schema that it knows: one that has today's."""
ROOT = Path(__file__).resolve().parents[2]


def built(folder: Path, commit: str = COMMIT, *, repository: Path = ROOT) -> Path:
    """The folder to import that version from. Needs no network: tools and dependencies are those of the tests."""
    source, wheels, place = folder / "source", folder / "wheels", folder / "installed"
    source.mkdir()
    with tarfile.open(fileobj=io.BytesIO(_archive(repository, commit))) as archive:
        archive.extractall(source, filter="data")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(wheels)]
    done = subprocess.run(build, cwd=source, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = wheels.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive_of_wheel:
        archive_of_wheel.extractall(place)  # what an installer does with a wheel of nothing but Python
    return place


def _archive(repository: Path, commit: str) -> bytes:
    done = subprocess.run(["git", "archive", "--format=tar", commit], cwd=repository, capture_output=True)
    if done.returncode:
        pytest.fail(
            f"the recorded commit {commit[:12]} is not in this clone, so there is no second version to try:"
            f" git fetch --unshallow ({done.stderr.decode().strip()})",
            pytrace=False,
        )
    return done.stdout
