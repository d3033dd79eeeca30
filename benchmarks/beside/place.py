"""Where peers and ours work: one PostgreSQL and one Redis for all of them, emptied for each measurement."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count
from pathlib import Path
from typing import Any

from benchmarks.beside.environments import python_of
from benchmarks.beside.limits import cpu_of
from benchmarks.beside.process import Marks, Talk, talking
from benchmarks.report import Printer
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.servers import Server, available

ROOM = (("shared_buffers", "256MB"), ("max_wal_size", "8GB"), ("checkpoint_timeout", "1h"))
DURABILITY = {
    "PostgreSQL": "fsync on, synchronous_commit on, autovacuum on, shared_buffers 256 MB",
    "Redis": "AOF, appendfsync everysec",
    "SQLite": "synchronous FULL",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """``name``: as the tables say. ``peer``: its module and environment. ``stores``: which of ``postgres``, ``redis``
    and ``sqlite`` it is given; ``settings``: what its script is told besides.
    """

    name: str
    peer: str
    stores: tuple[str, ...]
    settings: tuple[tuple[str, Any], ...] = ()


class Bench:
    """``versions`` and ``hows`` fill while it is used, by contestant."""

    def __init__(self, folder: Path, printer: Printer, stack: ExitStack) -> None:
        folder.mkdir(exist_ok=True)
        self._folder = folder
        self._stack = stack
        self._numbers = count(1)
        self.printer = printer
        self.versions: dict[str, str] = {}
        self.hows: dict[str, str] = {}

    @cached_property
    def postgres(self) -> Postgres:
        return self._stack.enter_context(Postgres(self._folder / "postgres", durable=True, settings=ROOM))

    @cached_property
    def redis(self) -> Server:
        settings = (("appendfsync", "everysec"),)
        return self._stack.enter_context(Server(available()[-1], self._folder / "redis", aof=True, settings=settings))

    @contextmanager
    def stage(self, contestant: Contestant, **more: Any) -> Iterator[Stage]:
        """Empty stores, prepared for one measurement of it; ``more`` are settings of this work."""
        number = next(self._numbers)
        folder = self._folder / f"stage-{number}"
        folder.mkdir()
        settings: dict[str, Any] = {**dict(contestant.settings), **more}
        if "postgres" in contestant.stores:
            settings["postgres"] = self.postgres.create_database(f"stage_{number}")
        if "redis" in contestant.stores:
            self.redis.ask("FLUSHALL")
            settings["redis"] = self.redis.url
        if "sqlite" in contestant.stores:
            settings["sqlite"] = str(folder / "bench.db")
        marks = Marks()
        with ExitStack() as stack:
            stack.callback(shutil.rmtree, folder)
            stack.callback(marks.close)
            if "postgres" in contestant.stores:
                stack.callback(self.postgres.drop_database, f"stage_{number}")
            staged = Stage(self, contestant, settings, marks, folder, stack)
            staged.process().ask("prepare")
            yield staged

    def servers_cpu(self, contestant: Contestant) -> dict[str, float]:
        """Seconds of CPU that each server has used until now, of those that it works on."""
        found = {}
        if "postgres" in contestant.stores:
            found["PostgreSQL"] = cpu_of(self.postgres.pid)
        if "redis" in contestant.stores:
            found["Redis"] = cpu_of(self.redis.pid)
        return found

    def noted(self, contestant: Contestant, talk: Talk) -> None:
        self.versions[contestant.peer] = talk.version
        self.hows[contestant.name] = talk.how


class Stage:
    """The first process is the one that prepared, and that starts runs and looks at the store. ``marks``: of all."""

    def __init__(
        self,
        bench: Bench,
        contestant: Contestant,
        settings: dict[str, Any],
        marks: Marks,
        folder: Path,
        stack: ExitStack,
    ) -> None:
        self.bench = bench
        self.marks = marks
        self._contestant = contestant
        self._settings = settings
        self._folder = folder
        self._stack = stack
        self._processes: list[Talk] = []

    @property
    def starter(self) -> Talk:
        return self._processes[0]

    def process(self) -> Talk:
        """One more; it is ready, and does nothing yet."""
        command = command_of(self._contestant.peer, self.bench.printer)
        log = self._folder / f"{len(self._processes)}.log"
        talk = self._stack.enter_context(talking(command, self._settings, self.marks, log))
        self._processes.append(talk)
        self.bench.noted(self._contestant, talk)
        return talk


def command_of(peer: str, printer: Printer) -> list[str]:
    # -P: a script named as its peer must not be found in the peer's stead.
    return [str(python_of(peer, printer.progress)), "-P", "-m", "benchmarks.peers", peer]


@contextmanager
def bench(folder: Path, printer: Printer) -> Iterator[Bench]:
    with ExitStack() as stack:
        yield Bench(folder, printer, stack)


def versions(opened: Bench) -> dict[str, str]:
    """Of the servers, and of all peers that were asked."""
    server = opened.redis.info("server")
    found = {"PostgreSQL": str(opened.postgres.execute("SHOW server_version")[0][0])}
    found[opened.redis.kind.title()] = server.get("valkey_version", server["redis_version"])
    return {**found, **dict(sorted(opened.versions.items())), "Python": sys.version.split()[0]}
