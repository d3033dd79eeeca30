"""A fleet under load while its Redis, or one of its workers, has a bad day: nothing is lost, and the ledger agrees.

Each scenario proves that its fault really happened, at a time when work was in flight. Those that wait longest are
tried under `all`.
"""

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from chaos.wires.redis_wire import RedisWire
from squidmesh.testing.servers import Server
from tests.scenarios.fleet import until
from tests.scenarios.redis_fleet import RedisFleet
from tests.scenarios.sale import LEASE
from tests.support.parts import aside
from tests.support.redises import left_behind, started

RUNS = 60


@pytest.fixture(params=["valkey", aside("redis")])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def server(kind: str, tmp_path: Path) -> Iterator[Server]:
    with started(kind, tmp_path / "server", aof=True) as server:
        yield server


@pytest.fixture
def redis(server: Server) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def fleet(server: Server, tmp_path: Path) -> Iterator[RedisFleet]:
    with RedisFleet(tmp_path, server) as fleet:
        yield fleet


def in_flight(fleet: RedisFleet) -> None:
    fleet.start_and_wait(RUNS, RUNS // 2)


def test_on_a_good_day_nothing_is_done_twice(fleet: RedisFleet, redis: Redis) -> None:
    """Neither does the reconciler double a healthy worker's work, nor is any lease lost."""
    in_flight(fleet)
    fleet.start(RUNS)
    fleet.finish()
    verdict = fleet.judge()
    assert (verdict.repeated, verdict.lost) == (0, 0), fleet.logs()
    until(lambda: not redis.hgetall("squidmesh:{default}:items"), "the last items to be settled")
    assert left_behind(redis) == []


def test_a_worker_is_killed(fleet: RedisFleet) -> None:
    fleet.start(RUNS)
    victim = fleet.workers[0]
    until(lambda: fleet.claimed_by(victim), "a claim of the victim")
    victim.kill()
    victim.wait()
    assert (left := fleet.claimed_by(victim)), "it held something"
    fleet.finish()
    verdict = fleet.judge()
    assert verdict.lost >= len(left)
    assert verdict.repeated <= verdict.lost


def test_a_worker_is_stopped_past_its_lease_and_wakes_up(fleet: RedisFleet) -> None:
    """What it says then is refused."""
    fleet.start(RUNS)
    victim = fleet.workers[0]
    held = fleet.freeze(victim)
    fleet.finish()
    assert fleet.claimed_by(victim) == [], "others took over"
    os.kill(victim.pid, signal.SIGCONT)
    until(lambda: "stale_write_refused" in fleet.log(victim) or "lease_lost" in fleet.log(victim), "its refusal")
    fleet.start(5)
    fleet.finish()
    verdict = fleet.judge()
    assert verdict.lost >= len(held)


def test_the_server_is_killed_and_restarted(fleet: RedisFleet) -> None:
    in_flight(fleet)
    fleet.server.kill()
    until(lambda: "lease_backend_unavailable" in fleet.logs(), "somebody to notice")
    fleet.server.start()
    fleet.finish()
    fleet.judge()


def test_the_server_is_emptied(fleet: RedisFleet, redis: Redis) -> None:
    """Again and again; nobody is told."""
    for _ in range(3):
        in_flight(fleet)
        assert redis.dbsize() > 0
        redis.flushall()
    fleet.finish()
    fleet.judge()


@pytest.mark.all
def test_an_old_dump_is_restored(fleet: RedisFleet, redis: Redis, tmp_path: Path) -> None:
    """Leases, tombstones and cursor are those of some seconds ago."""
    in_flight(fleet)
    redis.config_set("appendonly", "no")
    redis.save()
    old = tmp_path / "old.rdb"
    shutil.copy(tmp_path / "server" / "dump.rdb", old)
    before = redis.dbsize()
    fleet.until_calls(RUNS)
    fleet.server.kill()
    for file in (tmp_path / "server").iterdir():
        if file.name != "server.log":
            shutil.rmtree(file) if file.is_dir() else file.unlink()
    shutil.copy(old, tmp_path / "server" / "dump.rdb")
    fleet.server._settings = [("appendonly", "no"), ("save", "")]
    fleet.server.start()
    assert before > 0
    assert redis.dbsize() > 0, "it came back with what it had then"
    fleet.start(RUNS)
    fleet.finish()
    fleet.judge()


@pytest.mark.parametrize("losses", [1, aside(4)])
def test_answers_are_lost(kind: str, server: Server, tmp_path: Path, losses: int) -> None:
    """The server has done it: claims, settlements and heartbeats are asked again, and are not done twice."""
    with RedisWire(server.port) as proxy, RedisFleet(tmp_path, server, port=proxy.port) as fleet:
        for lost in range(5, 5 * losses + 1, 5):
            in_flight(fleet)
            proxy.swallow(5)
            until(lambda lost=lost: proxy.swallowed == lost, "the loss of five answers")  # type: ignore[misc]
        fleet.finish()
        fleet.judge()


@pytest.mark.all
def test_the_server_stalls_for_longer_than_a_lease(fleet: RedisFleet) -> None:
    in_flight(fleet)
    fleet.server.freeze()
    until(lambda: "lease_backend_unavailable" in fleet.logs(), "somebody's patience to end", within=4 * LEASE + 20)
    fleet.server.resume()
    fleet.finish()
    fleet.judge()


@pytest.mark.all
def test_the_server_is_full(fleet: RedisFleet, redis: Redis) -> None:
    """New work waits in the journal; what is leased can be ended all the same."""
    in_flight(fleet)
    redis.set("ballast", "x" * 1_000_000)
    redis.config_set("maxmemory", str(redis.info("memory")["used_memory"] // 2))
    fleet.start(RUNS)
    until(lambda: "is out of memory" in fleet.logs(), "an offer to be refused")
    redis.config_set("maxmemory", "0")
    fleet.finish()
    fleet.judge()
