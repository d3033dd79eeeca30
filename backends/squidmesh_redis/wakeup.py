"""Ending an idle pump's sleep: at once within the process, and within milliseconds of an offer by any other.

Each script that makes work claimable leaves words on the queue's list of hints, one for each worker that should look.
A listener blocks on that list, outside of any script, while its pump sleeps; a hint that arrives when the pump is awake
is put back for another. A hint is only a hint: one that is lost costs the rest of an idle poll.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import timedelta

from redis import Redis
from redis.exceptions import RedisError

BLOCK = 2.0
"""Seconds that one request for a hint may wait. Well below the time after which the driver gives an answer up."""
HINT_LASTS = timedelta(minutes=1)
"""As for those that scripts leave (lua/_common.lua)."""
_SHORTEST, _LONGEST = 0.1, 5.0
"""Seconds between two attempts at a server that can not be reached: double each time."""


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
    """One sleeper, and a thread that listens for it. All wakeups of one backend share a bell: a poke of any of them
    ends the wait of each; a hint ends that of one.
    """

    def __init__(
        self,
        client: Redis,
        hints: Sequence[str],
        bell: Bell,
        on_close: Callable[[RedisWakeup], object] = lambda _: None,
    ) -> None:
        self._client = client
        self._hints = list(hints)
        self._bell = bell
        self._on_close = on_close
        self._heard = bell.rings
        self._sleeping = False
        self._hinted = False
        self._closed = False
        self._listener: threading.Thread | None = None

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
            listener = self._listener
        self._bell.ring()
        if listener is not None:
            self._client.close()
            listener.join(BLOCK)
        self._on_close(self)

    def _awake(self) -> bool:
        return self._hinted or self._bell.rings != self._heard

    def _listen(self) -> None:
        if self._listener is None and self._hints and not self._closed:
            self._listener = threading.Thread(target=self._run, name="squidmesh-hints", daemon=True)
            self._listener.start()

    # ------------------------------------------------------------------------------------------- the listener

    def _run(self) -> None:
        pause = _SHORTEST
        while self._wanted():
            try:
                hinted = self._client.blpop(self._hints, timeout=BLOCK)
                if hinted is not None and not self._hand_over():
                    self._put_back(hinted[0], hinted[1])
                pause = _SHORTEST
            except (RedisError, OSError):
                self._rest(pause)
                pause = min(2 * pause, _LONGEST)
            except Exception:
                if not self._closed:  # a driver whose socket is closed under its hands raises whatever comes
                    raise

    def _wanted(self) -> bool:
        """Waits until somebody sleeps; False at the end."""
        with self._bell.changed:
            self._bell.changed.wait_for(lambda: self._closed or self._sleeping)
            return not self._closed

    def _put_back(self, hints: bytes | str, word: bytes | str) -> None:
        """For another one. The list may have been emptied, and gone, meanwhile: a new one must end by itself too."""
        pipeline = self._client.pipeline()
        pipeline.lpush(hints, word)
        pipeline.pexpire(hints, HINT_LASTS)
        pipeline.execute()

    def _hand_over(self) -> bool:
        with self._bell.changed:
            if not self._sleeping or self._hinted:
                return False
            self._hinted = True
            self._bell.changed.notify_all()
            return True

    def _rest(self, pause: float) -> None:
        ends = time.monotonic() + pause
        with self._bell.changed:
            self._bell.changed.wait_for(lambda: self._closed, max(0.0, ends - time.monotonic()))
