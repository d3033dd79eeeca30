"""Every feature, on every plane: memory, SQLite and PostgreSQL with journal leases, and both with leases in a server.

A *world* is what outlives a process: the stores and the clock. A mesh in it is one process. When a test has ended, each
run in the world is read from its thread and held to the invariants.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from squidmesh.testing.servers import Server
from tests.features.world import MemoryWorld, PostgresRedisWorld, PostgresWorld, RedisWorld, SqliteWorld, World
from tests.support.postgres_world import Emptied
from tests.support.redises import left_behind, started


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("valkey", tmp_path_factory.mktemp("features")) as server:
        yield server


WITH_DATABASE = ["sqlite", "redis", "postgres", pytest.param("postgres_redis", marks=pytest.mark.all)]
"""Two servers at once take their time, and are left to --all."""


@pytest.fixture(params=["memory", *WITH_DATABASE])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    with _world(request.param, request.getfixturevalue, tmp_path) as found:
        yield found


@pytest.fixture(params=WITH_DATABASE)
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Worlds whose journal is in a database that a step could write to."""
    with _world(request.param, request.getfixturevalue, tmp_path) as found:
        yield found


@contextmanager
def _world(plane: str, fixture: Callable[[str], Any], folder: Path) -> Iterator[World]:
    with ExitStack() as stack:
        found: World
        match plane:
            case "memory":
                found = MemoryWorld()
            case "sqlite":
                found = SqliteWorld(folder)
            case "redis":
                found = RedisWorld(folder, fixture("server"), stack.enter_context(_emptied_redis(fixture("server"))))
            case "postgres":
                found = PostgresWorld(_emptied_postgres(fixture("emptied_postgres")))
            case _:
                redis = stack.enter_context(_emptied_redis(fixture("server")))
                found = PostgresRedisWorld(_emptied_postgres(fixture("emptied_postgres")), fixture("server"), redis)
        yield stack.enter_context(found)


@contextmanager
def _emptied_redis(server: Server) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as redis:
        redis.flushall()
        yield redis
        assert left_behind(redis) == []


def _emptied_postgres(database: Emptied) -> Emptied:
    database.empty()
    return database
