"""The drawings of a day, as SVG: faults on a time-line, and below them, on the same time, what the fleet did."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from chaos.faults.register import FAULTS
from chaos.fleet.tallies import Second
from chaos.fleet.tally import WAITS
from chaos.scenarios.injector import Injection

WIDTH, LEFT, RIGHT = 1080.0, 172.0, 10.0
LANE, PANEL, GAP, TITLE = 17.0, 118.0, 16.0, 20.0
MOST_COLUMNS = 260
_EVENTS = (("lost", "leases lost"), ("taken_over", "takeovers"), ("refused", "stale writes refused"))
_STEPS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 3600, 7200)


@dataclass(frozen=True, slots=True)
class Column:
    """A part of the day: what happened in it, by the second. ``waits`` as in :class:`Second`."""

    start: float
    length: float
    second: Second

    def rate(self, word: str) -> float:
        return self.second.counts[word] / self.length


def columns(seconds: Sequence[Second]) -> list[Column]:
    """At most so many as can be told apart."""
    size = max(1, math.ceil(len(seconds) / MOST_COLUMNS))
    found = []
    for start in range(0, len(seconds), size):
        part = seconds[start : start + size]
        counts = part[0].counts.copy()
        for other in part[1:]:
            counts.update(other.counts)
        waits = tuple(map(sum, zip(*(one.waits for one in part), strict=True)))
        found.append(Column(start, len(part), Second(counts=counts, waits=waits)))
    return found


class Canvas:
    """Grows downwards. ``length``: seconds of the day."""

    def __init__(self, length: float) -> None:
        self.length = max(1.0, length)
        self.y = 0.0
        self._parts: list[str] = []

    def x(self, second: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * min(1.0, max(0.0, second / self.length))

    def add(self, part: str) -> None:
        self._parts.append(part)

    def text(self, x: float, y: float, words: str, *, of: str = "", anchor: str = "start") -> None:
        self.add(f'<text x="{x:.1f}" y="{y:.1f}" class="{of}" text-anchor="{anchor}">{escape(words)}</text>')

    def rule(self, y: float) -> None:
        self.add(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>')

    def bar(self, x: float, y: float, width: float, height: float, of: str, title: str = "", round_: float = 0) -> None:
        told = f"<title>{escape(title)}</title>" if title else ""
        self.add(
            f'<rect class="{of}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 0.6):.1f}" height="{max(height, 0):.1f}"'
            f' rx="{round_}">{told}</rect>'
        )

    def __str__(self) -> str:
        body = "".join(self._parts)
        return f'<svg viewBox="0 0 {WIDTH:.0f} {self.y + 4:.0f}" role="img">{body}</svg>'


def day_chart(injections: Sequence[Injection], seconds: Sequence[Second], *, load: float) -> str:
    """``load``: seconds until no more runs were started; the rest of the day is on it too."""
    canvas = Canvas(len(seconds))
    found = columns(seconds)
    _lanes(canvas, injections)
    top = canvas.y
    _throughput(canvas, found)
    _waiting(canvas, found)
    _events(canvas, found)
    _bands(canvas, injections, top)
    _clock(canvas, load)
    return str(canvas)


def group_of(name: str) -> str:
    """The colour of a fault: whom it befalls."""
    for word, group in (
        ("worker", "workers"),
        ("poison", "workers"),
        ("old-version", "workers"),
        ("postgres", "journal"),
        ("sqlite", "journal"),
        ("disk", "journal"),
        ("commit", "links"),
        ("node", "links"),
    ):
        if name.startswith(word):
            return "links" if name.endswith(("cut-off", "torn")) else group
    return "links" if name.endswith(("cut-off", "torn", "answers-lost")) else "leases"


def _lanes(canvas: Canvas, injections: Sequence[Injection]) -> None:
    canvas.text(0, 13, "faults", of="title")
    canvas.y = TITLE
    names = [name for name in FAULTS if any(one.name == name and one.applied for one in injections)]
    for name in names:
        canvas.text(LEFT - 8, canvas.y + 12, name, of="lane", anchor="end")
        canvas.rule(canvas.y + LANE - 0.5)
        for one in injections:
            if one.name == name and one.applied:
                ends = max(one.healed, one.applied + 0.4)
                x = canvas.x(one.applied)
                kind = group_of(name) + ("" if one.evidence else " unseen")
                told = f"{name} at {one.applied:.1f} s, for {ends - one.applied:.1f} s: {one.evidence or 'not seen'}"
                canvas.bar(x, canvas.y + 3, max(3.0, canvas.x(ends) - x), LANE - 7, kind, told, 2.5)
        canvas.y += LANE
    canvas.y += GAP


def _bands(canvas: Canvas, injections: Iterable[Injection], top: float) -> None:
    for one in injections:
        if one.applied:
            x = canvas.x(one.applied)
            canvas.bar(x, top, max(1.0, canvas.x(one.healed) - x), canvas.y - top - GAP, "band")


def _throughput(canvas: Canvas, found: Sequence[Column]) -> None:
    values = [column.rate("completed") for column in found]
    scale = _panel(canvas, "steps a second", max(values, default=0.0))
    line = [(canvas.x(c.start + c.length / 2), scale(value)) for c, value in zip(found, values, strict=True)]
    floor = scale(0.0)
    canvas.add(f'<path class="area" d="{_path([(line[0][0], floor), *line, (line[-1][0], floor)])}Z"/>')
    canvas.add(f'<path class="line" d="{_path(line)}"/>')


def _waiting(canvas: Canvas, found: Sequence[Column]) -> None:
    """By logarithm: from the smallest class to the largest."""
    top = canvas.y
    canvas.text(0, top + 13, "schedule to start", of="title")
    _legend(canvas, top + 31, (("p50", "median"), ("p99", "99 %")))
    low, high = math.log10(WAITS[0]), math.log10(2 * WAITS[-1])

    def y(value: float) -> float:
        return top + PANEL - (PANEL - 10) * (math.log10(value) - low) / (high - low)

    for bound, words in ((0.01, "10 ms"), (0.1, "100 ms"), (1.0, "1 s"), (10.0, "10 s")):
        canvas.rule(y(bound))
        canvas.text(LEFT - 8, y(bound) + 4, words, anchor="end")
    for share, of in ((0.99, "p99"), (0.5, "p50")):
        points = [(c, c.second.waited(share)) for c in found]
        line = [(canvas.x(c.start + c.length / 2), y(value)) for c, value in points if value is not None]
        if line:
            canvas.add(f'<path class="{of}" d="{_path(line)}"/>')
    canvas.y = top + PANEL + GAP


def _events(canvas: Canvas, found: Sequence[Column]) -> None:
    most = max((sum(c.rate(word) for word, _ in _EVENTS) for c in found), default=0.0)
    top = canvas.y
    scale = _panel(canvas, "a second", most)
    _legend(canvas, top + 31, _EVENTS)
    for column in found:
        below = 0.0
        for word, told in _EVENTS:
            rate = column.rate(word)
            if rate:
                x = canvas.x(column.start)
                width = canvas.x(column.start + column.length) - x
                high, deep = scale(below + rate), scale(below)
                canvas.bar(x, high, width * 0.92, deep - high, word, f"{column.second.counts[word]} {told}")
                below += rate


def _panel(canvas: Canvas, title: str, most: float) -> Callable[[float], float]:
    """A linear scale with three rules; the place of a value on it."""
    top = canvas.y
    step = _round_step(most)
    highest = step * max(1, math.ceil(most / step))
    canvas.text(0, top + 13, title, of="title")

    def y(value: float) -> float:
        return top + PANEL - (PANEL - 10) * value / highest

    for part in range(round(highest / step) + 1):
        canvas.rule(y(part * step))
        canvas.text(LEFT - 8, y(part * step) + 4, f"{part * step:g}", anchor="end")
    canvas.y = top + PANEL + GAP
    return y


def _round_step(most: float) -> float:
    if most <= 0:
        return 1.0
    raw = most / 3
    power = 10.0 ** math.floor(math.log10(raw))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= raw)


def _legend(canvas: Canvas, y: float, entries: Sequence[tuple[str, str]]) -> None:
    for number, (of, words) in enumerate(entries):
        line = y + 15 * number
        if of.startswith("p"):
            canvas.add(f'<path class="{of}" d="M0 {line - 4:.1f}H12"/>')
        else:
            canvas.bar(0, line - 8, 9, 9, of, round_=2)
        canvas.text(17, line, words)


def _clock(canvas: Canvas, load: float) -> None:
    """The time below all of it, and where the load ended."""
    canvas.y -= GAP
    step = next((step for step in _STEPS if canvas.length / step <= 14), _STEPS[-1])
    for second in range(0, int(canvas.length) + 1, step):
        words = f"{second} s" if canvas.length < 600 else f"{second / 60:g} min"
        canvas.text(canvas.x(second), canvas.y + 14, words, anchor="middle" if second else "start")
    x = canvas.x(load)
    canvas.add(
        f'<line class="grid" x1="{x:.1f}" x2="{x:.1f}" y1="{TITLE}" y2="{canvas.y:.1f}" stroke-dasharray="3 3"/>'
    )
    canvas.text(x - 4, 13, "no more is started", anchor="end")
    canvas.y += 20


def _path(points: Sequence[tuple[float, float]]) -> str:
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in points)
