"""Servers that are full, frozen, gone, misconfigured or emptied."""

from datetime import timedelta

import pytest
from redis import Redis
from squidmesh_redis import RedisBackend

from squidmesh.errors import BackendError, BackendUnavailable
from squidmesh.ports.lease_backend import Beat, Release, Settlement
from squidmesh.testing.lease_suite import LEASE, claim, claim_one, claimed, item, keys
from squidmesh.testing.planes import OfferPlane
from tests.support.redises import left_behind, started


@pytest.fixture
def plane(leases):
    return OfferPlane(leases)


@pytest.fixture
def full(redis):
    """Fills the server up; it takes nothing that would need more memory."""

    def fill() -> None:
        redis.config_set("maxmemory", 1)

    yield fill
    redis.config_set("maxmemory", 0)


def test_out_of_memory_work_ends_and_none_comes(plane, full, redis):
    plane.publish(*(item(f"orc-{n}") for n in range(6)), item("ring", delay=LEASE))
    first, second, third, *_ = claim(plane, limit=3).claims
    full()

    with pytest.raises(BackendUnavailable, match="out of memory"):
        plane.publish(item("late"))
    assert plane.leases.heartbeat([first, second, third]) == [Beat.EXTENDED] * 3
    plane.settle(Settlement(claim=first, offers=(item("next"),)))
    plane.leases.release([Release(claim=second)])
    plane.leases.shelve([third])
    assert len(claim(plane, limit=2).claims) == 2
    assert {one.key for one in plane.leases.items("default").items} >= {*keys("next")}
    assert plane.leases.missing([item("late")]) == keys("late"), "nothing came half"
    assert left_behind(redis) == []


def test_out_of_memory_what_goes_to_another_queue_waits_and_the_rest_is_settled(plane, full):
    plane.publish(item("ring"))
    granted = claim_one(plane)
    full()

    with pytest.raises(BackendUnavailable, match="out of memory"):
        plane.settle(Settlement(claim=granted, offers=(item("next", queue="mordor"),)))

    assert plane.leases.heartbeat([granted]) == [Beat.GONE]
    assert plane.leases.missing([item("next", queue="mordor")]) == keys("next")


def test_a_server_that_evicts_is_refused_at_the_first_claim(server, redis):
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        refused, accepted = RedisBackend(server.url), RedisBackend(f"{server.url}?evicts=1")
        refused.leases().offer([item("ring")])
        with pytest.raises(BackendError, match=r"allkeys-lru.*noeviction.*\?evicts=1") as error:
            claim(OfferPlane(refused.leases()))
        assert not isinstance(error.value, BackendUnavailable)
        assert claimed(claim(OfferPlane(accepted.leases()))) == keys("ring")
        with pytest.raises(BackendError, match="noeviction"):
            refused.leases().check()
    finally:
        redis.config_set("maxmemory-policy", "noeviction")
        refused.close()
        accepted.close()


def test_a_server_that_is_too_old_is_refused(leases, monkeypatch):
    monkeypatch.setattr(Redis, "info", lambda self, section: {"redis_version": "6.0.16"})
    with pytest.raises(BackendError, match=r"version 6\.0\.16; allowed is 6\.2 and newer"):
        leases.check()


def test_a_replica_and_a_primary_without_one_are_waited_for(plane, redis):
    """Also where an old server tells it with a script's words around it."""
    redis.config_set("min-replicas-to-write", 1)
    try:
        with pytest.raises(BackendUnavailable, match="Not enough good replicas"):
            plane.publish(item("ring"))
    finally:
        redis.config_set("min-replicas-to-write", 0)
    redis.replicaof("127.0.0.1", 1)
    try:
        with pytest.raises(BackendUnavailable, match="read only replica"):
            plane.publish(item("ring"))
    finally:
        redis.replicaof("no", "one")
    plane.publish(item("ring"))


def test_another_process_on_the_server_spoils_nothing(leases, redis):
    redis.set("squidmesh:{default}:items", "no hash at all")
    with pytest.raises(BackendError, match="WRONGTYPE"):
        leases.offer([item("ring")])


@pytest.mark.parametrize("kind", ["redis", "valkey"])
class TestServer:
    """With servers of their own, since they do not survive it."""

    @pytest.fixture
    def server(self, kind, tmp_path):
        with started(kind, tmp_path) as server:
            yield server

    @pytest.fixture
    def plane(self, server):
        backend = RedisBackend(server.url)
        yield OfferPlane(backend.leases())
        backend.close()

    def test_a_server_that_is_gone_is_unavailable_until_it_is_back(self, plane, server):
        plane.publish(item("ring"))
        granted = claim_one(plane)
        server.kill()
        for call in (
            lambda: plane.publish(item("ring")),
            lambda: claim(plane),
            lambda: claim(plane, "default", "mordor"),
            lambda: plane.leases.heartbeat([granted]),
            lambda: plane.leases.paused(["default"]),
            lambda: plane.leases.cursor("default"),
        ):
            with pytest.raises(BackendUnavailable, match="can not be reached"):
                call()

        server.start()

        assert plane.leases.heartbeat([granted]) == [Beat.FORGOTTEN]
        assert plane.leases.adopt([granted]) == [Beat.EXTENDED]

    def test_a_frozen_server_is_given_up_and_does_later_what_it_was_told(self, kind, server):
        backend = RedisBackend(server.url, answer_timeout=0.3)
        plane = OfferPlane(backend.leases())
        plane.publish(item("ring"), item("lembas"))
        claim(plane, "elsewhere")
        server.freeze()
        with pytest.raises(BackendUnavailable):
            claim(plane, limit=1, request="r")
        server.resume()

        (again,) = claim(plane, limit=1, request="r").claims

        assert again.fence == 1, "the answer was lost; the claim was not, and not made twice"
        assert len(claim(plane, limit=2).claims) == 1
        backend.close()


class TestPersistence:
    def test_what_was_written_is_there_after_a_crash(self, tmp_path):
        with started("valkey", tmp_path, aof=True) as server:
            backend = RedisBackend(server.url)
            plane = OfferPlane(backend.leases())
            plane.publish(item("ring"), item("lembas"))
            granted = claim(plane, limit=1, lease=timedelta(minutes=5)).claims[0]
            server.kill()
            server.start()

            assert plane.leases.heartbeat([granted]) == [Beat.EXTENDED]
            assert claimed(claim(plane)) == keys("lembas")
            backend.close()
