"""What is too large for every clone, for tests that run with ``./dev test --all``: what judges manifests, what draws.

Each from a lock of its own in requirements/, installed once into a folder of its own in .tools.
"""

import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_PATIENCE = 300


@dataclass(frozen=True, slots=True)
class Tools:
    folder: Path

    def run(self, program: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
        """With nothing of ours in its environment. Its scripts of Python run in this interpreter."""
        path = self.folder / "bin" / program
        python = [sys.executable] if path.read_bytes()[:2] == b"#!" else []
        environment = {"PATH": os.defpath, "PYTHONPATH": str(self.folder), "HOME": str(self.folder)}
        command = [*python, str(path), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, env=environment, cwd=cwd, timeout=_PATIENCE)


def installed(name: str = "manifests") -> Tools:
    """What ``requirements/NAME.txt`` locks. Several tests in several processes may ask at the same time. What an older
    lock said is removed.
    """
    locked = ROOT / "requirements" / f"{name}.txt"
    home = ROOT / ".tools"
    home.mkdir(exist_ok=True)
    folder = home / f"{name}-{hashlib.sha256(locked.read_bytes()).hexdigest()[:16]}"
    with (home / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in home.glob(f"{name}-*"):
                shutil.rmtree(old)
            _install(folder, locked)
    return Tools(folder)


def _install(folder: Path, locked: Path) -> None:
    uv = os.environ.get("SQUIDMESH_UV") or shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    half = folder.with_name(f"{folder.name}.half")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(half), "--require-hashes"]
    done = subprocess.run([*command, "-r", str(locked)], capture_output=True, text=True, timeout=_PATIENCE)
    assert done.returncode == 0, done.stderr
    half.rename(folder)
