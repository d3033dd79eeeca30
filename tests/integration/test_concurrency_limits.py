"""Steps that share a concurrency key: never more at once than its limit, measured inside the steps, on every plane."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel
from redis import Redis

from squidmesh import Mesh, Workflow, manual, step
from squidmesh.testing.clock import VirtualClock
from tests.support.audit import audit
from tests.support.redises import all_of, left_behind, started

LIMIT = 2


class Account(BaseModel):
    id: str


class Pay(BaseModel):
    account: Account


class Gauge:
    """How many steps of each account run now, and how many ever did at once. ``gate``: held until it is opened."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.now: Counter[str] = Counter()
        self.most: Counter[str] = Counter()
        self.entered: list[str] = []
        self.gate: threading.Semaphore | None = None
        self.die_next = 0

    @contextmanager
    def inside(self, account: str) -> Iterator[None]:
        with self._lock:
            self.now[account] += 1
            self.most[account] = max(self.most[account], self.now[account])
            self.entered.append(account)
            dies, self.die_next = self.die_next > 0, max(0, self.die_next - 1)
        try:
            if dies:
                raise Dies
            if self.gate is not None:
                assert self.gate.acquire(timeout=30)
            yield
        finally:
            with self._lock:
                self.now[account] -= 1


class Dies(BaseException):
    """What a SIGKILL is to a process: nothing of it is heard of any more."""


def make_workflows(gauge: Gauge, limit: int) -> tuple[type[Workflow], type[Workflow]]:
    pause = threading.Event()

    def charge(account: Account) -> None:
        with gauge.inside(account.id):
            pause.wait(0.003)

    class Payout(Workflow):
        version = "1"
        pay = manual(Pay)
        first = step(charge, concurrency_key="account.id", concurrency_limit=limit)
        between = step(lambda: None)
        second = step(charge, concurrency_key="account.id", concurrency_limit=limit)
        flow = first >> between >> second

    class Refund(Workflow):
        """Of another workflow, but of the same key."""

        version = "1"
        pay = manual(Pay)
        back = step(charge, concurrency_key="account.id", concurrency_limit=limit)
        again = step(charge, concurrency_key="account.id", concurrency_limit=limit)
        flow = back >> again

    return Payout, Refund


def until(condition: Callable[[], object], *, within: float = 30.0) -> None:
    ends, turn = time.monotonic() + within, threading.Event()
    while not condition():
        assert time.monotonic() < ends
        turn.wait(0.01)


class Site:
    def __init__(self, url: str, leases: str | None) -> None:
        self.url, self.leases = url, leases
        self.gauge = Gauge()
        self.open: list[Mesh] = []
        self.workflows = make_workflows(self.gauge, LIMIT)

    def limited_to(self, limit: int) -> None:
        self.workflows = make_workflows(self.gauge, limit)

    def mesh(self, **settings: Any) -> Mesh:
        """Of a process of its own, as it were; in memory there is one for all."""
        if self.url == "memory://" and self.open:
            return self.open[0]
        given = {"lease": 5, "idle_poll": 0.2, "reconcile_every": 0.05, **settings}
        self.open.append(Mesh.connect(self.url, leases=self.leases, workflows=self.workflows, **given))
        return self.open[-1]

    def close(self) -> None:
        for mesh in self.open:
            mesh.close()


