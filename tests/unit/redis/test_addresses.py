"""Which URLs are taken, what the driver gets of them, and what people see."""

import pytest
from squidmesh_redis import RedisBackend
from squidmesh_redis.connect import Address

from squidmesh import Mesh
from squidmesh.errors import InvalidUrl
from squidmesh.runtime.backends import open_backend
from squidmesh.testing import VirtualClock


@pytest.mark.parametrize(
    ("url", "driver", "where"),
    [
        ("redis://localhost", "redis://localhost", "redis://localhost:6379"),
        ("redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3", "redis://127.0.0.1:7000/3"),
        ("redis://[::1]:7000/0?prefix=mine", "redis://[::1]:7000/0", "redis://::1:7000/0"),
        ("redis://sam:potato@localhost", "redis://sam:potato@localhost", "redis://localhost:6379"),
        ("rediss://sam:potato@mordor:7000", "rediss://sam:potato@mordor:7000", "rediss://mordor:7000"),
        ("redis://mordor/0?insecure=1&evicts=1", "redis://mordor/0", "redis://mordor:6379/0"),
    ],
)
def test_an_address_is_taken_apart(url, driver, where):
    address = Address(url)
    assert (address.url, address.where) == (driver, where)


@pytest.mark.parametrize(
    ("url", "why"),
    [
        ("http://localhost", "does not begin with"),
        ("redis://", "names no host"),
        ("redis:///0", "names no host"),
        ("redis://localhost:port", "can not be read"),
        ("redis://localhost/leases", "number of a database"),
        ("redis://localhost?db=1", "sets 'db'"),
        ("redis://localhost?evicts=yes", "evicts is 0 or 1"),
        ("redis://localhost?prefix=a%20b", "prefix is no identifier"),
        ("redis://sam:potato@mordor", "needs rediss:// and a password"),
        ("rediss://mordor", "needs rediss:// and a password"),
        ("redis://10.0.0.1", "needs rediss:// and a password"),
    ],
)
def test_an_address_that_is_refused_says_why_and_hides_the_password(url, why):
    with pytest.raises(InvalidUrl, match=why) as refused:
        RedisBackend(url)
    assert "potato" not in str(refused.value)


@pytest.mark.parametrize("url", ["redis://localhost", "rediss://localhost"])
def test_both_schemes_are_found(url):
    backend = open_backend(url, clock=VirtualClock())
    assert isinstance(backend, RedisBackend)


def test_there_is_no_journal_in_redis():
    with Mesh.connect("redis://localhost") as mesh, pytest.raises(InvalidUrl, match="not journals"):
        mesh.list_runs()


def test_meshes_that_share_a_server_are_kept_apart(server, redis):
    one, other = (RedisBackend(f"{server.url}?prefix={prefix}") for prefix in ("one", "other"))
    one.leases().pause("default")
    assert other.leases().paused(["default"]) == frozenset()
    assert redis.keys() == ["one:{default}:life"]
    one.close()
    other.close()
