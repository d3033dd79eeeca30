"""A fleet under load whose Redis is there, and answers that it can not do as told now: all wait, and go on."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import RedisError

from squidmesh.testing.servers import Server
from tests.scenarios.fleet import until
from tests.scenarios.redis_fleet import ReplicatedFleet
from tests.support.redis_topologies import direct
from tests.support.redises import started

pytestmark = [pytest.mark.all, pytest.mark.timeout(300)]

RUNS = 20


@contextmanager
def at_work(server: Server, folder: Path, *, workers: int = 4) -> Iterator[ReplicatedFleet]:
    """A fleet with work in flight, and more to do. In the end all has ended, and the ledger agrees."""
    with ReplicatedFleet(folder, server.url, workers=workers) as fleet:
        fleet.start_and_wait(RUNS, RUNS // 2)
        yield fleet
        fleet.start(5)
        fleet.finish(within=120)
        fleet.judge()


def until_said(fleet: ReplicatedFleet, words: str) -> None:
    until(lambda: words in fleet.logs(), f"somebody to be told: {words}", within=60)


def test_it_has_become_a_replica(tmp_path: Path) -> None:
    """It is emptied as well: it follows one that holds nothing."""
    with (
        started("valkey", tmp_path / "server") as server,
        started("valkey", tmp_path / "other") as other,
        at_work(server, tmp_path, workers=2) as fleet,
    ):
        server.ask("REPLICAOF", "127.0.0.1", str(other.port))
        until_said(fleet, "read only replica")
        server.ask("REPLICAOF", "NO", "ONE")


def test_it_is_busy_with_a_script_of_somebody_else(tmp_path: Path) -> None:
    with started("valkey", tmp_path / "server") as server, at_work(server, tmp_path) as fleet:
        server.ask("CONFIG", "SET", "lua-time-limit", "50")
        script = threading.Thread(target=_runs_until_killed, args=(server,), daemon=True)
        script.start()
        until_said(fleet, "BUSY")
        assert server.ask("SCRIPT", "KILL") == b"+OK"
        script.join(30)


def _runs_until_killed(server: Server) -> None:
    with Redis(port=server.port, socket_timeout=None) as redis, pytest.raises(RedisError):
        redis.eval("while true do end", 0)


def test_it_is_still_loading_its_file(tmp_path: Path) -> None:
    slow = (("key-load-delay", "200"), ("loading-process-events-interval-bytes", "1024"))
    with Server("valkey", tmp_path / "server", settings=slow) as server, at_work(server, tmp_path) as fleet:
        with direct(server.port) as redis:
            redis.mset({f"ballast:{n}": "x" * 20 for n in range(20_000)})
        assert server.ask("SAVE") == b"+OK"
        server.kill()
        server.start()
        until_said(fleet, "loading the dataset")
