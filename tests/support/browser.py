"""A real browser, for tests that run with ``./dev test --all``: the system's Chromium, driven by playwright from
requirements/browser.txt, which is installed once into a folder of its own in .tools, since it is large.
"""

import fcntl
import hashlib
import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.debian import files_of

ROOT = Path(__file__).resolve().parents[2]
LOCK = ROOT / "requirements" / "browser.txt"
_PATIENCE = 300
_ARGUMENTS = [
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--hide-scrollbars"),
]


@contextmanager
def chromium() -> Iterator[Any]:
    """Playwright's ``Browser``. It goes with the block."""
    sys.path.append(str(_installed()))
    try:
        playwright = importlib.import_module("playwright.sync_api")
        program = files_of("chromium", "bin/chromium")[0]
        with playwright.sync_playwright() as running:
            browser = running.chromium.launch(executable_path=str(program), args=_ARGUMENTS)
            try:
                yield browser
            finally:
                browser.close()
    finally:
        sys.path.remove(str(_installed()))


def axe_script() -> str:
    """axe-core, which looks for what keeps people out."""
    (found,) = _installed().glob("axe_playwright_python/axe.min.js")
    return found.read_text()


def _installed() -> Path:
    """Several tests in several processes may ask at the same time. What an older lock said is removed."""
    home = ROOT / ".tools"
    home.mkdir(exist_ok=True)
    folder = home / f"browser-{hashlib.sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    with (home / "browser.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            for old in home.glob("browser-*"):
                shutil.rmtree(old)
            _install(folder)
    return folder


def _install(folder: Path) -> None:
    uv = os.environ.get("SQUIDMESH_UV") or shutil.which("uv") or str(ROOT / ".tools" / "bin" / "uv")
    half = folder.with_name(f"{folder.name}.half")
    command = [uv, "pip", "install", "--quiet", "--python", sys.executable, "--target", str(half), "--require-hashes"]
    done = subprocess.run([*command, "-r", str(LOCK)], capture_output=True, text=True, timeout=_PATIENCE)
    assert done.returncode == 0, done.stderr
    half.rename(folder)
