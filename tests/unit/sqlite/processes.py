"""Other processes on the same file."""

import os
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

CHILD = Path(__file__).with_name("child.py")


@contextmanager
def child(what, path, owner="child"):
    """``child.py`` at work, with pipes to talk through. It is killed at the end, if it has not ended by itself."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-P", str(CHILD), what, f"sqlite:///{path}", owner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()
