"""When each step of a run waited, worked, and for whom: spans from the history, and their picture as SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from markupsafe import Markup

from squidmesh import HistoryEvent, Run
from squidmesh.sonar.words import absolute, length, shorten

Kind = Literal["delay", "ready", "work", "failed", "lost", "released", "lease", "gate", "dead"]
"""delay: not visible yet; ready: visible, and nobody has it; work: claimed, and well; failed, lost and released: claims
that ended so; lease: how long a claim may still hold; gate: waits for somebody outside; dead: a dead letter.
"""

MOST_ROWS = 60
_LABEL, _WIDTH, _ROW, _TOP, _BAR = 168, 1000, 26, 26, 14
_TICKS = 6
_NICE = [
    *(0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800),
    *(3600, 7200, 10_800, 21_600, 43_200, 86_400, 172_800, 604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000),
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """``until`` is None where it goes on. ``note`` is for people: which attempt, whose claim, how it ended."""

    step: str
    kind: Kind
    since: datetime
    until: datetime | None
    note: str


@dataclass(slots=True)
class _Open:
    """What is going on in one step."""

    kind: Kind
    since: datetime
    note: str
    visible_at: datetime | None = None
    lease: timedelta | None = None


_GATES = {"ApprovalRequested", "PauseReached", "EventAwaited", "ChildrenAwaited"}
_GATES_LEFT = {"ApprovalDecided", "PauseResumed", "EventTaken", "ChildrenEnded", "GateTimedOut", "GateClosed"}
_ENDINGS: dict[str, Kind] = {
    "AttemptCompleted": "work",
    "AttemptFailed": "failed",
    "AttemptTimedOut": "failed",
    "AttemptCancelled": "released",
    "ClaimReleased": "released",
    "DeliveryLost": "lost",
    "AttemptDeadLettered": "lost",
    "DeadLetterDiscarded": "dead",
}


def spans(history: Sequence[HistoryEvent]) -> list[Span]:
    """In order of their beginning, a step's own in one row. Those of no length are left out."""
    found: list[Span] = []
    going: dict[str, _Open] = {}
    for event in history:
        if event.step is not None:
            _tell(event, event.step, going, found)
    for step, one in going.items():
        found += _closed(step, one, None)
    return sorted((span for span in found if span.until != span.since), key=lambda span: span.since)


def _tell(event: HistoryEvent, step: str, going: dict[str, _Open], found: list[Span]) -> None:
    details, kind = event.details, event.kind
    attempt = f"attempt {details['attempt']}" if "attempt" in details else ""
    if kind == "AttemptClaimed":
        before = going.pop(step, None)
        if before is not None:
            taken = before.kind == "work"  # nobody has said how that claim ended
            found += _closed(step, before, event.at, kind="lost" if taken else before.kind)
        note = f"{attempt}, claimed by {details['owner']}, fence {details['fence']}"
        going[step] = _Open("work", event.at, note, lease=details["lease"])
    elif kind == "AttemptScheduled" or kind == "DeadLetterReplayed":
        if (before := going.pop(step, None)) is not None:
            found += _closed(step, before, event.at)
        going[step] = _Open("ready", event.at, attempt, visible_at=details["visible_at"])
    elif kind in _ENDINGS:
        before = going.pop(step, None)
        if before is not None:
            found += _closed(step, before, event.at, kind=_ENDINGS[kind] if before.kind == "work" else before.kind)
        if kind == "AttemptDeadLettered":
            going[step] = _Open("dead", event.at, f"{attempt}, dead letter: {details['cause']}")
        elif kind in ("ClaimReleased", "DeliveryLost"):
            going[step] = _Open("ready", event.at, attempt, visible_at=details["visible_at"])
    elif kind in _GATES:
        going[step] = _Open("gate", event.at, "waits for " + kind.removesuffix("Requested").removesuffix("Awaited"))
    elif kind in _GATES_LEFT and (before := going.pop(step, None)) is not None:
        found += _closed(step, before, event.at)


