"""A peer's process as we see it, and what its steps say. ``benchmarks/peers/protocol.py`` is the other end."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from benchmarks.beside.environments import ROOT
from benchmarks.peers.protocol import MARK, PIPE, SETTINGS

_NOT_THEIRS = ("PG", "DBOS", "PYTHONDONTWRITEBYTECODE")
"""The beginnings of variables that no process of a peer is given. Each writes its bytecode down: the first process of a
measurement compiles what the others load, so that no worker's memory holds what its compiler left.
"""
_PATIENCE = 120.0
"""Seconds without a word, or without a step, after which a measurement is given up."""
_LAST_WORDS = 2000


class PeerFailed(RuntimeError):
    """A peer did not answer, or answered that it can not; the message ends with its last words."""


class Marks:
    """What steps say when they are entered. ``pipe``: the end that processes inherit."""

    def __init__(self) -> None:
        self._read, self.pipe = os.pipe()
        self.first: list[float] = []
        self.last: list[float] = []
        """When a first step, and a last step, were entered: moments of ``time.monotonic()``."""

    def wait(self, count: int) -> None:
        """Until so many last steps have been entered, in all. Raises :class:`PeerFailed` where none is for too long."""
        rest = b""
        while len(self.last) < count:
            ready, _, _ = select.select([self._read], [], [], _PATIENCE)
            if not ready:
                raise PeerFailed(f"only {len(self.last)} of {count} runs came to their last step")
            rest += os.read(self._read, 1 << 16)
            whole = len(rest) - len(rest) % MARK.size
            for kind, moment in MARK.iter_unpack(rest[:whole]):
                (self.first if kind == b"a" else self.last).append(moment)
            rest = rest[whole:]

    def close(self) -> None:
        os.close(self._read)
        os.close(self.pipe)


class Talk:
    """One process of a peer. ``version`` and ``how`` are what it said of itself."""

    def __init__(self, command: Sequence[str], settings: Mapping[str, Any], marks: Marks, log: Path) -> None:
        self._log = log
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(_NOT_THEIRS)},
            "PYTHONPATH": str(ROOT),
            PIPE: str(marks.pipe),
            SETTINGS: json.dumps(dict(settings)),
        }
        with log.open("ab") as errors:
            self._process = subprocess.Popen(
                command,
                cwd=log.parent,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                pass_fds=[marks.pipe],
                start_new_session=True,  # what it forks is in its group
            )
        self.version = self.how = ""

    def wait_until_ready(self) -> None:
        ready = self._answer()["ready"]
        self.version, self.how = str(ready["version"]), str(ready["how"])

    @property
    def pid(self) -> int:
        return self._process.pid

    def ask(self, what: str, **arguments: Any) -> dict[str, Any]:
        """Its whole answer: ``result``, ``seconds`` and ``cpu``."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": what, "with": arguments}).encode() + b"\n")
            self._process.stdin.flush()
        except OSError as error:
            raise self._failed(f"it is gone: {error}") from error
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise self._failed("it has ended without an answer")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise self._failed(answer["error"])
        return answer

    def _failed(self, what: str) -> PeerFailed:
        said = self._log.read_text(errors="replace")[-_LAST_WORDS:].strip()
        return PeerFailed(f"{what}\n{said}" if said else what)

    def end(self) -> None:
        """It, and what it forked: at once, and before it is waited for, so that the group is still its own."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe is not None
            with suppress(BrokenPipeError):  # what it was told last, and did not read
                pipe.close()


@contextmanager
def talking(command: Sequence[str], settings: Mapping[str, Any], marks: Marks, log: Path) -> Iterator[Talk]:
    """It is ready; it ends with the block."""
    talk = Talk(command, settings, marks, log)
    try:
        talk.wait_until_ready()
        yield talk
    finally:
        talk.end()


def resident(pid: int) -> int:
    """Bytes of memory that a process holds, its libraries too."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"the system does not tell how much memory process {pid} has")


def quiet(seconds: float) -> None:
    """Lets a peer come to rest; what is measured is an idle one."""
    time.sleep(seconds)
