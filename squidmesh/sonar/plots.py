"""How many runs began, how they ended, and how long they took: numbers from a list of runs, and their pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from markupsafe import Markup

from squidmesh import RunSummary
from squidmesh.sonar.words import absolute, length

BUCKETS = 40
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 720, 200, 72, 24, 12
_NICE = (1, 2, 2.5, 5, 10)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bucket:
    """The runs that started in one part of the time. ``p50`` and ``p95``: how long those took that have ended."""

    since: datetime
    completed: int
    failed: int
    open: int
    p50: timedelta | None
    p95: timedelta | None

    @property
    def all(self) -> int:
        return self.completed + self.failed + self.open


@dataclass(frozen=True, slots=True, kw_only=True)
class Pulse:
    """``runs`` of them were looked at, the newest ones, since ``since``."""

    buckets: tuple[Bucket, ...]
    runs: int
    since: datetime
    until: datetime
    per_minute: float
    failed_share: float | None
    p50: timedelta | None
    p95: timedelta | None

    @property
    def each(self) -> timedelta:
        return (self.until - self.since) / BUCKETS


def pulse(runs: Sequence[RunSummary], *, now: datetime) -> Pulse | None:
    """None where there are no runs."""
    if not runs:
        return None
    since = min(run.started_at for run in runs)
    until = max(now, since + timedelta(seconds=1))
    each = (until - since) / BUCKETS
    groups: list[list[RunSummary]] = [[] for _ in range(BUCKETS)]
    for run in runs:
        groups[max(0, min(BUCKETS - 1, int((run.started_at - since) / each)))].append(run)
    ended = [run for run in runs if run.ended_at is not None]
    failed = sum(run.status == "failed" for run in ended)
    took = _took(runs)
    return Pulse(
        buckets=tuple(_bucket(since + each * place, group) for place, group in enumerate(groups)),
        runs=len(runs),
        since=since,
        until=until,
        per_minute=len(runs) / ((until - since).total_seconds() / 60),
        failed_share=failed / len(ended) if ended else None,
        p50=_quantile(took, 0.5),
        p95=_quantile(took, 0.95),
    )


def _bucket(since: datetime, runs: Sequence[RunSummary]) -> Bucket:
    completed = sum(run.status == "completed" for run in runs)
    failed = sum(run.status in ("failed", "cancelled") for run in runs)
    took = _took(runs)
    return Bucket(
        since=since,
        completed=completed,
        failed=failed,
        open=len(runs) - completed - failed,
        p50=_quantile(took, 0.5),
        p95=_quantile(took, 0.95),
    )


def _took(runs: Sequence[RunSummary]) -> list[timedelta]:
    return sorted(run.ended_at - run.started_at for run in runs if run.ended_at is not None)


def _quantile(ordered: Sequence[timedelta], share: float) -> timedelta | None:
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else None


def draw_starts(found: Pulse) -> Markup:
    """A bar for each part of the time, of what has become of its runs."""
    most = _ceiling(max(bucket.all for bucket in found.buckets))
    frame = _Frame(found, most, lambda value: f"{value:g}")
    parts = frame.axes()
    for place, bucket in enumerate(found.buckets):
        below = 0
        title = (
            f"{absolute(bucket.since)}: {bucket.completed} completed, {bucket.failed} failed or cancelled, "
            f"{bucket.open} open"
        )
        for kind, count in (("completed", bucket.completed), ("failed", bucket.failed), ("open", bucket.open)):
            if count:
                parts.append(
                    Markup(
                        '<rect class="bar is-{k}" x="{x}" y="{y}" width="{w}" height="{h}"><title>{t}</title></rect>'
                    ).format(
                        k=kind,
                        x=f"{frame.x(place) + 1:.1f}",
                        y=f"{frame.y(below + count):.1f}",
                        w=f"{frame.each - 2:.1f}",
                        h=f"{frame.y(below) - frame.y(below + count):.1f}",
                        t=title,
                    )
                )
                below += count
    return frame.picture("Runs started, by what has become of them", parts)


def draw_latency(found: Pulse) -> Markup:
    """The median, and what 95 of 100 stayed below, of runs by the time of their start."""
    seconds = [bucket.p95.total_seconds() for bucket in found.buckets if bucket.p95 is not None]
    frame = _Frame(found, _ceiling(max(seconds, default=1.0)), lambda value: length(timedelta(seconds=value)))
    parts = frame.axes()
    for kind in ("p95", "p50"):
        points = [
            (frame.x(place) + frame.each / 2, frame.y(took.total_seconds()), bucket, took)
            for place, bucket in enumerate(found.buckets)
            if (took := getattr(bucket, kind)) is not None
        ]
        line = " ".join(f"{x:.1f},{y:.1f}" for x, y, _, _ in points)
        parts.append(Markup('<polyline class="series is-{}" points="{}"/>').format(kind, line))
        for x, y, bucket, took in points:
            title = f"{absolute(bucket.since)}: {kind} {length(took)}"
            parts.append(
                Markup('<circle class="dot is-{}" cx="{}" cy="{}" r="3"><title>{}</title></circle>').format(
                    kind, f"{x:.1f}", f"{y:.1f}", title
                )
            )
    return frame.picture("How long runs took, by their start: median and 95th percentile", parts)


class _Frame:
    """The axes of a plot, and where its values stand."""

    def __init__(self, found: Pulse, most: float, say: Callable[[float], str]) -> None:
        self._found, self._most, self._say = found, most, say
        self.each = (_WIDTH - _LEFT - 8) / BUCKETS

    def x(self, place: float) -> float:
        return _LEFT + place * self.each

    def y(self, value: float) -> float:
        return _HEIGHT - _BOTTOM - value / self._most * (_HEIGHT - _BOTTOM - _TOP)

    def axes(self) -> list[Markup]:
        parts = []
        for quarter in (0.0, 0.5, 1.0):
            y = self.y(self._most * quarter)
            parts.append(
                Markup(
                    '<line class="tick" x1="{l}" x2="{r}" y1="{y}" y2="{y}"/>'
                    '<text class="axis" x="{x}" y="{ty}" text-anchor="end">{w}</text>'
                ).format(
                    l=_LEFT,
                    r=_WIDTH - 8,
                    y=f"{y:.1f}",
                    x=_LEFT - 6,
                    ty=f"{y + 4:.1f}",
                    w=self._say(self._most * quarter),
                )
            )
        for place, anchor in ((0, "start"), (BUCKETS // 2, "middle"), (BUCKETS, "end")):
            at = self._found.since + self._found.each * place
            words = "now" if place == BUCKETS else f"{length(self._found.until - at)} ago"
            parts.append(
                Markup('<text class="axis" x="{}" y="{}" text-anchor="{}">{}</text>').format(
                    f"{self.x(place):.1f}", _HEIGHT - 6, anchor, words
                )
            )
        return parts

    def picture(self, name: str, parts: Sequence[Markup]) -> Markup:
        return Markup('<svg class="plot" role="img" aria-label="{n}" viewBox="0 0 {w} {h}">{p}</svg>').format(
            n=name, w=_WIDTH, h=_HEIGHT, p=Markup("").join(parts)
        )


def _ceiling(value: float) -> float:
    """The next round number."""
    if value <= 0:
        return 1.0
    power = 1.0
    while power * 10 <= value:
        power *= 10
    while power > value:
        power /= 10
    return next(power * one for one in _NICE if power * one >= value)
