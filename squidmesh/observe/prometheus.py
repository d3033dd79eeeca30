"""The page of a scrape, in Prometheus's text or in OpenMetrics (``pip install "squidmesh[metrics]"``).

Counters and histograms are this process's own. The gauges of the stores are read when somebody looks, in bounded time:
so they are true after any crash, and every worker of a fleet tells the same. What can not be read is a metric too.
"""

from __future__ import annotations

import platform
import time
from collections.abc import Callable, Iterator
from importlib.metadata import version

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from prometheus_client.samples import Exemplar

from squidmesh.observe.counts import Counts, Labels, Spread
from squidmesh.observe.health import Health
from squidmesh.observe.remembered import Remembered
from squidmesh.ports import metrics
from squidmesh.ports.metrics import METRICS, OTHER
from squidmesh.ports.vitals import Vitals, WorkerSigns

_STATUSES = (
    "running", "waiting", "retrying", "paused", "failing", "compensating", "completed", "failed", "cancelled"
)  # fmt: skip
Gauges = dict[str, list[tuple[Labels, float]]]


class Page:
    """What ``/metrics`` answers. Thread-safe."""

    def __init__(
        self,
        counts: Counts,
        *,
        look: Remembered[Vitals],
        signs: Callable[[], WorkerSigns],
        health: Health,
    ) -> None:
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Everything(counts, look, signs, health))

    def write(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, as the ``Accept`` header wants it; exemplars are in OpenMetrics only."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _Everything(Collector):
    def __init__(
        self, counts: Counts, look: Remembered[Vitals], signs: Callable[[], WorkerSigns], health: Health
    ) -> None:
        self._counts = counts
        self._look = look
        self._signs = signs
        self._health = health

    def collect(self) -> Iterator[Metric]:
        gauges = self._gauges()
        for metric in METRICS:
            if metric.kind == "counter":
                counter = CounterMetricFamily(metric.name.removesuffix("_total"), metric.help, labels=metric.labels)
                for labels, value in self._counts.counters(metric):
                    counter.add_metric(labels, value)
                yield counter
            elif metric.kind == "histogram":
                histogram = HistogramMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
                for labels, spread in self._counts.spreads(metric):
                    negative = metric.buckets[0] < 0
                    histogram.add_metric(labels, _buckets(metric, spread), None if negative else spread.sum)
                yield histogram
            else:
                gauge = GaugeMetricFamily(metric.name, metric.help, labels=metric.labels, unit=metric.unit)
                for labels, value in gauges.get(metric.name, []):
                    gauge.add_metric(labels, value)
                yield gauge

    def _gauges(self) -> Gauges:
        signs = self._signs()
        found: Gauges = {
            metrics.SLOTS_BUSY.name: [((), signs.busy)],
            metrics.SLOTS_CAPACITY.name: [((), signs.capacity)],
            metrics.LEASES_HELD.name: [((), signs.held)],
            metrics.LIVE.name: [((), self._health.not_live() is None)],
            metrics.ROLE_UP.name: [((role,), why is None) for role, why in signs.roles.items()],
            metrics.BUILD_INFO.name: [((version("squidmesh"), platform.python_version()), 1)],
        }
        began = time.monotonic()
        up = {"journal": 0.0, "leases": 0.0}
        try:
            vitals = self._look()
        except Exception:  # whatever it is, the rest of the page is still true, and this says that the stores are away
            vitals = None
        if vitals is not None:
            up = {"journal": 1.0, "leases": float(vitals.trouble is None)}
            found |= self._of_stores(vitals)
        found[metrics.READY.name] = [((), self._health.not_ready() is None)]
        found[metrics.STORES_UP.name] = [((store,), value) for store, value in up.items()]
        found[metrics.LOOK_DURATION.name] = [((), time.monotonic() - began)]
        return found

    def _of_stores(self, vitals: Vitals) -> Gauges:
        items: dict[Labels, float] = {}
        oldest: dict[Labels, float] = {}
        for stats in vitals.queues:
            queue = self._counts.queue(stats.queue)
            for state, count in (("ready", stats.ready), ("delayed", stats.delayed), ("leased", stats.leased)):
                items[queue, state] = items.get((queue, state), 0) + count
            age = stats.oldest_ready.total_seconds() if stats.oldest_ready is not None else 0.0
            oldest[(queue,)] = max(oldest.get((queue,), 0.0), age)
        paused = {(self._counts.queue(name),): 1.0 for name in sorted(vitals.paused)}
        seen = {(queue,): 0.0 for (queue,) in oldest if queue != OTHER}
        found: Gauges = {
            metrics.RUNS.name: [((status,), vitals.runs.get(status, 0)) for status in _STATUSES],
            metrics.DEAD_LETTERS_OPEN.name: [((), vitals.dead_letters)],
            metrics.QUEUE_PAUSED.name: [*(seen | paused).items()],
        }
        if vitals.trouble is None:
            found[metrics.QUEUE_ITEMS.name] = [*items.items()]
            found[metrics.OLDEST_READY.name] = [*oldest.items()]
            found[metrics.LEASES_ACTIVE.name] = [((), sum(stats.leased for stats in vitals.queues))]
        return found


def _buckets(metric: metrics.Metric, spread: Spread) -> list[tuple[str, float] | tuple[str, float, Exemplar]]:
    """Cumulative, as both formats have them."""
    bounds = [*(str(float(bound)) for bound in metric.buckets), "+Inf"]
    total = 0
    told: list[tuple[str, float] | tuple[str, float, Exemplar]] = []
    for number, (bound, count) in enumerate(zip(bounds, spread.counts, strict=True)):
        total += count
        example = spread.examples.get(number)
        if example is None:
            told.append((bound, float(total)))
        else:
            exemplar = Exemplar({"run_id": example.run_id}, example.value, example.at)
            told.append((bound, float(total), exemplar))
    return told
