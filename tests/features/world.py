"""What outlives a process, and processes in it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any

import psycopg
import squidmesh_sqlite
from redis import Redis
from squidmesh_postgres.journal import PostgresJournal
from squidmesh_postgres.transaction import StepsJournal
from squidmesh_redis import RedisBackend
from squidmesh_sqlite.journal import SqliteJournal
from squidmesh_sqlite.pool import Lent

from squidmesh import Actions, Mesh, Run, Workflow
from squidmesh.config import MeshConfig
from squidmesh.memory import MemoryBackend
from squidmesh.ports.backend import Backend
from squidmesh.ports.journal_store import RunQuery
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.invoke import Assignment, Outcome
from squidmesh.runtime.pump import Pump
from squidmesh.testing.clock import VirtualClock
from squidmesh.testing.servers import Server
from squidmesh.workflow.registry import Registry
from tests.support import postgres_world
from tests.support.audit import audit, audit_timers
from tests.support.postgres_world import Emptied
from tests.support.redises import NOW, ServerClock

LEASE = timedelta(seconds=30)


class Notices:
    """What the observer of one process has heard."""

    def __init__(self) -> None:
        self.told: list[tuple[str, dict[str, object]]] = []

    def notice(self, event: str, /, **fields: object) -> None:
        self.told.append((event, fields))

    def of(self, event: str) -> list[dict[str, object]]:
        return [fields for name, fields in self.told if name == event]


class World:
    """``commit_of_steps`` and ``append_of_steps``: the methods by which a transactional step is committed, and its
    entry appended in that transaction, of a world with a database that a step can write to.
    """

    plane: str
    clock: VirtualClock
    commit_of_steps: tuple[type, str]
    append_of_steps: tuple[type, str]

    def __init__(self) -> None:
        self.notices = Notices()
        self._meshes: list[Mesh] = []
        self._backends: list[Backend] = []

    def open(self) -> tuple[Backend, Backend | None]:
        """The stores of one process: the journal's, and that of the leases if it is another one. Closed with the world,
        if not before.
        """
        journal, leases = self.stores()
        self._backends += [journal] if leases is None else [leases, journal]
        return journal, leases

    def stores(self) -> tuple[Backend, Backend | None]:
        raise NotImplementedError

    def query(self, sql: str) -> list[Any]:
        """The rows that the database has, as everybody sees them; none where there is no such table."""
        raise NotImplementedError

    def process(self, *workflows: type[Workflow], actions: Actions | None = None, **settings: Any) -> Mesh:
        """One process that knows these workflows and actions. Its heartbeats beat when the test says so."""
        config = MeshConfig(**{"lease": LEASE, "reconcile_every": timedelta(milliseconds=10), **settings})
        registry = Registry(workflows, actions)

        def open_engine() -> Engine:
            journal, leases = self.open()
            return Engine(
                journal=journal,
                leases=leases,
                registry=registry,
                config=config,
                observer=self.notices,
                heartbeat_thread=False,
                monotonic=lambda: self.clock.now() / 1e6,
            )

        mesh = Mesh(self.plane, registry=registry, config=config, open_engine=open_engine)
        self._meshes.append(mesh)
        return mesh

    def pass_time(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))

    def __enter__(self) -> World:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self.check()
        finally:
            for mesh in self._meshes:
                mesh.close()
            for backend in self._backends:
                backend.close()

    def check(self) -> None:
        """Holds every run to the invariants."""
        store = self.open()[0].journal()
        states = [audit(store, row.run_id) for row in store.runs(RunQuery(limit=1000)).rows]
        audit_timers(store, states)


class MemoryWorld(World):
    plane = "memory"

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self._stores = KeptMemory("memory://", clock=self.clock)

    def stores(self) -> tuple[Backend, Backend | None]:
        return self._stores, None


class KeptMemory(MemoryBackend):
    def close(self) -> None:
        """It outlives the process."""

    def journal(self) -> Any:
        return Kept(super().journal())

    def leases(self) -> Any:
        return Kept(super().leases())


class Kept:
    """A store that a process closes for itself only."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def close(self) -> None:
        pass


