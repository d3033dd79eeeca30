"""Whose turn it is, where queues have shares of a worker: smooth weighted turns, with limits.

Each turn, every share that has something due gains its weight; the one with the most is asked, and pays what all have
gained. So of shares that always have work each gets its part, spread evenly, and none waits longer than that takes. A
share that has nothing due, or no room, gains nothing: it saves nothing up.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from squidmesh.ports.lease_backend import LeaseBackend
from squidmesh.runtime.shares import QueueShare

_MOST_NAMES = 64
"""Names that one look asks for at once, beside those that have no room."""


@dataclass(slots=True)
class _Line:
    """The queues of one share that have something due and room for it, in turns."""

    share: QueueShare
    queues: deque[str]


class Sharing:
    """For one pump. :meth:`look` begins a round; then, as long as slots are free, :meth:`next` says what to claim, and
    :meth:`took` hears what came of it.
    """

    def __init__(self, leases: LeaseBackend, shares: Sequence[QueueShare]) -> None:
        self._leases = leases
        self._named = {share.name: share for share in shares if not share.is_prefix}
        self._prefixed = sorted((share for share in shares if share.is_prefix), key=lambda one: -len(one.name))
        self._places = {share.queue: place for place, share in enumerate(shares)}
        self._credit: Counter[str] = Counter()
        """By share: what it has gained and not been asked for, or was asked for in advance. They add up to zero."""
        self._lines: dict[str, _Line] = {}
        self._rooms: dict[str, int] = {}
        self._plan: list[tuple[str, str, int]] = []
        """Share, queue, how many: what :meth:`next` says next."""

    def covers(self, queue: str) -> bool:
        return self.share_of(queue) is not None

    def share_of(self, queue: str) -> QueueShare | None:
        """The one that says most about it: its own name, or else the longest beginning."""
        named = self._named.get(queue)
        return named or next((share for share in self._prefixed if queue.startswith(share.name)), None)

    @property
    def has_limits(self) -> bool:
        return any(share.limit is not None for share in (*self._named.values(), *self._prefixed))

    # ------------------------------------------------------------------------------------------------- one round

    def look(self, limit: int, *, held: Mapping[str, int], paused: Collection[str]) -> timedelta | None:
        """Asks which queues are due, for ``limit`` free slots. ``held``: by queue, the slots that it has. How long
        until another may be due: zero where some may be now that were not told of, None where that is not known. Raises
        what the backend raises.
        """
        self._rooms = {queue: self._room(queue, held) for queue in held}
        shut = {queue for queue, room in self._rooms.items() if room <= 0} | set(paused)
        self._lines, self._plan = {}, []
        rests = [self._ask(list(self._named), (), min(len(self._named), _MOST_NAMES + limit + len(shut)), shut)]
        for share in self._prefixed:
            others = sum(name.startswith(share.name) for name in self._named)
            rests.append(self._ask((), [share.name], limit + len(shut) + min(others, _MOST_NAMES), shut))
        return min((rest for rest in rests if rest is not None), default=None)

    def next(self, limit: int) -> tuple[str, int] | None:
        """A queue, and for how many items to ask it at most; None where nothing is left to ask."""
        if not self._plan and limit > 0:
            self._plan = self._planned(limit)
        if not self._plan:
            return None
        _, queue, number = self._plan[0]
        return queue, number

    def took(self, number: int) -> None:
        """What came of the last word of :meth:`next`. Who had less than was asked has nothing more now."""
        name, queue, asked = self._plan.pop(0)
        self._rooms[queue] = self._rooms.get(queue, self._room(queue, {})) - number
        line = self._lines.get(name)
        if line is None or (number >= asked and self._rooms[queue] > 0):
            return
        if queue in line.queues:
            line.queues.remove(queue)
        if not line.queues:
            del self._lines[name]

    # --------------------------------------------------------------------------------------------------- inside

    def _room(self, queue: str, held: Mapping[str, int]) -> int:
        share = self.share_of(queue)
        most = 1 << 30 if share is None or share.limit is None else share.limit
        return most - held.get(queue, 0)

    def _ask(
        self, names: Collection[str], prefixes: Sequence[str], limit: int, shut: Collection[str]
    ) -> timedelta | None:
        if not names and not prefixes:
            return None
        due = self._leases.due_queues(names, prefixes, limit=limit)
        for queue in due.queues:
            share = self.share_of(queue)
            if share is None or queue in shut or (prefixes and share.name != prefixes[0]):
                continue  # it has no room, or it is another share's, which asks for it by itself
            self._lines.setdefault(share.queue, _Line(share, deque())).queues.append(queue)
        is_all = not prefixes and limit >= len(names)
        return timedelta(0) if len(due.queues) >= limit and not is_all else due.next_due

    def _planned(self, limit: int) -> list[tuple[str, str, int]]:
        """Whom to ask for ``limit`` items, in whole, so that a queue is asked once a round where its items last."""
        wanted: Counter[tuple[str, str]] = Counter()
        rooms = dict(self._rooms)
        lines = {name: deque(line.queues) for name, line in self._lines.items()}
        for _ in range(limit):
            if not lines:
                break
            name = self._turn(lines)
            queue = lines[name].popleft()
            wanted[name, queue] += 1
            rooms[queue] = rooms.get(queue, self._room(queue, {})) - 1
            if rooms[queue] > 0:
                lines[name].append(queue)
            elif not lines[name]:
                del lines[name]
        return [(name, queue, number) for (name, queue), number in wanted.items()]

    def _turn(self, names: Collection[str]) -> str:
        for name in names:
            self._credit[name] += self._lines[name].share.weight
        chosen = max(names, key=lambda name: (self._credit[name], -self._places[name]))
        self._credit[chosen] -= sum(self._lines[name].share.weight for name in names)
        return chosen