@pytest.fixture(params=["memory", "journal leases", "redis", "valkey"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    if request.param in ("memory", "journal leases"):
        found = Site("memory://" if request.param == "memory" else url, None)
        yield found
        found.close()
        return
    (tmp_path / "server").mkdir()
    with started(request.param, tmp_path / "server") as server:
        found = Site(url, server.url)
        yield found
        found.close()
        with Redis.from_url(server.url, decode_responses=True) as redis:
            assert left_behind(redis) == []


def start(mesh: Mesh, workflow: type[Workflow], account: str, count: int = 1) -> list[str]:
    return [run.run_id for run in mesh.start_runs(workflow, [{"account": {"id": account}}] * count)]


def test_never_more_steps_of_one_key_run_at_once_than_its_limit_and_all_complete(site: Site) -> None:
    client, one, other = site.mesh(), site.mesh(), site.mesh()
    runs = []
    with one.worker(concurrency=6), other.worker(concurrency=6):
        for _ in range(4):
            for account in ("mordor", "gondor", "shire"):
                for workflow in site.workflows:
                    runs += start(client, workflow, account, 2)
        for run_id in runs:
            assert client.wait_for(run_id, timeout=60).status == "completed", client.explain_run(run_id)
    assert max(site.gauge.most.values()) <= LIMIT, site.gauge.most
    assert len(site.gauge.entered) == 2 * len(runs)
    for run_id in runs:
        audit(client._engine().store, run_id, every_prefix=False)
    assert all(queue.depth.leased == queue.depth.ready == 0 for queue in client.queues().queues if queue.depth)


def test_what_is_at_its_limit_holds_up_nobody_else(site: Site) -> None:
    gauge, gate = site.gauge, threading.Semaphore(0)
    gauge.gate = gate
    client = site.mesh()
    with client.worker(concurrency=8):
        mordor = start(client, site.workflows[1], "mordor", 5)
        until(lambda: gauge.now["mordor"] == LIMIT)
        shire = start(client, site.workflows[1], "shire", 1)
        until(lambda: gauge.now["shire"] == 1)
        assert gauge.now["mordor"] == LIMIT
        (depth,) = [one.depth for one in client.queues().queues if one.name == "default"]
        assert depth is not None
        assert (depth.leased, depth.ready) == (LIMIT + 1, 3)
        assert client.explain_run(mordor[-1]).evidence["concurrency_limit"] == LIMIT
        gauge.gate = None
        for _ in range(30):
            gate.release()
        for run_id in mordor + shire:
            assert client.wait_for(run_id, timeout=60).status == "completed"
    assert gauge.most == {"mordor": LIMIT, "shire": 1}


def test_whoever_waits_longest_for_the_key_goes_first(site: Site) -> None:
    site.limited_to(1)
    client = site.mesh()
    runs = [start(client, site.workflows[1], "mordor")[0] for _ in range(6)]

    with client.worker(concurrency=4):
        for run_id in runs:
            assert client.wait_for(run_id, timeout=60).status == "completed"
    ended = sorted(runs, key=lambda run_id: client.inspect_run(run_id).ended_at or 0)
    assert ended == runs
    assert site.gauge.most == {"mordor": 1}


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_the_value_of_a_key_stays_out_of_redis(kind: str, tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with started(kind, tmp_path / "server") as server:
        site = Site(f"sqlite:///{tmp_path / 'journal.db'}", server.url)
        start(site.mesh(), site.workflows[0], "a-secret-account")
        with Redis.from_url(server.url, decode_responses=True) as redis:
            everything = all_of(redis)
        site.close()
    assert "account.id-" in everything
    assert "a-secret-account" not in everything


# ------------------------------------------------------------------------------------------------------- lost holders

LEASE = timedelta(seconds=30)


@pytest.fixture(params=["memory", "journal leases", "redis", "valkey"])
def dying(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[Site, dict[str, Any], Callable[[], object]]]:
    """A site, its settings, and how a lease's time goes by there."""
    clock = VirtualClock()
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    settings: dict[str, Any] = {"lease": LEASE, "clock": clock, "quarantine": False}
    if request.param in ("memory", "journal leases"):
        found = Site("memory://" if request.param == "memory" else url, None)
        yield found, settings, lambda: clock.advance(LEASE)
        found.close()
        return
    (tmp_path / "server").mkdir()
    with started(request.param, tmp_path / "server") as server:
        found = Site(url, server.url)
        wait = threading.Event()
        yield found, {"lease": 0.2, "quarantine": False}, lambda: wait.wait(0.25)
        found.close()


def test_the_place_of_a_holder_that_was_killed_becomes_free(
    dying: tuple[Site, dict[str, Any], Callable[[], object]],
) -> None:
    site, settings, let_the_lease_end = dying
    site.limited_to(1)
    mesh = site.mesh(**settings)
    runs = start(mesh, site.workflows[1], "mordor", 3)
    site.gauge.die_next = 1
    with pytest.raises(Dies):
        mesh.execute_next()
    assert site.gauge.entered == ["mordor"]
    if isinstance(settings.get("clock"), VirtualClock):
        assert mesh.execute_next() is None, "whoever is killed keeps his place until his lease ends"
    let_the_lease_end()
    for _ in range(60):
        if mesh.count_runs() == {"completed": 3}:
            break
        if mesh.execute_next() is None:
            let_the_lease_end()
    assert mesh.count_runs() == {"completed": 3}
    assert site.gauge.most == {"mordor": 1}
    assert len(site.gauge.entered) == 7, "two steps of three runs, and the one that was lost"
    assert [mesh.inspect_run(run_id).status for run_id in runs] == ["completed"] * 3
