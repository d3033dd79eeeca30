"""Ending an idle pump's sleep: at once within the process, and within milliseconds of an offer by any other.

Each script that makes work claimable leaves words on the queue's list of hints, one for each worker that should look.
Listeners (:mod:`squidmesh_redis.listening`) block on those lists, outside of any script, while their pump sleeps; a
hint that arrives when the pump is awake is put back for another. A hint is only a hint: one that is lost costs the
rest of an idle poll.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from squidmesh_redis.listening import BLOCK, Listener, heard, shared
from squidmesh_redis.topology import Topology


class Bell:
    """Counts its rings, so that a ring between two waits is not missed."""

    def __init__(self) -> None:
        self.rings = 0
        self.changed = threading.Condition()

    def ring(self) -> None:
        with self.changed:
            self.rings += 1
            self.changed.notify_all()


class RedisWakeup:
    """One sleeper, and threads that listen for it. All wakeups of one backend share a bell: a poke of any of them ends
    the wait of each; a hint ends that of one.
    """

    def __init__(
        self,
        topology: Topology,
        hints: Sequence[str],
        bell: Bell,
        on_close: Callable[[RedisWakeup], object] = lambda _: None,
    ) -> None:
        self._topology = topology
        self._listeners = [Listener(topology, turns, self) for turns in shared(topology.groups(heard(hints)))]
        self._bell = bell
        self._on_close = on_close
        self._heard = bell.rings
        self._sleeping = False
        self._hinted = False
        self._closed = False
        self._threads: list[threading.Thread] = []

    def poke(self) -> None:
        self._bell.ring()

    def wait(self, timeout: timedelta) -> None:
        with self._bell.changed:
            self._listen()
            self._sleeping = True
            self._bell.changed.notify_all()
            self._bell.changed.wait_for(self._awake, min(max(0.0, timeout.total_seconds()), threading.TIMEOUT_MAX))
            self._sleeping = self._hinted = False
            self._heard = self._bell.rings

    def close(self) -> None:
        with self._bell.changed:
            self._closed = True
            threads = list(self._threads)
        self._bell.ring()
        self._topology.close()
        for thread in threads:
            thread.join(BLOCK)
        self._listeners.clear()
        self._on_close(self)

    def _awake(self) -> bool:
        return self._hinted or self._bell.rings != self._heard

    def _listen(self) -> None:
        if not self._threads and not self._closed:
            for listener in self._listeners:
                thread = threading.Thread(target=listener.run, name="squidmesh-hints", daemon=True)
                self._threads.append(thread)
                thread.start()

    # ------------------------------------------------------------------------------------- what a listener asks it

    @property
    def closed(self) -> bool:
        return self._closed

    def wanted(self) -> bool:
        """Waits until somebody sleeps whom no hint has woken; False at the end. Who asks for the next hint before that
        would keep the interpreter from him who was just woken.
        """
        with self._bell.changed:
            self._bell.changed.wait_for(lambda: self._closed or (self._sleeping and not self._hinted))
            return not self._closed

    def hand_over(self) -> bool:
        """Whether there was somebody to wake."""
        with self._bell.changed:
            if not self._sleeping or self._hinted:
                return False
            self._hinted = True
            self._bell.changed.notify_all()
            return True

    def rest(self, pause: float) -> None:
        """Seconds, or until the end."""
        ends = time.monotonic() + pause
        with self._bell.changed:
            self._bell.changed.wait_for(lambda: self._closed, max(0.0, ends - time.monotonic()))
