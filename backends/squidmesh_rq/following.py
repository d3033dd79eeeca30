"""Following the journal's agenda, so that RQ has what is open (protocol 3.8, for a queue that is nobody's truth).

As a reconciler does it: often and cheaply what has changed and what became due, seldom and wholly all that is due. How
far that has come is kept in this process only. A bridge that begins, and one whose Redis has begun a new life, looks at
everything; several bridges offer the same jobs, and RQ takes each once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from squidmesh.clock import Instant, duration, micros
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.journal_store import AgendaPage
from squidmesh.runtime import chance
from squidmesh.runtime.engine import Engine
from squidmesh_rq.jobs import Delivery, Jobs, delivery_of
from squidmesh_rq.limits import Limits
from squidmesh_rq.watch import Watch

_PAGE = 500


@dataclass(slots=True)
class Passed:
    """What one look did. ``queues``: how many were looked at; ``offered``: jobs that RQ had not and has now; ``full``:
    queues whose whole agenda was gone through; ``again``: deliveries that were lost on the way, and are made again;
    ``dropped``: jobs whose attempt others have dealt with.
    """

    queues: int = 0
    offered: int = 0
    full: int = 0
    again: int = 0
    dropped: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)


class Follower:
    """Of one bridge. Not thread-safe. ``queues``: those of the mesh that are followed; None for all that have work."""

    def __init__(
        self,
        engine: Engine,
        jobs: Jobs,
        *,
        queues: Sequence[str] | None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._engine = engine
        self._store = engine.store
        self._jobs = jobs
        self._named = queues
        self._monotonic = monotonic
        self._watch = Watch(engine.store, monotonic)
        self._limits = Limits(engine.store)
        self._tracking = False
        self._life: str | None = None
        self._since: dict[str, int] = {}
        self._told: dict[str, frozenset[str]] = {}
        """By queue, the jobs of the last pass over its changes: a long transaction makes the same rows come again."""
        self._due_until: dict[str, Instant] = {}
        self._sweep_at: dict[str, float] = {}
        self._odd: dict[str, set[str]] = {}
        """By queue, jobs that RQ knew, but had nowhere, when it was swept for the last time."""
        self._failed: dict[str, frozenset[str]] = {}
        """By queue, the failed jobs that mean nothing any more."""
        self._look_at_failed = 0.0

    def look(self) -> Passed:
        """One pass. Raises what the stores raise, ``RedisError``, and ``WrongPlane`` where another backend delivers."""
        done = Passed()
        self._begin()
        queues = self._running()
        for queue in queues:
            done.queues += 1
            self._pass_over(queue, done)
            self._became_due(queue, done)
            if self._monotonic() >= self._sweep_at.setdefault(queue, self._first_sweep()):
                self._sweep(queue, done)
                self._sweep_at[queue] = self._monotonic() + self._engine.config.sweep.total_seconds()
        done.offered += self._jobs.hold([delivery_of(row) for row in self._limits.ready(self._store.now())])
        overdue = [delivery_of(row) for row in self._watch.overdue() if row.queue in queues]
        done.again += self._jobs.hold(overdue)
        if self._monotonic() >= self._look_at_failed:
            for queue in queues:
                self._mend_failed(queue, done)
            self._look_at_failed = self._monotonic() + self._engine.config.lease.total_seconds()
        return done

    def rest(self, longest: timedelta) -> timedelta:
        """How long there is nothing to do by time alone, at most ``longest``."""
        return self._watch.rest(longest)

    # ------------------------------------------------------------------------------------------------ one pass

    def _begin(self) -> None:
        """What RQ's Redis may have forgotten is told before anything else; its life is read before the first offer."""
        self._engine.membership.join()
        if not self._tracking:
            self._store.track_changes()
            self._tracking = True
        life = self._jobs.life()
        if life != self._life:
            if self._life is not None:
                self._engine.observer.notice("rq_memory_is_new")
            self._since.clear()
            self._told.clear()
            self._limits.forget()
            self._failed.clear()
            self._life = life

    def _running(self) -> list[str]:
        """The queues that are not paused. One that is resumed is looked at as a whole: the jobs that came to nothing
        meanwhile are gone.
        """
        paused = {row.queue for row in self._store.paused_queues()}
        for queue in paused:
            self._since.pop(queue, None)
            self._told.pop(queue, None)
        followed = self._store.agenda_queues() if self._named is None else self._named
        return [queue for queue in followed if queue not in paused]

    def _pass_over(self, queue: str, done: Passed) -> None:
        mark = self._store.position()
        since = self._since.get(queue)
        done.full += since is None
        before, told = self._told.get(queue, frozenset()), set()
        for rows in self._pages(queue, since):
            due = []
            for row in rows:
                job = delivery_of(row)
                told.add(job.job_id)
                if since is None and row.visible_at <= self._store.now():
                    due.append(row)
                elif job.job_id not in before or row.owner is not None:
                    self._take(row, job, done)
            done.offered += self._jobs.hold(self._free(due))  # nobody knows what became of what was offered before
        self._since[queue] = mark
        self._told[queue] = frozenset(told) if since is not None else frozenset()

    def _pages(self, queue: str, since: int | None) -> Iterator[Sequence[AttemptRow]]:
        after: str | None = None
        while True:
            page: AgendaPage
            if since is None:
                page = self._store.agenda(queue, after=after, limit=_PAGE)
            else:
                page = self._store.changed(queue, since=since, after=after, limit=_PAGE)
            yield page.rows
            after = page.next
            if after is None:
                return

    def _take(self, row: AttemptRow, job: Delivery, done: Passed) -> None:
        if row.owner is not None:
            self._claimed(row)
            return
        delay = max(timedelta(0), duration(row.visible_at - self._store.now()))
        if row.concurrency_key is None:
            done.offered += self._jobs.offer(job, delay)
        elif not delay:
            self._limits.wait(row)  # else it comes up again when it is due

    def _claimed(self, row: AttemptRow) -> None:
        self._watch.add(row)
        if row.concurrency_key is not None:
            self._limits.claimed(row)

    def _became_due(self, queue: str, done: Passed) -> None:
        """What has become visible since just before the last pass goes to a worker now, whether or not RQ has a
        scheduler that runs, and whatever its clock says.
        """
        now = self._store.now()
        since = Instant(self._due_until.get(queue, now) - micros(2 * self._engine.config.reconcile_every))
        for rows in self._due(queue, since, now):
            done.offered += self._jobs.hold(self._free(rows))
        self._due_until[queue] = now

    def _free(self, rows: Sequence[AttemptRow]) -> list[Delivery]:
        """Those that RQ should have; the others are watched, or wait for their concurrency key."""
        found = []
        for row in rows:
            if row.owner is not None:
                self._claimed(row)
            elif row.concurrency_key is not None:
                self._limits.wait(row)
            else:
                found.append(delivery_of(row))
        return found

    # --------------------------------------------------------------------------------------------- what got lost

    def _sweep(self, queue: str, done: Passed) -> None:
        """All that is due, against all that RQ really has: bounds any loss by the sweep's period (I11). A job of which
        RQ knows, but which no worker would find, may be on its way to one; if it is so twice, it was lost there.
        """
        before, odd = self._odd.get(queue, set()), set()
        ready, wanted = self._jobs.ready(queue), set()  # RQ is listed first, the journal second
        for rows in self._due(queue, None, self._store.now()):
            wanted |= {delivery_of(row).job_id for row in rows}
            free = self._free(rows)
            if not free:
                continue
            held = self._jobs.held(queue)
            absent = [job for job in free if job.job_id not in held]
            done.again += self._jobs.hold([job for job in absent if job.job_id not in before])
            done.again += sum(self._jobs.replace(job) for job in absent if job.job_id in before)
            odd |= {job.job_id for job in absent}
        self._odd[queue] = odd
        unwanted = self._over(ready - wanted)
        self._jobs.drop(unwanted)
        done.dropped += len(unwanted)

    def _over(self, ids: Iterable[str]) -> list[str]:
        """Those of ours whose delivery is over: the attempt is closed, or has been claimed since."""
        read = {job_id: job for job_id, job in self._jobs.read(ids).items() if job is not None}
        open_ = self._store.attempts([job.item for job in read.values()]) if read else []
        return sorted(set(read) - {delivery_of(row).job_id for row in open_})

    def _mend_failed(self, queue: str, done: Passed) -> None:
        """Deliveries that failed before they claimed anything, as where an app can not be imported, are made again:
        once a lease, so that what can not work is not tried in a hurry. All others are RQ's to keep for people.
        """
        listed = self._jobs.failed(queue)
        known = self._failed.get(queue, frozenset()) & listed
        failed = self._jobs.read(listed - known)
        asked = [job.item for job in failed.values() if job is not None]
        open_ = {row.item: row for row in self._store.attempts(asked)} if asked else {}
        for job_id, job in failed.items():
            row = None if job is None else open_.get(job.item)
            if row is not None and row.owner is None and delivery_of(row).job_id == job_id:
                done.again += self._jobs.replace(delivery_of(row))
            else:
                known |= {job_id}
        self._failed[queue] = known

    def _due(self, queue: str, since: Instant | None, until: Instant) -> Iterator[Sequence[AttemptRow]]:
        after = None
        while True:
            page = self._store.agenda(queue, since=since, until=until, after=after, limit=_PAGE)
            yield page.rows
            after = page.next
            if after is None:
                return

    def _first_sweep(self) -> float:
        return self._monotonic() + chance.jitter() * self._engine.config.sweep.total_seconds()
