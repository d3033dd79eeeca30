"""The index of queues: which of them somebody should look at, and when.

A queue is *marked* by whoever brings something to it, after it is there. Who has room *takes* queues whose turn it is:
they go to the back of the line, still due, and bear his token. If he finds nothing in one, he says so (*looked*), and
until when; a mark in between has taken his token away, and then his word is not heard. So a queue that has something
claimable is due, and one that nothing is in leaves the index. Hand-overs and heartbeats do not touch it: a queue that
is due because a lease was to end is looked at, and moved.

In a cluster the index is a few slots, by a hash of the queue's name, all asked in one journey.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import timedelta
from functools import lru_cache
from itertools import count
from typing import Any
from uuid import uuid4
from zlib import crc32

from squidmesh.clock import duration, micros
from squidmesh.ports.lease_backend import DueQueues
from squidmesh_redis import wire
from squidmesh_redis.client import Call, Client
from squidmesh_redis.keys import Keys

IN_CLUSTER = 8
"""Parts of the index of a cluster."""
_MOST_TOKENS = 20_000
_SOON = timedelta(seconds=1)
"""After which a part is asked again that did not answer."""


class Index:
    """``parts``: how many slots it is spread over. Thread-safe."""

    def __init__(self, client: Client, keys: Keys, *, parts: int = 1) -> None:
        self._client = client
        self._keys = keys
        self._parts = parts
        self._first = count()
        self._tokens: dict[str, str] = {}
        """By queue that was taken here, what it bears."""

    # ----------------------------------------------------------------------------------------------- marking

    def carry_out(self, calls: Sequence[Call], delays: Mapping[str, int]) -> list[Any]:
        """The calls, and then the marks of queues that have something after so many microseconds. One journey, where
        what is sent in order is carried out in order. Errors stand in the place of their answers, those of marks last.
        """
        marks = self._marks(delays)
        if self._parts == 1:
            answers = self._client.try_all([*calls, *marks])
        else:
            answers = [*self._client.try_all(calls), *self._client.try_all(marks)]
        failed = [answer for answer in answers[len(calls) :] if isinstance(answer, Exception)]
        return [*answers[: len(calls)], *failed]

    def mark(self, queues: Collection[str]) -> None:
        """They have something now."""
        self._client.run_all(self._marks(dict.fromkeys(queues, 0)))

    def _marks(self, delays: Mapping[str, int]) -> list[Call]:
        calls = []
        for part, queues in self._by_part(delays).items():
            for chunk in wire.chunks(queues):
                arguments: wire.Arguments = [len(chunk)]
                for queue in chunk:
                    arguments += [wire.word(queue, "queue"), delays[queue]]
                calls.append(Call("mark", self._keys.of_index(part), arguments))
        return calls

    # ----------------------------------------------------------------------------------------------- looking

    def take(self, names: Collection[str], prefixes: Sequence[str], limit: int) -> DueQueues:
        """Up to ``limit`` queues, each at the back of the line from now on."""
        if limit < 1 or not (names or prefixes):
            return DueQueues(queues=())
        token = uuid4().hex
        wanted = self._wanted(frozenset(names), tuple(prefixes))
        first = next(self._first)
        starts = dict.fromkeys(((first + part) % self._parts for part in range(self._parts)), 0)
        taken: list[str] = []
        later: list[timedelta] = []
        while starts and len(taken) < limit:
            missing = limit - len(taken)
            asked = list(starts)[:missing]
            share = -(-missing // len(asked))
            calls = [wanted.take(part, token, share, starts[part]) for part in asked]
            for part, answer in zip(asked, self._client.run_most(calls), strict=True):
                if isinstance(answer, Exception):  # its node is away: the queues that are marked there wait
                    del starts[part]
                    later.append(_SOON)
                    continue
                known, start, due, *queues = answer
                if known == "0":
                    self._client.run(wanted.want(part))
                    continue
                taken += queues
                later += [] if due == "" else [duration(int(due))]
                del starts[part]
                if start != "":
                    starts[part] = int(start)  # it comes last now
        self._remember(taken, token)
        return DueQueues(
            queues=tuple(taken[:limit]), next_due=None if len(taken) >= limit else min(later, default=None)
        )

    def is_taken(self, queue: str) -> bool:
        return queue in self._tokens

    def looked(self, nothing_in: Mapping[str, timedelta | None]) -> None:
        """In these queues, taken here, nothing was found; there may be something after so long, if it is known. Where
        a node is away it does not hear that, and its queues stay due.
        """
        own = {queue: self._tokens.pop(queue, None) for queue in nothing_in}
        calls = []
        for part, queues in self._by_part([queue for queue, token in own.items() if token]).items():
            arguments: wire.Arguments = [len(queues)]
            for queue in queues:
                due = nothing_in[queue]
                arguments += [queue, own[queue] or "", wire.NONE if due is None else micros(due)]
            calls.append(Call("looked", self._keys.of_index(part), arguments))
        self._client.run_most(calls)

    def _remember(self, queues: Sequence[str], token: str) -> None:
        if len(self._tokens) > _MOST_TOKENS:
            self._tokens.clear()  # whoever looks at them next says what he found
        self._tokens |= dict.fromkeys(queues, token)

    @lru_cache(maxsize=16)  # noqa: B019  # an index lives as long as its backend
    def _wanted(self, names: frozenset[str], prefixes: tuple[str, ...]) -> _Wanted:
        return _Wanted(self._keys, self._by_part(names), prefixes)

    def _by_part(self, queues: Collection[str]) -> dict[int, list[str]]:
        found: dict[int, list[str]] = {}
        for queue in queues:
            found.setdefault(self._part(queue), []).append(queue)
        return found

    def _part(self, queue: str) -> int:
        return crc32(queue.encode()) % self._parts


class _Wanted:
    """What one claimer takes queues by. Its names are told to the server once, however many they are."""

    def __init__(self, keys: Keys, names: Mapping[int, Sequence[str]], prefixes: Sequence[str]) -> None:
        self._keys = keys
        self._names = {part: [wire.word(name, "queue") for name in sorted(own)] for part, own in names.items()}
        self._hash = {part: hashlib.sha256(" ".join(own).encode()).hexdigest() for part, own in self._names.items()}
        self._prefixes = [wire.word(prefix, "prefix") if prefix else wire.NONE for prefix in prefixes]

    def take(self, part: int, token: str, limit: int, start: int) -> Call:
        keys = (*self._keys.of_index(part), self._key(part))
        number = len(self._names.get(part, ()))
        return Call("take", keys, [token, limit, start, number, len(self._prefixes), *self._prefixes])

    def want(self, part: int) -> Call:
        names = self._names[part]
        return Call("want", [self._key(part)], [len(names), *names])

    def _key(self, part: int) -> str:
        return self._keys.wanted(part, self._hash.get(part, "none"))
