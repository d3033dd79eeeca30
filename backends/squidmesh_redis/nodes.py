"""Connections to single servers: who may be talked to, and the clients that are open."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from typing import Any

from redis import Connection, Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from squidmesh.errors import BackendError
from squidmesh_redis.address import Address, Node
from squidmesh_redis.faults import Unreached

CONNECT_TIMEOUT = 3.0
ANSWER_TIMEOUT = 5.0
"""Seconds. A server that stands still is given up after that; what it was told it may still do later."""
SENTINEL_TIMEOUT = 1.0
"""Seconds. A Sentinel only has to remember: one that takes longer is passed over for the next."""


OnConnect = Callable[[Node, Connection], None]


def open_client(
    address: Address,
    node: Node,
    *,
    answer_timeout: float = ANSWER_TIMEOUT,
    sentinel: bool = False,
    on_connect: OnConnect | None = None,
) -> Redis:
    """Connects when it is first used. Thread-safe. The driver never sends anything again by itself. ``on_connect`` may
    refuse a connection that begins.
    """

    def begin(connection: Connection) -> None:
        connection.on_connect()  # type: ignore[no-untyped-call]
        if on_connect is not None:
            on_connect(node, connection)

    login = address.sentinel_login if sentinel else address.login
    return Redis(
        host=node.host,
        port=node.port,
        db=0 if sentinel else address.database,
        username=login.user,
        password=login.password,
        decode_responses=True,
        socket_connect_timeout=SENTINEL_TIMEOUT if sentinel else CONNECT_TIMEOUT,
        socket_timeout=answer_timeout,
        retry=Retry(NoBackoff(), 0),
        redis_connect_func=None if on_connect is None else begin,  # type: ignore[arg-type]
        **(address.certificates.options() if address.tls else {}),
    )


Connect = Callable[..., Redis]
"""As :func:`open_client`."""


class Nodes:
    """The open clients of an address, one a server. ``sentinel``: these are Sentinels. Thread-safe."""

    def __init__(
        self,
        address: Address,
        connect: Connect,
        *,
        answer_timeout: float | None = None,
        sentinel: bool = False,
        on_connect: OnConnect | None = None,
    ) -> None:
        self._address = address
        self._connect = connect
        self._options: dict[str, Any] = {}
        if sentinel:
            self._options |= {"sentinel": True, "answer_timeout": SENTINEL_TIMEOUT}
        if answer_timeout is not None:
            self._options["answer_timeout"] = answer_timeout
        if on_connect is not None:
            self._options["on_connect"] = on_connect
        self._sentinel = sentinel
        self._open: dict[Node, Redis] = {}
        self._lock = threading.Lock()
        self._closed = False

    def client(self, node: Node) -> Redis:
        """Raises ``BackendError`` where a server was named by another one that the URL would not have been allowed to
        name.
        """
        with self._lock:
            if self._closed:
                raise Unreached("it is closed")
            if node not in self._open:
                self._require_safe(node)
                self._open[node] = self._connect(self._address, node, **self._options)
            return self._open[node]

    def keep(self, nodes: Collection[Node]) -> None:
        """Lets all others go. Who is talking to one of them right now may end that."""
        with self._lock:
            gone = [self._open.pop(node) for node in set(self._open) - set(nodes)]
        for redis in gone:
            redis.connection_pool.disconnect(inuse_connections=False)

    def close(self) -> None:
        with self._lock:
            self._closed = True
            gone = list(self._open.values())
            self._open.clear()
        for redis in gone:
            redis.close()

    def _require_safe(self, node: Node) -> None:
        address = self._address
        if not address.insecure and not address.is_safe(node, sentinel=self._sentinel):
            raise BackendError(
                f"{address.where} names the server {node}, which is not on this machine: without TLS and a password"
                " nothing is told to it. Use rediss and a password in the URL, or ?insecure=1"
            )
