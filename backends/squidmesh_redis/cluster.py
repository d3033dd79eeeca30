"""A Cluster: each slot has its node, and nodes say when it has another.

MOVED and ASK are followed at once: whoever answers so has carried nothing out. Any other trouble is the caller's to
hear of, and the map of slots is read anew before the next command. While a slot is on its way from one node to another,
its queues answer TRYAGAIN, and wait.

A node that stands still costs a call its whole patience. So from then on it is looked at first, now and then and with
less patience, and its commands get no answer at once: the queues of the others do not wait for it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from typing import Any

from redis import Redis
from redis.exceptions import (
    AskError,
    AuthenticationError,
    ClusterDownError,
    MovedError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import TimeoutError as RedisTimeoutError

from squidmesh_redis.address import Address, Node
from squidmesh_redis.faults import Unreached, is_elsewhere, is_unreached
from squidmesh_redis.nodes import Connect, Nodes
from squidmesh_redis.slots import SLOTS, SlotMap, slot_of
from squidmesh_redis.topology import Command, Survey, send_to, tell

_LOOKED_AT = 2.0
"""Seconds from one look at a node that stands still to the next."""
_GLANCE = 0.5
"""Seconds that such a look waits for an answer."""
_HOPS = 5
"""How often one command is sent on."""
_Way = tuple[Node, bool]
"""To which node, and whether it has to be told ASKING."""


class Cluster:
    def __init__(self, address: Address, connect: Connect, *, answer_timeout: float | None = None) -> None:
        self._seeds = address.nodes
        self._nodes = Nodes(address, connect, answer_timeout=answer_timeout)
        self._glances = Nodes(address, connect, answer_timeout=min(_GLANCE, answer_timeout or _GLANCE))
        self._still: dict[Node, float] = {}
        """Nodes that stood still when they were last asked, and when to look at them again."""
        self._lock = threading.Lock()
        self._map = SlotMap()
        self._is_stale = True
        self._reads = 0
        self._silent: set[Node] = set()
        """Who gave no answer when it was last asked."""
        self.generation = 0

    def send(self, commands: Sequence[Command]) -> list[Any]:
        try:
            slots = self._slots()
        except (RedisError, OSError) as error:
            return [error] * len(commands)
        answers: list[Any] = [None] * len(commands)
        ways: dict[int, _Way] = {}
        for place, command in enumerate(commands):
            holder = slots.holder(slot := slot_of(command.key))
            if holder is None:
                answers[place] = ClusterDownError(f"no node holds slot {slot}")
                self._is_stale = True
            else:
                ways[place] = holder, False
        for _ in range(_HOPS):
            ways = dict(self._follow(commands, answers, ways))
            if not ways:
                return answers
        for place in ways:
            answers[place] = TryAgainError(f"sent on {_HOPS} times, at last with: {answers[place]}")
        return answers

    def primaries(self) -> list[tuple[Node, Redis]]:
        return [(node, self._nodes.client(node)) for node in self._slots().primaries]

    def replicas(self) -> list[tuple[Node, Redis]]:
        found = [node for nodes in self._slots().replicas_of.values() for node in nodes]
        return [(node, self._nodes.client(node)) for node in found]

    def groups(self, keys: Sequence[str]) -> list[list[str]]:
        found: dict[int, list[str]] = {}
        for key in keys:
            found.setdefault(slot_of(key), []).append(key)
        return list(found.values())

    def survey(self) -> Survey:
        slots = self._slots()
        troubles = [f"{node} has no replica" for node, replicas in slots.replicas_of.items() if not replicas]
        if slots.unserved:
            troubles.insert(0, f"{slots.unserved} of {SLOTS} slots are held by nobody")
        replicas = sum(map(len, slots.replicas_of.values()))
        return Survey(f"a Cluster of {len(slots.primaries)} primaries and {replicas} replicas", troubles)

    def close(self) -> None:
        self._nodes.close()
        self._glances.close()

    def _follow(
        self, commands: Sequence[Command], answers: list[Any], ways: dict[int, _Way]
    ) -> Iterator[tuple[int, _Way]]:
        """Sends each command its way, keeps the answers, and tells which of them have to go on, and where."""
        together: dict[_Way, list[int]] = {}
        for place, way in ways.items():
            together.setdefault(way, []).append(place)
        for (node, asking), places in together.items():
            told = self._tell(node, [commands[place] for place in places], asking=asking)
            for place, answer in zip(places, told, strict=True):
                answers[place] = answer
                if isinstance(answer, AskError):  # a MovedError is one
                    self._is_stale |= isinstance(answer, MovedError)
                    yield place, (Node(answer.host or node.host, answer.port), not isinstance(answer, MovedError))
                elif is_unreached(answer) or is_elsewhere(answer):
                    self._is_stale = True

    def _tell(self, node: Node, commands: Sequence[Command], *, asking: bool) -> list[Any]:
        try:
            if self._stands_still(node):
                return [Unreached(f"{node} stands still")] * len(commands)
            told = send_to(self._nodes.client(node), commands, asking=asking)
        except RedisError as error:  # closed meanwhile
            return [error] * len(commands)
        if is_unreached(told[0]):
            self._silent.add(node)
        if isinstance(told[0], RedisTimeoutError):
            self._still[node] = time.monotonic() + _LOOKED_AT
        return told

    def _stands_still(self, node: Node) -> bool:
        """One caller looks, the others go by its last word."""
        look_at = self._still.get(node)
        if look_at is None:
            return False
        if time.monotonic() < look_at:
            return True
        self._still[node] = time.monotonic() + _LOOKED_AT
        try:
            tell(self._glances.client(node), "PING")
        except RedisTimeoutError:
            return True
        except (RedisError, OSError):
            pass  # it answers, or is gone: either is told quickly
        self._still.pop(node, None)
        return False

    # ---------------------------------------------------------------------------------------------- the map of slots

    def _slots(self) -> SlotMap:
        with self._lock:
            if self._is_stale:
                self._is_stale = False
                try:
                    found = self._read()
                except BaseException:
                    self._is_stale = True
                    raise
                if set(found.primaries) != set(self._map.primaries):
                    self.generation += 1
                self._map = found
                self._nodes.keep({*found.nodes, *self._seeds})
                self._glances.keep({*found.nodes, *self._seeds})
            return self._map

    def _read(self) -> SlotMap:
        """From the first node that answers; another one begins each time, since one may be cut off from the rest and
        tell what was. Raises what the first that can be reached says, or that none can be.
        """
        known = list(dict.fromkeys([*self._map.nodes, *self._seeds]))
        self._reads += 1
        first = self._reads % len(known)
        said: RedisError | None = None
        missed: list[str] = []
        last: Exception | None = None
        for node in sorted([*known[first:], *known[:first]], key=lambda node: node in self._silent):
            try:
                told = tell(self._nodes.client(node), "CLUSTER", "SLOTS")
            except (ResponseError, AuthenticationError) as error:
                said = said or error
            except (RedisError, OSError) as error:
                last = error
                self._silent.add(node)
                missed.append(f"{node} ({type(error).__name__})")
            else:
                self._silent.discard(node)
                if told:
                    return SlotMap(told, by=node)
                said = said or ClusterDownError(f"{node} knows of no slots")
        raise said or Unreached(f"no node of the Cluster answers: {', '.join(missed)}") from last
