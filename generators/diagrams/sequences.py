"""Who says what to whom, in order: the ways of a claim. Each message names the rule of docs/protocol.md it keeps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

from generators.diagrams.paper import LINE, arrow, box, sheet, words

_ACROSS, _DOWN = 250, 50
_TOP = 94
_SIDE = 126
_HEAD = 150


@dataclass(frozen=True)
class Says:
    """An arrow from one to another; ``refused``: it changes nothing."""

    who: str
    whom: str
    what: str
    refused: bool = False


@dataclass(frozen=True)
class Note:
    """What is so, or happens, at one of them. ``bad``: something dies or is lost."""

    who: str
    what: str
    bad: bool = False


@dataclass(frozen=True, kw_only=True)
class Course:
    title: str
    who: tuple[str, ...]
    steps: tuple[Says | Note, ...]


def draw(course: Course) -> str:
    places = {name: _SIDE + _ACROSS * column for column, name in enumerate(course.who)}
    width = 2 * _SIDE + _ACROSS * (len(places) - 1)
    parts: list[str] = []
    y = float(_TOP)
    for step in course.steps:
        lines = _wrapped(step.what, 33 if isinstance(step, Says) else 29)
        y += (len(lines) - 1) * LINE / 2
        parts.append(_says(step, lines, places, y) if isinstance(step, Says) else _note(step, lines, places, y))
        y += _DOWN + (len(lines) - 1) * LINE / 2
    height = round(y)
    lives = [f'<path class="life" d="M{x} 56 V{height - 16}"/>' for x in places.values()]
    heads = [box(x, 36, _HEAD, 36) + words([name], x, 36, style="name") for name, x in places.items()]
    about = "; ".join(
        f"{step.who} to {step.whom}: {step.what}" if isinstance(step, Says) else f"{step.who}: {step.what}"
        for step in course.steps
    )
    return sheet(course.title, about, width, height, [*lives, *heads, *parts])


def _says(step: Says, lines: Sequence[str], places: dict[str, int], y: float) -> str:
    begin, end = places[step.who], places[step.whom]
    inset = 3 if end > begin else -3
    middle = y - 8 - (len(lines) - 1) * LINE / 2
    path = arrow(f"M{begin} {y + 8:.1f} H{end - inset}", refused=step.refused)
    return path + words(lines, (begin + end) / 2, middle, style="said")


def _note(step: Note, lines: Sequence[str], places: dict[str, int], y: float) -> str:
    height = LINE * len(lines) + 12
    style = "bad" if step.bad else "note"
    return box(places[step.who], y, 212, height, style) + words(lines, places[step.who], y)


def _wrapped(text: str, most: int) -> list[str]:
    """In as few lines as ``most`` letters a line allow, of much the same length."""
    lines = wrap(text, most)
    return next(
        found for width in range(1, most + 1) if len(found := wrap(text, width, break_long_words=False)) <= len(lines)
    )


_JOURNAL, _LEASES = "journal", "lease backend"

SEQUENCES = {
    "claim": Course(
        title="One attempt: claimed, recorded, run, settled",
        who=("host", _JOURNAL, "worker", _LEASES),
        steps=(
            Says("host", _JOURNAL, "start_run: RunStarted, AttemptScheduled"),
            Says("worker", _JOURNAL, "reconcile: what has changed?"),
            Says("worker", _LEASES, "offer the item"),
            Says("worker", _LEASES, "claim (request id)"),
            Says(_LEASES, "worker", "granted: fence\N{NO-BREAK SPACE}1, lease 60 s"),
            Says("worker", _JOURNAL, "append AttemptClaimed (fence\N{NO-BREAK SPACE}1)"),
            Note("worker", "only now the step runs"),
            Says("worker", _LEASES, "heartbeat: extended, again and again"),
            Says("worker", _JOURNAL, "append AttemptCompleted, and what comes next: one entry"),
            Says("worker", _LEASES, "settle, with the next offers"),
            Note(_LEASES, "a tombstone stays"),
        ),
    ),
    "takeover": Course(
        title="A takeover: the old fence is refused",
        who=("worker A", _JOURNAL, "worker B", _LEASES),
        steps=(
            Note("worker A", "holds fence\N{NO-BREAK SPACE}1, recorded; then it stalls", bad=True),
            Note(_LEASES, "no heartbeat: the lease ends by itself"),
            Says("worker B", _LEASES, "claim"),
            Says(_LEASES, "worker B", "granted: fence\N{NO-BREAK SPACE}2"),
            Says("worker B", _JOURNAL, "append AttemptClaimed (fence\N{NO-BREAK SPACE}2): one delivery was lost"),
            Note("worker B", "the step runs again, under the same idempotency key"),
            Says("worker A", _JOURNAL, "wakes up: AttemptCompleted under fence\N{NO-BREAK SPACE}1", refused=True),
            Note(_JOURNAL, "refused: StaleClaim; nothing is written", bad=True),
            Says("worker B", _JOURNAL, "append AttemptCompleted (fence\N{NO-BREAK SPACE}2)"),
            Says("worker B", _LEASES, "settle"),
        ),
    ),
    "lost-grant": Course(
        title="A grant that is lost: one fence, twice, and the first recorded wins",
        who=("worker A", _JOURNAL, "worker B", _LEASES),
        steps=(
            Note(_LEASES, "grants fence\N{NO-BREAK SPACE}1 to worker A"),
            Note(_LEASES, "fails over, and has forgotten that grant", bad=True),
            Says("worker B", _LEASES, "claim"),
            Says(_LEASES, "worker B", "granted: fence\N{NO-BREAK SPACE}1, another claim id"),
            Says("worker A", _JOURNAL, "append AttemptClaimed (fence\N{NO-BREAK SPACE}1): accepted, it is the first"),
            Says("worker B", _JOURNAL, "append AttemptClaimed (fence\N{NO-BREAK SPACE}1)", refused=True),
            Note(_JOURNAL, "refused: fence\N{NO-BREAK SPACE}1 is recorded for another claim", bad=True),
            Says("worker B", _LEASES, "release as the claim of worker A"),
            Note(_LEASES, "held for worker A, for one lease; nothing was spent"),
        ),
    ),
    "continuation": Course(
        title="Going on at once: a step and its successor are one entry",
        who=(_JOURNAL, "worker", _LEASES),
        steps=(
            Note("worker", "holds A under fence\N{NO-BREAK SPACE}4, and A has ended well"),
            Says("worker", _JOURNAL, "one entry: A completed, B scheduled, B claimed"),
            Note(_JOURNAL, "the fence of B is made here: the last one plus 1"),
            Says("worker", _LEASES, "one call: settle A, hand over B"),
            Note(_LEASES, "A is gone; B is leased to the same owner, its counter raised"),
            Note("worker", "B runs, without having been offered"),
        ),
    ),
}
