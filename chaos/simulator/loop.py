"""One loop over many actors on virtual time: what runs next is the earliest in the heap, and nothing else decides it.

An actor is a greenlet: a thread of a simulated process that gives the control back where it waits. Only one runs at a
time, so nothing happens between two of its waits, and the same script is the same history.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable, Iterable
from typing import Any

import greenlet

SECOND = 1_000_000
FOREVER = 1 << 62


class Died(BaseException):
    """The process of this actor is gone: nothing of it may do anything any more."""


class Spinning(BaseException):
    """Somebody does not come to rest."""


_MOST_LOOKS = 20_000


class Process:
    """What dies as a whole. ``name`` is kept from life to life, ``life`` counts them. ``rng``: all chance of it."""

    def __init__(self, name: str, life: int, rng: random.Random) -> None:
        self.name = name
        self.life = life
        self.rng = rng
        self.dead = False
        self.frozen_until = 0
        self.cut_until = {"journal": 0, "leases": 0}
        self.actors: list[Actor] = []
        self.parts: dict[str, Any] = {}


class Actor:
    """``token`` tells the wake-up that it waits for from those that are over."""

    __slots__ = ("fn", "glet", "name", "process", "thread", "token", "woken")

    def __init__(self, process: Process, name: str, fn: Callable[[], object]) -> None:
        self.process = process
        self.name = name
        self.fn = fn
        self.glet: greenlet.greenlet | None = None
        self.token = 0
        self.woken = False
        self.thread: Any = None


class Loop:
    """``now``: microseconds since 1970. ``failed`` hears of an exception that ended an actor, other than its death."""

    def __init__(self, start: int, failed: Callable[[Actor, BaseException], None]) -> None:
        self.now = start
        self.current: Actor | None = None
        self.stopped = False
        self.looks = 0
        """How often somebody has asked for the time since it passed last."""
        self._failed = failed
        self._heap: list[tuple[int, int, Actor, int]] = []
        self._count = 0
        self._horizon = FOREVER
        self._hub: greenlet.greenlet | None = None
        self._doomed: list[Process] = []

    def look(self) -> int:
        """The time, for somebody who may be waiting for it to pass: it does not, while he asks."""
        self.looks += 1
        if self.looks > _MOST_LOOKS:
            raise Spinning("it asks for the time again and again, and waits for nothing")
        return self.now

    def spawn(self, process: Process, name: str, fn: Callable[[], object], *, after: int = 0) -> Actor:
        """``after``: microseconds from now. Of a process that is dead nothing begins."""
        actor = Actor(process, name, fn)
        if process.dead:
            return actor
        process.actors.append(actor)
        self._push(self.now + after, actor)
        return actor

    def sleep(self, micros: int) -> None:
        """Of the actor that runs. Where nobody else comes first, the time passes without a switch."""
        until = self.now + micros
        self.looks = 0
        heap = self._heap
        if (not heap or heap[0][0] > until) and until < self._horizon and not self.stopped and not self._doomed:
            self.now = until
            return
        self.park(micros)

    def park(self, micros: int | None) -> bool:
        """Waits until it is woken, at most so long (None: for ever). Whether it was woken."""
        actor = self.current
        assert actor is not None, "nobody waits who is no actor"
        if actor.process.dead:
            raise Died
        actor.woken = False
        if micros is not None:
            self._push(self.now + max(0, micros), actor)
        assert self._hub is not None
        self._hub.switch()
        if actor.process.dead:
            raise Died
        return actor.woken

    def wake(self, actor: Actor) -> None:
        """It goes on as soon as those that are due before it have."""
        if not actor.woken:
            actor.woken = True
            actor.token += 1
            self._push(self.now, actor)

    def kill(self, process: Process) -> None:
        """At once: what it has in memory is gone. What it does to end (``finally``) reaches no port any more."""
        process.dead = True
        if process not in self._doomed:
            self._doomed.append(process)
        if self.current is not None and self.current.process is process:
            raise Died
        if self._hub is greenlet.getcurrent():
            self._bury()

    def run(self, until: Callable[[], bool], horizon: int) -> bool:
        """Until the condition holds (looked at whenever an actor waits), or nothing is due before ``horizon``."""
        self._hub = greenlet.getcurrent()
        self._horizon = horizon
        heap = self._heap
        while heap and not self.stopped:
            at, _, actor, token = heapq.heappop(heap)
            if token != actor.token or actor.process.dead:
                continue
            if at > horizon:
                heapq.heappush(heap, (at, 0, actor, token))
                break
            if actor.process.frozen_until > at:
                self._count += 1
                heapq.heappush(heap, (actor.process.frozen_until, self._count, actor, token))
                continue
            if at > self.now:
                self.now = at
            actor.token += 1
            self._resume(actor)
            if until():
                return True
        if not self.stopped:
            self.now = max(self.now, min(horizon, self.now if horizon == FOREVER else horizon))
        return until()

    def close(self, processes: Iterable[Process]) -> None:
        """Ends them all: a loop that is over holds nothing."""
        self._hub = greenlet.getcurrent()
        for process in processes:
            self.kill(process)
        self._heap.clear()

    def _push(self, at: int, actor: Actor) -> None:
        self._count += 1
        heapq.heappush(self._heap, (at, self._count, actor, actor.token))

    def _resume(self, actor: Actor) -> None:
        self.looks = 0
        if actor.glet is None:
            actor.glet = greenlet.greenlet(lambda: self._live(actor), self._hub)
        self.current = actor
        actor.glet.switch()
        self.current = None
        if self._doomed:
            self._bury()

    def _live(self, actor: Actor) -> None:
        try:
            actor.fn()
        except (Died, greenlet.GreenletExit):
            pass
        except BaseException as error:
            self._failed(actor, error)
        actor.process.actors.remove(actor)

    def _bury(self) -> None:
        while self._doomed:
            process = self._doomed.pop()
            for actor in list(process.actors):
                if actor.glet is not None:
                    self.current = actor
                    actor.glet.throw(Died)
                    self.current = None
            process.actors.clear()
