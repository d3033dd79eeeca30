"""What judges manifests, for tests that run with ``./dev test --all``: from requirements/manifests.txt, installed once
into a folder of its own in .tools, since it is large.
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
LOCK = ROOT / "requirements" / "manifests.txt"
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


def installed() -> Tools:
    """Several tests in several processes may ask at the same time. What an older lock said is removed."""
    home = ROOT / ".tools"
    home.mkdir(exist_ok=True)
    folder = home / f"manifests-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with (home / "manifests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in home.glob("manifests-*"):
                shutil.rmtree(old)
            _install(folder)
    return Tools(folder)


def _install(folder: Path) -> None:
    uv = os.environ.get("SQUIDMESH_UV") or shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    half = folder.with_name(f"{folder.name}.half")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(half), "--require-hashes"]
    done = subprocess.run([*command, "-r", str(LOCK)], capture_output=True, text=True, timeout=_PATIENCE)
    assert done.returncode == 0, done.stderr
    half.rename(folder)
