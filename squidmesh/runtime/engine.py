"""What a mesh opens, once a process: the stores, the registry, the heartbeat thread, and pumps over them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Protocol

from squidmesh.config import MeshConfig
from squidmesh.errors import BackendUnavailable, CommitUnknown, CorruptHistory, InvalidUrl, ThreadsLocked
from squidmesh.ids import AttemptKey
from squidmesh.ports.backend import Backend, is_served, nobody_listens, tells_at_home
from squidmesh.ports.journal_store import Wakeup
from squidmesh.ports.lease_backend import LeaseBackend
from squidmesh.ports.observer import Observer
from squidmesh.ports.payload_codec import PayloadCodec
from squidmesh.runtime.away import Away
from squidmesh.runtime.carrying import Carrier
from squidmesh.runtime.catalogue import Catalogue
from squidmesh.runtime.chance import new_nonce
from squidmesh.runtime.coded import coded, coded_leases
from squidmesh.runtime.commit import CALLER_PATIENCE, Appender, Patience
from squidmesh.runtime.current import still_current
from squidmesh.runtime.endings import Endings
from squidmesh.runtime.heartbeat import Heartbeats, Pulse
from squidmesh.runtime.held import Definitions, Runs
from squidmesh.runtime.instruments import Instruments
from squidmesh.runtime.intake import Intake
from squidmesh.runtime.pauses import Pauses
from squidmesh.runtime.plane import Membership
from squidmesh.runtime.pump import Pump
from squidmesh.runtime.reconcile import Reconciler, Reconciling
from squidmesh.runtime.recorder import Recorder
from squidmesh.runtime.register import Register
from squidmesh.runtime.shares import QueueShare
from squidmesh.runtime.sidecar import Sidecar
from squidmesh.runtime.slots import Slots
from squidmesh.runtime.solitude import Solitude
from squidmesh.runtime.timers import BUSY_LOOK, Timers
from squidmesh.workflow.registry import Registry

_LAST_WAIT = timedelta(seconds=5)


class Stoppable(Protocol):
    def abort(self) -> None: ...

    def join(self, timeout: timedelta | None = None) -> None: ...


@dataclass(slots=True)
class Writer:
    """A recorder with its own held runs: what one thread at a time needs to write to runs."""

    runs: Runs
    recorder: Recorder


@dataclass(frozen=True, slots=True, kw_only=True)
class Stores:
    """Where an engine stands: ``leases`` is None where they are the journal's own. ``codec``: of facts."""

    journal: Backend
    leases: Backend | None
    codec: PayloadCodec | None = None

    def close(self) -> None:
        for backend in (self.leases, self.journal):
            if backend is not None:
                backend.close()


