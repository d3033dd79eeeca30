"""Where it was measured: a figure without its machine means nothing."""

from __future__ import annotations

import os
import platform
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import squidmesh

_MEMORY = frozenset({"tmpfs", "ramfs", "devtmpfs"})
_MOUNTS = Path("/proc/self/mounts")
_CPU = Path("/proc/cpuinfo")


def describe(folder: Path) -> dict[str, str]:
    """The machine as a reader of the figures must know it; ``folder`` is where the journals are."""
    return {
        "CPU": f"{_cpu()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "SQLite": sqlite3.sqlite_version,
        "file system": file_system(folder),
        "Squid Mesh": f"{squidmesh.__version__}{_revision()}",
    }


def load() -> str:
    """How busy the machine is: the load average of the last minute, ours included."""
    return f"{os.getloadavg()[0]:.2f}"


@contextmanager
def folder_on_disk() -> Iterator[Path]:
    """A temporary folder on a disk, wherever one is found: a commit into memory costs nothing and proves nothing."""
    places = [Path(tempfile.gettempdir()), Path("/var/tmp"), Path.cwd()]
    place = next((path for path in places if path.is_dir() and file_system(path) not in _MEMORY), places[0])
    with tempfile.TemporaryDirectory(prefix="squidmesh-bench-", dir=place) as name:
        yield Path(name)


def file_system(path: Path) -> str:
    """The type of the file system that holds ``path``; "unknown" where the system does not tell."""
    try:
        mounts = [line.split()[1:3] for line in _MOUNTS.read_text().splitlines()]
    except OSError:
        return "unknown"
    resolved = path.resolve()
    holding = [(len(point), kind) for point, kind in mounts if resolved.is_relative_to(point)]
    return max(holding)[1] if holding else "unknown"


def _cpu() -> str:
    try:
        lines = _CPU.read_text().splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _revision() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    try:
        asked = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return ""
    return f", {asked.stdout.strip()}"
