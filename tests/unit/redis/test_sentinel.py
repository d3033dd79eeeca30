"""A primary that Sentinels name: another one takes its place, some Sentinels are gone, and some ask for a password."""

import threading
import time
from contextlib import suppress

import pytest
from redis import Redis
from squidmesh_redis import RedisBackend

from squidmesh.errors import BackendError, BackendUnavailable
from squidmesh.testing.lease_suite import claim, claimed, item, keys
from squidmesh.testing.planes import OfferPlane
from squidmesh.testing.processes import free_port
from squidmesh.testing.wakeup_suite import AGES
from tests.support.redis_topologies import started_sentinels
from tests.support.redis_users import PASSWORD, USER, permitted


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    with started_sentinels("valkey", tmp_path_factory.mktemp("sentinels"), replicas=1, sentinels=1) as servers:
        yield servers


@pytest.fixture
def sentinel(servers):
    with Redis(port=servers.sentinels[0].port, decode_responses=True) as client:
        yield client


@pytest.fixture
def backend(servers):
    backend = RedisBackend(servers.url)
    yield backend
    backend.close()


def found(backend, name):
    (one,) = [one for one in backend.doctor() if one.name == f"redis.{name}"]
    return one.level, one.found


def test_a_name_that_no_sentinel_knows(servers):
    backend = RedisBackend(servers.url.replace("/mesh", "/mash"))
    with pytest.raises(BackendError, match="the Sentinels know no primary 'mash'") as error:
        backend.leases().check()
    assert not isinstance(error.value, BackendUnavailable)
    backend.close()


def test_sentinels_that_are_gone(servers, backend):
    gone = free_port()
    most = RedisBackend(servers.url.replace("://", f"://127.0.0.1:{gone},"))
    most.leases().check()
    assert found(most, "topology")[0] == "warning"
    assert f"the Sentinel 127.0.0.1:{gone} does not answer" in found(most, "topology")[1]
    all_ = RedisBackend(f"redis+sentinel://127.0.0.1:{gone}/mesh")
    with pytest.raises(BackendUnavailable, match=rf"no Sentinel answers: 127\.0\.0\.1:{gone} \(ConnectionError\)"):
        all_.leases().check()
    most.close()
    all_.close()


def test_the_doctor_tells_who_is_there_and_what_is_advised(servers, backend):
    primary = servers.primary()
    assert found(backend, "topology") == ("ok", f"127.0.0.1:{primary.port} is primary of mesh, as 1 of 1 Sentinels say")
    assert found(backend, "replicas") == ("warning", "1 replica, and min-replicas-to-write is not set")
    assert found(backend, "replica.link") == ("ok", "the link to its primary is up")
    with Redis(port=primary.port) as redis:
        redis.config_set("min-replicas-to-write", 1)
        try:
            assert found(backend, "replicas")[0] == "ok"
        finally:
            redis.config_set("min-replicas-to-write", 0)


def test_a_primary_elsewhere_is_told_nothing_without_tls(servers, sentinel):
    sentinel.execute_command("SENTINEL", "MONITOR", "far", "192.0.2.7", "6379", "1")
    backend = RedisBackend(servers.url.replace("/mesh", "/far"))
    try:
        with pytest.raises(BackendError, match=r"names the server 192\.0\.2\.7:6379, which is not on this machine"):
            backend.leases().check()
    finally:
        sentinel.execute_command("SENTINEL", "REMOVE", "far")
        backend.close()


def test_a_sentinel_is_no_server(servers):
    backend = RedisBackend(servers.sentinels[0].url)
    with pytest.raises(BackendError, match=r"is a Sentinel: its URL begins with redis\+sentinel://"):
        backend.leases().check()
    backend.close()


def test_sentinels_have_users_of_their_own(servers, sentinel):
    permitted(sentinel, file="sentinel-users.acl")
    sentinel.execute_command("ACL", "SETUSER", "default", "resetpass", ">secretword")
    try:
        without, wrong, right = (
            RedisBackend(f"{servers.url}{asked}")
            for asked in (
                "",
                "?sentinel_password=potato",
                f"?sentinel_user={USER}&sentinel_password={PASSWORD}",
            )
        )
        for refused in (without, wrong):
            with pytest.raises(BackendError, match="refuses this user") as error:
                refused.leases().check()
            assert not isinstance(error.value, BackendUnavailable)
            assert "potato" not in f"{error.value}{refused.doctor()}"
        right.leases().check()
        assert found(right, "topology")[0] == "ok"
    finally:
        with Redis(port=servers.sentinels[0].port, password="secretword") as client:
            client.execute_command("ACL", "SETUSER", "default", "nopass")


def test_another_primary_is_found_and_sleepers_are_woken_from_it(servers, backend):
    """The old one still takes commands: only the Sentinels know better. It stands last: another primary stays."""
    plane = OfferPlane(backend.leases())
    plane.publish(item("ring"))
    assert claimed(claim(plane)) == keys("ring")
    wakeup = RedisBackend(servers.url).wakeup(["default"])
    sleeper = threading.Thread(target=wakeup.wait, args=(AGES,), daemon=True)
    sleeper.start()
    old = servers.primary()

    new = servers.fail_over()

    ends = time.monotonic() + 10
    with Redis(port=new.port, decode_responses=True) as redis:
        while not redis.hexists("squidmesh:{default}:items", keys("lembas")[0]):
            assert time.monotonic() < ends
            with suppress(BackendUnavailable):  # who calls in between hears of it
                plane.publish(item("lembas"))
            time.sleep(0.02)
    assert old.answers("ROLE")[0] == "master"
    sleeper.join(10)
    assert not sleeper.is_alive()
    wakeup.close()