class Engine:
    """Opens the stores when it is made. Thread-safe, except that each pump and writer belongs to one thread.

    ``heartbeat_thread=False`` leaves it to the caller to call ``heartbeats.beat()`` and ``reconciler.look()``, as a
    virtual clock needs it; ``monotonic`` tells the reconciler when it is time, and how old a known pause is.
    """

    def __init__(
        self,
        *,
        journal: Backend,
        leases: Backend | None,
        registry: Registry,
        config: MeshConfig,
        observer: Observer,
        codec: PayloadCodec | None = None,
        heartbeat_thread: bool = True,
        own_clock: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.registry = registry
        self.config = config
        self.instruments = Instruments(observer)
        self.observer: Observer = self.instruments
        opened = journal.journal()
        if leases is not None:
            nobody_listens(opened)
        self.store = coded(opened, codec)
        self.leases: LeaseBackend = coded_leases((leases or journal).leases(), codec)
        if leases is not None and self.leases.in_journal:
            raise InvalidUrl("keeps its leases in a journal; allowed is a lease backend of its own", field="leases")
        self.instruments.away = Away(
            self.instruments.notice,
            leases=None if self.leases.in_journal else self.leases.name.partition("?")[0],
        )
        if registry.is_transactional:
            self.store.transaction(config.lease)  # refuses where it can not; nothing begins before it is entered
        self.membership = Membership(self.store, self.leases, self.observer)
        self.pauses = Pauses(self.store, monotonic=monotonic)
        self.definitions = Definitions(self.store)
        self.catalogue = Catalogue(self.store, self.definitions, self.caller_patience)
        self.heartbeats = Heartbeats(
            self.leases,
            every=config.beat,
            observer=self.observer,
            still_current=partial(still_current, self.store),
            instruments=self.instruments,
        )
        self._heartbeat_thread = heartbeat_thread
        self._own_clock = own_clock
        self.nonce = new_nonce()
        self.register = Register(self.store, self.observer, nonce=self.nonce, thread=heartbeat_thread)
        self.reconciler = Reconciler(
            self.store,
            self.leases,
            self.membership,
            config,
            self.observer,
            owner=f"reconciler@{self.nonce}",
            monotonic=monotonic,
        )
        self._reconciling = Reconciling(
            self.reconciler,
            every=config.reconcile_every,
            observer=self.observer,
            announced=journal.starts_announced,
            instruments=self.instruments,
        )
        self.solitude = Solitude(self.poke)
        self.endings = Endings()
        self.carry = Carrier(self)
        self.workers: set[Stoppable] = set()
        """Those that run now; each adds and removes itself."""
        self.stores = Stores(journal=journal, leases=leases, codec=codec)
        self._backends = [journal] if leases is None else [leases, journal]
        self._lock = threading.Lock()
        self._wakeups: list[Wakeup] = []

    def writer(
        self,
        *,
        patience: timedelta | None,
        give_up: Callable[[], bool] = lambda: False,
        pulse: Pulse | None = None,
    ) -> Writer:
        """``pulse``: of the pump that waits where a store is away."""

        def trouble(error: BaseException) -> None:
            if pulse is not None:
                pulse.wait()
            self._store_trouble(error)

        patient = Patience(patience, give_up=give_up, notice=trouble, answered=self._store_answers)
        runs = Runs(self.store, self.definitions, patient)
        appender = Appender(self.store, patient, self.instruments)
        recorder = Recorder(self.store, self.leases, runs, appender, self.observer, self.endings, self.instruments)
        return Writer(runs, recorder)

    def caller_patience(self) -> Patience:
        """That of a call of the public API."""
        return Patience(CALLER_PATIENCE, notice=self._store_trouble, answered=self._store_answers)

    def pump(
        self,
        slots: Slots,
        *,
        owner_id: str,
        queues: Sequence[str | QueueShare],
        pulse: Pulse | None,
        patience: timedelta | None,
        continues: bool,
        give_up: Callable[[], bool] = lambda: False,
        item: AttemptKey | None = None,
    ) -> Pump:
        """``item``: a pump for that one attempt, which claims no other."""
        writer = self.writer(patience=patience, give_up=give_up, pulse=pulse)
        intake = Intake(
            runs=writer.runs,
            leases=self.leases,
            membership=self.membership,
            pauses=self.pauses,
            registry=self.registry,
            config=self.config,
            observer=self.observer,
            instruments=self.instruments,
            queues=queues,
            owner=f"{owner_id}@{self.nonce}",
            item=item,
        )
        return Pump(
            recorder=writer.recorder,
            intake=intake,
            timers=Timers(self.store, writer.recorder, self.observer, every=BUSY_LOOK if continues else 0.0),
            slots=slots,
            heartbeats=self.heartbeats,
            solitude=self.solitude,
            config=self.config,
            observer=self.observer,
            pulse=pulse,
            continues=continues,
        )

    @property
    def journal_is_served(self) -> bool:
        """Whether a commit leaves the interpreter to other threads for long enough to be worth another pump."""
        return is_served(self.stores.journal)

    def start_heartbeats(self, *, sidecar: bool = False) -> None:
        """Begins the heartbeat thread, once. ``sidecar``: and a process beside this one, which relieves it; where the
        leases are in this process's memory, or follow a clock of its own, there can be none.
        """
        if not self._heartbeat_thread:
            return
        url = (self.stores.leases or self.stores.journal).url
        with self._lock:
            if sidecar and not (self.heartbeats.is_relieved or self._own_clock or url.startswith("memory:")):
                config = self.config
                self.heartbeats.relieve(Sidecar(url, every=config.beat, lease=config.lease, observer=self.observer))
        self.heartbeats.start()

    def start_reconciling(self, queues: Sequence[QueueShare]) -> None:
        """Begins the reconciler's thread, once, where leases have a memory of their own. It knows by itself the queues
        in which something is open.
        """
        self.reconciler.listen(share.name for share in queues if not share.is_prefix)
        if self._heartbeat_thread and not self.leases.in_journal:
            self._reconciling.start()

    @property
    def reconciler_trouble(self) -> str | None:
        """What keeps its thread from its work."""
        return self._reconciling.trouble

    def reconcile_now_and_then(self, queues: Sequence[str]) -> None:
        """For a host that has no worker: a pass in the caller's thread, where the last one is some time ago."""
        self.reconciler.listen(queues)
        try:
            self.reconciler.look(now_and_then=True)
        except (BackendUnavailable, CommitUnknown) as error:  # as a claim would; what was to be offered waits
            self.observer.notice("lease_backend_unavailable", error=str(error))

    def queues_made_at_run_time(self) -> tuple[str, ...]:
        """None where the catalogue can not be read: that holds back what is started by it, and nothing else."""
        try:
            return self.catalogue.queues()
        except CorruptHistory as error:
            self.observer.notice("corrupt_history", error=str(error))
            return ()

    def wakeup(self, queues: Sequence[str]) -> Wakeup:
        """A wake-up of its own for one pump that claims from these queues; ended by :meth:`close`."""
        wakeup = self._backends[0].wakeup(queues)
        with self._lock:
            self._wakeups.append(wakeup)
        return wakeup

    def wakeup_for(self, shares: Sequence[QueueShare]) -> Wakeup:
        """As :meth:`wakeup`. Nobody knows before which queues a beginning stands for. So a journal wakes for any; a
        lease backend for those that are named, and the others are found by looking (``idle_poll``).
        """
        names = [share.name for share in shares if not share.is_prefix]
        return self.wakeup(names if self.stores.leases is not None or len(names) == len(shares) else ())

    def forget_wakeup(self, wakeup: Wakeup) -> None:
        with self._lock:
            if wakeup in self._wakeups:
                self._wakeups.remove(wakeup)
        wakeup.close()

    def poke(self) -> None:
        """There may be something to do: wakes every idle pump of this process."""
        with self._lock:
            wakeups = list(self._wakeups)
        for wakeup in wakeups:
            wakeup.poke()

    def poke_for_a_start(self) -> None:
        """As :meth:`poke`, where the journal has not done so."""
        if not tells_at_home(self.store):
            self.poke()

    def close(self) -> None:
        """Ends what runs: workers are aborted (their leases end by themselves; drain them first), steps on the event
        loop are cancelled. Then the stores are closed.
        """
        for worker in list(self.workers):
            worker.abort()
            worker.join(_LAST_WAIT)
        self._reconciling.stop(_LAST_WAIT)
        self.register.close()
        self.heartbeats.stop()
        self.carry.close()
        with self._lock:
            wakeups, self._wakeups = self._wakeups, []
        for wakeup in wakeups:
            wakeup.close()
        self.leases.close()
        self.store.close()
        for backend in self._backends:
            backend.close()

    def _store_trouble(self, error: BaseException) -> None:
        event = "threads_locked" if isinstance(error, ThreadsLocked) else "journal_unavailable"
        self.observer.notice(event, error=str(error))

    def _store_answers(self) -> None:
        self.instruments.answered("journal_unavailable")
