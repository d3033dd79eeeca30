"""Which of many queues have something to claim: they are found by their keys, and peeked at."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta

from squidmesh.ids import claim_hash
from squidmesh.ports.lease_backend import DueQueues
from squidmesh.ports.turns import Turns
from squidmesh_redis import wire
from squidmesh_redis.client import Call, Client
from squidmesh_redis.faults import translated
from squidmesh_redis.keys import Keys


class Due:
    def __init__(self, client: Client, keys: Keys) -> None:
        self._client = client
        self._keys = keys
        self._turns = Turns()

    def queues(self, names: Collection[str], prefixes: Sequence[str], limit: int) -> DueQueues:
        """Walks through all keys of the server where there is a prefix."""
        known = sorted({*names, *self._with_prefix(prefixes)})
        asked = [queue for low, high in self._turns.spans(names, prefixes) for queue in known if low <= queue <= high]
        due: list[str] = []
        later: list[timedelta] = []
        for chunk in wire.chunks(asked) if limit > 0 else ():
            for queue, (ready, _, next_due, *_) in zip(chunk, self._peek(chunk), strict=True):
                if int(ready):
                    due.append(queue)
                elif (soonest := wire.due(next_due)) is not None:
                    later.append(soonest)
                if len(due) >= limit:
                    self._turns.end_with(names, prefixes, queue)
                    return DueQueues(queues=tuple(due))
        return DueQueues(queues=tuple(due), next_due=min(later, default=None))

    def _with_prefix(self, prefixes: Sequence[str]) -> set[str]:
        found: set[str] = set()
        for prefix in prefixes:
            begin, end = self._keys.life("\n").split("\n")
            with translated(self._client.where):
                for key in self._client.redis.scan_iter(match=f"{begin}{prefix}*{end}", count=1000):
                    found.add(key.removeprefix(begin).removesuffix(end))
        return found

    def _peek(self, queues: Sequence[str]) -> list[list[str]]:
        request = claim_hash("nobody's")
        return self._client.run_all(
            [
                Call("peek", [*self._keys.of_queue(queue), self._keys.request(queue, request)], ["*nobody", request, 1])
                for queue in queues
            ]
        )
