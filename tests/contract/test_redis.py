"""The Redis backend keeps every promise of the suites: on Redis, on Valkey, and where it can on fakeredis.

The servers are real, their clock is not: the script that reads it is exchanged for one that reads a key, which the
suites' virtual clock writes. Everything else is what runs in production. The server's own clock is tried in
tests/unit/redis.
"""

from collections.abc import Iterator

import pytest
from fakeredis import FakeRedis, FakeServer
from redis import Redis
from squidmesh_redis import RedisBackend

from squidmesh.testing import VirtualClock
from squidmesh.testing.due_queues_suite import DueQueuesSuite
from squidmesh.testing.lease_suite import LeaseBackendSuite
from squidmesh.testing.offer_suite import OfferSuite
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.servers import Server
from squidmesh.testing.wakeup_suite import WakeupSuite
from tests.support.redises import CLOCK, NOW, ServerClock, all_of, left_behind, started


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def redis(server: Server) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client


@pytest.fixture
def clock(redis: Redis) -> VirtualClock:
    return ServerClock(redis)


@pytest.fixture
def opened(server: Server, redis: Redis, clock: VirtualClock) -> Iterator[RedisBackend]:
    backend = RedisBackend(server.url, now=NOW)
    yield backend
    backend.close()
    assert left_behind(redis) == []


class OnServer:
    """Fixtures of the suites, on the servers."""

    @pytest.fixture
    def clock(self, redis: Redis) -> VirtualClock:
        return ServerClock(redis)


class TestLeases(OnServer, LeaseBackendSuite):
    @pytest.fixture
    def plane(self, opened, redis):
        self.redis = redis
        return OfferPlane(opened.leases())

    def stored(self, plane):
        return all_of(self.redis)


class TestDueQueues(OnServer, DueQueuesSuite):
    @pytest.fixture
    def plane(self, opened):
        return OfferPlane(opened.leases())


class TestOffers(OnServer, OfferSuite):
    @pytest.fixture
    def leases(self, opened, redis):
        self.redis = redis
        return opened.leases()

    def forget(self, leases):
        time = self.redis.get(CLOCK)
        self.redis.flushall()
        self.redis.set(CLOCK, time)


class TestWakeup(WakeupSuite):
    @pytest.fixture
    def backend(self, opened):
        return opened


class OnFake:
    """Fixtures of the suites, on a stand-in without a server: a new one for each test, since one script that goes wrong
    spoils the next. It knows no INFO.
    """

    @pytest.fixture
    def redis(self):
        return FakeRedis(server=FakeServer(), decode_responses=True)

    @pytest.fixture
    def clock(self, redis):
        return ServerClock(redis)

    @pytest.fixture
    def opened(self, redis, clock):
        backend = RedisBackend(
            "redis://localhost",
            now=NOW,
            checked=False,
            connect=lambda address, node, **options: FakeRedis(connection_pool=redis.connection_pool),
        )
        yield backend
        assert left_behind(redis) == []


class TestFakeLeases(OnFake, TestLeases):
    pass


class TestFakeDueQueues(OnFake, TestDueQueues):
    pass


class TestFakeOffers(OnFake, TestOffers):
    pass


class InLanes:
    """With the queues of the suites in lanes."""

    @pytest.fixture
    def opened(self, server, redis, clock):
        backend = RedisBackend(f"{server.url}?shards=default:3,mordor:2&shards=q-1:2,tenant-007:8", now=NOW)
        yield backend
        backend.close()
        assert left_behind(redis) == []


class TestLeasesInLanes(InLanes, TestLeases):
    """What is None here is said of one lane: order, and the name of its life. tests/unit/redis/test_lanes.py tries it
    there.
    """

    test_order_is_priority_then_visibility_then_arrival = None  # type: ignore[assignment]
    test_an_item_whose_lease_ended_goes_back_to_its_place = None  # type: ignore[assignment]
    test_no_more_than_the_limit_is_granted = None  # type: ignore[assignment]
    test_no_more_leases_live_at_once_than_the_limit_of_their_key = None  # type: ignore[assignment]
    test_claim_ids_are_the_request_id_and_a_number = None  # type: ignore[assignment]
    test_an_unknown_item_is_gone = None  # type: ignore[assignment]


class TestOffersInLanes(InLanes, TestOffers):
    """What is None here is said of one lane: how long its tombstones last, which its own leases tell; and of an item
    that is offered with another concurrency key than before, which no attempt is.
    """

    test_an_adopted_lease_stands_above_an_older_offer = None  # type: ignore[assignment]
    test_an_item_is_dropped_as_it_was_seen = None  # type: ignore[assignment]


class TestDueQueuesInLanes(InLanes, TestDueQueues):
    pass
