"""A process beside a worker's, which extends its leases while it can not (protocol 3.5.4): the worker's side.

A step that holds the interpreter's lock stops every thread of its process, that of the heartbeats too. The sidecar is
an interpreter of its own. It reads in shared memory which claims are held and when the heartbeat thread last gave a
sign of life, and does nothing unless that is long ago. What it has extended, the thread reads there when it is back.

The address of the lease backend goes to it through its standard input, and so into no list of processes; the end of
that pipe, however the worker ends, is its own end. ``sidecar_process.py`` is the sidecar.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from datetime import timedelta

from squidmesh.ports.lease_backend import Claim
from squidmesh.ports.observer import Observer
from squidmesh.runtime.claim_board import ClaimBoard

_CHILD = "squidmesh.runtime.sidecar_process"
_REST = 5.0
"""Seconds from one start to the next: one that dies at once is not started again and again."""
_LAST_WAIT = 2.0


class Sidecar:
    """Used by :class:`squidmesh.runtime.heartbeat.Heartbeats`, under its lock where that says so."""

    def __init__(self, url: str, *, every: timedelta, lease: timedelta, observer: Observer) -> None:
        self._told = {"url": url, "every": every.total_seconds(), "lease": lease.total_seconds()}
        self._observer = observer
        self._board = ClaimBoard()
        self._process: subprocess.Popen[bytes] | None = None
        self._started_at = -_REST

    def post(self, claim: Claim) -> int | None:
        """Under the lock. As :meth:`ClaimBoard.post`."""
        return self._board.post(claim)

    def take_down(self, place: int) -> None:
        """Under the lock."""
        self._board.take_down(place)

    def extended_at(self, place: int) -> float | None:
        """Under the lock. As :meth:`ClaimBoard.extended_at`."""
        return self._board.extended_at(place)

    def sign(self, now: float) -> None:
        """The heartbeat thread is alive. It also sees to it here that the sidecar is."""
        self._board.sign(now)
        self._listen()
        if (self._process is None or self._process.poll() is not None) and now - self._started_at >= _REST:
            self._started_at = now
            self._start()

    def close(self) -> None:
        if self._process is not None:
            self._leave(self._process)
        self._board.close()

    def _start(self) -> None:
        if self._process is not None:
            self._observer.notice("sidecar_died", code=self._process.returncode)
            self._leave(self._process)
            self._process = None
        board = self._board.descriptor
        try:
            process = subprocess.Popen(
                [sys.executable, "-m", _CHILD, str(board), str(os.getpid())],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                pass_fds=(board,),
            )
        except OSError as error:
            self._observer.notice("sidecar_not_started", error=str(error))
            return
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        with suppress(BrokenPipeError):  # it has ended already: the next sign finds it so
            process.stdin.write(json.dumps(self._told | {"path": sys.path}).encode() + b"\n")
            process.stdin.flush()

    def _listen(self) -> None:
        """What it says of itself is said on, as what is noticed here."""
        if self._process is None or self._process.stdout is None:
            return
        try:
            said = os.read(self._process.stdout.fileno(), 1 << 16)
        except BlockingIOError:
            return
        for line in said.splitlines():  # each was written in one piece
            with suppress(ValueError):
                self._notice(json.loads(line))

    def _notice(self, told: object) -> None:
        match told:
            case {"event": "sidecar_watches"}:
                self._observer.notice("sidecar_watches")
            case {"event": "sidecar_failed", "error": error}:
                self._observer.notice("sidecar_failed", error=error)
            case _:
                pass  # a library's that takes stdout for its own

    def _leave(self, process: subprocess.Popen[bytes]) -> None:
        """The end of its standard input is its own; it has nothing to lose."""
        assert process.stdin is not None
        with suppress(BrokenPipeError):
            process.stdin.close()
        try:
            process.wait(_LAST_WAIT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        if process.stdout is not None:
            process.stdout.close()
