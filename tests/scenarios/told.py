"""A scenario as a program: a line for each thing that has proved true, and an exit code."""

import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Generator
from contextlib import closing
from pathlib import Path

from squidmesh.testing.processes import last_words

PATIENCE = 60.0
PAUSE = 0.1


def told(scenario: Callable[[Path], Generator[str]]) -> int:
    """Runs it in a folder of its own. 0 where all was true; 1 where something was not, with the last words of the logs.
    Whatever ends it, what the scenario holds is closed.
    """
    began = time.monotonic()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory(prefix="squidmesh-") as folder, closing(scenario(Path(folder))) as lines:
        try:
            for line in lines:
                print(f"ok  {time.monotonic() - began:5.1f} s  {line}", flush=True)
        except Exception:
            traceback.print_exc()
            for log in sorted(Path(folder).glob("*.log")):
                print(f"{log.name}: {last_words(log)}", file=sys.stderr)
            print(f"NOT {time.monotonic() - began:5.1f} s  what comes after the last line above", flush=True)
            return 1
    print(f"all is well after {time.monotonic() - began:.0f} s")
    return 0


def until(condition: Callable[[], object], what: str, *, within: float = PATIENCE) -> None:
    ends = time.monotonic() + within
    while not condition():
        assert time.monotonic() < ends, f"waited {within:g} s for {what}"
        time.sleep(PAUSE)
