"""Every value that a Redis holds, as it is: what is searched for secrets (I19)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from redis import Redis
from redis.cluster import ClusterNode, RedisCluster

_PAGE = 1000


def is_redis(url: str) -> bool:
    return url.startswith(("redis://", "rediss://", "redis+cluster://", "rediss+cluster://"))


def values_of(url: str) -> Iterator[tuple[str, bytes]]:
    """By ``key NAME``, of every key of that database, its name and all that is in it. One key is held at a time."""
    with _connected(url) as client:
        for key in client.scan_iter(count=_PAGE):
            read = _READ.get(client.type(key).decode())
            held = key if read is None else key + b"\0" + read(client, key)
            yield f"key {key.decode(errors='replace')}", held


def _connected(url: str) -> Any:
    plain = url.partition("?")[0].replace("+cluster", "")  # what stands behind the question mark is ours
    if "+cluster" not in url:
        return Redis.from_url(plain)
    first, others = one_by_one(plain)
    return RedisCluster.from_url(first, startup_nodes=[_node(*other) for other in others])


def _node(host: str, port: int) -> ClusterNode:
    return ClusterNode(host, port)  # type: ignore[no-untyped-call]


def one_by_one(url: str) -> tuple[str, list[tuple[str, int]]]:
    """The address with the first of its nodes alone, which is what redis-py reads, and the other nodes."""
    scheme, _, rest = url.partition("://")
    place, slash, path = rest.partition("/")
    login, at, nodes = place.rpartition("@")
    first, *others = nodes.split(",")
    known = [urlsplit(f"//{node}") for node in others]
    return f"{scheme}://{login}{at}{first}{slash}{path}", [
        (node.hostname or "localhost", node.port or 6379) for node in known
    ]


def _joined(found: Any) -> bytes:
    if isinstance(found, bytes):
        return found
    if isinstance(found, dict):
        return b"\0".join(part for pair in found.items() for part in pair)
    return b"\0".join(part if isinstance(part, bytes) else str(part).encode() for one in found for part in _flat(one))


def _flat(one: Any) -> Iterator[Any]:
    if isinstance(one, list | tuple):
        for part in one:
            yield from _flat(part)
    elif isinstance(one, dict):
        for pair in one.items():
            yield from pair
    else:
        yield one


_READ: dict[str, Callable[[Any, bytes], bytes]] = {
    "string": lambda client, key: _joined(client.get(key) or b""),
    "hash": lambda client, key: _joined(client.hgetall(key)),
    "list": lambda client, key: _joined(client.lrange(key, 0, -1)),
    "set": lambda client, key: _joined(client.smembers(key)),
    "zset": lambda client, key: _joined(client.zrange(key, 0, -1)),
    "stream": lambda client, key: _joined(client.xrange(key)),
}
