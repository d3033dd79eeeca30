"""The lease backend: each method is one script a lane, and all that is decided is decided in the script.

A queue is one lane, unless it was told to be several. A lane is one hash slot and its scripts are atomic; across lanes
nothing is. So what a settlement brings to another one is offered first, and settled then: offered twice is harmless,
settled and never offered is not (protocol 3.9). What makes a queue claimable marks it in the index of queues,
afterwards.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from functools import partial
from itertools import chain, count
from typing import Any
from uuid import uuid4

from squidmesh.clock import micros
from squidmesh.errors import BackendUnavailable
from squidmesh.ids import AttemptKey
from squidmesh.ports.lease_backend import (
    ADOPTED_PRIORITY,
    Beat,
    Claim,
    Cursor,
    Drop,
    DueQueues,
    Grants,
    Item,
    ItemPage,
    Marker,
    QueueStats,
    Release,
    Settlement,
)
from squidmesh_redis import wire
from squidmesh_redis.claiming import Claiming, Passed
from squidmesh_redis.client import Call, Client
from squidmesh_redis.faults import OutOfMemory, translate
from squidmesh_redis.fitness import Fitness
from squidmesh_redis.index import Index
from squidmesh_redis.keys import Keys
from squidmesh_redis.lanes import Lanes
from squidmesh_redis.lives import Lives
from squidmesh_redis.topology import Command


class RedisLeases:
    in_journal = False
    kind = "redis"

    def __init__(
        self,
        client: Client,
        keys: Keys,
        fitness: Fitness,
        lanes: Lanes,
        on_close: Callable[[RedisLeases], object] = lambda _: None,
        *,
        parts: int = 1,
    ) -> None:
        self._client = client
        self._keys = keys
        self._fitness = fitness
        self._lanes = lanes
        self._on_close = on_close
        self._first_queue = count()
        self._passed: Passed = {}
        self._index = Index(client, keys, parts=parts)
        self._lives = Lives(client, keys, lanes)

    @property
    def name(self) -> str:
        return f"{self._client.where}?prefix={self._keys.prefix}"

    def marker(self) -> Marker | None:
        return wire.marker(self._client.ask(self._keys.marker, "GET", self._keys.marker))

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        arguments = [wire.branded(expected), wire.branded(new)]
        return bool(self._client.run(Call("set_marker", [self._keys.marker], arguments)))

    def incarnation(self, queue: str) -> str:
        """Lanes may lose their memory one by one: each of them makes it another one."""
        return self._lives.incarnation(queue)

    # ----------------------------------------------------------------------------------------- work that comes

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        """Raises ``BackendUnavailable`` when the server is out of memory: the work waits in the journal."""
        asked = list(self._in_batches(items))
        calls = [self._call("offer", lane, _counted([wire.item(items[n]) for n in batch])) for lane, batch in asked]
        answers = self._raise(self._index.carry_out(calls, _delays(items)))
        return [items[place].key for place in _told(asked, answers)]

    def _offers(self, items: dict[str, list[wire.Arguments]]) -> list[Call]:
        return [
            self._call("offer", lane, _counted(chunk)) for lane, all_ in items.items() for chunk in wire.chunks(all_)
        ]

    # -------------------------------------------------------------------------------------- work that is taken

    def claim(
        self,
        queues: Sequence[str],
        *,
        owner: str,
        limit: int,
        lease: timedelta,
        request_id: str,
        item: AttemptKey | None = None,
        skip: Collection[str] = (),
    ) -> Grants:
        """Raises ``BackendError`` where the server is not fit to hold leases (see :class:`Fitness`)."""
        if limit < 1 or not queues:
            return Grants(claims=())
        self._fitness.require()
        turn = next(self._first_queue)
        claiming = Claiming(
            self._client,
            self._keys,
            {queue: _turned(self._lanes.of(queue), turn) for queue in _turned(queues, turn)},
            owner=owner,
            lease=lease,
            request_id=request_id,
            item=item,
            skip=skip,
            passed=self._passed,
        )
        looks = any(self._index.is_taken(queue) for queue in queues)
        if not looks and len(queues) == 1 and len(self._lanes.of(queues[0])) == 1:
            return claiming.at_once(limit)
        grants = claiming.in_shares(limit)
        if looks:
            self._index.looked(claiming.nothing_left())
        return grants

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        """From the index of queues, whatever they hold."""
        return self._index.take(names, prefixes, limit)

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        return self._beats("heartbeat", claims, wire.beating, lambda: [])

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        beats = self._beats("adopt", claims, wire.adopted, lambda: [uuid4().hex, ADOPTED_PRIORITY])
        self._index.mark({claim.queue for claim in claims})
        return beats

    def _beats(
        self,
        script: str,
        claims: Sequence[Claim],
        arguments: Callable[[Claim], wire.Arguments],
        before: Callable[[], wire.Arguments],
    ) -> list[Beat]:
        places: dict[str, list[int]] = {}
        for place, claim in enumerate(claims):
            places.setdefault(self._lane(claim), []).append(place)
        asked = [(lane, chunk) for lane, all_ in places.items() for chunk in wire.chunks(all_)]
        answers = self._client.run_all(
            [
                self._call(script, lane, [*before(), *_counted([arguments(claims[place]) for place in chunk])])
                for lane, chunk in asked
            ]
        )
        found: dict[int, Beat] = {}
        for (_, chunk), told in zip(asked, answers, strict=True):
            found |= zip(chunk, wire.beats(told), strict=True)
        return [found[place] for place in range(len(claims))]

    # --------------------------------------------------------------------------------------- work that is over

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Settles what it can, also where a server takes no new items any more, or is away; then raises what went
        wrong. What brings something to a queue whose server did not answer is left as it is: asked again, or not, it
        ends with its lease.
        """
        elsewhere: dict[str, list[wire.Arguments]] = {}
        for settlement in settlements:
            for lane, arguments in self._elsewhere(settlement):
                elsewhere.setdefault(lane, []).append(arguments)
        delays = _delays_of(settlements)
        refused = self._try(self._offers(elsewhere), {})
        if any(not isinstance(error, OutOfMemory) for error in refused):
            settlements = [one for one in settlements if not any(self._elsewhere(one))]
        refused += self._try(list(self._endings(settlements)), delays)
        if refused:
            raise refused[0]

    def _elsewhere(self, settlement: Settlement) -> Iterator[tuple[str, wire.Arguments]]:
        """What it brings to other lanes than its own."""
        own = self._lane(settlement.claim)
        for item, told in _brought(settlement):
            if (lane := self._lanes.lane(item.queue, item.key, item.concurrency_key)) != own:
                yield lane, told()

    def _try(self, calls: Sequence[Call], delays: Mapping[str, int]) -> list[BackendUnavailable]:
        """What servers refused for want of memory, or did not answer to. Any other error is raised."""
        answers = self._index.carry_out(calls, delays)
        failed = []
        for answer in answers:
            if isinstance(answer, Exception):
                told = translate(answer, self._client.where)
                if not isinstance(told, BackendUnavailable):
                    raise told from answer
                told.__cause__ = answer
                failed.append(told)
        self._mark_those_that_try(calls, answers)
        return failed

    def _mark_those_that_try(self, calls: Sequence[Call], answers: Sequence[Any]) -> None:
        """Where the end of a lease lets something try again that had waited for its concurrency key."""
        ends = zip(calls, answers[: len(calls)], strict=True)
        lanes = {call.keys for call, answer in ends if call.script in _ENDS and isinstance(answer, int) and answer > 0}
        self._index.mark({self._keys.queue(keys) for keys in lanes})

    def _endings(self, settlements: Sequence[Settlement]) -> Iterator[Call]:
        """What comes along rides in the first scripts that have room for it, at most a batch in each."""
        ended: dict[str, list[wire.Arguments]] = {}
        along: dict[str, list[wire.Arguments]] = {}
        for settlement in settlements:
            own = self._lane(settlement.claim)
            ended.setdefault(own, []).append(wire.settled(settlement.claim))
            for item, told in _brought(settlement):
                if self._lanes.lane(item.queue, item.key, item.concurrency_key) == own:
                    along.setdefault(own, []).append(told())
        for lane, claims in ended.items():
            items = list(wire.chunks(along.get(lane, [])))
            batches = list(wire.chunks(claims))
            for brought in items[len(batches) :]:
                yield self._call("offer", lane, _counted(brought))
            for place, batch in enumerate(batches):
                brought = items[place] if place < len(items) else []
                yield self._call("settle", lane, [*_counted(batch), *_counted(brought)])

    def shelve(self, claims: Sequence[Claim]) -> None:
        self.settle([Settlement(claim=claim) for claim in claims])

    def release(self, releases: Sequence[Release]) -> None:
        by_lane: dict[str, list[wire.Arguments]] = {}
        delays: dict[str, int] = {}
        for release in releases:
            by_lane.setdefault(self._lane(release.claim), []).append(wire.released(release))
            due = micros(release.delay if release.as_claim is None else release.as_claim.lease)
            delays[release.claim.queue] = min(due, delays.get(release.claim.queue, due))
        self._each("release", by_lane, delays)

    def drop(self, drops: Sequence[Drop]) -> None:
        """From whichever lane it stands in."""
        by_lane: dict[str, list[wire.Arguments]] = {}
        for drop in drops:
            for lane in self._lanes.of(drop.queue):
                by_lane.setdefault(lane, []).append(wire.dropped(drop))
        self._each("drop", by_lane, {})

    def _each(self, script: str, values: dict[str, list[wire.Arguments]], delays: Mapping[str, int]) -> None:
        calls = [
            self._call(script, lane, _counted(chunk)) for lane, all_ in values.items() for chunk in wire.chunks(all_)
        ]
        answers = self._raise(self._index.carry_out(calls, delays))
        self._mark_those_that_try(calls, answers)

    # --------------------------------------------------------------------------------------------- reconciling

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        """A page may hold some more or less than ``limit``; a small lane is one page."""
        lanes = self._lanes.of(queue)
        number, _, place = (after or "0 0").partition(" ")
        call = self._call("items", lanes[int(number)], [place, max(1, limit)])
        page = wire.page(self._client.run(call), queue)
        if page.next is not None:
            return ItemPage(items=page.items, next=f"{number} {page.next}")
        is_last = int(number) + 1 == len(lanes)
        return ItemPage(items=page.items, next=None if is_last else f"{int(number) + 1} 0")

    def missing(self, items: Sequence[Item]) -> list[AttemptKey]:
        """What is asked for is due: so its queue is marked, should the index have lost it (I11)."""
        asked = list(self._in_batches(items))
        calls = [self._call("missing", lane, _counted([wire.asked(items[n]) for n in batch])) for lane, batch in asked]
        answers = self._raise(self._index.carry_out(calls, {item.queue: 0 for item in items}))
        return [items[place].key for place in _told(asked, answers)]

    def cursor(self, queue: str) -> Cursor | None:
        return self._lives.cursor(queue)

    def set_cursor(self, queue: str, *, expected: Cursor | None, new: Cursor) -> bool:
        return self._lives.set_cursor(queue, expected, new)

    def sweep_turn(self, queue: str, *, owner: str, period: timedelta) -> bool:
        """In the queue's own place, whatever its lanes: it is one turn for those who see another number of them."""
        turn = self._call("sweep_turn", queue, [wire.word(owner, "owner"), micros(period)])
        return bool(self._client.run_all([turn, *self._lives.in_use(queue)])[0])

    # ----------------------------------------------------------------------------------------------- operators

    def pause(self, queue: str) -> None:
        self._client.run_all([self._call("pause", lane, [1]) for lane in self._lanes.of(queue)])

    def resume(self, queue: str) -> None:
        self._client.run_all([self._call("pause", lane, [0]) for lane in self._lanes.of(queue)])
        self._index.mark([queue])

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        """A queue is paused as long as any lane of it is: what was paused by half can be resumed."""
        asked = [(queue, self._keys.life(lane)) for queue in queues for lane in self._lanes.of(queue)]
        found = self._client.ask_all([Command(life, ("HEXISTS", life, "paused")) for _, life in asked])
        return frozenset(queue for (queue, _), is_paused in zip(asked, found, strict=True) if is_paused)

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        asked = [(queue, lane) for queue in queues for lane in self._lanes.of(queue)]
        answers = self._client.run_all([self._call("stats", lane, []) for _, lane in asked])
        told: dict[str, list[QueueStats]] = {queue: [] for queue in queues}
        for (queue, _), answer in zip(asked, answers, strict=True):
            told[queue].append(wire.stats(answer, queue))
        return [_summed(queue, told[queue]) for queue in queues]

    def check(self) -> None:
        """Raises ``BackendError`` where the server is not fit to hold leases, and says what to do about it."""
        self._fitness.check()

    def close(self) -> None:
        self._client.close()
        self._on_close(self)

    def _call(self, script: str, lane: str, arguments: wire.Arguments) -> Call:
        return Call(script, self._keys.of_queue(lane), arguments)

    def _lane(self, claim: Claim) -> str:
        return self._lanes.lane(claim.queue, claim.item, claim.concurrency_key)

    def _in_batches(self, items: Sequence[Item]) -> Iterator[tuple[str, Sequence[int]]]:
        """The places of the items, by lane, as many as a script takes at once."""
        places: dict[str, list[int]] = {}
        for place, item in enumerate(items):
            places.setdefault(self._lanes.lane(item.queue, item.key, item.concurrency_key), []).append(place)
        for lane, all_ in places.items():
            for batch in wire.chunks(all_):
                yield lane, batch

    def _raise(self, answers: Sequence[Any]) -> list[Any]:
        """The answers, where none is an error; those of marks are told last, and tell nothing else."""
        for answer in answers:
            if isinstance(answer, Exception):
                raise translate(answer, self._client.where) from answer
        return list(answers)


