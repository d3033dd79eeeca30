"""A memory that lets hosts start runs in their own transactions: what the runtime does with that is tried here without
a database server. The host's own rows are in a SQLite file beside it.

A thread that an open transaction has appended to belongs to it until it ends, as the rows of a database do; what it
appended is applied when it commits.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from squidmesh.clock import Clock
from squidmesh.errors import BackendUnavailable, InvalidInput
from squidmesh.memory import MemoryBackend, MemoryJournal
from squidmesh.memory.wakeup import MemoryWakeup
from squidmesh.ports.bell import Bell
from squidmesh.ports.journal_store import Answer, Committed, Group, JournalStore

_LOCK_TIMEOUT = 0.2
"""Seconds that one transaction waits for another one."""


class Host:
    """One open transaction of a host's: rows of its own, and what it starts."""

    def __init__(self, journal: HostedJournal, file: Path) -> None:
        self.connection = self
        self.groups: list[Group] = []
        self._journal = journal
        self._rows = sqlite3.connect(file, isolation_level=None, check_same_thread=False)
        self._rows.execute("BEGIN")
        self.open = True

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        return self._rows.execute(sql).fetchall()

    def commit(self) -> None:
        self._rows.execute("COMMIT")
        self._journal.apply(self)
        self._end()

    def rollback(self) -> None:
        self._rows.execute("ROLLBACK")
        self._journal.forget(self)
        self._end()

    def _end(self) -> None:
        self._rows.close()
        self.open = False


class HostedJournal(MemoryJournal):
    """``on_commit`` hears of each transaction with starts that has committed."""

    def __init__(self, clock: Clock, on_commit: Callable[[], None] = lambda: None) -> None:
        super().__init__(clock)
        self._on_commit = on_commit
        self._owners: dict[str, object] = {}
        self._ended = threading.Condition()

    def joined(self, connection: object) -> JournalStore:
        if not isinstance(connection, Host):
            raise InvalidInput(f"is a {type(connection).__name__}; allowed is a Host", field="connection")
        view: Any = JoinedJournal(self, connection)
        return view  # type: ignore[no-any-return]

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        us = object()
        with self._ended:
            with self.owning(us, groups):
                answers = super().commit(groups)
            self._let_go(us)
        return answers

    @contextmanager
    def owning(self, who: object, groups: Sequence[Group]) -> Iterator[None]:
        """The threads are theirs; those that were not before are given back where this fails."""
        threads = {str(append.thread) for group in groups for append in group.appends}
        with self._ended:
            if not self._ended.wait_for(lambda: self._free(who, threads), _LOCK_TIMEOUT):
                raise BackendUnavailable("another transaction has appended to that thread, and is open")
            new = threads - self._owners.keys()
            self._owners |= dict.fromkeys(threads, who)
            try:
                yield
            except BaseException:
                for thread in new:
                    del self._owners[thread]
                raise

    def _free(self, who: object, threads: set[str]) -> bool:
        return all(self._owners.get(thread, who) is who for thread in threads)

    def seen_by(self, host: Host) -> MemoryJournal:
        """What is committed, and what this transaction has appended."""
        view = MemoryJournal(self._clock)
        with self._door:
            view._threads = {thread: list(entries) for thread, entries in self._threads.items()}
            view._checkpoints = dict(self._checkpoints)
            view._definitions = dict(self._definitions)
            view._runs = dict(self._runs)
            view._agenda = dict(self._agenda)
        for group in host.groups:
            view.commit([group])
        return view

    def apply(self, host: Host) -> None:
        with self._ended:
            for group in host.groups:
                assert MemoryJournal.commit(self, [group]) == [Committed()]
            self._let_go(host)
        if host.groups:
            self._on_commit()

    def forget(self, host: Host) -> None:
        with self._ended:
            self._let_go(host)

    def _let_go(self, who: object) -> None:
        self._owners = {thread: owner for thread, owner in self._owners.items() if owner is not who}
        self._ended.notify_all()


class JoinedJournal:
    def __init__(self, journal: HostedJournal, host: Host) -> None:
        self._journal = journal
        self._host = host

    def __getattr__(self, name: str) -> Any:
        return getattr(self._journal.seen_by(self._host), name)

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        with self._journal.owning(self._host, groups):
            answers = self._journal.seen_by(self._host).commit(groups)
        self._host.groups += [group for group, answer in zip(groups, answers, strict=True) if answer == Committed()]
        return answers


class HostedBackend(MemoryBackend):
    def __init__(self, clock: Clock, folder: Path) -> None:
        super().__init__("memory://hosted", clock=clock)
        self._announced = Bell()
        self._journal: HostedJournal = HostedJournal(clock, self._announced.ring)
        self._file = folder / "host.db"
        self._hosts: list[Host] = []

    def journal(self) -> HostedJournal:
        return self._journal

    def starts_announced(self) -> MemoryWakeup:  # type: ignore[override]
        return MemoryWakeup(self._announced)

    def host(self) -> Host:
        self._hosts.append(Host(self._journal, self._file))
        return self._hosts[-1]

    def end_hosts(self) -> None:
        """What is left open is rolled back."""
        for host in self._hosts:
            if host.open:
                host.rollback()
