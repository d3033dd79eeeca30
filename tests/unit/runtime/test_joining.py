"""Protocol 3.4: a run starts in the host's own transaction, and is committed or rolled back with it. Tried on a memory
that lets hosts do so, with a lease backend that has a memory of its own.
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Actions, Mesh, QueueShare, Workflow, manual, step
from squidmesh.config import MeshConfig
from squidmesh.errors import (
    BackendUnavailable,
    CommitUnknown,
    InvalidInput,
    InvalidPayload,
    JournalConflict,
    KeyReused,
    NotFound,
)
from squidmesh.memory import MemoryBackend
from squidmesh.ports.journal_store import History
from squidmesh.ports.lease_backend import Item
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.reconcile import Reconciled, Reconciler, Reconciling
from squidmesh.testing.clock import VirtualClock
from squidmesh.workflow.registry import Registry
from tests.support.hosts import Host, HostedBackend, JoinedJournal
from tests.unit.runtime.rig import Notices, Port


class Order(BaseModel):
    number: int = 0


class Sale(Workflow):
    version = "1"
    placed = manual(Order)
    pack = step(lambda number: {"packed": number})


class Zip:
    """A codec: what is sealed is no JSON any more."""

    name = "zip"

    def encode(self, body: bytes, /) -> bytes:
        return zlib.compress(body)

    def decode(self, body: bytes, /) -> bytes:
        return zlib.decompress(body)


class Leases(MemoryBackend):
    """A lease backend that notes every call."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__("memory://leases", clock=clock)
        self.port: Any = Port(super().leases())

    def leases(self) -> Any:
        return self.port


