"""What a doctor sees of a server."""

import pytest
from squidmesh_redis import RedisBackend, doctor

from squidmesh.clock import Instant
from squidmesh.errors import UsageError
from tests.support.redises import started


def told(backend, name, **asked):
    (found,) = [one for one in backend.doctor(**asked) if one.name == f"redis.{name}"]
    return found.level, found.found


def now_of(redis):
    seconds, micros = redis.time()
    return seconds * 1_000_000 + micros


def test_a_server_that_is_well(backend, redis):
    found = backend.doctor(now=Instant(now_of(redis)))
    assert {one.name.removeprefix("redis."): one.level for one in found} == dict.fromkeys(
        ("transport", "topology", "server", "role", "replicas", "eviction", "memory", "persistence", "clock"), "ok"
    )
    assert redis.dbsize() == 0, "nothing was written"


def test_the_clock_is_compared_where_the_journals_is_known(backend, redis):
    assert "redis.clock" not in {one.name for one in backend.doctor()}
    for apart, side in ((5, "behind"), (-5, "ahead of")):
        level, found = told(backend, "clock", now=Instant(now_of(redis) + apart * 1_000_000))
        assert (level, side in found) == ("warning", True)


def test_a_server_that_throws_keys_away(server, redis):
    redis.config_set("maxmemory-policy", "allkeys-lru")
    try:
        assert told(RedisBackend(server.url), "eviction") == ("refused", "allkeys-lru")
        assert told(RedisBackend(f"{server.url}?evicts=1"), "eviction")[0] == "warning"
    finally:
        redis.config_set("maxmemory-policy", "noeviction")


def test_a_server_that_is_nearly_full(backend, redis):
    redis.config_set("maxmemory", redis.info("memory")["used_memory"])
    try:
        level, found = told(backend, "memory")
    finally:
        redis.config_set("maxmemory", 0)
    assert (level, " of " in found) == ("warning", True)


def test_a_server_that_asks_for_a_password(backend, redis, server):
    redis.config_set("requirepass", "mellon")
    try:
        level, found = told(backend, "server")
        with_password = RedisBackend(server.url.replace("redis://", "redis://:mellon@"))
        assert {one.level for one in with_password.doctor()} == {"ok"}
        assert "mellon" not in str(with_password.doctor())
        wrong = RedisBackend(server.url.replace("redis://", "redis://:secretword@")).doctor()
    finally:
        redis.config_set("requirepass", "")
    assert (level, "refuses this user" in found or "answers with an error" in found) == ("refused", True)
    assert "refused" in {one.level for one in wrong}
    assert "secretword" not in str(wrong)


def test_a_replica(backend, redis):
    redis.replicaof("localhost", 1)
    try:
        assert told(backend, "role") == ("refused", "slave")
    finally:
        redis.replicaof("no", "one")


def test_a_server_that_is_gone(tmp_path):
    with started("valkey", tmp_path) as server:
        backend = RedisBackend(server.url)
    (transport, gone) = backend.doctor()
    assert (transport.level, gone.name, gone.level) == ("ok", "redis.server", "refused")
    assert "can not be reached" in gone.found


@pytest.mark.parametrize(
    ("saved", "level", "found"),
    [
        ({"aof_enabled": 1, "rdb_last_save_time": 5}, "ok", "append-only file and snapshots"),
        ({"aof_enabled": 0}, "ok", "nothing is saved"),
        ({"rdb_last_save_time": 5, "rdb_last_bgsave_status": "err"}, "warning", "snapshots; failed: rdb_last_bgsave"),
    ],
)
def test_what_a_server_saves(saved, level, found):
    told = doctor._persistence(saved)
    assert told.level == level
    assert told.found.startswith(found)


def test_a_server_that_is_too_old():
    assert doctor._server({"redis_version": "6.0.16"}, "redis://x").level == "refused"
    assert doctor._server({"redis_version": "6.2.0"}, "redis://x").level == "ok"
    assert "Valkey 8.1" in doctor._server({"redis_version": "7.2.4", "valkey_version": "8.1"}, "redis://x").found


def test_a_server_elsewhere_without_tls_is_told(backend):
    here, there = (doctor._transport("redis://example.org:6379", safe) for safe in (True, False))
    assert (here.level, there.level) == ("ok", "warning")
    assert RedisBackend("redis://example.org?insecure=1").address.safe is False
    assert RedisBackend("rediss://u:p@example.org").address.safe is True


def test_what_only_reads_is_closed_again(backend):
    with backend.reading() as reading:
        assert reading.journal is None
        assert reading.leases.marker() is None
    with pytest.raises(UsageError, match="closed"):
        reading.leases.marker()
