"""What only the system's packages have: installed where we may."""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from squidmesh.testing.processes import NoServer

_PATIENCE = 240


def files_of(package: str, pattern: str) -> list[Path]:
    """The files below ``/usr`` and ``/opt`` that match, at least one; ``package`` is what Debian calls the package that
    has them. Tests in other processes may ask for the same at the same time.
    """
    with (Path(tempfile.gettempdir()) / f"squidmesh-apt-{os.getuid()}").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = _found(pattern)
        if not found and os.geteuid() == 0 and shutil.which("apt-get"):
            _install(package)
            found = _found(pattern)
    if not found:
        raise NoServer(f"no {pattern}: `apt-get install {package}` as root (or run this as root)")
    return found


def _found(pattern: str) -> list[Path]:
    return sorted(path for root in ("/usr", "/opt") for path in Path(root).glob(pattern))


def _install(package: str) -> None:
    """Old lists of packages may name versions that are no longer there: then with new ones."""
    quiet = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "--no-install-recommends", "-o", "DPkg::Lock::Timeout=120", package]
    for command in (install, ["apt-get", "update"], install):
        done = subprocess.run(command, env=quiet, capture_output=True, text=True, timeout=_PATIENCE)
        if command is install and done.returncode == 0:
            return
    said = (done.stderr or done.stdout).strip().splitlines() or ["it said nothing"]
    raise NoServer(f"{package} can not be installed: {said[-1]}")
