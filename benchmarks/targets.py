"""What is aimed at, as data: our figure beside a peer's in one run, or beside a limit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from benchmarks.beside.results import Results
from benchmarks.beside.works import (
    ABSURD,
    DBOS,
    DBOS_SQLITE,
    DRAMATIQ16,
    POSTGRES,
    REDIS,
    RQ_SIMPLE,
    SLOTS16,
    SLOTS16_SQLITE,
    SQLITE,
)
from benchmarks.report import Cell, Table

Place = tuple[str, str, str]
"""Of a figure: the work, the contestant, the figure's name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """``bound``: of our figure divided by the peer's, or of our figure itself where there is no ``peer``; ``beside`` is
    then a peer's figure to compare with.
    """

    what: str
    ours: Place
    peer: Place | None = None
    beside: Place | None = None
    sense: Literal["at least", "at most"] = "at least"
    bound: float
    unit: str = "×"

    @property
    def aim(self) -> str:
        beside = f" {self.peer[1]}" if self.peer else ""
        return f"{self.sense} {self.bound:g} {self.unit}{beside}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """``reached``: the ratio, or our figure. None, as ``met``: not measured."""

    target: Target
    ours: float | None
    peer: float | None
    reached: float | None

    @property
    def met(self) -> bool | None:
        if self.reached is None:
            return None
        if self.target.sense == "at least":
            return self.reached >= self.target.bound
        return self.reached <= self.target.bound


def judge(target: Target, results: Results) -> Verdict:
    """By the medians."""
    mine = _median(results, target.ours)
    if target.peer is None:
        beside = _median(results, target.beside) if target.beside else None
        return Verdict(target=target, ours=mine, peer=beside, reached=mine)
    theirs = _median(results, target.peer)
    ratio = mine / theirs if mine is not None and theirs else None
    return Verdict(target=target, ours=mine, peer=theirs, reached=ratio)


def _median(results: Results, place: Place) -> float | None:
    found = results.figure(*place)
    return None if found is None else found.median


def table(results: Results) -> Table:
    """The targets of which anything was measured."""
    verdicts = [judge(target, results) for target in TARGETS]
    rows = [_row(verdict) for verdict in verdicts if verdict.ours is not None]
    met = sum(verdict.met is True for verdict in verdicts)
    judged = sum(verdict.met is not None for verdict in verdicts)
    return Table(
        name="targets",
        title=f"Targets: {met} of {judged} are met",
        columns=("work", "aim", "ours", "the peer's", "reached", "met"),
        rows=tuple(rows),
    )


def _row(verdict: Verdict) -> tuple[Cell, ...]:
    words = {True: "yes", False: "no", None: "not measured"}
    shown = ["" if value is None else value for value in (verdict.ours, verdict.peer, verdict.reached)]
    return (verdict.target.what, verdict.target.aim, *shown, words[verdict.met])


def _rate(what: str, work: str, ours: str, bound: float, peer: str, theirs: str | None = None) -> Target:
    return Target(what=what, ours=(work, ours, "runs/s"), peer=(theirs or work, peer, "runs/s"), bound=bound)


def _growth(what: str, path: str) -> Sequence[Target]:
    grown = ("open runs", "finished runs", "steps behind")
    return [
        Target(
            what=f"cost a step as it grows, {what}: {name}",
            ours=(f"growth: {name}", path, "ratio"),
            sense="at most",
            bound=1.3,
            unit="× the smallest",
        )
        for name in grown
    ]


def _cpu(path: str, beside: str) -> Target:
    return Target(
        what=f"CPU a step, of our process, {path} (beside {beside})",
        ours=("queued", path, "cpu"),
        beside=("queued", beside, "cpu"),
        sense="at most",
        bound=200,
        unit="µs",
    )


_THREE = "3 steps, started beforehand"
_WITH_START = "3 steps, with their start"

TARGETS: Sequence[Target] = (
    _rate(f"{_THREE}, SQLite, 1 process", "queued", SQLITE, 20, DBOS_SQLITE),
    _rate(f"{_WITH_START}, SQLite, 1 process", "direct", SQLITE, 20, DBOS_SQLITE),
    _rate(f"{_THREE}, PostgreSQL, 1 process", "queued", POSTGRES, 15, DBOS),
    _rate(f"{_WITH_START}, PostgreSQL, 4 of their threads", "direct", POSTGRES, 15, DBOS, "direct by threads"),
    _rate(f"{_THREE}, PostgreSQL, 1 process", "queued", POSTGRES, 8, ABSURD),
    _rate(f"{_WITH_START}, PostgreSQL, 1 process", "direct", POSTGRES, 8, ABSURD),
    _rate(f"{_THREE}, PostgreSQL, 2 processes", "queued by two", POSTGRES, 20, DBOS),
    _rate(f"{_THREE}, PostgreSQL + Redis, 1 process", "queued", REDIS, 15, DBOS),
    _rate(f"{_THREE}, PostgreSQL + Redis, 2 processes", "queued by two", REDIS, 15, DBOS),
    _rate(f"{_THREE}, PostgreSQL + Redis, 2 processes beside 1", "queued by two", REDIS, 1, REDIS, "queued"),
    Target(
        what="start to result, one at a time, SQLite, p50",
        ours=("alone", SQLITE, "p50"),
        peer=("alone", DBOS_SQLITE, "p50"),
        sense="at most",
        bound=0.25,
    ),
    Target(
        what="start to result, one at a time, PostgreSQL, p50",
        ours=("alone", POSTGRES, "p50"),
        peer=("alone", DBOS, "p50"),
        sense="at most",
        bound=0.5,
    ),
    _rate("1 step, durable, through Redis, 1 process", "job", REDIS, 8, RQ_SIMPLE),
    _rate("1 step, durable, through Redis, 1 process", "job", REDIS, 4, "celery"),
    _rate("1 step, durable, through Redis, 1 process", "job", REDIS, 1.5, "dramatiq"),
    *(
        Target(
            what="start in bulk, PostgreSQL",
            ours=("bulk", POSTGRES, "starts/s"),
            peer=("bulk", peer, "starts/s"),
            bound=bound,
        )
        for peer, bound in (("procrastinate", 3.0), ("pgqueuer", 0.5))
    ),
    Target(
        what="pick-up when idle, PostgreSQL + Redis, p50",
        ours=("pick-up", REDIS, "p50"),
        peer=("pick-up", "celery", "p50"),
        sense="at most",
        bound=1,
    ),
    Target(
        what="pick-up when idle, PostgreSQL + Redis, p99 (beside celery)",
        ours=("pick-up", REDIS, "p99"),
        beside=("pick-up", "celery", "p99"),
        sense="at most",
        bound=5,
        unit="ms",
    ),
    *_growth("PostgreSQL", POSTGRES),
    *_growth("PostgreSQL + Redis", REDIS),
    *_growth("SQLite", SQLITE),
    Target(
        what="memory in Redis an open item (beside rq)",
        ours=("item", REDIS, "bytes"),
        beside=("item", RQ_SIMPLE, "bytes"),
        sense="at most",
        bound=300,
        unit="bytes",
    ),
    *(
        Target(
            what=f"memory of a worker process, 16 slots, {state}",
            ours=("worker", SLOTS16, state),
            peer=("worker", DRAMATIQ16, state),
            sense="at most",
            bound=1,
        )
        for state in ("idle", "busy")
    ),
    *(
        Target(
            what="memory of a worker process after all steps, beside after a tenth",
            ours=("worker", ours, "at the end"),
            peer=("worker", ours, "busy"),
            sense="at most",
            bound=1.05,
        )
        for ours in (SLOTS16, SLOTS16_SQLITE)
    ),
    *(_cpu(path, beside) for path, beside in ((SQLITE, DBOS_SQLITE), (POSTGRES, DBOS), (REDIS, DBOS))),
)
