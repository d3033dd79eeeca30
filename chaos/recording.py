"""A mesh whose every call to its journal and its lease backend is written down: see :mod:`chaos.history`.

The ports are wrapped, and nothing of the product knows. What stands below them (a driver, a server, the wire) can do
to a call whatever it likes; here is what its caller asked, and what it was told. Reads of the journal are not written
down. The heartbeats that a worker's sidecar sends in its stead are not either: it is a program of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from chaos.history import AnyLine, Fail, Invoke, Ok, Operation, Unknown, digest
from chaos.recorder import Recorder
from squidmesh.clock import Clock, Instant, micros
from squidmesh.config import MeshConfig
from squidmesh.errors import DataRefused, SquidMeshError, UsageError
from squidmesh.ids import AttemptKey, ClaimHash, claim_hash, parse_attempt_key
from squidmesh.journal.rows import AttemptRow
from squidmesh.ports.backend import Backend, Reading
from squidmesh.ports.journal_store import (
    Answer,
    Append,
    Committed,
    Conflict,
    Group,
    JournalStore,
    Moved,
    Plane,
    Pruning,
    StepTransaction,
)
from squidmesh.ports.lease_backend import (
    Beat,
    Claim,
    Drop,
    Grants,
    Item,
    LeaseBackend,
    LeaseChange,
    Marker,
    Release,
    Settlement,
)
from squidmesh.ports.observer import Observer
from squidmesh.ports.payload_codec import PayloadCodec
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.engine import Engine, Stores
from squidmesh.runtime.mesh import Mesh
from squidmesh.runtime.watch import LogObserver
from squidmesh.workflow.actions import Actions
from squidmesh.workflow.authoring import Workflow
from squidmesh.workflow.registry import Registry

T = TypeVar("T")


def connect(
    url: str,
    *,
    history: Path,
    process: str,
    leases: str | None = None,
    workflows: Iterable[type[Workflow]] = (),
    actions: Actions | None = None,
    observer: Observer | None = None,
    codec: PayloadCodec | None = None,
    **settings: Any,
) -> Mesh:
    """As ``Mesh.connect``, with a file for this process in the folder ``history``. It is made when the stores are
    opened: by the first verb, once a process. ``settings``: those of ``squidmesh.config.MeshConfig``.
    """
    clock = SystemClock()
    config = MeshConfig(**settings)
    registry = Registry(workflows, actions)
    watcher = LogObserver() if observer is None else observer
    journal_url = open_backend(url, clock=clock).url
    leases_url = None if leases is None else open_backend(leases, clock=clock, field="leases").url

    def find_stores() -> Stores:
        return Stores(
            journal=open_backend(journal_url, clock=clock),
            leases=None if leases_url is None else open_backend(leases_url, clock=clock, field="leases"),
            codec=codec,
        )

    def open_engine() -> Engine:
        stores = find_stores()
        recorder = Recorder(history, process=process)
        return Engine(
            journal=recorded(stores.journal, recorder),
            leases=None if stores.leases is None else recorded(stores.leases, recorder),
            registry=registry,
            config=config,
            observer=watcher,
            codec=codec,
        )

    name = journal_url.partition("?")[0].rpartition("@")[2]
    return Mesh(name, registry=registry, config=config, open_engine=open_engine, find_stores=find_stores)


def recorded(backend: Backend, recorder: Recorder) -> Backend:
    """The same backend, whose journal and leases are written down."""
    return cast(Backend, RecordedBackend(backend, recorder))


class _Around:
    """All that is not written down goes straight to what is wrapped."""

    def __init__(self, inner: Any, recorder: Recorder) -> None:
        self._inner = inner
        self._recorder = recorder

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)


class RecordedBackend(_Around):
    """What it hands out for looking only (``reading``) is not recorded."""

    def journal(self) -> JournalStore:
        return cast(JournalStore, RecordedJournal(self._inner.journal(), self._recorder))

    def leases(self) -> LeaseBackend:
        return cast(LeaseBackend, RecordedLeases(self._inner.leases(), self._recorder))

    def reading(self) -> AbstractContextManager[Reading]:
        return cast(AbstractContextManager[Reading], self._inner.reading())


# ------------------------------------------------------------------------------------------------------ the journal


class RecordedJournal(_Around):
    """Writes down commits, prunings, and changes of the plane."""

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        return _commit(self._inner, groups, self._recorder, self._inner.now())

    def prune(self, runs: Sequence[Pruning]) -> Committed | Conflict:
        page = _Page(self._recorder, self._inner.now())
        for run in runs:
            page.ask("prune", run=run.thread, revision=run.revision)
        answer: Committed | Conflict = page.call(lambda: self._inner.prune(runs), _certain_of_a_commit)
        word = "committed" if isinstance(answer, Committed) else None
        page.end([word] * len(runs), refused="conflict")
        return answer

    def set_plane(self, expected: Plane | None, new: Plane) -> bool:
        page = _Page(self._recorder, self._inner.now())
        page.ask("plane", fence=new.epoch, incarnation=new.incarnation)
        done: bool = page.call(lambda: self._inner.set_plane(expected, new), _certain_of_a_commit)
        page.end(["committed" if done else None], refused="conflict")
        return done

    @contextmanager
    def transaction(self, limit: timedelta) -> Iterator[StepTransaction]:
        with self._inner.transaction(limit) as inner:
            yield cast(StepTransaction, RecordedTransaction(inner, self._recorder))

    def joined(self, connection: object) -> JournalStore:
        return cast(JournalStore, JoinedJournal(self._inner.joined(connection), self._recorder))


class RecordedTransaction(_Around):
    """Its first commit ends it."""

    @property
    def store(self) -> JournalStore:
        return cast(JournalStore, RecordedJournal(self._inner.store, self._recorder))


class JoinedJournal(_Around):
    """In the host's transaction: whether that is committed, nobody is told here, so what was appended is unknown."""

    def commit(self, groups: Sequence[Group]) -> list[Answer]:
        return _commit(self._inner, groups, self._recorder, self._inner.now(), joined=True)