class Shop:
    """A host with a mesh."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.clock = VirtualClock()
        self.backend = HostedBackend(self.clock, folder)
        self.journal = self.backend.journal()
        self.lent = Leases(self.clock)
        self.observer = Notices()
        self.settings = settings
        self.meshes: list[Mesh] = []

    def mesh(self, *, threads: bool = False, actions: Actions | None = None, codec: Any = None) -> Mesh:
        registry = Registry([Sale], actions)
        config = MeshConfig(**self.settings)
        engine = Engine(
            journal=self.backend,
            leases=self.lent,
            registry=registry,
            config=config,
            observer=self.observer,
            codec=codec,
            heartbeat_thread=threads,
        )
        self.meshes.append(Mesh("shop", registry=registry, config=config, open_engine=lambda: engine))
        return self.meshes[-1]

    def host(self) -> Host:
        return self.backend.host()

    def offered(self) -> list[Item]:
        return [one for items in self.lent.port.calls["offer"] for one in items]


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    made = Shop(tmp_path)
    yield made
    made.backend.end_hosts()
    for mesh in made.meshes:
        mesh.close()


# ------------------------------------------------------------------------------------------------- with the host


def test_the_run_is_there_when_the_host_commits(shop: Shop) -> None:
    mesh, host = shop.mesh(), shop.host()
    run = mesh.start_run(Sale.placed, Order(number=7), key="order-7", queue="slow", connection=host.connection)
    assert (run.status, run.key, run.queue, run.revision) == ("running", "order-7", "slow", 1), "as it was started"
    assert mesh.count_runs() == {}
    with pytest.raises(NotFound):
        mesh.inspect_run(run.run_id)
    host.commit()

    assert mesh.inspect_run(run.run_id) == run
    mesh.reconcile()
    ended = mesh.execute_next(queues=["slow"])
    assert ended is not None and (ended.run_id, ended.status) == (run.run_id, "completed")


def test_a_rollback_leaves_nothing_and_the_key_is_free(shop: Shop) -> None:
    mesh, host = shop.mesh(), shop.host()
    lost = mesh.start_run(Sale, {"number": 7}, key="order-7", connection=host)
    host.rollback()
    assert mesh.count_runs() == {}
    again = mesh.start_run(Sale, {"number": 8}, key="order-7")
    assert again.run_id == lost.run_id, "the id follows from the key"
    assert mesh.inspect_run(again.run_id, history=True).payload == {"number": 8}


def test_nothing_is_offered_and_nobody_woken_before_anything_is_durable(shop: Shop) -> None:
    mesh, host = shop.mesh(), shop.host()
    pokes: list[int] = []
    mesh._engine().poke = lambda: pokes.append(1)  # type: ignore[method-assign]
    mesh.start_run(Sale, connection=host)
    mesh.start_runs(Sale, [{}, {}], connection=host)
    host.commit()
    assert (shop.offered(), pokes) == ([], [])
    mesh.start_run(Sale)
    assert (len(shop.offered()), pokes) == (1, [1]), "as every other start does"
    mesh.reconcile()
    assert len({item.key for item in shop.offered()}) == 4


# --------------------------------------------------------------------------------------------------------- keys


def test_a_key_of_the_same_transaction_gives_its_run(shop: Shop) -> None:
    mesh, host = shop.mesh(), shop.host()
    first = mesh.start_run(Sale, {"number": 7}, key="order-7", connection=host)
    assert mesh.start_run(Sale, {"number": 7}, key="order-7", connection=host).run_id == first.run_id
    with pytest.raises(KeyReused) as refused:
        mesh.start_run(Sale, {"number": 8}, key="order-7", connection=host)
    assert refused.value.field == "key"
    host.commit()
    assert mesh.count_runs() == {"running": 1}


def test_a_key_that_was_started_before_gives_its_run(shop: Shop) -> None:
    mesh = shop.mesh()
    first = mesh.start_run(Sale, {"number": 7}, key="order-7")
    mesh.execute_next()
    host = shop.host()
    found = mesh.start_run(Sale, {"number": 7}, key="order-7", connection=host)
    assert (found.run_id, found.status) == (first.run_id, "completed")
    with pytest.raises(KeyReused):
        mesh.start_run(Sale, {"number": 8}, key="order-7", connection=host)
    host.commit()
    assert mesh.count_runs() == {"completed": 1}


def test_many_runs_start_in_one_transaction(shop: Shop) -> None:
    mesh = shop.mesh()
    before = mesh.start_run(Sale, {"number": 1}, key="order-1")
    host = shop.host()
    runs = mesh.start_runs(Sale, [{"number": 1}, {"number": 2}, {}], keys=["order-1", "order-2", "x"], connection=host)
    assert runs[0].run_id == before.run_id
    assert mesh.count_runs() == {"running": 1}
    host.commit()
    assert {run.run_id for run in mesh.list_runs().runs} == {run.run_id for run in runs}


def test_after_a_key_that_is_taken_the_others_stand_in_the_transaction(shop: Shop) -> None:
    mesh = shop.mesh()
    mesh.start_run(Sale, {"number": 1}, key="order-1")
    host = shop.host()
    with pytest.raises(KeyReused):
        mesh.start_runs(Sale, [{"number": 9}, {"number": 2}], keys=["order-1", "order-2"], connection=host)
    host.commit()
    assert {run.key for run in mesh.list_runs().runs} == {"order-1", "order-2"}


def test_what_is_refused_of_a_call_is_refused_before_anything_is_written(shop: Shop) -> None:
    mesh, host = shop.mesh(), shop.host()
    with pytest.raises(KeyReused):
        mesh.start_runs(Sale, [{"number": 1}, {"number": 2}], keys=["one", "one"], connection=host)
    with pytest.raises(InvalidPayload):
        mesh.start_runs(Sale, [{"number": 1}, {"number": "many"}], connection=host)
    with pytest.raises(InvalidInput) as refused:
        mesh.start_run(Sale, connection="a connection")
    assert refused.value.field == "connection"
    assert host.groups == []


# ------------------------------------------------------------------------------------- while locks of the host's wait


@pytest.mark.parametrize("call", ["commit", "read"])
def test_an_error_goes_to_the_host_at_once(shop: Shop, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    """A run of the key is there, so that both are asked."""
    mesh = shop.mesh()
    mesh.start_run(Sale, key="order-7")
    calls: list[str] = []

    def fails(*args: object, **named: object) -> object:
        calls.append(call)
        raise BackendUnavailable("locked")

    monkeypatch.setattr(JoinedJournal, call, fails, raising=False)
    host = shop.host()
    with pytest.raises(BackendUnavailable, match="locked"):
        mesh.start_run(Sale, key="order-7", connection=host)
    assert calls == [call], "it is tried once"
    assert host.execute("SELECT 1") == [(1,)]


def test_a_name_that_has_to_be_looked_up_is_looked_up_once(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, host = shop.mesh(), shop.host()
    calls: list[int] = []

    def fails(*args: object, **named: object) -> object:
        calls.append(1)
        raise BackendUnavailable("away")

    monkeypatch.setattr(shop.journal, "read", fails)
    for start in (
        lambda: mesh.start_run("Made at run time", connection=host),
        lambda: mesh.start_runs("Made at run time", [{}], connection=host),
    ):
        with pytest.raises(BackendUnavailable):
            start()
    assert len(calls) == 2


def test_a_definition_is_written_outside_so_that_nobody_waits_for_the_host(shop: Shop) -> None:
    """Else the first start after a deploy would hold up all others of the workflow."""
    mesh, host = shop.mesh(), shop.host()
    mesh.start_runs(Sale, [{}, {}], connection=host)
    assert [group.definitions for group in host.groups] == [(), ()]
    assert shop.journal.definition(mesh.workflow_definition("Sale").fingerprint) is not None
    host.rollback()
    assert mesh.start_run(Sale).status == "running"


def test_a_definition_that_can_not_be_written_starts_nothing(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh, host = shop.mesh(), shop.host()

    def loses_the_answer(groups: object) -> object:
        raise CommitUnknown("the connection broke")

    monkeypatch.setattr(shop.journal, "commit", loses_the_answer)
    with pytest.raises(BackendUnavailable, match="the connection broke"):
        mesh.start_run(Sale, connection=host)
    assert host.groups == []


def test_a_run_that_the_transaction_can_not_see_is_a_conflict(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes on with the picture that it took at its beginning."""
    mesh = shop.mesh()
    mesh.start_run(Sale, key="order-7")
    nothing = History(checkpoint=None, tail=())
    monkeypatch.setattr(JoinedJournal, "read", lambda self, reads, whole=False: [nothing for _ in reads], raising=False)
    with pytest.raises(JournalConflict, match="READ COMMITTED"):
        mesh.start_run(Sale, key="order-7", connection=shop.host())


