"""Threads that listen for hints, each on one or several lists of them.

A request may name only lists of one slot. On one server that is all of them, and one thread hears everything. In a
Cluster each queue has a slot of its own: so there are as many threads as queues, but never more than :data:`THREADS`;
where there are more queues, a thread listens to its queues in turns, and a hint waits for its turn (at most
:data:`BLOCK`, in all). Of more than :data:`MOST_HEARD` a sleeper listens to some, by chance, so that a fleet listens to
most of them; to what comes to the others it wakes by its idle poll.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol

from redis.exceptions import RedisError

from squidmesh.errors import BackendError
from squidmesh_redis.topology import Command, Topology

BLOCK = 2.0
"""Seconds that one request for a hint may wait. Well below the time after which the driver gives an answer up."""
THREADS = 8
MOST_HEARD = 320
"""Queues, or lanes of them, that one sleeper listens to: so each has its turn within :data:`BLOCK`."""
_SHORTEST_TURN = 0.05
HINT_LASTS = timedelta(minutes=1)
"""As for those that scripts leave (lua/_common.lua)."""
_SHORTEST, _LONGEST = 0.1, 5.0
"""Seconds between two attempts at a server that can not be reached: double each time."""

Turn = list[str]
"""Lists of hints that one request may name."""


class Sleeper(Protocol):
    """For whom a listener listens."""

    @property
    def closed(self) -> bool: ...
    def wanted(self) -> bool: ...
    def hand_over(self) -> bool: ...
    def rest(self, pause: float) -> None: ...


def heard(hints: Sequence[str]) -> Sequence[str]:
    """The lists that one sleeper listens to."""
    return hints if len(hints) <= MOST_HEARD else random.sample(hints, MOST_HEARD)


def shared(turns: Sequence[Turn]) -> list[list[Turn]]:
    """The turns of each thread."""
    return [list(turns[first::THREADS]) for first in range(min(THREADS, len(turns)))]


class Listener:
    def __init__(self, topology: Topology, turns: Sequence[Turn], sleeper: Sleeper) -> None:
        self._topology = topology
        self._turns = turns
        self._sleeper = sleeper
        self._wait = BLOCK if len(turns) == 1 else max(_SHORTEST_TURN, BLOCK / len(turns))

    def run(self) -> None:
        """Until the sleeper is closed."""
        pause = _SHORTEST
        at = 0
        while self._sleeper.wanted():
            turn = self._turns[at % len(self._turns)]
            at += 1
            try:
                hinted = self._ask(turn[0], "BLPOP", *turn, self._wait)
                if hinted is not None and not self._sleeper.hand_over():
                    self._put_back(hinted[0], hinted[1])
                pause = _SHORTEST
            except (RedisError, OSError, BackendError):
                self._sleeper.rest(pause)
                pause = min(2 * pause, _LONGEST)
            except Exception:
                if not self._sleeper.closed:  # a driver whose socket is closed under its hands raises whatever comes
                    raise

    def _put_back(self, hints: str, word: str) -> None:
        """For another one. The list may have been emptied, and gone, meanwhile: a new one must end by itself too."""
        lasts = int(HINT_LASTS.total_seconds() * 1000)
        told = self._topology.send(
            [Command(hints, ("LPUSH", hints, word)), Command(hints, ("PEXPIRE", hints, lasts))],
        )
        for answer in told:
            if isinstance(answer, Exception):
                raise answer

    def _ask(self, key: str, *words: str | float) -> Any:
        (answer,) = self._topology.send([Command(key, words)])
        if isinstance(answer, Exception):
            raise answer
        return answer