def _commit(
    store: Any, groups: Sequence[Group], recorder: Recorder, now: Instant, *, joined: bool = False
) -> list[Answer]:
    page = _Page(recorder, now)
    of_group: list[int] = []
    for number, group in enumerate(groups):
        for append in group.appends:
            page.ask("append", group=number, **_of_append(append))
        for change in group.leases:
            _ask_lease_change(page, change, group=number)
        of_group += [number] * (len(page.asked) - len(of_group))
    answers: list[Answer] = page.call(lambda: store.commit(groups), _certain_of_a_commit)
    if joined:
        page.leave_unknown("joined")
        return answers
    words = {Committed: "committed", Conflict: None, Moved: None}
    refused = {Conflict: "conflict", Moved: "moved"}
    told = [answers[number] for number in of_group]
    page.end([words[type(one)] for one in told], refused=[refused.get(type(one), "") for one in told])
    return answers


def _of_append(append: Append) -> dict[str, Any]:
    claimed = next((row for row in append.rows.put if row.claim_hash is not None), None)
    return {
        "run": append.thread,
        "revision": append.expected_revision + 1,
        "entry": append.entry_id,
        "digest": digest(append.body),
        **({} if claimed is None else _of_row(claimed)),
    }


def _of_row(row: AttemptRow) -> dict[str, Any]:
    return {
        "step": row.step,
        "attempt": row.attempt,
        "generation": row.generation,
        "fence": row.fence,
        "claim": row.claim_hash,
        "owner": row.owner,
        "lease": row.lease,
    }


# ------------------------------------------------------------------------------------------------- the lease backend


class RecordedLeases(_Around):
    """Writes down all that changes what the backend holds. Pauses and cursors are not among it."""

    def offer(self, items: Sequence[Item]) -> list[AttemptKey]:
        page = _Page(self._recorder)
        for item in items:
            page.ask("offer", **_of_item(item))
        gone: list[AttemptKey] = page.call(lambda: self._inner.offer(items))
        buried = set(gone)
        page.end(["gone" if item.key in buried else "done" for item in items])
        return gone

    def claim(
        self,
        queues: Sequence[str],
        *,
        owner: str,
        limit: int,
        lease: timedelta,
        request_id: str,
        item: AttemptKey | None = None,
        skip: Collection[str] = (),
    ) -> Grants:
        page = _Page(self._recorder)
        one = {} if item is None else _key(item)
        page.ask("claim", owner=owner, lease=micros(lease), request=claim_hash(request_id), **one)

        def ask() -> Grants:
            found: Grants = self._inner.claim(
                queues, owner=owner, limit=limit, lease=lease, request_id=request_id, item=item, skip=skip
            )
            return found

        grants = page.call(ask)
        page.end(["done"], granted=grants.claims)
        return grants

    def heartbeat(self, claims: Sequence[Claim]) -> list[Beat]:
        return self._beats("heartbeat", claims, lambda: self._inner.heartbeat(claims))

    def adopt(self, claims: Sequence[Claim]) -> list[Beat]:
        return self._beats("adopt", claims, lambda: self._inner.adopt(claims))

    def settle(self, settlements: Sequence[Settlement]) -> None:
        page = _Page(self._recorder)
        for settlement in settlements:
            _ask_lease_change(page, settlement)
        page.call(lambda: self._inner.settle(settlements))
        page.end(["done"] * len(page.asked))

    def release(self, releases: Sequence[Release]) -> None:
        page = _Page(self._recorder)
        for release in releases:
            _ask_lease_change(page, release)
        page.call(lambda: self._inner.release(releases))
        page.end(["done"] * len(page.asked))

    def shelve(self, claims: Sequence[Claim]) -> None:
        page = _Page(self._recorder)
        for claim in claims:
            page.ask("shelve", **_of_claim(claim))
        page.call(lambda: self._inner.shelve(claims))
        page.end(["done"] * len(claims))

    def drop(self, drops: Sequence[Drop]) -> None:
        page = _Page(self._recorder)
        for drop in drops:
            page.ask("drop", queue=drop.queue, generation=drop.generation, fence=drop.fence, **_key(drop.key))
        page.call(lambda: self._inner.drop(drops))
        page.end(["done"] * len(drops))

    def set_marker(self, expected: Marker | None, new: Marker) -> bool:
        page = _Page(self._recorder)
        page.ask("marker", incarnation=new.incarnation)
        done: bool = page.call(lambda: self._inner.set_marker(expected, new))
        page.end(["done" if done else None], refused="conflict")
        return done

    def _beats(self, op: Operation, claims: Sequence[Claim], ask: Callable[[], list[Beat]]) -> list[Beat]:
        page = _Page(self._recorder)
        for claim in claims:
            page.ask(op, **_of_claim(claim))
        beats = page.call(ask)
        page.end([beat.value for beat in beats])
        return beats