def test_what_is_written_there_passes_the_codec(shop: Shop) -> None:
    mesh, host = shop.mesh(codec=Zip()), shop.host()
    run = mesh.start_run(Sale, {"number": 7}, key="order-7", connection=host)
    assert mesh.start_run(Sale, {"number": 7}, key="order-7", connection=host).run_id == run.run_id
    host.commit()
    bodies = [entry.body for entries in shop.journal._threads.values() for entry in entries]
    assert [body[:4] for body in bodies] == [b"zip:"]
    assert mesh.inspect_run(run.run_id, history=True).payload == {"number": 7}


# ---------------------------------------------------------------------------------------------------- who is woken

AN_HOUR = timedelta(hours=1)
FOR_EVER = 60.0
"""Seconds, by which anything has happened that ever will."""


def test_a_start_of_a_host_is_offered_when_it_commits(tmp_path: Path) -> None:
    """And not by the next pass, which is ten minutes from now."""
    shop = Shop(tmp_path, reconcile_every=timedelta(minutes=10))
    mesh = shop.mesh(threads=True)
    engine = mesh._engine()
    passes = Passes(engine.reconciler)
    engine._reconciling._reconciler = passes
    engine.start_reconciling([QueueShare("default")])
    passes.await_one()
    host = shop.host()
    run = mesh.start_run(Sale, connection=host)
    assert shop.offered() == []
    host.commit()
    passes.await_one()
    assert [item.key for item in shop.offered()] == [f"{run.run_id}/pack#1"]
    mesh.close()
    assert not any(thread.name == "squidmesh-reconciler" for thread in threading.enumerate())