def _closed(step: str, one: _Open, until: datetime | None, *, kind: Kind | None = None) -> list[Span]:
    """Waiting has two parts: until it is visible, and from then on. A claim that nobody ended held for its lease."""
    how = one.kind if kind is None else kind
    if one.visible_at is not None and one.visible_at > one.since:
        if until is not None and until <= one.visible_at:
            return [Span(step=step, kind="delay", since=one.since, until=until, note=one.note)]
        hidden = Span(step=step, kind="delay", since=one.since, until=one.visible_at, note=one.note)
        return [hidden, Span(step=step, kind="ready", since=one.visible_at, until=until, note=one.note)]
    found = Span(step=step, kind=how, since=one.since, until=until, note=one.note)
    if how == "work" and until is None and one.lease is not None:
        note = f"{one.note}; the lease of {length(one.lease)} is extended by heartbeats"
        return [found, Span(step=step, kind="lease", since=one.since, until=one.since + one.lease, note=note)]
    return [found]


def draw(run: Run) -> Markup:
    """An ``svg`` element as wide as the page; empty where nothing has taken time."""
    found = spans(run.history or ())
    begin = run.started_at
    now = run.ended_at or run.as_of
    shown = [span for span in found if span.since <= now]
    if not shown or now <= begin:
        return Markup("")
    end = max([now, *(span.until for span in shown if span.until is not None and span.kind == "lease")])
    if not run.ended:
        end = min(end, now + max((now - begin) / 4, timedelta(seconds=1)))
    scale = (_WIDTH - _LABEL - 8) / (end - begin).total_seconds()

    def place(at: datetime) -> float:
        return _LABEL + max(0.0, (min(at, end) - begin).total_seconds() * scale)

    rows = list(dict.fromkeys(span.step for span in shown))[:MOST_ROWS]
    height = _TOP + len(rows) * _ROW + 6
    parts = [*_axis((end - begin).total_seconds(), scale, height)]
    for number, step in enumerate(rows):
        y = _TOP + number * _ROW
        parts.append(
            Markup('<text class="row" x="0" y="{}"><title>{}</title>{}</text>').format(y + 15, step, shorten(step, 22))
        )
        parts += [_bar(span, place, now, y + 5) for span in shown if span.step == step]
    if not run.ended:
        x = f"{place(now):.1f}"
        parts.append(
            Markup('<line class="now" x1="{x}" x2="{x}" y1="{t}" y2="{h}"/>').format(x=x, t=_TOP - 4, h=height)
        )
    name = f"Time-line of {len(rows)} steps over {length(end - begin)}"
    return Markup(
        '<svg class="timeline" role="img" aria-label="{n}" viewBox="0 0 {w} {h}"><title>{n}</title>{p}</svg>'
    ).format(n=name, w=_WIDTH, h=height, p=Markup("").join(parts))


def _bar(span: Span, place: Callable[[datetime], float], now: datetime, y: float) -> Markup:
    until = span.until or now
    left = place(span.since)
    width = max(2.5, place(until) - left)
    took = length(until - span.since)
    title = f"{span.step}: {_SAID[span.kind]}, {took}, from {absolute(span.since)}. {span.note}"
    return Markup(
        '<rect class="span is-{k}" x="{x}" y="{y}" width="{w}" height="{h}" rx="3"><title>{t}</title></rect>'
    ).format(k=span.kind, x=f"{left:.1f}", y=y, w=f"{width:.1f}", h=_BAR, t=title)


_SAID: dict[Kind, str] = {
    "delay": "not visible yet",
    "ready": "ready, waits for a worker",
    "work": "at work",
    "failed": "worked, and failed",
    "lost": "a delivery that was lost",
    "released": "given back, or cancelled",
    "lease": "lease",
    "gate": "waits for somebody outside",
    "dead": "a dead letter",
}


def _axis(seconds: float, scale: float, height: float) -> list[Markup]:
    step = next((one for one in _NICE if seconds / one <= _TICKS), _NICE[-1])
    parts = []
    for number in range(int(seconds / step) + 1):
        x = f"{_LABEL + number * step * scale:.1f}"
        words = "start" if number == 0 else f"+{length(timedelta(seconds=number * step))}"
        anchor = "start" if number == 0 else "middle"
        parts.append(
            Markup(
                '<line class="tick" x1="{x}" x2="{x}" y1="{t}" y2="{h}"/>'
                '<text class="axis" x="{x}" y="12" text-anchor="{a}">{w}</text>'
            ).format(x=x, t=_TOP - 8, h=height, a=anchor, w=words)
        )
    return parts
