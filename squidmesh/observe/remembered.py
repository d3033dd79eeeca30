"""An answer that is asked for at most once in a while, by one thread, and waited for with patience that ends."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Remembered(Generic[T]):
    """Thread-safe. ``ask`` may take as long as it likes: whoever waits for it gives up after ``patience`` seconds, and
    it is asked again only when it has come back. Its answer, or its error, is good for ``keep`` seconds.
    """

    def __init__(self, ask: Callable[[], T], *, keep: float = 1.0, patience: float = 2.0) -> None:
        self._ask = ask
        self._keep = keep
        self._patience = patience
        self._changed = threading.Condition()
        self._asking = False
        self._rounds = 0
        self._got: tuple[float, T | None, Exception | None] | None = None

    def __call__(self) -> T:
        """``TimeoutError`` where no answer came in time; else what ``ask`` gives or raises."""
        with self._changed:
            if self._got is None or time.monotonic() - self._got[0] > self._keep:
                self._begin()
                before = self._rounds
                if not self._changed.wait_for(lambda: self._rounds > before, self._patience):
                    raise TimeoutError(f"no answer for {self._patience:g} s")
            assert self._got is not None
            _, answer, error = self._got
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]

    def _begin(self) -> None:
        if not self._asking:
            self._asking = True
            threading.Thread(target=self._run, name="squidmesh-look", daemon=True).start()

    def _run(self) -> None:
        answer, error = None, None
        try:
            answer = self._ask()
        except Exception as raised:
            error = raised
        with self._changed:
            self._got = (time.monotonic(), answer, error)
            self._rounds += 1
            self._asking = False
            self._changed.notify_all()
