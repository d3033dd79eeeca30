"""Dead letters that go back to work so many a second, behind the page, for as long as that takes.

It is known in this process alone, and ends with it. What has not gone back by then is a dead letter as before.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from squidmesh import DeadLettersMoved, SquidMeshError
from squidmesh.sonar.access import Visitor

MOST = 8
"""That go on at once."""
_KEPT = 8
"""That have ended, and are still told of."""


@dataclass(slots=True, eq=False, kw_only=True)
class Going:
    """One batch. ``queue``: the one that it is bound to, None for all. ``error``: why it ended before its end."""

    key: str
    actor: str
    queue: str | None
    rate: float
    total: int
    done: int = 0
    refused: int = 0
    ended: bool = False
    error: str | None = None
    stopped: threading.Event = field(default_factory=threading.Event)

    def told(self) -> list[object]:
        return [self.key, self.done, self.refused, self.ended]


class Paced:
    """Thread-safe. Each batch has a thread, which ends with the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, Going] = {}

    def begin(self, one: Going, items: Sequence[str], replay: Callable[[str], DeadLettersMoved]) -> bool:
        """False where as many go on as may be. The same key again is the same batch, and changes nothing."""
        with self._lock:
            if one.key in self._known:
                return True
            going = [other for other in self._known.values() if not other.ended]
            if len(going) >= MOST:
                return False
            ended = [other.key for other in self._known.values() if other.ended]
            for key in ended[: len(ended) - _KEPT + 1]:
                del self._known[key]
            self._known[one.key] = one
        threading.Thread(target=_go, args=(one, items, replay), name="squidmesh-sonar-replay", daemon=True).start()
        return True

    def seen_by(self, visitor: Visitor) -> list[Going]:
        """The newest first. Whoever sees some queues sees what is bound to one of them."""
        with self._lock:
            known = list(self._known.values())
        return [one for one in reversed(known) if _may_see(visitor, one)]

    def stop(self, key: str, visitor: Visitor) -> bool:
        """Whether there is such a one. What it has in hand goes back to work; the others do not."""
        found = [one for one in self.seen_by(visitor) if one.key == key]
        for one in found:
            one.stopped.set()
        return bool(found)


def _may_see(visitor: Visitor, one: Going) -> bool:
    return visitor.sees_all or (one.queue is not None and visitor.sees(one.queue))


def _go(one: Going, items: Sequence[str], replay: Callable[[str], DeadLettersMoved]) -> None:
    """Evenly; where an item takes longer than its share, the next one does not hurry."""
    due = time.monotonic()
    try:
        for item in items:
            if one.stopped.wait(max(0.0, due - time.monotonic())):
                one.error = "stopped"
                break
            moved = replay(item)
            one.done += len(moved.items)
            one.refused += len(moved.refused)
            due = max(due, time.monotonic()) + 1 / one.rate
    except SquidMeshError as error:
        one.error = f"{error.code}: {error}"
    finally:
        one.ended = True