_ENDS = {"settle", "release", "drop"}


def _turned(values: Sequence[str], turn: int) -> tuple[str, ...]:
    first = turn % len(values)
    return (*values[first:], *values[:first])


def _delays(items: Sequence[Item]) -> dict[str, int]:
    """By queue, how long until somebody should look at it: an item that replaces another one may let a third one try
    that had waited for its concurrency key.
    """
    found: dict[str, int] = {}
    for item in items:
        due = micros(item.delay if item.recorded is None else item.recorded.lease)
        due = due if item.concurrency_key is None else 0
        found[item.queue] = min(due, found.get(item.queue, due))
    return found


def _delays_of(settlements: Sequence[Settlement]) -> dict[str, int]:
    """As :func:`_delays`, of what they bring to queues."""
    found = _delays([item for settlement in settlements for item in settlement.offers])
    for settlement in settlements:
        if settlement.handover is not None and settlement.handover.item.queue != settlement.claim.queue:
            found.setdefault(settlement.handover.item.queue, micros(settlement.claim.lease))
    return found


def _summed(queue: str, lanes: Sequence[QueueStats]) -> QueueStats:
    return QueueStats(
        queue=queue,
        ready=sum(lane.ready for lane in lanes),
        delayed=sum(lane.delayed for lane in lanes),
        leased=sum(lane.leased for lane in lanes),
        oldest_ready=max((lane.oldest_ready for lane in lanes if lane.oldest_ready is not None), default=None),
    )


def _brought(settlement: Settlement) -> Iterator[tuple[Item, Callable[[], wire.Arguments]]]:
    """The items that come with a settlement, and what makes the arguments of each."""
    for item in settlement.offers:
        yield item, partial(wire.item, item)
    if (handover := settlement.handover) is not None:
        yield handover.item, partial(wire.handed_over, settlement.claim, handover)


def _told(asked: Sequence[tuple[str, Sequence[int]]], answers: Sequence[Sequence[str]]) -> list[int]:
    """The places that scripts named in their answers, in the order of the call."""
    told = zip(asked, answers, strict=True)
    return sorted(batch[int(position) - 1] for (_, batch), answer in told for position in answer)


def _counted(values: Sequence[wire.Arguments]) -> wire.Arguments:
    return [len(values), *chain.from_iterable(values)]
