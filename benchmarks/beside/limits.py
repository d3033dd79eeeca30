"""What the servers can do on this machine, with no peer and none of ours: commits a second, scripts a second; and how
much CPU a server has used.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import psycopg
from redis import Redis

_SCRIPT = "return redis.call('INCR', KEYS[1])"
_CLIENTS = 8
_TICKS = os.sysconf("SC_CLK_TCK")


def commits(url: str, seconds: float) -> dict[str, float]:
    """Of one row each, a second: by one client, and by several at once."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE limits (number bigint, body text)")
    return {
        "commits/s, 1 client": _together(url, 1, seconds),
        f"commits/s, {_CLIENTS} clients": _together(url, _CLIENTS, seconds),
    }


def _together(url: str, clients: int, seconds: float) -> float:
    with ExitStack() as stack, ThreadPoolExecutor(clients) as pool:
        opened = [stack.enter_context(psycopg.connect(url, autocommit=True)) for _ in range(clients)]

        def insert(connection: psycopg.Connection[tuple[object, ...]]) -> float:
            return repeated(lambda: connection.execute("INSERT INTO limits VALUES (1, 'one ring')"), seconds)

        return sum(pool.map(insert, opened))


def scripts(url: str, seconds: float) -> dict[str, float]:
    with Redis.from_url(url) as redis:
        script = redis.register_script(_SCRIPT)
        return {"scripts/s, 1 client": repeated(lambda: script(keys=["limits"]), seconds)}


def repeated(call: Callable[[], object], seconds: float) -> float:
    """How often a second it can be called."""
    began, done = time.perf_counter(), 0
    while time.perf_counter() - began < seconds:
        call()
        done += 1
    return done / (time.perf_counter() - began)


def cpu_of(pid: int) -> float:
    """Seconds of CPU that a process has used, with its children, also those that have ended."""
    own = _stat(pid)
    ticks = sum(int(own[place]) for place in (11, 12, 13, 14))
    for child in _children(pid):
        ticks += sum(int(_stat(child)[place]) for place in (11, 12))
    return ticks / _TICKS


def _children(pid: int) -> Iterator[int]:
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and _stat(int(each.name))[1] == str(pid):
            yield int(each.name)


def _stat(pid: int) -> list[str]:
    """From its state on: 1 is the parent, 11 to 14 are ticks. Zeros for one that has ended meanwhile."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return ["0"] * 15
