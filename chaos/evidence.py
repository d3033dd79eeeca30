"""All that a judge looks at, as values: what stands in the journal and in the backend, what was seen, what was done.

A journal is read thread by thread, so that a long one needs no more memory than a short one. The same values come from
a store that is open (:class:`StoreJournal`) and from a list of them (:class:`ListedJournal`), which a test may alter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from functools import cached_property
from pathlib import Path
from typing import Protocol

import msgspec

from chaos.history import Place, Placed, Unreadable, digest, history_files, read_file
from chaos.ledger import Deed, read_ledger
from squidmesh.clock import Instant
from squidmesh.ids import Fingerprint, RunId, ThreadId
from squidmesh.journal.rows import PausedQueueRow, ThreadRows, Tombstone
from squidmesh.ports.journal_store import Checkpoint, Entry, JournalStore, ThreadRead
from squidmesh.ports.lease_backend import Item, LeaseBackend, QueueStats

_PAGE = 200
_ENTRIES = 5000
"""What is read at once: so many threads, or as many as have about so many entries."""
_ROUNDS = 100
"""Times that a thread may move on while it is read."""


class ThreadDump(msgspec.Struct, frozen=True, kw_only=True):
    """One thread, whole, as it was at one moment. ``rows``: all that stand under its name. ``sealed``: the digests of
    the entries as they are stored, where a payload codec makes them other bytes than those here.
    """

    thread: ThreadId
    entries: tuple[Entry, ...]
    checkpoint: Checkpoint | None
    rows: ThreadRows
    sealed: tuple[str, ...] | None = None

    @property
    def digests(self) -> tuple[str, ...]:
        return tuple(digest(entry.body) for entry in self.entries) if self.sealed is None else self.sealed


class Journal(Protocol):
    """What is asked of a journal. ``threads`` begins anew each time that it is called."""

    @property
    def now(self) -> Instant: ...
    def threads(self) -> Iterator[ThreadDump]: ...
    def thread(self, name: ThreadId) -> ThreadDump | None:
        """One of them; None where it has neither entries nor rows."""
        ...

    def definition(self, fingerprint: Fingerprint) -> bytes | None: ...
    def tombstone(self, run_id: RunId) -> Tombstone | None: ...
    def paused_queues(self) -> Sequence[PausedQueueRow]: ...


class ThreadMoves(Exception):
    """A thread is written faster than it can be read."""


@dataclass(frozen=True, slots=True)
class StoreJournal:
    """A journal that is open, maybe with others at work in it: each thread is read until it stood still meanwhile.
    ``sealed``: the same store without its payload codec, where it has one.
    """

    store: JournalStore
    sealed: JournalStore | None = None

    @property
    def now(self) -> Instant:
        return self.store.now()

    def threads(self) -> Iterator[ThreadDump]:
        after: str | None = None
        while True:
            page = self.store.threads(after=after, limit=_PAGE)
            portion: list[ThreadId] = []
            entries = 0
            for one in page.threads:
                portion.append(one.thread)
                entries += one.revision
                if entries >= _ENTRIES:
                    yield from self._read(portion)
                    portion, entries = [], 0
            if portion:
                yield from self._read(portion)
            after = page.next
            if after is None:
                return

    def thread(self, name: ThreadId) -> ThreadDump | None:
        (found,) = self._read([name])
        return found if found.entries or found.rows != ThreadRows(thread=name) else None

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        return self.store.definition(fingerprint)

    def tombstone(self, run_id: RunId) -> Tombstone | None:
        return self.store.tombstone(run_id)

    def paused_queues(self) -> Sequence[PausedQueueRow]:
        return self.store.paused_queues()

    def _read(self, names: Sequence[ThreadId]) -> Iterator[ThreadDump]:
        left = list(names)
        for _ in range(_ROUNDS):
            if not left:
                return
            whole = self.store.read([ThreadRead(thread=name) for name in left], whole=True)
            short = self.store.read([ThreadRead(thread=name) for name in left])
            rows = self.store.rows_of(left)
            last = [history.tail[-1].revision if history.tail else 0 for history in whole]
            asked = [ThreadRead(thread=name, after=revision) for name, revision in zip(left, last, strict=True)]
            later = self.store.read(asked)
            moved = []
            for name, history, newest, its_rows, more in zip(left, whole, short, rows, later, strict=True):
                if more.tail:
                    moved.append(name)
                    continue
                yield ThreadDump(
                    thread=name,
                    entries=history.tail,
                    checkpoint=newest.checkpoint,
                    rows=its_rows,
                    sealed=self._stored(name, len(history.tail)),
                )
            left = moved
        raise ThreadMoves(f"thread {left[0]} was written {_ROUNDS} times while it was read")

    def _stored(self, name: ThreadId, length: int) -> tuple[str, ...] | None:
        if self.sealed is None:
            return None
        (history,) = self.sealed.read([ThreadRead(thread=name)], whole=True)
        return tuple(digest(entry.body) for entry in history.tail[:length])


@dataclass(frozen=True, kw_only=True)
class ListedJournal:
    """The same as plain values."""

    dumps: Sequence[ThreadDump]
    now: Instant
    definitions: Mapping[Fingerprint, bytes] = field(default_factory=dict)
    tombstones: Mapping[RunId, Tombstone] = field(default_factory=dict)
    pauses: Sequence[PausedQueueRow] = ()

    @cached_property
    def _by_name(self) -> dict[ThreadId, ThreadDump]:
        return {dump.thread: dump for dump in self.dumps}

    def threads(self) -> Iterator[ThreadDump]:
        return iter(self.dumps)

    def thread(self, name: ThreadId) -> ThreadDump | None:
        return self._by_name.get(name)

    def definition(self, fingerprint: Fingerprint) -> bytes | None:
        return self.definitions.get(fingerprint)

    def tombstone(self, run_id: RunId) -> Tombstone | None:
        return self.tombstones.get(run_id)

    def paused_queues(self) -> Sequence[PausedQueueRow]:
        return self.pauses


class Backend(msgspec.Struct, frozen=True, kw_only=True):
    """What a lease backend holds, with all queues that the journal or it knew. ``in_journal``: the agenda itself is
    what is delivered, so nothing can be missing. ``up_for``: how long backend and journal have been up without a
    break, as whoever dumped it knows; None where nobody does.
    """

    kind: str
    in_journal: bool
    items: tuple[Item, ...] = ()
    stats: tuple[QueueStats, ...] = ()
    up_for: timedelta | None = None


def dump_backend(leases: LeaseBackend, queues: Iterable[str], *, up_for: timedelta | None = None) -> Backend:
    """As it is now; items that come or go meanwhile may be on it or not."""
    names = sorted(set(queues))
    items: dict[str, Item] = {}
    if not leases.in_journal:
        for queue in names:
            after: str | None = None
            while True:
                page = leases.items(queue, after=after)
                items |= {item.key: item for item in page.items}
                after = page.next
                if after is None:
                    break
    return Backend(
        kind=leases.kind,
        in_journal=leases.in_journal,
        items=tuple(items[key] for key in sorted(items)),
        stats=tuple(leases.stats(names)) if names else (),
        up_for=up_for,
    )


Lines = Iterable[Placed]
Deeds = Iterable[tuple[Place, Deed | Unreadable]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Of the mesh that is judged: what the protocol's limits follow from (``Mesh.connect``). ``patience``: for how long
    at most anything may be due, or a claim stand, before it counts as stuck (I10); None where nobody knows whether
    workers were there, as on somebody's own deployment.
    """

    lease: timedelta = timedelta(seconds=60)
    sweep: timedelta = timedelta(minutes=5)
    max_deliveries: int = 5
    patience: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Evidence:
    """``histories``: the lines of each process's file, one after the other; ``ledger`` the same. ``backend`` is None
    where nobody could look into it. ``searched``: texts and raw values in which no secret may stand, by a name to show
    (a log's lines, the value of a key of Redis, the output of an inspection); ``planted``: the secrets, by a name that
    may be shown. Histories, ledger and texts are walked over once each. ``all_recorded``: whoever has ever written to
    this journal has left a history, so an entry of which none tells was made up. ``all_deeds``: each step with a
    function writes to the ledger; otherwise only of those is an entry there demanded that the ledger knows by name.
    """

    journal: Journal
    backend: Backend | None = None
    histories: Sequence[Lines] = ()
    ledger: Sequence[Deeds] = ()
    searched: Iterable[tuple[str, bytes]] = ()
    planted: Mapping[str, bytes] = field(default_factory=dict)
    settings: Settings = field(default_factory=Settings)
    all_recorded: bool = False
    all_deeds: bool = False


def histories_in(folder: Path) -> list[Lines]:
    """One for each file of the folder; they are opened when they are read."""
    return [read_file(path) for path in history_files(folder)]


def ledger_in(folder: Path) -> list[Deeds]:
    return [read_ledger(path) for path in history_files(folder)]


def texts_in(paths: Iterable[Path]) -> Iterator[tuple[str, bytes]]:
    """The lines of files, by ``file:line``."""
    for path in paths:
        with path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                yield f"{path.name}:{number}", line
