"""A PostgreSQL database that holds as many runs as it is told, and what a call costs there: in time, and in pages, as
the server counts them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import resources
from itertools import cycle
from typing import Any

import psycopg
from psycopg import Connection
from squidmesh_postgres import PostgresBackend
from squidmesh_postgres.journal import PostgresJournal
from squidmesh_postgres.leases import PostgresLeases
from squidmesh_postgres.pool import Durability, Pool
from squidmesh_postgres.statements import OUR_SCHEMA
from squidmesh_postgres.times import ServerTime

from squidmesh.journal.rows import RunRow
from squidmesh.ports.journal_store import RunQuery
from squidmesh.testing.postgres import Postgres

INCARNATION = "bench"
_AUTOVACUUM = ("threads", "entries", "runs", "run_tallies", "agenda", "leases", "timers")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds of each call, and pages that a call touched, on average."""

    walls: tuple[float, ...]
    pages: float


class Place:
    """``journal`` and ``leases`` are what a worker has. Nobody else may use the database while pages are counted: all
    that is touched in it counts.
    """

    def __init__(self, name: str, url: str, watcher: Connection[Any]) -> None:
        self.name = name
        self._url = url
        self._watcher = watcher
        self._pools = {each: Pool(url, name, each) for each in _USES}
        times = ServerTime()
        self.journal = PostgresJournal(self._pools["durable"], self._pools["step"], times, OUR_SCHEMA, INCARNATION)
        self.leases = PostgresLeases(self._pools["ordered"], times, OUR_SCHEMA, INCARNATION)

    def fill(self, *, first: int, finished: int, open_: int) -> None:
        """Adds runs; ``first``: how many there are already. Nothing is analysed, and nothing ever will be by itself."""
        script = (resources.files("benchmarks") / "postgres_fill.sql").read_text()
        with psycopg.connect(self._url, cursor_factory=psycopg.ClientCursor) as connection:
            for table in _AUTOVACUUM:
                connection.execute(f"ALTER TABLE squidmesh.{table} SET (autovacuum_enabled = off)".encode())
            for statement in script.split(";\n"):
                if statement.strip():
                    connection.execute(statement.encode(), {"first": first, "finished": finished, "open": open_})

    def some_runs(self) -> Iterator[RunRow]:
        """The newest of those that have ended well, over and over."""
        return cycle(self.journal.runs(RunQuery(workflow="Workflow3", status="completed", limit=50)).rows)

    def maintain(self) -> None:
        """What autovacuum does in time."""
        with psycopg.connect(self._url, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")

    def execute(self, statement: str) -> None:
        """In a session such as the journal's."""
        with self._pools["durable"].use() as connection:
            connection.execute(statement.encode())

    def cost(self, calls: Sequence[Callable[[], object]]) -> Cost:
        """Of each call; what counting touches by itself is left out."""
        first = self._pages()
        before = self._pages()
        walls = []
        for call in calls:
            began = time.perf_counter()
            call()
            walls.append((time.perf_counter() - began) * 1e6)
        after = self._pages()
        return Cost(walls=tuple(walls), pages=(after - before - (before - first)) / len(calls))

    def _pages(self) -> int:
        """That all sessions have touched until now; those of our pools say so at once."""
        for pool in self._pools.values():
            with pool.use() as connection:
                connection.execute("SELECT pg_stat_force_next_flush()")
        asked = "SELECT blks_hit + blks_read FROM pg_stat_database WHERE datname = %s"
        (pages,) = self._watcher.execute(asked, (self.name,)).fetchone() or (0,)
        return int(pages)

    def close(self) -> None:
        for pool in self._pools.values():
            pool.close()


_USES: tuple[Durability, ...] = ("durable", "ordered", "step")


@contextmanager
def place(server: Postgres, name: str, *, finished: int, open_: int) -> Iterator[Place]:
    """A new database with so many runs, whose changes are recorded as a reconciler wants them."""
    url = server.create_database(name)
    backend = PostgresBackend(url)
    backend.migrate()
    backend.close()
    with psycopg.connect(server.url, autocommit=True) as watcher:
        made = Place(name, url, watcher)
        try:
            made.journal.track_changes()
            made.fill(first=0, finished=finished, open_=open_)
            yield made
        finally:
            made.close()
            server.drop_database(name)
