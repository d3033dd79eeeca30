"""The register of workers writes what they are, in its own time, and is never in the way."""

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest

import squidmesh
from squidmesh.clock import Instant
from squidmesh.errors import BackendUnavailable
from squidmesh.journal.workers import WorkerRow
from squidmesh.memory import MemoryBackend
from squidmesh.ports.vitals import WorkerSigns
from squidmesh.runtime import register
from squidmesh.runtime.register import FORGOTTEN_AFTER, Register, everyone
from squidmesh.testing.clock import VirtualClock

WAIT = 20.0


@dataclass(eq=False)
class Some:
    """A worker."""

    owner_id: str = "sam"
    queues: tuple[str, ...] = ("default",)
    leases: int = 0
    busy: int = 0
    draining: bool = False

    def signs(self) -> WorkerSigns:
        return WorkerSigns(
            quiet=None,
            patience=timedelta(seconds=60),
            running=True,
            draining=self.draining,
            busy=self.busy,
            capacity=4,
            held=9,
        )


@dataclass
class Heard:
    told: list[str] = field(default_factory=list)

    def notice(self, event: str, /, **fields: object) -> None:
        self.told.append(event)


class Troubled:
    """A journal that is away as long as the test says so."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.away = False
        self.asked = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def put_workers(self, rows: Sequence[WorkerRow], *, stale: Instant) -> None:
        self.asked += 1
        if self.away:
            raise BackendUnavailable("the store is away")
        self._inner.put_workers(rows, stale=stale)


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def store(clock: VirtualClock) -> Troubled:
    return Troubled(MemoryBackend("memory://", clock=clock).journal())


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest.fixture
def book(store: Any, heard: Heard) -> Register:
    return Register(store, heard, nonce="n1", thread=False)


@pytest.fixture
def live(store: Any, heard: Heard) -> Iterator[Register]:
    made = Register(store, heard, nonce="n1", jitter=lambda: 0.5)
    yield made
    made.close()


def enter(book: Register, worker: Some) -> None:
    book.enter(worker, owner_id=worker.owner_id, leases=lambda: worker.leases)


def names(store: Any) -> list[str]:
    return [row.name for row in store.workers()]


def until(true: Callable[[], object], what: str) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end, what
        time.sleep(0.005)


def test_a_row_tells_what_the_worker_is(book: Register, store: Any, clock: VirtualClock) -> None:
    started = clock.now()
    enter(book, Some(queues=("default", "tenant-*"), busy=3, leases=5))
    assert store.workers() == [], "nothing is written by whoever enters"
    clock.advance(timedelta(seconds=7))
    book.write()
    (row,) = store.workers()
    assert row == WorkerRow(
        name="sam@n1",
        host=register.host_name(),
        pid=os.getpid(),
        version=squidmesh.__version__,
        queues=("default", "tenant-*"),
        slots=4,
        busy=3,
        leases=5,
        draining=False,
        started_at=started,
        seen_at=clock.now(),
    )


def test_each_time_the_newest_state_is_written(book: Register, store: Any, clock: VirtualClock) -> None:
    sam = Some()
    enter(book, sam)
    book.write()
    sam.busy, sam.draining = 2, True
    clock.advance(timedelta(seconds=10))
    book.write()
    (row,) = store.workers()
    assert (row.busy, row.draining, row.seen_at) == (2, True, clock.now())


def test_two_workers_of_one_owner_have_two_rows(book: Register, store: Any) -> None:
    first, second, third = Some(), Some(), Some()
    for one in (first, second):
        enter(book, one)
    book.write()
    assert names(store) == ["sam@n1", "sam@n1#2"]
    book.leave(first, clean=True)
    enter(book, third)
    book.write()
    assert names(store) == ["sam@n1", "sam@n1#2"], "the name that was free is that of somebody who is there"
    book.leave(second, clean=True)
    book.write()
    assert names(store) == ["sam@n1"]


def test_who_leaves_as_it_should_is_gone_and_who_does_not_stays(book: Register, store: Any) -> None:
    well, ill = Some("well"), Some("ill")
    for one in (well, ill):
        enter(book, one)
    book.write()
    book.leave(well, clean=True)
    book.leave(ill, clean=False)
    book.write()
    assert names(store) == ["ill@n1"]
    seen = store.workers()
    book.write()
    assert store.workers() == seen, "it is not written any more"


def test_what_was_not_seen_for_long_is_taken_away(
    book: Register, store: Any, heard: Heard, clock: VirtualClock
) -> None:
    dead = Register(store, heard, nonce="dead", thread=False)
    enter(dead, Some())
    dead.write()
    enter(book, Some())
    clock.advance(FORGOTTEN_AFTER)
    book.write()
    assert names(store) == ["sam@dead", "sam@n1"]
    clock.advance(timedelta(seconds=1))
    book.write()
    assert names(store) == ["sam@n1"]


def test_who_was_not_taken_off_is_taken_off_later(book: Register, store: Troubled, monkeypatch: Any) -> None:
    sam = Some()
    enter(book, sam)
    book.write()
    book.leave(sam, clean=True)

    def away(names: Sequence[str]) -> None:
        raise BackendUnavailable("the store is away")

    monkeypatch.setattr(store, "forget_workers", away, raising=False)
    with pytest.raises(BackendUnavailable):
        book.write()
    monkeypatch.undo()
    book.write()
    assert names(store) == []


def test_more_than_a_page_is_read(store: Any, monkeypatch: pytest.MonkeyPatch, heard: Heard) -> None:
    monkeypatch.setattr(register, "_PAGE", 3)
    book = Register(store, heard, nonce="n1", thread=False)
    for number in range(7):
        enter(book, Some(f"w{number}"))
    book.write()
    assert [row.name for row in everyone(store)] == [f"w{number}@n1" for number in range(7)]
    monkeypatch.setattr(register, "MOST_WORKERS", 6)
    assert len(everyone(store)) == 6


# --------------------------------------------------------------------------------------------------------- the thread


def test_the_thread_writes_at_once_and_once_more_soon_after(
    live: Register, store: Troubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "SOON", timedelta(milliseconds=1))
    monkeypatch.setattr(register, "EVERY", timedelta(days=1))
    sam = Some()
    enter(live, sam)
    until(lambda: store.asked >= 2, "twice")
    sam.draining = True
    live.tell()
    until(lambda: [row.draining for row in store.workers()] == [True], "a drain is seen at once")
    live.leave(sam, clean=True)
    until(lambda: not store.workers(), "and so is its end")


def test_it_writes_again_and_again(live: Register, store: Troubled, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "SOON", timedelta(milliseconds=1))
    monkeypatch.setattr(register, "EVERY", timedelta(milliseconds=1))
    enter(live, Some())
    until(lambda: store.asked >= 10, "ten times")


def test_a_store_that_is_away_is_told_and_asked_again(
    live: Register, store: Troubled, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "SOON", timedelta(milliseconds=1))
    monkeypatch.setattr(register, "EVERY", timedelta(milliseconds=1))
    store.away = True
    enter(live, Some())
    until(lambda: store.asked >= 3, "it goes on asking")
    assert set(heard.told) == {"journal_unavailable"}
    assert store.workers() == []
    store.away = False
    until(store.workers, "it is there")


def test_closing_says_the_last_word(live: Register, store: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "SOON", timedelta(days=1))
    sam = Some()
    enter(live, sam)
    until(store.workers, "it is there")
    live.leave(sam, clean=True)
    live.close()
    assert store.workers() == []
    assert "squidmesh-register" not in {thread.name for thread in threading.enumerate()}


def test_closing_does_not_wait_for_a_store_that_hangs(
    live: Register, store: Troubled, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(register, "_LAST_PATIENCE", 0.01)
    inside, on = threading.Event(), threading.Event()

    def hang(rows: Sequence[WorkerRow], *, stale: Instant) -> None:
        inside.set()
        assert on.wait(WAIT)

    monkeypatch.setattr(store, "put_workers", hang)
    enter(live, Some())
    assert inside.wait(WAIT)
    began = time.monotonic()
    live.close()
    assert time.monotonic() - began < WAIT / 2
    on.set()
