"""The sidecar of a worker (protocol 3.5.4): see ``sidecar.py``, which starts it.

``python -m squidmesh.runtime.sidecar_process BOARD PARENT``: an inherited descriptor, and the worker's process id. The
first line of its standard input says the rest.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from squidmesh.ports.backend import Backend
from squidmesh.ports.lease_backend import Beat, LeaseBackend
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.claim_board import ClaimBoard
from squidmesh.runtime.vigil import Vigil

_LONGEST_ERROR = 1000
"""Characters. What is shorter than a page is written in one piece, or not at all."""


class Watch:
    """Looks at one worker. ``open_leases``: called when there is something to extend."""

    def __init__(
        self,
        board: ClaimBoard,
        vigil: Vigil,
        *,
        open_leases: Callable[[], LeaseBackend],
        stopped: Callable[[], bool],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._board = board
        self._vigil = vigil
        self._open_leases = open_leases
        self._stopped = stopped
        self._monotonic = monotonic

    def look(self) -> int:
        """How many leases were extended."""
        alive_at = self._board.alive_at()
        now = self._monotonic()
        if alive_at is None or not self._vigil.is_due(now, alive_at=alive_at, stopped=self._stopped):
            return 0
        posted = list(self._board.posted())
        asked_at = self._monotonic()
        answers = self._open_leases().heartbeat([one.claim for one in posted]) if posted else []
        extended = [one for one, answer in zip(posted, answers, strict=True) if answer is Beat.EXTENDED]
        for one in extended:
            self._board.note(one, asked_at)
        self._vigil.beaten(asked_at)
        return len(extended)

    @property
    def rests(self) -> bool:
        """There was nothing to extend since the worker spoke last."""
        return self._vigil.rests


class _Door:
    """The lease backend, open only while there is something to extend."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._backend: Backend | None = None
        self._leases: LeaseBackend | None = None

    def open(self) -> LeaseBackend:
        if self._backend is None:
            self._backend = open_backend(self._url, clock=SystemClock())
        if self._leases is None:
            self._leases = self._backend.leases()
        return self._leases

    def close(self) -> None:
        if self._backend is not None:
            self._backend.close()
        self._backend = self._leases = None


def is_stopped(process: int) -> bool:
    """Whether it was stopped by a signal or a debugger, or is dead."""
    try:
        told = Path(f"/proc/{process}/stat").read_text()
        state = told.rpartition(")")[2].split()[0]
    except FileNotFoundError:
        asked = ["ps", "-o", "state=", "-p", str(process)]
        state = subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()
    return state[:1] in ("", "T", "t", "Z", "X")


def _say(event: str, **fields: str) -> None:
    """To the worker, which tells its observers. Where it has not listened for long, it need not hear of this."""
    line = json.dumps({"event": event, **fields}).encode() + b"\n"
    with suppress(BlockingIOError, BrokenPipeError):
        os.write(sys.stdout.fileno(), line)


def main(arguments: Sequence[str]) -> None:
    board, parent = (int(argument) for argument in arguments)
    os.set_inheritable(board, False)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):  # to all of a service's processes: see below
        signal.signal(number, signal.SIG_IGN)
    told = json.loads(sys.stdin.buffer.readline() or b"{}")
    if not told:
        return  # the worker has ended already
    sys.path[:] = told["path"]
    os.set_blocking(sys.stdout.fileno(), False)
    vigil = Vigil(every=told["every"], lease=told["lease"])
    door = _Door(told["url"])
    watch = Watch(ClaimBoard(board), vigil, open_leases=door.open, stopped=lambda: is_stopped(parent))
    open_backend(told["url"], clock=SystemClock()).close()  # its driver is imported now, not when it is urgent
    _say("sidecar_watches")
    end = select.poll()
    end.register(sys.stdin.buffer, select.POLLIN)  # nothing more is said: it ends with the worker, and so do we
    while not end.poll(max(1, int(vigil.look * 1000))) and os.getppid() == parent:
        try:
            watch.look()
            if watch.rests:
                door.close()
        except Exception as error:  # the leases last for a while yet; the next look tries again
            _say("sidecar_failed", error=f"{type(error).__name__}: {error}"[:_LONGEST_ERROR])
            door.close()


if __name__ == "__main__":
    main(sys.argv[1:])
