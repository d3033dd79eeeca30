"""Numbers that grow: counters and histograms of one process, kept so that a step pays little for them.

The page of a scrape is made from these (:mod:`squidmesh.observe.prometheus`); nothing here knows a library.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

from squidmesh.ports.metrics import METRICS, OTHER, Metric

MOST_VALUES = {"queue": 100, "workflow": 100, "step": 1000, "trigger": 100, "event": 100}
"""How many values a label may have; what comes later is ``other``. The labels that are not here have fixed words."""
MOST_SERIES = 5000
"""Sets of labels that one metric may have, whatever their values."""
Labels = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One value that a bucket got, and whose it was."""

    run_id: str
    value: float
    at: float


@dataclass(slots=True)
class Spread:
    """A histogram under one set of labels. ``counts``: of each bucket alone, the last one without an upper bound."""

    counts: list[int]
    sum: float = 0.0
    examples: dict[int, Example] = field(default_factory=dict)


class Counts:
    """Thread-safe. ``queues``: names that are known before, which keep their place among the label's values."""

    def __init__(self, queues: tuple[str, ...] = ()) -> None:
        self._lock = threading.Lock()
        self._values: dict[str, set[str]] = {label: set() for label in MOST_VALUES}
        self._values["queue"].update(queues[: MOST_VALUES["queue"]])
        self._counters: dict[str, dict[Labels, float]] = {}
        self._spreads: dict[str, dict[Labels, Spread]] = {}
        for metric in METRICS:
            if metric.kind == "counter":
                self._counters[metric.name] = {} if metric.labels else {(): 0.0}
            elif metric.kind == "histogram":
                self._spreads[metric.name] = {} if metric.labels else {(): self._spread(metric)}

    def know(self, queues: tuple[str, ...]) -> None:
        """These keep their place among the label's values from now on."""
        with self._lock:
            room = MOST_VALUES["queue"] - len(self._values["queue"])
            self._values["queue"].update(queues[: max(0, room)])

    def add(self, metric: Metric, *labels: str, by: float = 1) -> None:
        with self._lock:
            counter = self._counters[metric.name]
            if labels in counter:
                counter[labels] += by
            else:
                labels = self._kept(metric, labels, counter)
                counter[labels] = counter.get(labels, 0.0) + by

    def observe(self, metric: Metric, value: float, *labels: str, run_id: str | None = None) -> None:
        """``run_id``: the exemplar of the bucket that the value falls into, until the next one comes."""
        with self._lock:
            spreads = self._spreads[metric.name]
            found = spreads.get(labels)
            if found is None:
                labels = self._kept(metric, labels, spreads)
                found = spreads.setdefault(labels, self._spread(metric))
            bucket = bisect_left(metric.buckets, value)
            found.counts[bucket] += 1
            found.sum += value
            if run_id is not None:
                found.examples[bucket] = Example(run_id, value, time.time())

    def queue(self, name: str) -> str:
        """The name, or ``other``."""
        with self._lock:
            return self._value("queue", name)

    def counters(self, metric: Metric) -> list[tuple[Labels, float]]:
        with self._lock:
            return list(self._counters[metric.name].items())

    def spreads(self, metric: Metric) -> Iterator[tuple[Labels, Spread]]:
        """Copies, so that they stay what they are."""
        with self._lock:
            found = [
                (labels, Spread(list(spread.counts), spread.sum, dict(spread.examples)))
                for labels, spread in self._spreads[metric.name].items()
            ]
        yield from found

    @staticmethod
    def _spread(metric: Metric) -> Spread:
        return Spread([0] * (len(metric.buckets) + 1))

    def _kept(self, metric: Metric, labels: Labels, there: Collection[Labels]) -> Labels:
        """What stands for them within the limits."""
        if len(there) >= MOST_SERIES:
            return tuple(
                OTHER if label in MOST_VALUES else value for label, value in zip(metric.labels, labels, strict=True)
            )
        return tuple(self._value(label, value) for label, value in zip(metric.labels, labels, strict=True))

    def _value(self, label: str, value: str) -> str:
        known = self._values.get(label)
        if known is None or value in known:
            return value
        if len(known) >= MOST_VALUES[label]:
            return OTHER
        known.add(value)
        return value
