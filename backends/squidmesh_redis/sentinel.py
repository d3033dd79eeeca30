"""A primary that is replaced when it is gone: the Sentinels know who it is now.

Who is primary is asked when it is not known: at first, and after a call that got no answer or an answer of a replica.
And before every connection: the driver makes a new one in silence where an old one has ended. And every second: a
primary that was replaced may go on as if nothing had happened until the Sentinels tell it, which takes them some ten
seconds. Nothing is sent again: the caller hears of the call that failed, and his next one goes to whoever is primary
then.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from redis import Connection, Redis
from redis.exceptions import AuthenticationError, RedisError, ResponseError

from squidmesh_redis.address import Address, Node
from squidmesh_redis.faults import Unreached, is_elsewhere, is_unreached
from squidmesh_redis.nodes import Connect, Nodes
from squidmesh_redis.topology import Command, Survey, send_to, tell

ASKED_AGAIN = 1.0
"""Seconds after which a primary may no longer be it."""
_UNHEARD = 10.0
"""Seconds until Sentinels are asked again of which none has answered: meanwhile the primary that is known is used."""


class Sentinels:
    def __init__(self, address: Address, connect: Connect, *, answer_timeout: float | None = None) -> None:
        self._name = address.primary or ""
        self._order = list(address.nodes)
        """Who answered last is asked first."""
        self._sentinels = Nodes(address, connect, sentinel=True)
        self._servers = Nodes(address, connect, answer_timeout=answer_timeout, on_connect=self._require_primary)
        self._replicas = Nodes(address, connect, answer_timeout=answer_timeout)
        self._lock = threading.Lock()
        self._primary: tuple[Node, Redis] | None = None
        self._last: Node | None = None
        self._ask_at = 0.0
        self.generation = 0

    def send(self, commands: Sequence[Command]) -> list[Any]:
        try:
            node, redis = self._found()
        except (RedisError, OSError) as error:
            return [error] * len(commands)
        answers = send_to(redis, commands)
        if any(is_unreached(answer) or is_elsewhere(answer) for answer in answers):
            self._forget(node, redis)
        return answers

    def primaries(self) -> list[tuple[Node, Redis]]:
        return [self._found()]

    def replicas(self) -> list[tuple[Node, Redis]]:
        told = self._ask(lambda redis: tell(redis, "SENTINEL", "REPLICAS", self._name))
        nodes = [Node(one["ip"], int(one["port"])) for one in map(_fields, told)]
        return [(node, self._replicas.client(node)) for node in nodes]

    def groups(self, keys: Sequence[str]) -> list[list[str]]:
        return [list(keys)] if keys else []

    def survey(self) -> Survey:
        node, _ = self._found()
        told: list[str] = []
        troubles: list[str] = []
        for one in self._order:
            try:
                named = self._named_by(one)
            except (RedisError, OSError) as error:
                troubles.append(f"the Sentinel {one} does not answer ({type(error).__name__})")
                continue
            told.append(str(one))
            if named != node:
                troubles.append(f"the Sentinel {one} names {named or 'nobody'}")
        return Survey(
            f"{node} is primary of {self._name}, as {len(told)} of {len(self._order)} Sentinels say", troubles
        )

    def close(self) -> None:
        self._sentinels.close()
        self._servers.close()
        self._replicas.close()

    def _found(self) -> tuple[Node, Redis]:
        with self._lock:
            if self._primary is not None and time.monotonic() >= self._ask_at:
                self._look_again(*self._primary)
            if self._primary is None:
                node = self._named()
                self._primary = node, self._servers.client(node)
                self._ask_at = time.monotonic() + ASKED_AGAIN
                if node != self._last:
                    self._last = node
                    self.generation += 1
            return self._primary

    def _look_again(self, node: Node, redis: Redis) -> None:
        try:
            named = self._named()
        except (RedisError, OSError):
            self._ask_at = time.monotonic() + _UNHEARD
            return
        self._ask_at = time.monotonic() + ASKED_AGAIN
        if named != node:
            self._primary = None
            redis.connection_pool.disconnect(inuse_connections=False)

    def _named(self) -> Node:
        node: Node = self._ask(lambda redis: _node(redis, self._name))
        return node

    def _require_primary(self, node: Node, connection: Connection) -> None:
        """Of a connection that begins. One that is still starting to be primary is none yet."""
        if (named := self._named()) != node:
            raise Unreached(f"{node} is primary no longer: {named} is")
        connection.send_command("ROLE")  # type: ignore[no-untyped-call]
        role = connection.read_response()[0]
        if role != "master":
            raise Unreached(f"{node} is named as the primary, and is {role}")

    def _forget(self, node: Node, redis: Redis) -> None:
        """Its idle connections end: they may lead to a server that stands still, or to what has taken its place."""
        with self._lock:
            if self._primary == (node, redis):
                self._primary = None
        redis.connection_pool.disconnect(inuse_connections=False)

    def _ask(self, question: Callable[[Redis], Any]) -> Any:
        """The first answer. Raises what the first Sentinel that can be reached says, or that none can be."""
        said: RedisError | None = None
        missed: list[str] = []
        last: Exception | None = None
        for sentinel in list(self._order):
            try:
                answer = question(self._sentinels.client(sentinel))
            except (ResponseError, AuthenticationError) as error:
                said = said or error
            except (RedisError, OSError) as error:
                last = error
                missed.append(f"{sentinel} ({type(error).__name__})")
            else:
                self._order = sorted(self._order, key=lambda one: one != sentinel)
                return answer
        raise said or Unreached(f"no Sentinel answers: {', '.join(missed)}") from last

    def _named_by(self, sentinel: Node) -> Node | None:
        try:
            return _node(self._sentinels.client(sentinel), self._name)
        except _Unknown:
            return None


class _Unknown(ResponseError):
    pass


def _node(redis: Redis, name: str) -> Node:
    told = tell(redis, "SENTINEL", "GET-MASTER-ADDR-BY-NAME", name)
    if not told:
        raise _Unknown(f"the Sentinels know no primary {name!r}")
    return Node(told[0], int(told[1]))


def _fields(told: Any) -> dict[str, str]:
    """What a server tells as a map, or as names and values in turns."""
    return told if isinstance(told, dict) else dict(zip(told[::2], told[1::2], strict=True))
