"""How many runs there are, by status. Where counting is dear, everybody is told the same number for a while: all who
look together cost the store a hundredth of its time at most.

The mesh counts all queues together. For one queue alone its newest thousand runs are looked at, which costs the same
whatever there is behind them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from squidmesh import Mesh

_CHEAP = 0.02
CHEAP_OF_A_QUEUE = 0.004
"""Seconds. What takes no longer is asked each time."""
_REST = 100
"""How many times as long as it took a number is good for."""
_MOST = 200
"""Workflows, or queues, of which numbers are kept."""
NEWEST = 1000

Key = TypeVar("Key", bound=Hashable)
Told = TypeVar("Told")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """``queue`` is None for all queues, ``workflow`` for all workflows. ``newest``: among how many runs of the queue
    they were counted, where there are more.
    """

    by_status: dict[str, int]
    queue: str | None = None
    workflow: str | None = None
    newest: int | None = None


def of_queue(mesh: Mesh, queue: str, workflow: str | None) -> Counts:
    """Of the runs of one queue, those of the workflow alone if there is one."""
    page = mesh.list_runs(queue=queue, limit=NEWEST)
    found = Counter(run.status for run in page.runs if workflow in (None, run.workflow))
    newest = None if page.next is None else len(page.runs)
    return Counts(by_status=dict(found), queue=queue, workflow=workflow, newest=newest)


class Counted(Generic[Key, Told]):
    """Thread-safe; whoever asks while another counts waits for that. ``count``: by the mesh's own verbs. ``cheap``:
    seconds; what takes no longer is asked each time.
    """

    def __init__(
        self,
        count: Callable[[Key], Told],
        *,
        cheap: float = _CHEAP,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._count = count
        self._cheap = cheap
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._known: dict[Key, tuple[float, Told]] = {}

    def of(self, key: Key) -> Told:
        """Raises what the verb raises."""
        with self._lock:
            began = self._monotonic()
            known = self._known.get(key)
            if known is not None and began < known[0]:
                return known[1]
            self._known.pop(key, None)
            found = self._count(key)
            ended = self._monotonic()
            if ended - began > self._cheap:
                if len(self._known) >= _MOST:
                    self._known.pop(next(iter(self._known)))
                self._known[key] = (ended + (ended - began) * _REST, found)
            return found
