"""Who works: a small thread writes a row of each worker of this process into the journal's store, every few seconds.

It is for people and for ``doctor``; nothing rests on it. So it is never in the way of the work: whoever enters, drains
or leaves only says so, the thread writes, and a store that is away costs nothing but a row that grows old.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Protocol

from squidmesh.clock import Instant, micros
from squidmesh.errors import BackendUnavailable, SquidMeshError, UsageError
from squidmesh.ids import is_identifier
from squidmesh.journal.workers import WorkerRow
from squidmesh.ports.journal_store import JournalStore
from squidmesh.ports.observer import Observer
from squidmesh.ports.vitals import WorkerSigns
from squidmesh.runtime import chance

EVERY = timedelta(seconds=10)
"""A row is written so often, give or take a fifth, so that a fleet that was started at once does not write at once."""
SOON = timedelta(seconds=2)
"""Once after something has changed: by then it shows what came of it."""
FORGOTTEN_AFTER = timedelta(hours=1)
"""A row that was not written for so long is taken away by whoever writes the next one."""
MOST_WORKERS = 10_000
"""So many are read."""
_PAGE = 1000
_LAST_PATIENCE = 2.0
"""Seconds for the thread's last words, when its mesh is closed."""


class Enterable(Protocol):
    """A worker, as the register sees it."""

    @property
    def queues(self) -> tuple[str, ...]: ...

    def signs(self) -> WorkerSigns: ...


@dataclass(slots=True)
class _Entered:
    worker: Enterable
    leases: Callable[[], int]
    started_at: Instant


@dataclass(slots=True)
class _Book:
    """``gone``: names whose rows are still to be taken away."""

    entered: dict[str, _Entered] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)


class Register:
    """Of one process. Thread-safe. ``thread=False`` leaves it to the caller to call :meth:`write`."""

    def __init__(
        self,
        store: JournalStore,
        observer: Observer,
        *,
        nonce: str,
        thread: bool = True,
        jitter: Callable[[], float] = chance.jitter,
    ) -> None:
        self._store = store
        self._observer = observer
        self._nonce = nonce
        self._with_thread = thread
        self._jitter = jitter
        self._host = host_name()
        self._lock = threading.Lock()
        self._writing = threading.Lock()
        self._book = _Book()
        self._word = threading.Event()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def enter(self, worker: Enterable, *, owner_id: str, leases: Callable[[], int]) -> None:
        """It has been started. ``leases``: how many claims of its own have no recorded outcome. Asks no store."""
        with self._lock:
            self._book.entered[self._free_name(owner_id)] = _Entered(worker, leases, self._store.now())
            if self._with_thread and self._thread is None and not self._closed.is_set():
                self._thread = threading.Thread(target=self._run, name="squidmesh-register", daemon=True)
                self._thread.start()
        self._word.set()

    def tell(self) -> None:
        """Something has changed that should be seen at once."""
        self._word.set()

    def leave(self, worker: Enterable, *, clean: bool) -> None:
        """It has ended. Where not ``clean``, its row stays, and is that of one who is lost."""
        with self._lock:
            for name in [name for name, one in self._book.entered.items() if one.worker is worker]:
                del self._book.entered[name]
                if clean:
                    self._book.gone.add(name)
        self._word.set()

    def write(self) -> None:
        """All rows of this process, once. Raises what the store raises."""
        with self._writing:
            with self._lock:
                entered, gone = dict(self._book.entered), set(self._book.gone)
            if gone:
                self._store.forget_workers(sorted(gone))
                with self._lock:
                    self._book.gone -= gone
            if entered:
                stale = Instant(self._store.now() - micros(FORGOTTEN_AFTER))
                self._store.put_workers([self._row(name, one) for name, one in entered.items()], stale=stale)

    def close(self) -> None:
        """Says a last word, where there is one to say, but does not wait for a store that is away for long."""
        self._closed.set()
        self._word.set()
        if self._thread is not None:
            self._thread.join(_LAST_PATIENCE)

    # ------------------------------------------------------------------------------------------------------- inside

    def _run(self) -> None:
        wait = 0.0
        while not self._closed.is_set():
            told = self._word.wait(wait)
            self._word.clear()
            self._try_to_write()
            wait = (SOON if told else EVERY).total_seconds() * (0.8 + 0.4 * self._jitter())
        if self._book.gone:
            self._try_to_write()

    def _try_to_write(self) -> None:
        try:
            self.write()
        except BackendUnavailable as error:  # as any other call finds it, and whoever works tells when it is back
            self._observer.notice("journal_unavailable", error=str(error))
        except SquidMeshError as error:
            if not isinstance(error, UsageError):  # the store was closed meanwhile
                self._observer.notice("worker_not_registered", error=str(error))
        except Exception as error:  # this thread goes on: the next row may be written
            self._observer.notice("worker_not_registered", error=f"{type(error).__name__}: {error}")

    def _free_name(self, owner_id: str) -> str:
        name = first = f"{owner_id}@{self._nonce}"
        number = 1
        while name in self._book.entered:
            number += 1
            name = f"{first}#{number}"
        self._book.gone.discard(name)
        return name

    def _row(self, name: str, one: _Entered) -> WorkerRow:
        signs = one.worker.signs()
        return WorkerRow(
            name=name,
            host=self._host,
            pid=os.getpid(),
            version=_version(),
            queues=one.worker.queues,
            slots=signs.capacity,
            busy=signs.busy,
            leases=one.leases(),
            draining=signs.draining,
            started_at=one.started_at,
        )


def everyone(store: JournalStore) -> list[WorkerRow]:
    """All that are registered, in order of name."""
    found: list[WorkerRow] = []
    while len(found) < MOST_WORKERS:
        page = store.workers(limit=_PAGE, after=found[-1].name if found else "")
        found += page
        if len(page) < _PAGE:
            break
    return found


def host_name() -> str:
    """In the characters of a name."""
    told = "".join(char if is_identifier(char) else "-" for char in socket.gethostname())[:80]
    return told or "host"


def _version() -> str:
    """Of the code that runs, whatever is installed by now."""
    return str(sys.modules["squidmesh"].__version__)
