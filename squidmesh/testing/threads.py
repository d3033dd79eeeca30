"""Running the same thing in several threads at once, for the promises about concurrency."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def together(count: int, function: Callable[[int], T]) -> list[T]:
    """Calls ``function(0)``, ``function(1)`` … each in a thread of its own, all starting together."""
    start = threading.Barrier(count)

    def run(index: int) -> T:
        start.wait()
        return function(index)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(run, range(count)))
