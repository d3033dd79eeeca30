"""One call of ``claim``: from one queue at once, from several in fair shares.

Across queues there is no script. So each queue is first asked how much it could grant, all in one journey; the shares
are settled here, as if the queues were served in turns; and each is claimed from, all in a second journey.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import timedelta
from uuid import uuid4

from squidmesh.clock import duration
from squidmesh.ids import AttemptKey, claim_hash
from squidmesh.ports.lease_backend import Claim, Grants
from squidmesh_redis import wire
from squidmesh_redis.client import Call, Client
from squidmesh_redis.keys import Keys

MOST = 1000
"""Claims that one script grants."""
_ROUNDS = 8


Passed = dict[str, int]
"""By queue, how many visible items this worker has passed over so far, because it has no functions for their steps.
A claim looks at a thousand; the next one goes on where it stopped, so what stands behind them is found too.
"""


class Claiming:
    def __init__(
        self,
        client: Client,
        keys: Keys,
        *,
        owner: str,
        lease: timedelta,
        request_id: str,
        item: AttemptKey | None,
        skip: Collection[str],
        passed: Passed,
    ) -> None:
        self._client = client
        self._keys = keys
        self._owner = wire.word(owner, "owner")
        self._lease = wire.length(lease, "lease")
        self._request_id = request_id
        self._request_hash = claim_hash(request_id)
        self._item = wire.NONE if item is None else wire.word(item, "item")
        self._skip = [wire.word(step, "skip") for step in skip]
        self._passed = passed

    def from_queues(self, queues: Sequence[str], limit: int) -> Grants:
        limit = min(limit, MOST)
        if len(queues) == 1:
            claims, due = self._read(queues[0], self._client.run(self._claim(queues[0], 0, limit, goes_on=False)))
            return wire.grants(claims, [due], limit=limit)
        available, dues, before = self._peek(queues, limit)
        if before:
            return Grants(claims=tuple(sorted(before, key=_position)))
        return self._in_shares(queues, available, dues, limit)

    def _in_shares(
        self, queues: Sequence[str], available: dict[str, int], dues: dict[str, timedelta | None], limit: int
    ) -> Grants:
        """A second round only where a queue gave less than it had seemed to have, and another one has more. It goes on
        after the places that were asked for, not those that were granted: a place is part of a claim's id.
        """
        granted: list[Claim] = []
        position = 0
        for _ in range(_ROUNDS):
            shares = in_turns([(queue, available[queue]) for queue in queues], limit - len(granted))
            if not shares:
                break
            calls = []
            for queue, share in shares.items():
                calls.append(self._claim(queue, position, share, goes_on=bool(granted)))
                position += share
            for (queue, share), answer in zip(shares.items(), self._client.run_all(calls), strict=True):
                claims, _ = self._read(queue, answer)
                granted += claims
                available[queue] = available[queue] - share if len(claims) == share else 0
        own = [duration(self._lease)] if granted else []
        return wire.grants(granted, [*dues.values(), *own], limit=limit)

    def _peek(
        self, queues: Sequence[str], limit: int
    ) -> tuple[dict[str, int], dict[str, timedelta | None], list[Claim]]:
        """By queue how much it may grant, and when it may grant more; and what this request was granted before."""
        arguments: wire.Arguments = [self._owner, self._request_hash, 1 if self._item != wire.NONE else limit]
        answers = self._client.run_all([Call("peek", self._with_record(queue), arguments) for queue in queues])
        available: dict[str, int] = {}
        dues: dict[str, timedelta | None] = {}
        before: list[Claim] = []
        for queue, (ready, incarnation, due, *told) in zip(queues, answers, strict=True):
            available[queue], dues[queue] = int(ready), wire.due(due)
            before += wire.claims(told, queue, self._owner, self._request_id, incarnation)
        return available, dues, before

    def _claim(self, queue: str, position: int, limit: int, *, goes_on: bool) -> Call:
        """Claim ids are made, and hashed, here: no server ever sees one (protocol 3.5.8)."""
        hashes = [claim_hash(f"{self._request_id}:{place}") for place in range(position, position + limit)]
        about: wire.Arguments = [uuid4().hex, self._owner, self._request_hash, self._lease, self._item]
        start = self._passed.get(queue, 0) if self._skip else 0
        passed_over: wire.Arguments = [start, len(self._skip), *self._skip]
        return Call("claim", self._with_record(queue), [*about, int(goes_on), position, limit, *hashes, *passed_over])

    def _read(self, queue: str, answer: Sequence[str]) -> tuple[list[Claim], timedelta | None]:
        incarnation, due, passed, *told = answer
        if self._skip:
            self._passed[queue] = int(passed)
        return wire.claims(told, queue, self._owner, self._request_id, incarnation), wire.due(due)

    def _with_record(self, queue: str) -> tuple[str, ...]:
        return (*self._keys.of_queue(queue), self._keys.request(queue, self._request_hash))


def in_turns(available: Sequence[tuple[str, int]], limit: int) -> dict[str, int]:
    """How many to take of each, if they are served in turns, one each time, until the limit is reached or all is taken.
    Costs the number of queues for each size of queue, not the limit.
    """
    shares: dict[str, int] = {}
    hungry = [(queue, count) for queue, count in available if count > 0]
    while hungry and limit > 0:
        each = max(1, min(limit // len(hungry), min(count for _, count in hungry)))
        left = []
        for queue, count in hungry:
            taken = min(each, limit)
            if taken:
                shares[queue] = shares.get(queue, 0) + taken
                limit -= taken
            if count > taken:
                left.append((queue, count - taken))
        hungry = left
    return shares


def _position(claim: Claim) -> int:
    return int(claim.claim_id.rpartition(":")[2])
