"""Expressions of PromQL over the metrics of the table, and the check that they ask for what there is.

Two kinds of metrics want two kinds of sums: what a process counts is summed over the fleet; what the stores hold is
told by every process alike, and is taken once (``max``, or ``min`` where the worst view counts).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from squidmesh.ports.metrics import METRICS, Metric

TARGET = ("job", "instance")
"""The labels that a scrape adds to every series."""
_OF_PROMETHEUS = {"up": TARGET, "ALERTS": ("alertname", "alertstate", "severity", *TARGET)}
_SERIES = re.compile(r"(?<![\w:.$\"])((?:\w+:)?squidmesh_[a-z0-9_]+(?::\w+)?|up\b(?=[ {])|ALERTS)(\{[^}]*\})?")
"""A name, perhaps of a recording rule, and its matchers."""
_PARTS = ("_bucket", "_count", "_sum")


class WrongExpression(ValueError):
    """It asks for a metric or a label that there is not, or sums what must not be summed."""


@dataclass(frozen=True, slots=True)
class Queries:
    """Makes expressions. ``variables``: labels that the reader of a dashboard chooses; each metric that has one is
    narrowed by it. ``window``: of rates, where nothing else is said.
    """

    variables: tuple[str, ...] = ()
    window: str = "5m"

    def series(self, metric: Metric, *, part: str = "", **wanted: str) -> str:
        """A selector. ``wanted``: label=value, or label="~pattern"."""
        matchers = [f'{label}=~"${label}"' for label in self.variables if label in _labels_to_choose(metric)]
        for label, value in wanted.items():
            matchers.append(f'{label}=~"{value[1:]}"' if value.startswith("~") else f'{label}="{value}"')
        return f"{metric.name}{part}" + (f"{{{', '.join(matchers)}}}" if matchers else "")

    def own(self, metric: Metric, *by: str, how: str = "sum", **wanted: str) -> str:
        """A gauge of processes, over the fleet."""
        return f"{how} by ({', '.join(by)}) ({self.series(metric, **wanted)})"

    def stored(self, metric: Metric, *by: str, how: str = "max", **wanted: str) -> str:
        """A gauge of the stores, which every process tells alike."""
        return f"{how} by ({', '.join(by)}) ({self.series(metric, **wanted)})"

    def rate(self, metric: Metric, *by: str, window: str = "", part: str = "", **wanted: str) -> str:
        """Of a counter, a second."""
        _must_be(metric, "histogram" if part else "counter")
        return f"sum by ({', '.join(by)}) (rate({self.series(metric, part=part, **wanted)}[{window or self.window}]))"

    def gained(self, metric: Metric, *by: str, window: str, **wanted: str) -> str:
        """By how much a counter grew. ``increase`` is blind to the first value of a series, and one with labels begins
        with the first event: so a series that was not there before the window counts whole, also where its process
        has died since.
        """
        _must_be(metric, "counter")
        one = self.series(metric, **wanted)
        before = f"last_over_time({one}[{window}] offset {window})"
        return f"sum by ({', '.join(by)}) ((increase({one}[{window}]) and {before}) or last_over_time({one}[{window}]))"

    def quantile(self, share: float, metric: Metric, *by: str, window: str = "", **wanted: str) -> str:
        """Seconds, or what the histogram is of, below which this share of the observations are."""
        return f"histogram_quantile({share}, {self.rate(metric, *by, 'le', window=window, part='_bucket', **wanted)})"


def check(text: str, recorded: Mapping[str, tuple[str, ...]] | None = None) -> str:
    """The expression itself. ``recorded``: names of recording rules with their labels.

    ``WrongExpression`` where a metric is unknown, a label is none of its own, or a gauge of the stores is summed.
    """
    known = {**_names(), **_OF_PROMETHEUS, **(recorded or {})}
    found = re.findall(
        r"(?<![\w:.$\"])((?:\w+:)?(?:squidmesh_[a-z0-9_]+)(?::\w+)?|up\b(?=[ {])|ALERTS)(\{[^}]*\})?", text
    )
    if not found:
        raise WrongExpression(f"{text}: asks for no metric of ours")
    labels: set[str] = set()
    for name, matchers in found:
        if name not in known:
            raise WrongExpression(f"{text}: there is no metric {name}; squidmesh/ports/metrics.py has them all")
        labels.update(known[name])
        for label in re.findall(r"(\w+)\s*[=!]~?", matchers):
            if label not in known[name]:
                raise WrongExpression(f"{text}: {name} has no label {label!r}; it has {', '.join(known[name])}")
    for names in re.findall(r"\b(?:by|on) \(([^)]*)\)", text):
        for label in filter(None, (one.strip() for one in names.split(","))):
            if label not in labels:
                raise WrongExpression(f"{text}: none of its metrics has a label {label!r}; they have {sorted(labels)}")
    for metric in METRICS:
        taken = re.compile(rf"\b(?:max|min) by \([^)]*\) \((?:max_over_time\()?{metric.name}\b")
        if metric.stores and len(re.findall(rf"(?<![\w:]){metric.name}\b(?!:)", text)) != len(taken.findall(text)):
            raise WrongExpression(f"{text}: every process tells {metric.name} alike; take its max or min")
    return text


def _names() -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for metric in METRICS:
        if metric.kind == "histogram":
            for part in _PARTS:
                found[metric.name + part] = (*metric.labels, *TARGET, *(("le",) if part == "_bucket" else ()))
        else:
            found[metric.name] = (*metric.labels, *TARGET)
    return found


def _labels_to_choose(metric: Metric) -> tuple[str, ...]:
    """A gauge of the stores is not narrowed by instance: any of them tells it."""
    return (*metric.labels, "job") if metric.stores else (*metric.labels, *TARGET)


def _must_be(metric: Metric, kind: str) -> None:
    if metric.kind != kind:
        raise WrongExpression(f"{metric.name} is a {metric.kind}; here must be a {kind}")
