"""A fleet under load while the clock of its Redis jumps (protocol 3.6): what is leased is taken over too early, or what
stands ready is delivered later. Fences keep that safe, nothing is lost, and the ledger agrees.

libfaketime moves the clock of the servers that wheels bring; some others do not start with it.
"""

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from redis import Redis

from chaos.fleet.faketime import FakeTime
from squidmesh.testing.servers import Server
from tests.scenarios.fleet import until
from tests.scenarios.redis_fleet import RedisFleet
from tests.support.redises import left_behind, started

pytestmark = [pytest.mark.all, pytest.mark.timeout(600)]

RUNS = 60
HELD = 3
FAR = 120
"""Seconds. Much longer than any lease here, and than any tombstone."""
BACK = 12
"""Seconds. What was delivered before is due so much later."""
ABOUT = BACK / 2
"""Seconds. For comparing two clocks on a machine that is busy."""


@pytest.fixture
def faked(tmp_path: Path) -> FakeTime:
    return FakeTime(tmp_path / "clock")


@pytest.fixture(params=["valkey", "redis"])
def server(request: pytest.FixtureRequest, faked: FakeTime, tmp_path: Path) -> Iterator[Server]:
    with started(request.param, tmp_path / "server", aof=True, environment=faked.environment) as server:
        yield server


@pytest.fixture
def redis(server: Server) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        yield client


@pytest.fixture
def fleet(server: Server, tmp_path: Path) -> Iterator[RedisFleet]:
    with RedisFleet(tmp_path, server) as fleet:
        yield fleet


def ahead(redis: Redis) -> float:
    """Seconds that the server's clock is ahead of ours."""
    seconds, micros = redis.time()
    return float(seconds) + float(micros) / 1e6 - time.time()


def jump(faked: FakeTime, redis: Redis, to: int) -> None:
    """Returns when the server's own TIME has done it."""
    before = ahead(redis)
    faked.move(to)
    until(lambda: abs(ahead(redis) - to) < ABOUT, f"the server to be {to} s ahead")
    assert abs(ahead(redis) - before) > ABOUT, "it was elsewhere before"


def test_the_clock_jumps_ahead(fleet: RedisFleet, redis: Redis, faked: FakeTime) -> None:
    """All leases end at once. Their holders live, and others take over: each step counts once, under the last fence."""
    held = fleet.hold(HELD)
    fleet.start_and_wait(RUNS, RUNS // 2)
    assert [fleet.claims_of(run_id, "picked") for run_id in held] == [1] * HELD, "heartbeats have kept them so far"
    jump(faked, redis, FAR)
    until(lambda: all(fleet.claims_of(run_id, "picked") > 1 for run_id in held), "the takeover of what is held")
    assert all(worker.poll() is None for worker in fleet.workers), "nobody has died of it"
    fleet.let_go()
    fleet.start(RUNS)
    fleet.finish()
    assert "lease_lost" in fleet.logs() or "stale_write_refused" in fleet.logs(), "the first holders have been told"
    verdict = fleet.judge()
    assert HELD <= verdict.repeated <= verdict.lost
    assert abs(ahead(redis) - FAR) < ABOUT, "it has stayed there"
    until(lambda: not redis.hgetall("squidmesh:{default}:items"), "the last items to be settled")
    assert left_behind(redis) == []


def test_the_clock_jumps_back(fleet: RedisFleet, redis: Redis, faked: FakeTime) -> None:
    """What is leased stays leased, and what is ready waits until the clock is there again: later, and once."""
    jump(faked, redis, FAR)
    held = fleet.hold(HELD)
    fleet.start_and_wait(RUNS, RUNS // 2)
    jump(faked, redis, FAR - BACK)
    fleet.start_and_wait(RUNS, RUNS)
    assert [run_id for run_id in held if f"lease_lost item={run_id}" in fleet.logs()] == [], "heartbeats are accepted"
    fleet.let_go()
    fleet.finish(within=120)
    verdict = fleet.judge()
    assert (verdict.repeated, verdict.lost) == (0, 0), fleet.logs()
    assert abs(ahead(redis) - (FAR - BACK)) < ABOUT, "it has stayed there"
    until(lambda: not redis.hgetall("squidmesh:{default}:items"), "the last items to be settled")
    assert left_behind(redis) == []
