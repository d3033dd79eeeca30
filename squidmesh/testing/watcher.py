"""Outlives a test process by a moment: ends the PostgreSQL server that it left behind, and removes its data.

Run by its path, ``python -I -S watcher.py FOLDER``, by :class:`squidmesh.testing.postgres.Postgres` alone. On its
standard input it is told, a line each, the process id of the server that runs now, or 0 when it was ended. When the
input ends, because the test process closed it or died of anything, its work begins. With the standard library only, it
starts at once.
"""

from __future__ import annotations

import os
import shutil
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

_PATIENCE = 15.0
"""Seconds. PostgreSQL itself waits 5 for its children before it kills them."""


def main(folder: Path) -> None:
    pid = 0
    for line in sys.stdin:
        pid = int(line)
    if pid:
        _end(pid, folder / "data" / "postmaster.pid")
    shutil.rmtree(folder)


def _end(pid: int, lock: Path) -> None:
    """An immediate shutdown: the server ends its children, and gives its shared memory back."""
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGQUIT)
        os.kill(pid, signal.SIGCONT)  # a frozen one hears it only now
        ends = time.monotonic() + _PATIENCE
        while lock.exists():  # the last that it removes; its id may stay for as long as nobody waits for it
            if time.monotonic() > ends:
                os.kill(pid, signal.SIGKILL)
                return
            time.sleep(0.02)
            os.kill(pid, 0)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
