"""Each peer's own environment, made on demand from its hash-pinned lock: no peer is a dependency of ours."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ROOT / "requirements" / "peers"
PLACE = ROOT / ".tools" / "peers"
UV = "SQUIDMESH_UV"
"""The variable by which ``./dev`` names the uv that it found."""


class NoEnvironment(RuntimeError):
    """A peer can not be installed here; the message says why."""


def python_of(peer: str, say: Callable[[str], None]) -> Path:
    """The Python that has this peer, installed if it is not yet, or if its lock has changed. Ours is the one that runs
    this. Raises :class:`NoEnvironment`.
    """
    if peer == "ours":
        return Path(sys.executable)
    lock, home = LOCKS / f"{peer}.txt", PLACE / peer
    stamp, python = home / "made-from.json", home / "bin" / "python"
    wanted = {"lock": hashlib.sha256(lock.read_bytes()).hexdigest(), "python": sys.version}
    if _made_from(stamp) != wanted:
        say(f"installing {peer} into its own environment")
        stamp.unlink(missing_ok=True)
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(home))
        _uv("pip", "sync", "--quiet", "--python", str(python), "--require-hashes", str(lock))
        stamp.write_text(json.dumps(wanted))
    return python


def _made_from(stamp: Path) -> object:
    try:
        return json.loads(stamp.read_text())
    except (OSError, ValueError):
        return None


def _uv(*arguments: str) -> None:
    uv = os.environ.get(UV, "uv")
    environment = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    try:
        done = subprocess.run([uv, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True)
    except OSError as error:
        raise NoEnvironment(f"no uv to install peers with ({error}): start this by ./dev bench --peers") from error
    if done.returncode:
        raise NoEnvironment(f"uv {arguments[0]}: {done.stderr.strip() or done.returncode}")
