"""Whether somebody works, and claims what is due: what ``doctor`` reads off the register of workers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from squidmesh.clock import Instant, to_datetime
from squidmesh.ports.backend import Finding, Level
from squidmesh.ports.journal_store import JournalStore
from squidmesh.reading.workers import WorkerSeen, workers_seen
from squidmesh.runtime.register import FORGOTTEN_AFTER, everyone

UNSERVED = timedelta(minutes=1)
"""An attempt that has been due for so long, in a queue that nobody claims from, is worth a word."""
_MOST_NAMED = 10


class Waiting(NamedTuple):
    """A queue in which something is due that nobody holds, since then."""

    queue: str
    since: Instant


def look_at_workers(journal: JournalStore, waiting: Iterable[Waiting]) -> Iterator[Finding]:
    """Four findings: who works, who is lost, whether all run one version, and which queues nobody claims from."""
    now = journal.now()
    seen = workers_seen(everyone(journal), now).workers
    alive = [one for one in seen if one.state != "lost"]
    yield _finding("workers", "ok", _counted(seen), "as many as you have started")
    yield _lost([one for one in seen if one.state == "lost"], to_datetime(now))
    yield _versions(alive)
    yield _unserved(alive, waiting, to_datetime(now))


def _counted(seen: Sequence[WorkerSeen]) -> str:
    states = Counter(one.state for one in seen)
    slots = sum(one.slots for one in seen if one.state != "lost")
    told = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    return f"{told}; {slots} slots" if told else "none is registered"


def _lost(lost: Sequence[WorkerSeen], now: datetime) -> Finding:
    wanted = f"none: one that is told to leave takes itself off; a lost one is listed for {FORGOTTEN_AFTER}"
    newest_first = sorted(lost, key=lambda one: one.seen_at, reverse=True)
    told = [f"{one.name} on {one.host}, seen {_ago(one.seen_at, now)} ago" for one in newest_first]
    return _finding("workers.lost", "warning" if lost else "ok", _named(told), wanted)


def _versions(alive: Sequence[WorkerSeen]) -> Finding:
    """Several are well while a new one is rolled out."""
    by_version: dict[str, list[str]] = {}
    for one in alive:
        by_version.setdefault(one.version, []).append(one.name)
    if len(by_version) > 1:
        told = "; ".join(f"{version}: {_named(names)}" for version, names in sorted(by_version.items()))
    else:
        told = next(iter(by_version), "none")
    level: Level = "warning" if len(by_version) > 1 else "ok"
    return _finding("workers.versions", level, told, "one version, once a deploy is over")


def _unserved(alive: Sequence[WorkerSeen], waiting: Iterable[Waiting], now: datetime) -> Finding:
    takers = [one for one in alive if one.state != "draining"]
    told = [
        f"{queue}, due for {_ago(to_datetime(since), now)}"
        for queue, since in waiting
        if to_datetime(since) + UNSERVED <= now and not any(one.claims_from(queue) for one in takers)
    ]
    wanted = "a worker that claims from it, unless the host calls execute_next or has a bridge"
    return _finding("workers.queues", "warning" if told else "ok", _named(told, "all that is due has one"), wanted)


def _named(told: Sequence[str], otherwise: str = "none") -> str:
    more = len(told) - _MOST_NAMED
    return (", ".join(told[:_MOST_NAMED]) or otherwise) + (f" and {more} more" if more > 0 else "")


def _ago(moment: datetime, now: datetime) -> str:
    return str(now - moment).split(".")[0]


def _finding(name: str, level: Level, found: str, wanted: str) -> Finding:
    return Finding(name=name, level=level, found=found, wanted=wanted)
