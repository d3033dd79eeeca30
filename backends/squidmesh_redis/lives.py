"""The life of a queue's memory, and the reconciler's cursor that vouches for it: over all lanes as over one.

A lane may be lost, or come back as it was an hour ago, by itself. So each lane has a life and a cursor of its own, and
the queue's are made of them: lost if one is lost, as far as the one that is furthest behind.

When a queue gets another number of lanes, its old ones are left to themselves: they hold what they hold for an hour,
for workers that were begun with the old number, and expire. The new ones are another life, so everything open is
offered to them (protocol 3.8).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from uuid import uuid4

from squidmesh.ports.lease_backend import Cursor
from squidmesh_redis import wire
from squidmesh_redis.client import Call, Client
from squidmesh_redis.keys import Keys
from squidmesh_redis.lanes import Lanes, all_lanes

RETIRED = timedelta(hours=1)
"""How long an old lane is kept. Longer than a lease."""


class Lives:
    """Thread-safe: what is remembered is what the server said last."""

    def __init__(self, client: Client, keys: Keys, lanes: Lanes) -> None:
        self._client = client
        self._keys = keys
        self._lanes = lanes
        self._lives: dict[str, tuple[str, list[str]]] = {}
        """By queue of several lanes: its incarnation, and those of its lanes."""
        self._cursors: dict[str, tuple[Cursor | None, list[Cursor | None]]] = {}

    def incarnation(self, queue: str) -> str:
        lanes = self._lanes.of(queue)
        lives = [self._call("life", lane, [uuid4().hex]) for lane in lanes]
        others, *found = self._client.run_all([self._numbers(queue, alone=True), *lives])
        if others or len(lanes) > 1:
            self._retire(queue, [int(number) for number in others])
        if others:
            found = self._client.run_all([*(self._call("retire", lane, [0]) for lane in lanes), *lives])[len(lanes) :]
        if len(lanes) == 1:
            return str(found[0])
        made = hashlib.sha256(" ".join(found).encode()).hexdigest()[:32]
        self._lives[queue] = made, found
        return made

    def in_use(self, queue: str) -> list[Call]:
        """Says that lanes of this number are in use, so that they are retired when another one is."""
        return [self._numbers(queue, alone=False)] if len(self._lanes.of(queue)) > 1 else []

    def _numbers(self, queue: str, *, alone: bool) -> Call:
        return Call("lanes", [self._keys.lanes(queue)], [self._lanes.shards.get(queue, 0), int(alone)])

    def _retire(self, queue: str, others: Sequence[int]) -> None:
        """The lanes that there are no more; what is in them is offered to the others."""
        own = self._lanes.of(queue)
        old = [lane for number in (0, *others) for lane in all_lanes(queue, number) if lane not in own]
        after = wire.length(RETIRED, "retired")
        self._client.run_all([self._call("retire", lane, [after]) for lane in old])

    def cursor(self, queue: str) -> Cursor | None:
        lanes = self._lanes.of(queue)
        told = self._client.run_all([self._call("cursor", lane, []) for lane in lanes])
        found = [wire.cursor(one) for one in told]
        known = [one for one in found if one is not None]
        least = min(known, key=lambda one: one.position) if len(known) == len(lanes) else None
        if least is not None and len(lanes) > 1:
            life = self._lives.get(queue, ("", []))[0]
            same = [one.incarnation for one in known] == self._lives.get(queue, ("", []))[1]
            least = Cursor(incarnation=life, token=least.token, position=least.position) if same else None
        self._cursors[queue] = least, found
        return least

    def set_cursor(self, queue: str, expected: Cursor | None, new: Cursor) -> bool:
        lanes = self._lanes.of(queue)
        if len(lanes) == 1:
            return bool(self._client.run(self._set(lanes[0], new.incarnation, expected, new)))
        life, lives = self._lives.get(queue, ("", []))
        if life != new.incarnation:
            return False
        read, own = self._cursors.get(queue, (None, [None] * len(lanes)))
        if read != expected:
            return False
        calls = []
        for lane, incarnation, before in zip(lanes, lives, own, strict=True):
            mark = Cursor(incarnation=incarnation, token=new.token, position=new.position)
            calls.append(self._set(lane, incarnation, before, mark))
        return all(self._client.run_all(calls))

    def _set(self, lane: str, life: str, expected: Cursor | None, new: Cursor) -> Call:
        arguments = [wire.word(life, "incarnation"), *wire.mark(expected), *wire.mark(new)]
        return self._call("set_cursor", lane, arguments)

    def _call(self, script: str, lane: str, arguments: wire.Arguments) -> Call:
        return Call(script, self._keys.of_queue(lane), arguments)
