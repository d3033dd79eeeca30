"""What the servers of tests share: a free port, a process and all its children, ended by their ids."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

PATIENCE = 20.0
"""Seconds that a server may take to answer or to end."""
PAUSE = 0.01
"""Seconds between two looks at what a server does."""
_PROC = Path("/proc")


class NoServer(RuntimeError):
    """There is no such server here; the message says what to install."""


def free_port() -> int:
    """A port of loopback that nobody listens on. Somebody may take it before a server does."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def end(process: subprocess.Popen[bytes], by: signal.Signals, *, otherwise: Callable[[], None] | None = None) -> None:
    """Sends a signal and waits for the end; SIGKILL, or what ``otherwise`` does, if it takes longer than patience."""
    process.send_signal(by)
    try:
        process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        (otherwise or process.kill)()
        process.wait(PATIENCE)


def last_words(log: Path) -> str:
    """The last lines of a server's log, as one line."""
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    return " / ".join(lines[-3:]) or "it said nothing"


def family(pid: int) -> list[int]:
    """A process and all that descend from it now, parents first. It may grow meanwhile: see :func:`freeze`."""
    return _descent(pid, _table())


def freeze(pid: int) -> list[int]:
    """SIGSTOP to a whole family; returns it when every member stands still, so that it can not grow. A process that has
    ended, and that its parent has not looked at, stands still too. Raises :class:`TimeoutError`."""
    ends = time.monotonic() + PATIENCE
    while time.monotonic() < ends:
        table = _table()
        members = _descent(pid, table)
        moving = [member for member in members if member in table and table[member][1] not in "TtZX"]
        if not moving:
            return members
        for member in moving:
            _send(member, signal.SIGSTOP)
        time.sleep(PAUSE)
    raise TimeoutError(f"process {pid} and its children do not stand still")


def resume(pid: int) -> None:
    """SIGCONT to a whole family."""
    for member in family(pid):
        _send(member, signal.SIGCONT)


def kill(pid: int) -> None:
    """SIGKILL to a whole family, at one moment for all: none sees another end. Returns when all have ended (the first
    is its parent's to wait for). Raises :class:`TimeoutError`."""
    members = freeze(pid)
    for member in members:
        _send(member, signal.SIGKILL)
    ends = time.monotonic() + PATIENCE
    while alive := living(members):
        if time.monotonic() > ends:
            raise TimeoutError(f"processes {alive} do not end")
        time.sleep(PAUSE)


def living(pids: list[int]) -> list[int]:
    """Those that have not ended. One that only waits for its parent to look at it has ended."""
    table = _table()
    return [pid for pid in pids if pid in table and table[pid][1] not in "ZX"]


def _send(pid: int, what: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it has ended by itself
        os.kill(pid, what)


def _descent(pid: int, table: dict[int, tuple[int, str]]) -> list[int]:
    found = [pid]
    for parent in found:  # grows as it goes
        found += [child for child, (its_parent, _) in table.items() if its_parent == parent]
    return found


def _table() -> dict[int, tuple[int, str]]:
    """All processes: id -> (its parent's id, the letter of its state)."""
    if not (_PROC / "self" / "stat").exists():
        return _table_of_ps()
    table = {}
    for folder in _PROC.iterdir():
        if folder.name.isdecimal():
            with suppress(FileNotFoundError, ProcessLookupError):  # it has just ended
                state, parent = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()[:2]
                table[int(folder.name)] = (int(parent), state)
    return table


def _table_of_ps() -> dict[int, tuple[int, str]]:
    """The same where there is no /proc, as on macOS."""
    command = ["ps", "-axo", "pid=,ppid=,state="]
    rows = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    return {int(pid): (int(parent), state[0]) for pid, parent, state in (row.split() for row in rows)}