class SqliteWorld(World):
    plane = "sqlite"

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.clock = VirtualClock()

    @property
    def path(self) -> Path:
        return self.folder / "journal.db"

    def query(self, sql: str) -> list[Any]:
        with closing(sqlite3.connect(self.path)) as connection:
            try:
                return connection.execute(sql).fetchall()
            except sqlite3.OperationalError:
                return []

    commit_of_steps = (Lent, "commit")
    append_of_steps = (SqliteJournal, "commit_in")

    def stores(self) -> tuple[Backend, Backend | None]:
        return squidmesh_sqlite.backend(f"sqlite:///{self.path}", clock=self.clock), None


class RedisWorld(SqliteWorld):
    plane = "redis"

    def __init__(self, folder: Path, server: Server, redis: Redis) -> None:
        super().__init__(folder)
        self.clock = ServerClock(redis)
        self._server = server

    def stores(self) -> tuple[Backend, Backend | None]:
        journal, _ = super().stores()
        return journal, RedisBackend(self._server.url, now=NOW)


class PostgresWorld(World):
    plane = "postgres"

    def __init__(self, database: Emptied) -> None:
        super().__init__()
        self.database = database
        self.clock: VirtualClock = postgres_world.ServerClock(database.owner)

    def stores(self) -> tuple[Backend, Backend | None]:
        return postgres_world.backend_of(self.database.operator_url, self.clock), None

    def query(self, sql: str) -> list[Any]:
        try:
            return self.database.owner.execute(sql.encode()).fetchall()
        except psycopg.errors.UndefinedTable:
            return []

    commit_of_steps = (StepsJournal, "end")
    append_of_steps = (PostgresJournal, "write_in")


class PostgresRedisWorld(PostgresWorld):
    plane = "postgres_redis"

    def __init__(self, database: Emptied, server: Server, redis: Redis) -> None:
        super().__init__(database)
        self.clock = postgres_world.BothClocks(database.owner, redis)
        self._server = server

    def stores(self) -> tuple[Backend, Backend | None]:
        journal, _ = super().stores()
        return journal, RedisBackend(self._server.url, now=NOW)


# ------------------------------------------------------------------------------------------------- what tests do


def work(mesh: Mesh, *, most: int = 10_000) -> int:
    """Executes all that is visible; how much it was."""
    done = 0
    while mesh.execute_next(owner_id="worker") is not None:
        done += 1
        assert done < most, "it does not come to rest"
    return done


def seen(mesh: Mesh, run: Run | str) -> Run:
    """The run with its history."""
    return mesh.inspect_run(run if isinstance(run, str) else run.run_id, history=True)


def kinds(run: Run) -> list[str]:
    assert run.history is not None
    return [event.kind for event in run.history]


def facts_of(run: Run, kind: str) -> list[dict[str, Any]]:
    assert run.history is not None
    return [event.details for event in run.history if event.kind == kind]


class Hand:
    """One worker whose slots are in the test's hands: what it has claimed runs, and is recorded, when the test says."""

    def __init__(self, mesh: Mesh, name: str, *, capacity: int = 1000, continues: bool = False) -> None:
        self.engine = mesh._engine()
        self.capacity = capacity
        self.claimed: list[Assignment] = []
        self._outbox: list[Outcome] = []
        self._pump: Pump = self.engine.pump(
            self,
            owner_id=name,
            queues=mesh._queues(None),
            pulse=None,
            patience=timedelta(seconds=5),
            continues=continues,
        )
        self.engine.reconciler.listen(mesh._queues(None))

    # -- slots

    def submit(self, assignment: Assignment) -> None:
        self.claimed.append(assignment)

    def drain(self) -> list[Outcome]:
        ended, self._outbox = self._outbox, []
        return ended

    def close(self) -> None:
        pass

    # -- the test

    def claim(self) -> list[str]:
        """Claims and records what is visible; the steps that it holds now."""
        self.engine.reconcile_now_and_then(())
        self._pump.turn()
        return [assignment.spec.name for assignment in self.claimed]

    def run(self, only: Callable[[Assignment], bool] = lambda assignment: True) -> None:
        """Runs what it holds; nothing is recorded yet."""
        chosen = [assignment for assignment in self.claimed if only(assignment)]
        for assignment in chosen:
            self.claimed.remove(assignment)
            self._outbox.append(self.engine.carry(assignment))

    def record(self) -> None:
        self._pump.turn(claim=False)

    def beat(self) -> None:
        self.engine.heartbeats.beat()

    def die(self) -> None:
        """It is gone without a word, and with it what it held."""
        self._pump.abandon()
        self.claimed.clear()
        self._outbox.clear()
