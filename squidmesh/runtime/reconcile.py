"""The reconciler: it makes the lease backend hold what the agenda says (protocol 3.8).

Every offer that follows a commit may be lost, and a backend may lose all that it holds. So somebody compares: often and
cheaply what has changed, seldom and wholly what is due. A backend's *cursor* says how far that has come; it stands in
the backend, so it is lost with what it vouches for, and it is written last.

Safe on every node at once: an offer at or below what the backend knows changes nothing. A hint in the backend keeps all
but one from doing the same work.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta

from squidmesh.clock import Instant, micros
from squidmesh.config import MeshConfig
from squidmesh.errors import BackendUnavailable, CommitUnknown
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.instrument import Instrument
from squidmesh.ports.journal_store import AgendaPage, JournalStore, Wakeup
from squidmesh.ports.lease_backend import Cursor, Drop, Item, LeaseBackend
from squidmesh.ports.observer import Observer
from squidmesh.runtime import chance
from squidmesh.runtime.delivery import item_of_row
from squidmesh.runtime.instruments import NOBODY
from squidmesh.runtime.plane import Membership

_PAGE = 500
_FEW = 50
"""Queues that each look is over, where there are no more."""
_ROUNDS = 100
"""Words about queues that may come in the middle of one pass, before the rest is left to the next one."""
_TURNS = 3
"""Passes that may be missed by the one whose turn it is, before somebody else takes it."""
_JUST_BEFORE = 0.25
"""Of the time between two passes: how far before the last one a pass begins to look for what became due."""
_BREATH = 0.05
"""Seconds from one pass to the next, where starts are announced all the time."""
_LONGEST_PAUSE = 30.0
"""Seconds between two tries where journal or backend are away."""


@dataclass(slots=True)
class Reconciled:
    """What was done. ``queues``: how many were looked at; ``offered``: items told to the backend, most of which it
    knew; ``gone``: offers that a tombstone kept out; ``dropped``: items that the journal has closed; ``full``: queues
    whose whole agenda was offered.
    """

    queues: int = 0
    offered: int = 0
    gone: int = 0
    dropped: int = 0
    full: int = 0

    def to_json(self) -> dict[str, int]:
        return asdict(self)

    def add(self, other: Reconciled) -> None:
        self.queues += other.queues
        self.offered += other.offered
        self.gone += other.gone
        self.dropped += other.dropped
        self.full += other.full


@dataclass(slots=True, kw_only=True)
class _Pass:
    """Over one queue. ``now``, ``life`` and ``mark`` were read before anything was offered; ``since`` is None where
    it is a full one.
    """

    queue: str
    now: Instant
    life: str
    cursor: Cursor | None
    since: int | None
    mark: int
    first: AgendaPage

    @property
    def has_news(self) -> bool:
        return self.since is None or bool(self.first.rows)


class Reconciler:
    """Of one process. Thread-safe: one pass at a time. ``owner`` names it in the backend's hint.

    Nothing here decides; what it offers is what the journal holds, and a claim is recorded only if the core agrees.
    """

    def __init__(
        self,
        store: JournalStore,
        leases: LeaseBackend,
        membership: Membership,
        config: MeshConfig,
        observer: Observer,
        *,
        owner: str,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._store = store
        self._leases = leases
        self._membership = membership
        self._config = config
        self._observer = observer
        self._owner = owner
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._tracking = False
        self._listened: set[str] = set()
        self._due_until: dict[str, Instant] = {}
        """By queue, until when what became due was looked at, or offered with all that is open."""
        self._looks = 1
        """That go over all queues."""
        self._came_to = ""
        """The last queue of the last look, where one is not over all of them."""
        self._swept_at: dict[str, float] = {}
        self._passed_at: float | None = None
        self._told_paused: frozenset[str] = frozenset()
        """What the backend was told last: where nobody works for such a queue any more, its resume is told all the
        same."""

    def listen(self, queues: Iterable[str]) -> None:
        """Queues that somebody here claims from: what is left over in them is removed, also where nothing is open."""
        self._listened.update(queues)

    def look(self, now_and_then: bool = False) -> Reconciled:
        """One pass over every queue whose turn is this process's; a sweep where that is due. ``now_and_then``: nothing,
        where the last one is not ``reconcile_every`` ago, or another thread is at it.

        Raises what the stores raise, and ``WrongPlane``.
        """
        every = self._config.reconcile_every
        if self._leases.in_journal:
            return Reconciled()
        if now_and_then and (self._lock.locked() or not self._is_time(every.total_seconds())):
            return Reconciled()
        with self._lock:
            self._passed_at = self._monotonic()
            self._begin()
            queues, self._looks = self._next_ones(self._queues())
            period = self._config.sweep * (1 if self._looks == 1 else 0.75)  # its look may come a quarter later
            self.tell_pauses(among=queues)
            mine = [q for q in queues if self._leases.sweep_turn(q, owner=self._owner, period=self._turn())]
            done = self._pass_over(mine)
            for queue in mine:
                if self._monotonic() >= self._swept_at.setdefault(queue, self._first_sweep(period)):
                    done.add(self._sweep(queue))
                    self._swept_at[queue] = self._monotonic() + period.total_seconds()
            return done

    def everything(self, *, trusting: bool = False) -> Reconciled:
        """A pass over all queues, whoever's turn it is. Full ones, unless ``trusting`` the cursors."""
        if self._leases.in_journal:
            return Reconciled()
        with self._lock:
            self._begin()
            self.tell_pauses()
            return self._pass_over(self._queues(), full=not trusting)

    def tell_pauses(self, also: Iterable[str] = (), *, among: Sequence[str] | None = None) -> None:
        """Makes the backend's pauses equal to the journal's: ``among`` these queues, or all that are known; of those
        that are paused or were; and of ``also``. Whoever changes one looks at the journal once more: so the last one to
        write has seen the last word.
        """
        if self._leases.in_journal:
            return
        self._membership.join()
        paused = self._paused()
        queues = self._queues() if among is None else among
        for _ in range(_ROUNDS):
            self._told_paused |= paused
            told = self._leases.paused(sorted({*queues, *self._told_paused, *also}))
            for queue in sorted(paused - told):
                self._leases.pause(queue)
            for queue in sorted(told - paused):
                self._leases.resume(queue)
            before, paused = paused, self._paused()
            if paused == before:
                self._told_paused = paused
                return

    def _paused(self) -> frozenset[str]:
        return frozenset(row.queue for row in self._store.paused_queues())

    # ------------------------------------------------------------------------------------------------ one pass

    def _begin(self) -> None:
        self._membership.join()
        if not self._tracking:
            self._store.track_changes()  # before the first position is read: what is older is offered as a whole
            self._tracking = True

    def _queues(self) -> list[str]:
        return sorted({*self._store.agenda_queues(), *self._listened})

    def _next_ones(self, queues: Sequence[str]) -> tuple[Sequence[str], int]:
        """Those of this look, and how many looks go over all of them. So many that each comes within a quarter of the
        sweep's period, however many there are; what the backend was not told of is late by that at most (I11).
        """
        looks = max(1, int(self._config.sweep / 4 / self._interval()))
        number = max(_FEW, -(-len(queues) // looks))
        if len(queues) <= number:
            return queues, 1
        begin = bisect_right(queues, self._came_to)
        chosen = [*queues[begin:], *queues[:begin]][:number]
        self._came_to = chosen[-1]
        return chosen, -(-len(queues) // number)

    def _pass_over(self, queues: Sequence[str], *, full: bool = False) -> Reconciled:
        done = Reconciled(queues=len(queues))
        passes = [self._look_at(queue, full=full) for queue in queues]
        token = chance.new_name()
        if told := [one.queue for one in passes if one.has_news]:
            self._store.put_token(token, told)  # before the first offer that it vouches for
        for one in passes:
            if one.has_news:
                done.add(self._carry_out(one, token))
            if one.since is None:
                self._due_until[one.queue] = one.now
            else:
                done.add(self._became_due(one.queue))
        return done

    def _look_at(self, queue: str, *, full: bool) -> _Pass:
        """What this pass will vouch for. The life of the backend's memory is read before the first offer to it: should
        it end in between, the cursor is refused. The journal's position is read before its rows.
        """
        now = self._store.now()
        life = self._leases.incarnation(queue)
        cursor = self._leases.cursor(queue)
        mark = self._store.position()
        since = None if full else self._known(cursor, queue, life, mark)
        first = self._page(queue, since, None)
        return _Pass(queue=queue, now=now, life=life, cursor=cursor, since=since, mark=mark, first=first)

    def _known(self, cursor: Cursor | None, queue: str, life: str, mark: int) -> int | None:
        """Where to go on; None where the cursor can not be trusted: there is none, it is of another life of the memory,
        or of another past of the journal.
        """
        if cursor is None or cursor.incarnation != life or cursor.position > mark:
            return None
        return cursor.position if self._store.has_token(cursor.token, queue) else None

    def _page(self, queue: str, since: int | None, after: str | None) -> AgendaPage:
        if since is None:
            return self._store.agenda(queue, after=after, limit=_PAGE)
        return self._store.changed(queue, since=since, after=after, limit=_PAGE)

    def _carry_out(self, one: _Pass, token: str) -> Reconciled:
        full = one.since is None
        long = full and one.first.next is not None
        done = Reconciled(full=int(full))
        held_back = False
        page: AgendaPage | None = one.first
        while page is not None:
            held_back |= self._offer(page.rows, done)
            page = None if page.next is None else self._page(one.queue, one.since, page.next)
            if long and page is not None:
                self._observer.notice("full_pass_goes_on", queue=one.queue, offered=done.offered)
        if full:
            done.dropped += self._remove(one.queue)
        if long:
            self._observer.notice("full_pass_ends", queue=one.queue, offered=done.offered, dropped=done.dropped)
        if not held_back:
            new = Cursor(incarnation=one.life, token=token, position=one.mark)
            self._leases.set_cursor(one.queue, expected=one.cursor, new=new)
        return done

    def _became_due(self, queue: str) -> Reconciled:
        """What has become visible since just before the last pass: should its offer have been lost, it is late by one
        pass and no more. Who has taken the turn from somebody looks back as far as that one may have been silent: it
        may have died behind the beginning of a turn, and this process has come by only some time after its end.
        """
        done = Reconciled()
        now = self._store.now()
        last = self._due_until.get(queue, now - micros(2 * self._turn()))
        since = Instant(last - micros(_JUST_BEFORE * self._interval()))
        for rows in self._due(queue, since, now):
            self._offer_missing(queue, rows, done)
        self._due_until[queue] = now
        return done

    def _offer_missing(self, queue: str, rows: Sequence[AttemptRow], done: Reconciled) -> None:
        absent = frozenset(self._leases.missing(self._items(rows)))
        if absent:
            self._observer.notice("missing_items_found", queue=queue, items=len(absent))
            self._offer([row for row in rows if row.item in absent], done)

    def _offer(self, rows: Sequence[AttemptRow], done: Reconciled) -> bool:
        """Whether the cursor is to be held back: an offer was kept out by a tombstone, and yet its row is still open,
        and still as it was offered. It is offered again until the tombstone is over.
        """
        if not rows:
            return False
        items = self._items(rows)
        gone = self._leases.offer(items)
        done.offered += len(items)
        done.gone += len(gone)
        if not gone:
            return False
        offered = {item.key: (item.generation, item.floor) for item in items}
        return any((row.generation, row.fence) <= offered[row.item] for row in self._store.attempts(gone))

    def _items(self, rows: Sequence[AttemptRow]) -> list[Item]:
        now = self._store.now()
        return [item_of_row(row, now) for row in rows]

    # --------------------------------------------------------------------------------------------- the sweep

    def _sweep(self, queue: str) -> Reconciled:
        """All that is due, and all that the backend holds: bounds any loss by the sweep's period (I11)."""
        done = Reconciled()
        for rows in self._due(queue, None, self._store.now()):
            self._offer_missing(queue, rows, done)
        done.dropped += self._remove(queue)
        return done

    def _remove(self, queue: str) -> int:
        """Drops what the journal has closed. The backend is listed first and the journal read second, so what is opened
        in between is on neither list; the drop names what was seen, and does nothing if that has changed.
        """
        dropped, after = 0, None
        while True:
            page = self._leases.items(queue, after=after, limit=_PAGE)
            open_ = {row.item for row in self._store.attempts([item.key for item in page.items])}
            drops = [
                Drop(key=item.key, queue=queue, generation=item.generation, fence=item.floor)
                for item in page.items
                if item.key not in open_
            ]
            if drops:
                self._leases.drop(drops)
                dropped += len(drops)
            after = page.next
            if after is None:
                return dropped

    def _due(self, queue: str, since: Instant | None, until: Instant) -> Iterator[Sequence[AttemptRow]]:
        after = None
        while True:
            page = self._store.agenda(queue, since=since, until=until, after=after, limit=_PAGE)
            yield page.rows
            after = page.next
            if after is None:
                return

    def _turn(self) -> timedelta:
        """For how long a queue is one process's to look at."""
        return _TURNS * self._looks * self._interval()

    def _interval(self) -> timedelta:
        """The time from a pass to the next."""
        return max(self._config.reconcile_every, timedelta(milliseconds=100))

    def _is_time(self, every: float) -> bool:
        return self._passed_at is None or self._monotonic() - self._passed_at >= every

    def _first_sweep(self, period: timedelta) -> float:
        """Spread over a period, so that queues and nodes do not sweep all at once."""
        return self._monotonic() + chance.jitter() * period.total_seconds()


class Reconciling:
    """A reconciler with a thread of its own, from the first worker to the end of the mesh in this process.

    ``announced``: makes what wakes it when a host's transaction with starts in it has committed, if there is such a
    thing: nobody has offered those (protocol 3.4). Called once, when the thread begins. Only who had the turn of a
    queue the last time is woken, so that a fleet does not get up as a whole.
    """

    def __init__(
        self,
        reconciler: Reconciler,
        *,
        every: timedelta,
        observer: Observer,
        announced: Callable[[], Wakeup | None] = lambda: None,
        instruments: Instrument = NOBODY,
    ) -> None:
        self._instruments = instruments
        self._reconciler = reconciler
        self._every = every.total_seconds()
        self._observer = observer
        self._announced = announced
        self._wakeup: Wakeup | None = None
        self._has_turn = False
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self.trouble: str | None = None
        """What keeps it from its work; None while it goes well."""
        self._waits: str | None = None

    def start(self) -> None:
        """Once; more calls do nothing."""
        with self._lock:
            if self._thread is None and not self._stopped.is_set():
                self._wakeup = self._announced()
                self._thread = threading.Thread(target=self._run, name="squidmesh-reconciler", daemon=True)
                self._thread.start()

    def stop(self, timeout: timedelta) -> None:
        with self._lock:
            self._stopped.set()
        if self._wakeup is not None:
            self._wakeup.close()  # which ends its wait
        if self._thread is not None and self._thread is not threading.current_thread():
            self._thread.join(timeout.total_seconds())

    def _run(self) -> None:
        pause = self._every
        while not self._stopped.is_set():
            pause = self._every if self._look() else min(2 * pause, max(_LONGEST_PAUSE, self._every))
            self._rest(pause * (0.75 + chance.jitter() / 2))

    def _rest(self, pause: float) -> None:
        """Until the end of the pause, or until starts are announced. However many transactions of hosts there are, a
        breath is taken between two passes; and where something is away, they hurry nobody.
        """
        if self._wakeup is None or not self._has_turn:
            self._stopped.wait(pause)
            return
        breath = min(pause, _BREATH)
        if not self._stopped.wait(breath):
            self._wakeup.wait(timedelta(seconds=pause - breath))

    def _look(self) -> bool:
        """Whether it could. One notice a change of state, whatever is away."""
        self._has_turn = False
        try:
            began = time.monotonic()
            done = self._reconciler.look()
            self._has_turn = done.queues > 0
            took = time.monotonic() - began
            self._instruments.reconciled(offered=done.offered, gone=done.gone, dropped=done.dropped, seconds=took)
        except (BackendUnavailable, CommitUnknown) as error:
            if self.trouble is None:
                self._observer.notice("reconciler_waits", error=str(error))
            self.trouble = self._waits = str(error)
            return False
        except Exception as error:
            if self._stopped.is_set():
                return True
            said = f"{type(error).__name__}: {error}"
            if self.trouble != said:
                self._observer.notice("reconciler_failed", error=said)
            self.trouble, self._waits = said, None
            return False
        self._instruments.answered("reconciler_waits")
        if self.trouble is not None and self._waits is None:  # else it is told that the store is back
            self._observer.notice("reconciler_goes_on")
        self.trouble = self._waits = None
        return True
