"""What a worker process counts of itself, written down twice a second: for progress and plots, never for the judge.

A line is one JSON object with the counts since the process began. A process that is killed loses half a second.
"""

from __future__ import annotations

import json
import os
import threading
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from squidmesh import Instrument

EVERY = 0.5
"""Seconds from one line to the next."""
WAITS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Upper bounds of the classes in which a step's waiting is counted; one more is above them."""
NOTICED = {
    "lease_lost": "lost",
    "stale_write_refused": "refused",
    "claim_refused": "not_recorded",
    "journal_unavailable": "journal_away",
    "lease_backend_unavailable": "leases_away",
}
RESULTS = {"AttemptCompleted": "completed", "AttemptFailed": "failed", "AttemptDeadLettered": "dead"}


class Tally(Instrument):
    """One a process."""

    def __init__(self, folder: Path) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._waits = [0] * (len(WAITS) + 1)
        folder.mkdir(parents=True, exist_ok=True)
        self._file = os.open(folder / f"{os.getpid()}.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        threading.Thread(target=self._tell, daemon=True, name="tally").start()

    def notice(self, event: str, /, **fields: object) -> None:
        if (word := NOTICED.get(event)) is not None:
            self._add(word)

    def recorded(self, state: Any, facts: Sequence[Any]) -> None:
        for fact in facts:
            if (word := RESULTS.get(type(fact).__name__)) is not None:
                self._add(word)

    def taken_over(self, *, queue: str) -> None:
        self._add("taken_over")

    def step_begins(self, step: Any) -> None:
        with self._lock:
            self._waits[bisect_left(WAITS, step.waited)] += 1

    def _add(self, word: str) -> None:
        with self._lock:
            self._counts[word] += 1

    def _tell(self) -> None:
        pause = threading.Event()
        while True:
            with self._lock:
                line: dict[str, Any] = {
                    "mono": time.monotonic(),
                    "wall": time.time(),
                    "waits": self._waits,
                    **self._counts,
                }
                text = json.dumps(line)
            os.write(self._file, text.encode() + b"\n")
            pause.wait(EVERY)
