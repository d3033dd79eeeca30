"""``docs/metrics.md``: the table of all metrics, from the declarations that the exposition is made from."""

from __future__ import annotations

from squidmesh.observe.counts import MOST_SERIES, MOST_VALUES
from squidmesh.ports.metrics import METRICS, OTHER, Metric

_HEAD = """\
# Metrics

Every metric that `/metrics` of a worker process has (`squidmesh worker --listen`, and `pip install
"squidmesh[metrics]"`); how to scrape and what to alert on is told in [observability.md](observability.md). This page is
written from `squidmesh/ports/metrics.py` by a program (`./dev generate`).

"""


def write() -> str:
    parts = [_HEAD, _limits()]
    parts += _section(
        "What this process does",
        "They begin at 0 with the process, and count what it did itself: sum them over the fleet.",
        [metric for metric in METRICS if not metric.stores],
    )
    parts += _section(
        "What the stores hold",
        "They are read at the scrape, at most once a second, so they are true after any crash. Every process tells the "
        "same: take the `max` over the fleet, not the sum.",
        [metric for metric in METRICS if metric.stores],
    )
    return "\n".join(parts)


def _limits() -> str:
    most = ", ".join(f"{label} {count:,}" for label, count in sorted(MOST_VALUES.items()))
    return (
        f"Labels have few values: of each at most so many, and `{OTHER}` for all that come later: {most}. No metric "
        f"has more than {MOST_SERIES:,} sets of labels. Histograms of steps and runs have run ids as exemplars, in the "
        "OpenMetrics format, which a Prometheus with `--enable-feature=exemplar-storage` asks for.\n"
    )


def _section(title: str, about: str, metrics: list[Metric]) -> list[str]:
    lines = [f"## {title}\n", f"{about}\n", "| metric | kind | labels | what it is |", "| --- | --- | --- | --- |"]
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        lines.append(f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |")
    return [*lines, ""]
