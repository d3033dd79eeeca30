"""The user of users.acl may do what we do, with our keys, and nothing else."""

import re
from importlib import resources

import pytest
from redis import Redis
from redis.exceptions import NoPermissionError
from squidmesh_redis import RedisBackend

from squidmesh.errors import BackendError, BackendUnavailable
from squidmesh.testing.lease_suite import item
from squidmesh.testing.servers import Server
from tests.support.redis_users import PASSWORD, USER, as_user, permitted, rules

OURS = {"EVAL", "EVALSHA", "INFO", "TIME", "ROLE", "SELECT", "ASKING", "CLUSTER|SLOTS"}
"""What is asked of servers beside what the modules say of keys."""
_IN_LUA = re.compile(r"(?:redis\.)?\bcall(?:_for_all)?\('([A-Z]+)'")
_IN_PYTHON = re.compile(r"(?:\.ask|Command|_ask)\([^\"\n(]*\(?\"([A-Z]{3,})\"")


@pytest.fixture
def user(server, redis):
    permitted(redis)
    with Redis.from_url(as_user(server.url), decode_responses=True) as client:
        yield client


def test_exactly_the_commands_that_are_used_are_permitted():
    folder = resources.files("squidmesh_redis")
    lua = [file.read_text("utf-8") for file in (folder / "lua").iterdir()]
    python = [file.read_text("utf-8") for file in folder.iterdir() if file.name.endswith(".py")]
    used = {found for text in lua for found in _IN_LUA.findall(text)}
    used |= {found for text in python for found in _IN_PYTHON.findall(text)}
    permitted = {word[1:].upper() for word in rules() if word.startswith("+")}
    assert permitted == used | OURS


@pytest.mark.parametrize(
    "words",
    [
        ["GET", "other:{default}:items"],
        ["SET", "squidmes:x", "1"],
        ["EVAL", "return redis.call('GET', KEYS[1])", "1", "other"],
        ["EVAL", "return redis.call('FLUSHALL')", "0"],
        ["FLUSHALL"],
        ["KEYS", "*"],
        ["CONFIG", "GET", "*"],
        ["ACL", "LIST"],
        ["SCRIPT", "FLUSH"],
        ["CLUSTER", "RESET"],
        ["PUBLISH", "x", "y"],
    ],
    ids=" ".join,
)
def test_foreign_keys_and_commands_are_refused(user, words):
    with pytest.raises(Exception, match=r"(?i)permission|NOPERM|can't run this command|ACL") as refused:
        user.execute_command(*words)
    assert type(refused.value).__name__ in ("NoPermissionError", "ResponseError")


def test_who_may_not_is_told_so_and_does_not_wait(server, redis):
    permitted(redis)
    backend = RedisBackend(f"{as_user(server.url)}?prefix=other")
    with pytest.raises(BackendError, match="refuses this user") as error:
        backend.leases().offer([item("ring")])
    assert not isinstance(error.value, BackendUnavailable)
    assert PASSWORD not in str(error.value)
    backend.close()


@pytest.mark.parametrize("kind", ["redis", "valkey"])
def test_a_server_starts_with_the_file(kind, tmp_path):
    file = tmp_path / "users.acl"
    file.write_text((resources.files("squidmesh_redis") / "users.acl").read_text("utf-8").replace("PASSWORD", PASSWORD))
    with Server(kind, tmp_path, settings=[("aclfile", str(file))]) as server:
        backend = RedisBackend(as_user(server.url))
        backend.leases().check()
        assert {one.level for one in backend.doctor()} == {"ok"}
        backend.close()
        with Redis(port=server.port, username=USER, password=PASSWORD) as client, pytest.raises(NoPermissionError):
            client.flushall()