class Passes(Reconciler):
    """Tells when a pass has ended. ``turns``: in place of real ones, of how many queues each has the turn; the last
    goes for all that follow.
    """

    def __init__(self, inner: Reconciler | None = None, *, turns: tuple[int | Exception, ...] = ()) -> None:
        self._inner = inner
        self._turns = list(turns)
        self._ended = threading.Semaphore(0)

    def look(self, now_and_then: bool = False) -> Reconciled:
        try:
            if self._inner is not None:
                return self._inner.look(now_and_then)
            turn = self._turns.pop(0) if len(self._turns) > 1 else self._turns[0]
            if isinstance(turn, Exception):
                raise turn
            return Reconciled(queues=turn)
        finally:
            self._ended.release()

    def await_one(self) -> None:
        assert self._ended.acquire(timeout=FOR_EVER)


class Ear:
    """A wake-up that nobody rings: how often somebody waited for it, and whether it is closed."""

    def __init__(self) -> None:
        self.waits: list[timedelta] = []
        self.closed = 0

    def poke(self) -> None:
        raise AssertionError("nobody does")

    def wait(self, timeout: timedelta) -> None:
        self.waits.append(timeout)

    def close(self) -> None:
        self.closed += 1


@pytest.mark.parametrize(
    ("turn", "listens"), [(1, True), (3, True), (0, False), (BackendUnavailable("away"), False), (ValueError(), False)]
)
def test_who_has_no_turn_or_is_in_trouble_is_not_woken(turn: int | Exception, listens: bool) -> None:
    """Else a whole fleet would get up for each transaction, and a backend that is away would be asked all the time."""
    ear = Ear()
    reconciling = Reconciling(Passes(turns=(1, turn)), every=AN_HOUR, observer=Notices())
    reconciling._wakeup = ear
    for expected in (1, 1 + listens):
        reconciling._look()
        reconciling._rest(0.0)
        assert ear.waits == [timedelta(0)] * expected


def test_a_breath_is_taken_between_two_passes() -> None:
    ear = Ear()
    reconciling = Reconciling(Passes(turns=(1,)), every=AN_HOUR, observer=Notices())
    reconciling._wakeup = ear
    reconciling._look()
    begin = time.monotonic()
    reconciling._rest(1.0)
    assert time.monotonic() - begin >= 0.05
    assert ear.waits == [timedelta(seconds=0.95)]


def test_the_wake_up_is_made_with_the_thread_and_closed_with_it() -> None:
    ears: list[Ear] = []

    def announced() -> Ear:
        ears.append(Ear())
        return ears[-1]

    passes = Passes(turns=(0,))
    reconciling = Reconciling(passes, every=AN_HOUR, observer=Notices(), announced=announced)
    assert ears == []
    reconciling.start()
    reconciling.start()
    passes.await_one()
    reconciling.stop(timedelta(seconds=FOR_EVER))
    reconciling.start()
    assert [ear.closed for ear in ears] == [1]


def test_whoever_sleeps_is_woken_by_each_transaction_of_a_host(shop: Shop) -> None:
    mesh = shop.mesh()
    passes = Passes(turns=(1,))
    announced = shop.backend.starts_announced
    reconciling = Reconciling(passes, every=AN_HOUR, observer=Notices(), announced=announced)
    reconciling.start()
    passes.await_one()
    for _ in range(3):
        host = shop.host()
        mesh.start_run(Sale, connection=host)
        host.commit()
        passes.await_one()
    reconciling.stop(timedelta(seconds=FOR_EVER))
