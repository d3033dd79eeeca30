"""What the harness and a peer's process say to each other: one line of JSON each way, on its stdin and stdout.

1. The process says ``{"ready": {"version": …, "how": …}}`` once it has imported what it needs; its settings came in the
   environment (``BENCH_SETTINGS``, JSON). ``how`` names what was tuned.
2. The harness says ``{"do": NAME, "with": {…}}``: a public method of the :class:`Peer`, and its arguments.
3. The process answers ``{"result": …, "seconds": …, "cpu": …}``: what the method returned, how long it took, and the
   CPU of this process meanwhile; or ``{"error": …}``, and ends.
4. The end of its stdin ends it, whatever else it does.

Each step that is entered says so itself (:func:`entered`, :func:`left`), through a pipe whose other end the harness
holds: so one clock measures all, also where a peer forks.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import threading
import time
import traceback
from typing import Any

MARK = struct.Struct("=cd")
"""The kind (``a``: a first step was entered, ``z``: a last one), and the moment (``time.monotonic()``)."""
PIPE = "BENCH_PIPE"
SETTINGS = "BENCH_SETTINGS"

_pipe = int(os.environ.get(PIPE, "-1"))


class Tally:
    """A number that threads count up. It needs the same room, however large it is."""

    def __init__(self) -> None:
        self.number = 0
        self._lock = threading.Lock()

    def one_more(self) -> None:
        with self._lock:
            self.number += 1


lasts = Tally()
"""How many last steps were entered in this process."""


def entered() -> None:
    """A run's first step calls this at once. One with a single step calls :func:`left` alone."""
    os.write(_pipe, MARK.pack(b"a", time.monotonic()))


def left() -> None:
    """A run's last step calls this at once."""
    os.write(_pipe, MARK.pack(b"z", time.monotonic()))
    lasts.one_more()


class Peer:
    """What a peer can be asked. Each one overrides what it has; ``settings``: ``steps`` (3 or 1), the addresses
    ``postgres``, ``redis`` and ``sqlite`` (a file) where it uses them, and what tells its variants apart.
    """

    package = ""
    """The distribution whose version is told."""
    how = "as it comes"

    def __init__(self, settings: dict[str, Any]) -> None:
        self.settings = settings

    def prepare(self) -> None:
        """Makes tables and queues in an empty database. Called in one process, before all else."""

    def enqueue(self, count: int) -> None:
        """Starts so many, in the quickest way that there is, 500 a call where that is a choice."""
        raise NotImplementedError

    def start_one(self) -> float:
        """Starts one; the moment (``time.monotonic()``) when the call had returned."""
        self.enqueue(1)
        return time.monotonic()

    def work(self) -> None:
        """Begins to run what there is, beside this thread, until the process ends."""
        raise NotImplementedError

    def ended(self) -> int:
        """How many have ended, as its store tells."""
        raise NotImplementedError

    def direct(self, count: int, threads: int = 1) -> None:
        """Starts and runs so many, all in this process; returns when all have ended."""
        raise NotImplementedError

    def alone(self, count: int) -> list[float]:
        """Seconds of each, from its start to its result; the next begins when the one before has ended."""
        raise NotImplementedError

    # ------------------------------------------------------------------------------------------ not to be overridden

    def until_ended(self, count: int) -> float:
        """Waits until so many have ended; that moment."""
        while self.ended() < count:
            time.sleep(0.002)  # it looks again: no peer tells
        return time.monotonic()

    def cpu(self) -> float:
        """Seconds that this process has worked."""
        return time.process_time()


def timed(calls: Any, count: int) -> list[float]:
    """Calls it with 0, 1, 2, …; the seconds of each."""
    took = []
    for number in range(count):
        before = time.perf_counter()
        calls(number)
        took.append(time.perf_counter() - before)
    return took


def serve(peer: type[Peer]) -> None:
    """The whole life of a peer's process."""
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # whatever the peer itself prints is no answer
    try:
        served = peer(json.loads(os.environ[SETTINGS]))
        print(json.dumps({"ready": {"version": _version(peer.package), "how": served.how}}), file=answers)
        for line in sys.stdin:
            asked = json.loads(line)
            print(json.dumps(_answer(served, asked["do"], asked.get("with", {}))), file=answers)
    except BaseException as error:
        traceback.print_exc()
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), file=answers)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # a peer's threads may not want to


def _answer(served: Peer, name: str, arguments: dict[str, Any]) -> dict[str, Any]:
    before, busy = time.perf_counter(), time.process_time()
    result = getattr(served, name)(**arguments)
    return {"result": result, "seconds": time.perf_counter() - before, "cpu": time.process_time() - busy}


def _version(package: str) -> str:
    from importlib.metadata import version

    return f"{package} {version(package)}" if package else ""
