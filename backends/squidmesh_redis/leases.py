"""The lease backend: each method is one script a queue, and all that is decided is decided in the script.

A queue is one hash slot and its scripts are atomic; across queues nothing is. So what a settlement brings to another
queue is offered first, and settled then: offered twice is harmless, settled and never offered is not (protocol 3.9).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import timedelta
from itertools import chain, count
from typing import TypeVar
from uuid import uuid4

from squidmesh.clock import micros
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
from squidmesh_redis.due import Due
from squidmesh_redis.faults import OutOfMemory, translate, translated
from squidmesh_redis.fitness import Fitness
from squidmesh_redis.keys import Keys

T = TypeVar("T")


class RedisLeases:
    in_journal = False
    kind = "redis"

    def __init__(
        self,
        client: Client,
        keys: Keys,
        fitness: Fitness,
        on_close: Callable[[RedisLeases], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._keys = keys
        self._fitness = fitness
        self._on_close = on_close
        self._first_queue = count()
        self._passed: Passed = {}
        self._due = Due(client, keys)

    @property
    def name(self) -> str:
        return f"{self._client.where}?prefix={self._keys.prefix}"

    def marker(self) -> Marker | None:
        with translated(self._client.where):
            return wire.marker(self._client.redis.get(self._keys.marker))  # type: ignore[arg-type]

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        arguments = [wire.branded(expected), wire.branded(new)]
        return bool(self._client.run(Call("set_marker", [self._keys.marker], arguments)))

    def incarnation(self, queue: str) -> str:
        found: str = self._client.run(self._call("life", queue, [uuid4().hex]))
        return found

    # ----------------------------------------------------------------------------------------- work that comes

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        """Raises ``BackendUnavailable`` when the server is out of memory: the work waits in the journal."""
        asked = list(_in_batches(items))
        calls = [self._call("offer", q, _counted([wire.item(items[n]) for n in batch])) for q, batch in asked]
        return [items[place].key for place in _told(asked, self._client.run_all(calls))]

    def _offers(self, items: dict[str, list[wire.Arguments]]) -> list[Call]:
        return [
            self._call("offer", queue, _counted(chunk)) for queue, all_ in items.items() for chunk in wire.chunks(all_)
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
        first = next(self._first_queue) % len(queues)
        claiming = Claiming(
            self._client,
            self._keys,
            owner=owner,
            lease=lease,
            request_id=request_id,
            item=item,
            skip=skip,
            passed=self._passed,
        )
        return claiming.from_queues([*queues[first:], *queues[:first]], limit)

    def due_queues(self, names: Collection[str], prefixes: Sequence[str], *, limit: int) -> DueQueues:
        return self._due.queues(names, prefixes, limit)

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        return self._beats("heartbeat", claims, wire.beating, lambda: [])

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        return self._beats("adopt", claims, wire.adopted, lambda: [uuid4().hex, ADOPTED_PRIORITY])

    def _beats(
        self,
        script: str,
        claims: Sequence[Claim],
        arguments: Callable[[Claim], wire.Arguments],
        before: Callable[[], wire.Arguments],
    ) -> list[Beat]:
        places: dict[str, list[int]] = {}
        for place, claim in enumerate(claims):
            places.setdefault(claim.queue, []).append(place)
        asked = [(queue, chunk) for queue, all_ in places.items() for chunk in wire.chunks(all_)]
        answers = self._client.run_all(
            [
                self._call(script, queue, [*before(), *_counted([arguments(claims[place]) for place in chunk])])
                for queue, chunk in asked
            ]
        )
        found: dict[int, Beat] = {}
        for (_, chunk), told in zip(asked, answers, strict=True):
            found |= zip(chunk, wire.beats(told), strict=True)
        return [found[place] for place in range(len(claims))]

    # --------------------------------------------------------------------------------------- work that is over

    def settle(self, settlements: Sequence[Settlement]) -> None:
        """Settles what it can, also where the server takes no new items any more; then raises what went wrong."""
        ended: dict[str, list[wire.Arguments]] = {}
        along: dict[str, list[wire.Arguments]] = {}
        elsewhere: dict[str, list[wire.Arguments]] = {}
        for settlement in settlements:
            queue = settlement.claim.queue
            ended.setdefault(queue, []).append(wire.settled(settlement.claim))
            for brought, arguments in _brought(settlement):
                (along if brought == queue else elsewhere).setdefault(brought, []).append(arguments)
        refused = self._try(self._offers(elsewhere))
        refused += self._try(list(self._endings(ended, along)))
        if refused:
            raise translate(refused[0], self._client.where) from refused[0]

    def _try(self, calls: Sequence[Call]) -> list[Exception]:
        """What the server refused for want of memory. Any other error is raised."""
        failed = [answer for answer in self._client.try_all(calls) if isinstance(answer, Exception)]
        for error in failed:
            translation = translate(error, self._client.where)
            if not isinstance(translation, OutOfMemory):
                raise translation from error
        return failed

    def _endings(
        self, ended: dict[str, list[wire.Arguments]], along: dict[str, list[wire.Arguments]]
    ) -> Iterator[Call]:
        """What comes along rides in the first scripts that have room for it, at most a batch in each."""
        for queue, claims in ended.items():
            items = list(wire.chunks(along.get(queue, [])))
            batches = list(wire.chunks(claims))
            for brought in items[len(batches) :]:
                yield self._call("offer", queue, _counted(brought))
            for place, batch in enumerate(batches):
                brought = items[place] if place < len(items) else []
                yield self._call("settle", queue, [*_counted(batch), *_counted(brought)])

    def shelve(self, claims: Sequence[Claim]) -> None:
        self.settle([Settlement(claim=claim) for claim in claims])

    def release(self, releases: Sequence[Release]) -> None:
        self._each("release", _by_queue(releases, lambda release: release.claim.queue, wire.released))

    def drop(self, drops: Sequence[Drop]) -> None:
        self._each("drop", _by_queue(drops, lambda drop: drop.queue, wire.dropped))

    def _each(self, script: str, values: dict[str, list[wire.Arguments]]) -> None:
        calls = [
            self._call(script, queue, _counted(chunk)) for queue, all_ in values.items() for chunk in wire.chunks(all_)
        ]
        self._client.run_all(calls)

    # --------------------------------------------------------------------------------------------- reconciling

    def items(self, queue: str, *, after: str | None = None, limit: int = 1000) -> ItemPage:
        """A page may hold some more or less than ``limit``; a small queue is one page."""
        return wire.page(self._client.run(self._call("items", queue, [after or "0", max(1, limit)])), queue)

    def missing(self, items: Sequence[Item]) -> list[AttemptKey]:
        asked = list(_in_batches(items))
        calls = [self._call("missing", q, _counted([wire.asked(items[n]) for n in batch])) for q, batch in asked]
        return [items[place].key for place in _told(asked, self._client.run_all(calls))]

    def cursor(self, queue: str) -> Cursor | None:
        with translated(self._client.where):
            return wire.cursor(self._client.redis.hget(self._keys.life(queue), "cursor"))  # type: ignore[arg-type]

    def set_cursor(self, queue: str, *, expected: Cursor | None, new: Cursor) -> bool:
        arguments = [wire.word(new.incarnation, "incarnation"), *wire.mark(expected), *wire.mark(new)]
        return bool(self._client.run(self._call("set_cursor", queue, arguments)))

    def sweep_turn(self, queue: str, *, owner: str, period: timedelta) -> bool:
        return bool(self._client.run(self._call("sweep_turn", queue, [wire.word(owner, "owner"), micros(period)])))

    # ----------------------------------------------------------------------------------------------- operators

    def pause(self, queue: str) -> None:
        self._client.run(self._call("pause", queue, [1]))

    def resume(self, queue: str) -> None:
        self._client.run(self._call("pause", queue, [0]))

    def paused(self, queues: Sequence[str]) -> frozenset[str]:
        with translated(self._client.where):
            pipeline = self._client.redis.pipeline(transaction=False)
            for queue in queues:
                pipeline.hexists(self._keys.life(queue), "paused")
            found = pipeline.execute() if queues else []
        return frozenset(queue for queue, is_paused in zip(queues, found, strict=True) if is_paused)

    def stats(self, queues: Sequence[str]) -> list[QueueStats]:
        answers = self._client.run_all([self._call("stats", queue, []) for queue in queues])
        return [wire.stats(told, queue) for queue, told in zip(queues, answers, strict=True)]

    def check(self) -> None:
        """Raises ``BackendError`` where the server is not fit to hold leases, and says what to do about it."""
        self._fitness.check()

    def close(self) -> None:
        self._client.close()
        self._on_close(self)

    def _call(self, script: str, queue: str, arguments: wire.Arguments) -> Call:
        return Call(script, self._keys.of_queue(queue), arguments)


def _brought(settlement: Settlement) -> Iterator[tuple[str, wire.Arguments]]:
    """The items that come with a settlement, each with its queue."""
    for item in settlement.offers:
        yield item.queue, wire.item(item)
    if settlement.handover is not None:
        yield settlement.handover.item.queue, wire.handed_over(settlement.claim, settlement.handover)


def _in_batches(items: Sequence[Item]) -> Iterator[tuple[str, Sequence[int]]]:
    """The places of the items, by queue, as many as a script takes at once."""
    places: dict[str, list[int]] = {}
    for place, item in enumerate(items):
        places.setdefault(item.queue, []).append(place)
    for queue, all_ in places.items():
        for batch in wire.chunks(all_):
            yield queue, batch


def _told(asked: Sequence[tuple[str, Sequence[int]]], answers: Sequence[Sequence[str]]) -> list[int]:
    """The places that scripts named in their answers, in the order of the call."""
    told = zip(asked, answers, strict=True)
    return sorted(batch[int(position) - 1] for (_, batch), answer in told for position in answer)


def _by_queue(
    values: Sequence[T], queue: Callable[[T], str], arguments: Callable[[T], wire.Arguments]
) -> dict[str, list[wire.Arguments]]:
    found: dict[str, list[wire.Arguments]] = {}
    for value in values:
        found.setdefault(queue(value), []).append(arguments(value))
    return found


def _counted(values: Sequence[wire.Arguments]) -> wire.Arguments:
    return [len(values), *chain.from_iterable(values)]
