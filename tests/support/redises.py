"""Redis servers as the tests want them: with a clock that a test moves, and with an eye on what is left behind."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from squidmesh.testing import VirtualClock
from squidmesh.testing.processes import NoServer
from squidmesh.testing.servers import Server

CLOCK = "a-test's-clock"
NOW = f"""
local function now()
  return tonumber(redis.call('GET', "{CLOCK}"))
end
"""
MARKER = "squidmesh:mesh"
_OURS = re.compile(r"squidmesh:\{(?:[A-Za-z0-9._-]+(?:/\d+\.\d+)?|index:\d)\}:([a-z]+)(?::[0-9a-f]+|:none)?")
STAYS = {"life"}
"""One small hash a queue, for ever: what the queue's memory knows about itself."""


@contextmanager
def started(
    kind: str, folder: Path, *, aof: bool = False, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Fails in one line where there is no such server; Valkey stands for Redis where only Redis is missing."""
    try:
        server = Server(kind, folder, aof=aof, environment=environment)
    except NoServer as missing:
        if kind == "redis":
            pytest.skip(f"{missing}; Valkey stands for it")
        pytest.fail(str(missing), pytrace=False)
    with server:
        yield server


class ServerClock(VirtualClock):
    """A virtual clock that the scripts read from the server."""

    def __init__(self, redis: Any) -> None:
        super().__init__()
        self._redis = redis
        self.write()

    def advance(self, by):
        super().advance(by)
        self.write()

    def write(self) -> None:
        self._redis.set(CLOCK, self.now())


def all_of(redis: Any) -> str:
    """Everything in the database, keys and values, as text."""
    found = []
    for key in sorted(redis.scan_iter(count=1000)):
        kind = redis.type(key)
        found.append(key)
        found.append(
            {
                "string": lambda key: redis.get(key),
                "list": lambda key: redis.lrange(key, 0, -1),
                "hash": lambda key: redis.hgetall(key),
                "zset": lambda key: redis.zrange(key, 0, -1, withscores=True),
                "none": lambda key: "it has just expired",
            }[kind](key)
        )
    return "\n".join(map(str, found))


def left_behind(redis: Any) -> list[str]:
    """What is wrong with the keys that are there: a foreign name, or one that nothing would ever remove."""
    wrong = []
    for key in redis.scan_iter(count=1000):
        if key == MARKER or key.startswith(CLOCK):
            continue
        match = _OURS.fullmatch(key)
        if match is None:
            wrong.append(f"{key}: no key of a queue")
        elif match[1] in ("request", "buried", "older", "hints", "wanted") and redis.ttl(key) == -1:
            wrong.append(f"{key}: stays for ever")
    return wrong + _inconsistent(redis)


def _inconsistent(redis: Any) -> list[str]:
    """Each item stands in one place, each place has its item, and the leases of a concurrency key are counted right."""
    wrong = []
    for life in redis.scan_iter("squidmesh:{*}:life"):
        queue = life.removesuffix(":life")
        items = redis.hgetall(f"{queue}:items")
        leased = redis.zrange(f"{queue}:leased", 0, -1)
        waiting = [member.split(" ")[-1] for member in redis.zrange(f"{queue}:waiting", 0, -1)]
        ready = [member[7:] for p in range(10) for member in redis.zrange(f"{queue}:ready:{p}", 0, -1)]
        if sorted([*leased, *waiting, *ready]) != sorted(items):
            wrong.append(f"{queue}: {len(items)} items in {len(leased)} + {len(waiting)} + {len(ready)} places")
        groups = [group for key in leased if (group := items.get(key, "||").split("|")[1].split(" ")[0])]
        counted = {group: groups.count(group) for group in groups}
        if {group: int(count) for group, count in redis.hgetall(f"{queue}:busy").items()} != counted:
            wrong.append(f"{queue}: busy is {redis.hgetall(f'{queue}:busy')}, but there are {counted}")
    return wrong
