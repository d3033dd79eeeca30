"""Every feature, on every plane: memory, SQLite with journal leases, SQLite with leases in a real server.

A *world* is what outlives a process: the stores and the clock. A mesh in it is one process. When a test has ended, each
run in the world is read from its thread and held to the invariants.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from squidmesh.testing.servers import Server
from tests.features.world import MemoryWorld, RedisWorld, SqliteWorld, World
from tests.support.redises import left_behind, started


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started("valkey", tmp_path_factory.mktemp("features")) as server:
        yield server


@pytest.fixture(params=["memory", "sqlite", "redis"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    if request.param == "redis":
        yield from _on_redis(request.getfixturevalue("server"), tmp_path)
    else:
        found: World = MemoryWorld() if request.param == "memory" else SqliteWorld(tmp_path)
        with found:
            yield found


@pytest.fixture(params=["sqlite", "redis"])
def database(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[World]:
    """Worlds whose journal is in a database that a step could write to."""
    if request.param == "redis":
        yield from _on_redis(request.getfixturevalue("server"), tmp_path)
    else:
        with SqliteWorld(tmp_path) as found:
            yield found


def _on_redis(server: Server, folder: Path) -> Iterator[World]:
    with Redis.from_url(server.url, decode_responses=True) as redis:
        redis.flushall()
        with RedisWorld(folder, server, redis) as world:
            yield world
        assert left_behind(redis) == []
