"""The Redis backend keeps the promises of the suites on a Cluster, behind Sentinels, through TLS, and as a user that
may do no more than it must.

As in test_redis.py the servers are real and their clock is not. The short part runs always; whole suites with --all.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from squidmesh_redis import RedisBackend

from squidmesh.ports.lease_backend import Settlement
from squidmesh.testing import VirtualClock
from squidmesh.testing.lease_suite import LeaseBackendSuite, claim, claimed, item
from squidmesh.testing.offer_suite import OfferSuite
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.wakeup_suite import WakeupSuite
from tests.support import redis_topologies as topologies
from tests.support.outside import CERTIFICATE
from tests.support.redis_topologies import CLUSTER_NOW, ClusterClock
from tests.support.redis_users import as_user, permitted
from tests.support.redises import NOW, ServerClock, all_of, left_behind, started
from tests.support.tls_proxy import TlsProxy

Place = tuple[str, Any]
"""A URL, and a client that sees all that is there."""


@contextmanager
def on_a_cluster(kind: str, folder: Path) -> Iterator[Place]:
    with (
        topologies.started_cluster(kind, folder) as servers,
        topologies.cluster_client(servers) as redis,
    ):
        yield servers.url, redis


@contextmanager
def behind_sentinels(kind: str, folder: Path) -> Iterator[Place]:
    with (
        topologies.started_sentinels(kind, folder, replicas=1, sentinels=1) as servers,
        Redis.from_url(servers.primary().url, decode_responses=True) as redis,
    ):
        yield servers.url, redis


@contextmanager
def through_tls(kind: str, folder: Path) -> Iterator[Place]:
    """With a certificate of our own as well."""
    with (
        started(kind, folder) as server,
        TlsProxy(server.port, asks=True) as proxy,
        Redis.from_url(server.url, decode_responses=True) as redis,
    ):
        yield f"rediss://localhost:{proxy.port}/0?ca={CERTIFICATE}&cert={CERTIFICATE}", redis


@contextmanager
def as_a_user(kind: str, folder: Path) -> Iterator[Place]:
    """One that may do no more than it must."""
    with started(kind, folder) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        permitted(redis, keys=["a-test's-clock"])
        yield as_user(server.url), redis


@contextmanager
def as_a_user_of_a_cluster(kind: str, folder: Path) -> Iterator[Place]:
    with on_a_cluster(kind, folder) as (url, redis):
        for node in redis.get_primaries():
            permitted(redis.get_redis_connection(node), keys=topologies.CLOCKS)
        yield as_user(url), redis


PLACES = {
    made.__name__: made for made in (on_a_cluster, behind_sentinels, through_tls, as_a_user, as_a_user_of_a_cluster)
}
QUICK = [("valkey", "on_a_cluster"), ("valkey", "behind_sentinels"), ("redis", "as_a_user"), ("valkey", "as_a_user")]
ALL = [(kind, name) for kind in ("redis", "valkey") for name in PLACES]


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    kind, name = request.param
    with PLACES[name](kind, tmp_path_factory.mktemp(name)) as place:
        yield place


@pytest.fixture
def url(place: Place) -> str:
    return place[0]


@pytest.fixture
def redis(place: Place) -> Any:
    place[1].flushall()
    return place[1]


def is_clustered(url: str) -> bool:
    return "+cluster" in url


@pytest.fixture
def clock(url: str, redis: Any) -> VirtualClock:
    return ClusterClock(redis) if is_clustered(url) else ServerClock(redis)


@pytest.fixture
def opened(url: str, redis: Any, clock: VirtualClock) -> Iterator[RedisBackend]:
    backend = RedisBackend(url, now=CLUSTER_NOW if is_clustered(url) else NOW)
    yield backend
    backend.close()
    assert left_behind(redis) == []


class Fixtures:
    @pytest.fixture
    def clock(self, url, redis):
        return ClusterClock(redis) if is_clustered(url) else ServerClock(redis)


everywhere = pytest.mark.parametrize("place", ALL, indirect=True, scope="module", ids="-".join)


@pytest.mark.all
@everywhere
class TestLeases(Fixtures, LeaseBackendSuite):
    @pytest.fixture
    def plane(self, opened, redis):
        self.redis = redis
        return OfferPlane(opened.leases())

    def stored(self, plane):
        return all_of(self.redis)


@pytest.mark.all
@everywhere
class TestOffers(Fixtures, OfferSuite):
    @pytest.fixture
    def leases(self, opened, redis):
        self.redis = redis
        return opened.leases()

    def forget(self, leases):
        self.redis.flushall()
        self.clock_now.write()

    @pytest.fixture(autouse=True)
    def its_clock(self, clock):
        self.clock_now = clock


@pytest.mark.all
@everywhere
class TestWakeup(WakeupSuite):
    @pytest.fixture
    def backend(self, opened):
        return opened


@pytest.mark.parametrize("place", QUICK, indirect=True, scope="module", ids="-".join)
def test_work_of_many_queues_comes_and_goes(opened, redis):
    """One queue in each third of a Cluster's slots, and what goes from one to another."""
    plane = OfferPlane(opened.leases())
    queues = ["default", "mordor", "shire"]
    assert len({topologies.third(f"{{{queue}}}") for queue in queues}) == 3
    plane.publish(*(item(f"{queue}-{n}", queue=queue) for queue in queues for n in range(3)))

    granted = claim(plane, *queues, limit=9).claims
    assert {one.queue for one in granted} == set(queues)
    follow = [item(f"next-{n}", queue="shire") for n in range(9)]
    plane.leases.settle([Settlement(claim=one, offers=(new,)) for one, new in zip(granted, follow, strict=True)])

    assert [one.queue for one in plane.leases.stats(queues)] == queues
    assert [one.ready for one in plane.leases.stats(queues)] == [0, 0, 9]
    plane.leases.pause("mordor")
    assert plane.leases.paused(queues) == frozenset(["mordor"])
    assert sorted(claimed(claim(plane, *queues, limit=20))) == sorted(one.key for one in follow)
    assert plane.leases.marker() is None
    assert plane.leases.cursor("shire") is None
