"""One call of ``claim``: from one queue at once, from several in fair shares.

Across queues there is no script. So each queue is first asked how much it could grant, all in one journey; the shares
are settled here, as if the queues were served in turns, and the lanes of each; and each is claimed from, all in a
second journey. What is said of a lane here holds for a queue that has no lanes.

In a Cluster the queues of a node that is away give nothing, and the others what they have.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
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
_SOON = timedelta(seconds=1)
"""After which a queue is looked at again that did not answer, or has nothing that this worker has functions for."""


Passed = dict[str, int]
"""By lane, how many visible items this worker has passed over so far, because it has no functions for their steps.
A claim looks at a thousand; the next one goes on where it stopped, so what stands behind them is found too.
"""


class Claiming:
    """``lanes``: by queue, in the order of their turns."""

    def __init__(
        self,
        client: Client,
        keys: Keys,
        lanes: Mapping[str, Sequence[str]],
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
        self._lanes = lanes
        self._queue = {lane: queue for queue, own in lanes.items() for lane in own}
        self._owner = wire.word(owner, "owner")
        self._lease = wire.length(lease, "lease")
        self._request_id = request_id
        self._request_hash = claim_hash(request_id)
        self._item = wire.NONE if item is None else wire.word(item, "item")
        self._skip = [wire.word(step, "skip") for step in skip]
        self._passed = passed
        self._more: dict[str, bool] = {}
        """By lane, whether it may have something left."""
        self._crowded: set[str] = set()
        """Lanes that may have more than they were asked about."""
        self._passing_over: set[str] = set()
        self._dues: dict[str, timedelta | None] = {}
        """By lane that answered, how long until it may have something."""
        self._is_whole = True
        """Every lane answered."""

    def at_once(self, limit: int) -> Grants:
        """From one lane, not peeked at before."""
        (lane,) = self._queue
        claims, due = self._read(lane, self._client.run(self._claim(lane, 0, min(limit, MOST), goes_on=False)))
        return wire.grants(claims, [due], limit=limit)

    def in_shares(self, limit: int) -> Grants:
        limit = min(limit, MOST)
        available, before = self._peek(limit)
        if before:
            return Grants(claims=tuple(sorted(before, key=_position)))
        return self._granted(available, limit)

    def nothing_left(self) -> dict[str, timedelta | None]:
        """The queues that have nothing more now, and how long until they may have, as far as it is known. Of a queue
        that did not answer as a whole nothing is known.
        """
        found: dict[str, timedelta | None] = {}
        for queue, lanes in self._lanes.items():
            if not any(self._more.get(lane, True) for lane in lanes):
                dues = [self._dues[lane] for lane in lanes]
                dues += [_SOON] if self._passing_over.intersection(lanes) else []
                found[queue] = min((due for due in dues if due is not None), default=None)
        return found

    def _granted(self, available: dict[str, int], limit: int) -> Grants:
        """A second round only where a lane gave less than it had seemed to have, and another one has more. It goes on
        after the places that were asked for, not those that were granted: a place is part of a claim's id.
        """
        granted: list[Claim] = []
        position = 0
        for _ in range(_ROUNDS):
            shares = self._shares(available, limit - len(granted))
            if not shares:
                break
            calls = []
            for lane, share in shares.items():
                calls.append(self._claim(lane, position, share, goes_on=bool(granted)))
                position += share
            ask = self._client.try_all if granted else self._client.run_most
            for (lane, share), answer in zip(shares.items(), ask(calls), strict=True):
                if isinstance(answer, Exception):
                    self._leave_out(lane, available)
                    continue
                claims, due = self._read(lane, answer)
                granted += claims
                available[lane] = available[lane] - share if len(claims) == share else 0
                self._keep_in_mind(lane, due, len(claims), short=len(claims) < share, left=available[lane])
        own = [duration(self._lease)] if granted else []
        own += [] if self._is_whole else [_SOON]
        return wire.grants(granted, [*self._dues.values(), *own], limit=limit)

    def _leave_out(self, lane: str, available: dict[str, int]) -> None:
        """It gave no answer, so nothing is known of it. What it may have granted all the same ends with its lease."""
        available[lane] = 0
        self._more[lane] = True
        self._is_whole = False

    def _keep_in_mind(self, lane: str, due: timedelta | None, granted: int, *, short: bool, left: int) -> None:
        """What is left of a lane after a claim from it, which was ``short`` of what was asked for."""
        dues = (self._dues[lane], due, duration(self._lease) if granted else None)
        self._dues[lane] = min((one for one in dues if one is not None), default=None)
        self._more[lane] = due == timedelta(0) if short else left > 0 or lane in self._crowded
        if short and self._skip:
            self._passing_over.add(lane)

    def _shares(self, available: dict[str, int], limit: int) -> dict[str, int]:
        """By lane: as if the queues were served in turns, and the lanes of each."""
        totals = [(queue, sum(available[lane] for lane in lanes)) for queue, lanes in self._lanes.items()]
        shares: dict[str, int] = {}
        for queue, total in in_turns(totals, limit).items():
            shares |= in_turns([(lane, available[lane]) for lane in self._lanes[queue]], total)
        return shares

    def _peek(self, limit: int) -> tuple[dict[str, int], list[Claim]]:
        """By lane how much it may grant; and what this request was granted before."""
        most = 1 if self._item != wire.NONE else limit
        arguments: wire.Arguments = [self._owner, self._request_hash, most]
        answers = self._client.run_most([Call("peek", self._with_record(lane), arguments) for lane in self._queue])
        available: dict[str, int] = {}
        before: list[Claim] = []
        for lane, answer in zip(self._queue, answers, strict=True):
            if isinstance(answer, Exception):
                self._leave_out(lane, available)
                continue
            ready, incarnation, due, *told = answer
            available[lane], self._dues[lane] = int(ready), wire.due(due)
            self._more[lane] = int(ready) > 0
            if int(ready) == most:
                self._crowded.add(lane)
            before += self._claims(told, lane, incarnation)
        return available, before

    def _claim(self, lane: str, position: int, limit: int, *, goes_on: bool) -> Call:
        """Claim ids are made, and hashed, here: no server ever sees one (protocol 3.5.8)."""
        hashes = [claim_hash(f"{self._request_id}:{place}") for place in range(position, position + limit)]
        about: wire.Arguments = [uuid4().hex, self._owner, self._request_hash, self._lease, self._item]
        start = self._passed.get(lane, 0) if self._skip else 0
        passed_over: wire.Arguments = [start, len(self._skip), *self._skip]
        return Call("claim", self._with_record(lane), [*about, int(goes_on), position, limit, *hashes, *passed_over])

    def _read(self, lane: str, answer: Sequence[str]) -> tuple[list[Claim], timedelta | None]:
        incarnation, due, passed, *told = answer
        if self._skip:
            self._passed[lane] = int(passed)
        return self._claims(told, lane, incarnation), wire.due(due)

    def _claims(self, told: Sequence[str], lane: str, incarnation: str) -> list[Claim]:
        return wire.claims(told, self._queue[lane], self._owner, self._request_id, incarnation)

    def _with_record(self, lane: str) -> tuple[str, ...]:
        return (*self._keys.of_queue(lane), self._keys.request(lane, self._request_hash))


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
