"""Three nodes with two workers each, PostgreSQL and Redis on a fourth; the link of one is cut, and healed, under load.

What the node holds is taken over by the others, and all work ends without it. When the link is back its workers find
their claims gone, write nothing under them, and go on with new ones: the same processes, by themselves.
"""

import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from chaos.wires.namespaces import STORE, SUBNET, Network
from squidmesh.testing.postgres import Postgres
from squidmesh.testing.servers import Server
from tests.scenarios.fleet import until
from tests.scenarios.postgres_fleet import PostgresFleet

NODES, WORKERS_A_NODE = 3, 2
SLOTS = NODES * WORKERS_A_NODE * 2
RUNS = 60
LIMITS = {"LOCK_TIMEOUT": 1.0, "PATIENCE": 3.0, "IDLE_TIMEOUT": 3.0}
"""Seconds, in place of those that a worker has: the scenario waits for them."""


class Nodes(PostgresFleet):
    """Worker n is on node ``n // 2``."""

    def __init__(self, folder: Path, network: Network, postgres: Postgres, redis: Server) -> None:
        super().__init__(folder, postgres, redis=redis, limits=LIMITS, workers=NODES * WORKERS_A_NODE)
        self._network = network
        self._through = self._through.replace("127.0.0.1", STORE)

    def placed(self, worker: int) -> Sequence[str]:
        return self._network.on(worker // WORKERS_A_NODE)

    def of(self, node: int) -> list["subprocess.Popen[bytes]"]:
        return self.workers[node * WORKERS_A_NODE : (node + 1) * WORKERS_A_NODE]

    def held_on(self, node: int) -> list[str]:
        return [item for worker in self.of(node) for item in self.claimed_by(worker)]

    def works_on(self, node: int) -> bool:
        """Whether it holds something; there is enough for everybody."""
        counts = self.mesh.count_runs()
        if len(self.runs) - counts.get("completed", 0) < RUNS // 2:
            self.start(RUNS // 2)
        return bool(self.held_on(node))

    def said_on(self, node: int, words: str) -> int:
        return sum(self.log(worker).count(words) for worker in self.of(node))


class StoreRedis(Server):
    @property
    def url(self) -> str:
        return f"redis://{STORE}:{self.port}/0?insecure=1"


@contextmanager
def access_file() -> Iterator[Path]:
    """Where the server's own user can read it: it lets our nodes in."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        access = Path(folder) / "access"
        access.write_text(f"host all all {SUBNET} trust\nhost all all 127.0.0.1/32 trust\n")
        access.chmod(0o644)
        yield access


def heard_at(access: Path) -> tuple[tuple[str, str], ...]:
    return (("listen_addresses", f"127.0.0.1,{STORE}"), ("hba_file", str(access)))


@pytest.mark.all
@pytest.mark.timeout(300)
def test_a_node_that_is_cut_off_loses_its_work_to_the_others_and_comes_back(
    tmp_path: Path, postgres_templates: Path
) -> None:
    open_ = (("bind", f"127.0.0.1 {STORE}"), ("protected-mode", "no"))
    with (
        access_file() as access,
        Network(NODES) as network,
        network.at_the_store(),
        Postgres(tmp_path / "postgres", settings=heard_at(access), templates=postgres_templates) as postgres,
        StoreRedis("valkey", tmp_path / "valkey", settings=open_) as redis,
        Nodes(tmp_path, network, postgres, redis) as fleet,
    ):
        for node in range(NODES):
            fleet.hold(SLOTS - 2)
            fleet.start(RUNS)
            lost_before = fleet.said_on(node, "lease_lost")
            network.cut(node)
            assert fleet.held_on(node), "nothing was in flight there"
            fleet.let_go()
            fleet.finish(within=90)  # without it
            network.heal(node)
            until(lambda node=node: fleet.works_on(node), "the node to work again", within=60)  # type: ignore[misc]
            assert fleet.said_on(node, "lease_lost") > lost_before
        fleet.finish(within=90)
        verdict = fleet.judge()
        assert verdict.lost > 0, "nothing was taken over"
