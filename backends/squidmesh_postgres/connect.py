"""``postgresql://host/database``: from an address to a journal, its leases and a wake-up."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Protocol

from squidmesh.clock import Clock, Instant
from squidmesh.ports.backend import Finding, Migration, Reading
from squidmesh_postgres import doctor
from squidmesh_postgres.address import Address
from squidmesh_postgres.faults import translated
from squidmesh_postgres.joined import STARTED
from squidmesh_postgres.journal import PostgresJournal
from squidmesh_postgres.leases import PostgresLeases
from squidmesh_postgres.pool import Durability, Pool
from squidmesh_postgres.schema import Schema
from squidmesh_postgres.statements import load, migrations
from squidmesh_postgres.times import ServerTime
from squidmesh_postgres.wakeup import ANYTHING, Listener, PostgresWakeup


class _Closable(Protocol):
    def close(self) -> None: ...


class PostgresBackend:
    """One schema of one database. What was handed out ends with the backend. ``monotonic`` is there for tests."""

    is_served = True

    def __init__(self, url: str, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._address = address = Address(url)
        self.url = address.url
        self.name = address.name
        self.schema = Schema(address.conninfo, address.schema, address.name)
        self._time = ServerTime(monotonic)
        self._listener = Listener(address.conninfo, address.schema)
        self._handed_out: set[_Closable] = set()
        self._incarnation: str | None = None

    def migrate(self) -> list[str]:
        return self.schema.migrate()

    def migrations(self, *, every: bool = False) -> list[Migration]:
        chosen = migrations(self._address.schema) if every else self.schema.pending()
        return [Migration(number=one.number, name=one.name, sql=one.sql) for one in chosen]

    def doctor(self, *, now: Instant | None = None) -> list[Finding]:
        return doctor.examine(self.schema, now)

    @contextmanager
    def reading(self) -> Iterator[Reading]:
        with closing(self.journal()) as journal, closing(self.leases()) as leases:
            yield Reading(journal=journal, leases=leases)

    def journal(self) -> PostgresJournal:
        incarnation = self._open()
        pools = self._pool("durable"), self._pool("step")
        return PostgresJournal(*pools, self._time, self._address.schema, incarnation, tell=self._listener.tell)

    def leases(self) -> PostgresLeases:
        incarnation = self._open()
        return PostgresLeases(self._pool("ordered"), self._time, self._address.schema, incarnation)

    def _pool(self, durability: Durability) -> Pool:
        pool = Pool(self._address.conninfo, self.name, durability, self._handed_out.discard)
        self._handed_out.add(pool)
        return pool

    def _open(self) -> str:
        """Looks once whether the schema is as it should be, and what time it is there. Answers its incarnation."""
        if self._incarnation is None:
            pool = Pool(self._address.conninfo, self.name, "durable")
            try:
                with translated(self.name), pool.use() as connection:
                    self.schema.require(connection)
                    found = connection.execute(load("schema", self._address.schema)["opened"]).fetchone()
            finally:
                pool.close()
            moment, incarnation = found or (0, "")
            self._time.hear(moment)
            self._incarnation = str(incarnation)
        return self._incarnation

    def wakeup(self, queues: Sequence[str] = ()) -> PostgresWakeup:
        return self._wakeup([ANYTHING, *queues] if queues else [])

    def _wakeup(self, words: Sequence[str]) -> PostgresWakeup:
        wakeup = PostgresWakeup(self._listener, words, self._handed_out.discard)
        self._handed_out.add(wakeup)
        return wakeup

    def starts_announced(self) -> PostgresWakeup:
        return self._wakeup([STARTED])

    def close(self) -> None:
        for one in list(self._handed_out):
            one.close()
        self._listener.close()


def backend(url: str, *, clock: Clock) -> PostgresBackend:
    """The factory behind the schemes ``postgresql`` and ``postgres``. The server has a clock of its own."""
    del clock
    return PostgresBackend(url)