def _ask_lease_change(page: _Page, change: LeaseChange, *, group: int | None = None) -> None:
    if isinstance(change, Release):
        page.ask("release", group=group, delay=micros(change.delay), **_of_claim(change.claim))
        return
    page.ask("settle", group=group, **_of_claim(change.claim))
    for offer in change.offers:
        page.ask("offer", group=group, **_of_item(offer))
    if (next_one := change.handover) is not None:
        lent = {
            "fence": next_one.fence,
            "claim": claim_hash(next_one.claim_id),
            "lease": micros(change.claim.lease),
            "owner": change.claim.owner,
            "incarnation": change.claim.incarnation,
        }
        page.ask("handover", group=group, **(_of_item(next_one.item) | lent))


def _of_claim(claim: Claim) -> dict[str, Any]:
    return {
        "generation": claim.generation,
        "fence": claim.fence,
        "claim": claim.hash,
        "owner": claim.owner,
        "lease": micros(claim.lease),
        "queue": claim.queue,
        "incarnation": claim.incarnation,
        **_key(claim.item),
    }


def _of_item(item: Item) -> dict[str, Any]:
    """``fence`` is the floor: that of the recorded claim, where there is one."""
    claim: ClaimHash | None = None if item.recorded is None else ClaimHash(item.recorded.claim_hash)
    return {
        "generation": item.generation,
        "fence": item.floor,
        "claim": claim,
        "owner": None if item.recorded is None else item.recorded.owner,
        "delay": micros(item.delay),
        "queue": item.queue,
        **_key(item.key),
    }


def _key(key: AttemptKey) -> dict[str, Any]:
    run, step, attempt = parse_attempt_key(key)
    return {"run": run, "step": step, "attempt": attempt}


# ------------------------------------------------------------------------------------------------------- one call


def _certain_of_a_commit(error: BaseException) -> bool:
    """A store that could not be reached may still carry out what it was sent, whatever it raised."""
    return isinstance(error, DataRefused | UsageError)


def _certain_of_a_lease(error: BaseException) -> bool:
    return isinstance(error, UsageError)


class _Page:
    """The lines of one call: those that ask are written before it, those that answer after."""

    def __init__(self, recorder: Recorder, now: Instant | None = None) -> None:
        self._recorder = recorder
        self._call = recorder.call()
        self._now = now
        self.asked: list[Invoke] = []

    def ask(self, op: Operation, **subject: Any) -> None:
        line = Invoke(mono=self._recorder.mono(), call=self._call, op=op, n=len(self.asked), at=self._now, **subject)
        self.asked.append(line)

    def call(self, ask: Callable[[], T], is_certain: Callable[[BaseException], bool] = _certain_of_a_lease) -> T:
        if self.asked:
            self._recorder.write(self.asked)
        try:
            return ask()
        except BaseException as error:
            word = error.code if isinstance(error, SquidMeshError) else type(error).__name__
            if is_certain(error):
                self.end([None] * len(self.asked), refused=word)
            else:
                self.leave_unknown(word)
            raise

    def end(
        self, answers: Sequence[str | None], *, refused: str | Sequence[str] = "", granted: Sequence[Claim] = ()
    ) -> None:
        """One answer for each thing that was asked: None where it was not done, because of what ``refused`` says."""
        mono = self._recorder.mono()
        lines: list[AnyLine] = [
            Ok(mono=mono, call=self._call, op="claim", n=number, answer="granted", **_of_claim(claim))
            for number, claim in enumerate(granted)
        ]
        for asked, answer in zip(self.asked, answers, strict=True):
            if answer is not None:
                lines.append(Ok(mono=mono, call=self._call, op=asked.op, n=asked.n, answer=answer))
            else:
                why = refused if isinstance(refused, str) else refused[asked.n]
                lines.append(Fail(mono=mono, call=self._call, op=asked.op, n=asked.n, answer=why))
        if lines:
            self._recorder.write(lines)

    def leave_unknown(self, why: str) -> None:
        mono = self._recorder.mono()
        if self.asked:
            self._recorder.write(
                [Unknown(mono=mono, call=self._call, op=line.op, n=line.n, answer=why) for line in self.asked]
            )


def recorded_clock(clock: Clock) -> Callable[[], int]:
    """The nanoseconds of a virtual clock, for a :class:`chaos.recorder.Recorder` of a simulation."""
    return lambda: clock.now() * 1000
