"""A fleet under load whose Redis is away for longer than any lease lasts: down, or cut off from all or from half of it.

What is running goes on to its end and is recorded, for the journal is there. Leases end meanwhile, workers are told
so, and all goes on by itself afterwards.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.wires.redis_wire import RedisWire
from squidmesh.testing.servers import Server
from tests.scenarios.fleet import until
from tests.scenarios.redis_fleet import ReplicatedFleet
from tests.support.redises import started

pytestmark = [pytest.mark.all, pytest.mark.timeout(300)]

RUNS = 30
HELD = 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with started("valkey", tmp_path / "server", aof=True) as server:
        yield server


@pytest.fixture
def link(server: Server) -> Iterator[RedisWire]:
    with RedisWire(server.port) as link:
        yield link


def until_leases_have_ended(fleet: ReplicatedFleet) -> None:
    """Of the steps that are held, by the word of those who hold them."""
    until(lambda: fleet.logs().count("lease_lost") >= HELD, "the leases to end", within=90)


def test_the_server_is_down_for_longer_than_every_lease(server: Server, tmp_path: Path) -> None:
    with ReplicatedFleet(tmp_path, server.url) as fleet:
        fleet.start_and_wait(RUNS, RUNS // 2)
        fleet.hold(HELD)
        server.kill()
        fleet.start(RUNS)
        until_leases_have_ended(fleet)
        server.start()
        fleet.let_go()
        fleet.finish(within=120)
        fleet.judge()


def test_all_workers_are_cut_off(link: RedisWire, server: Server, tmp_path: Path) -> None:
    """What they had sent arrives when the link heals: long after they have given it up."""
    with ReplicatedFleet(tmp_path, server.url, apart=dict.fromkeys(range(4), link.url)) as fleet:
        fleet.start_and_wait(RUNS, RUNS // 2)
        fleet.hold(HELD)
        link.cut()
        fleet.start(RUNS)
        until_leases_have_ended(fleet)
        assert link.held, "nothing was on its way"
        link.heal()
        fleet.let_go()
        fleet.finish(within=120)
        fleet.judge()


def test_half_of_the_workers_are_cut_off(link: RedisWire, server: Server, tmp_path: Path) -> None:
    """The others take over what those held, and the journal takes no word of theirs for it afterwards."""
    with ReplicatedFleet(tmp_path, server.url, apart={0: link.url, 1: link.url}) as fleet:
        fleet.start_and_wait(RUNS, RUNS // 2)
        held = fleet.hold(2 * HELD)  # all slots
        theirs = [item for worker in fleet.workers[:2] for item in fleet.claimed_by(worker)]
        link.cut()
        assert theirs, "they held nothing"
        taken = {item.partition("/")[0] for item in theirs} & set(held)
        until(lambda: fleet.logs().count("lease_lost") >= len(taken), "their leases to end", within=90)
        fleet.let_go()
        fleet.start(RUNS)
        fleet.finish(within=120)
        assert link.held, "nothing was on its way"
        link.heal()
        after: list[str] = []

        def they_work_again() -> bool:
            if not fleet.open_runs():  # the others have had it all: there is more
                after.extend(fleet.start(8))
            return bool(fleet.claimants(after) & {0, 1})

        until(they_work_again, "those that were cut off to claim again", within=90)
        fleet.finish(within=120)
        fleet.judge()
