"""3.5.4: a worker whose threads can not move keeps its leases for a while, and learns of it when it is back."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from squidmesh import Mesh
from squidmesh.errors import BackendUnavailable
from squidmesh.ids import AttemptKey
from squidmesh.memory import MemoryLeases
from squidmesh.ports.lease_backend import Claim, Item
from squidmesh.runtime.claim_board import ClaimBoard
from squidmesh.runtime.context import LeaseFlag
from squidmesh.runtime.heartbeat import Heartbeats, Pulse
from squidmesh.runtime.sidecar import Sidecar
from squidmesh.runtime.sidecar_process import Watch, is_stopped
from squidmesh.runtime.vigil import Vigil
from squidmesh.testing.clock import VirtualClock
from tests.unit.runtime.rig import LEASE, Notices, Port

SECONDS = LEASE.total_seconds()


@dataclass
class Pair:
    """A worker's heartbeats and its sidecar, at one backend, in a time that is moved by hand."""

    now: float = 1000.0
    clock: VirtualClock = field(default_factory=VirtualClock)
    notices: Notices = field(default_factory=Notices)
    stopped: bool = False

    def __post_init__(self) -> None:
        self.leases: Any = Port(MemoryLeases(self.clock))
        self.board = ClaimBoard()
        self.beats = Heartbeats(self.leases, every=LEASE / 4, observer=self.notices, monotonic=lambda: self.now)
        self.beats.relieve(self.board)
        self.watch = Watch(
            self.board,
            Vigil(every=SECONDS / 4, lease=SECONDS),
            open_leases=lambda: self.leases,
            stopped=lambda: self.stopped,
            monotonic=lambda: self.now,
        )

    def claim(self, name: str = "a", *, pulse: Pulse | None = None) -> tuple[Claim, LeaseFlag]:
        self.leases.offer([Item(key=AttemptKey(f"{name}/pack#1"), queue="q", priority=5)])
        (claim,) = self.leases.claim(["q"], owner="sam@1", limit=1, lease=LEASE, request_id=name).claims
        lost = LeaseFlag()
        self.beats.hold(claim, asked_at=self.now, lost=lost, pulse=pulse)
        return claim, lost

    def pass_by(self, leases: float, *, thread: bool) -> None:
        """That many leases pass. ``thread``: whether the heartbeat thread can move."""
        for look in range(int(leases * 16)):
            self.now += SECONDS / 16
            self.clock.advance(LEASE / 16)
            if thread and look % 4 == 3:
                self.beats.beat()
            self.watch.look()

    def is_free(self, name: str = "a") -> bool:
        """Whether somebody else is granted it."""
        return bool(
            self.leases.claim(["q"], owner="merry@1", limit=1, lease=LEASE, request_id=f"{name}{self.now}").claims
        )


@pytest.fixture
def pair() -> Iterator[Pair]:
    pair = Pair()
    yield pair
    pair.board.close()


def test_a_worker_that_beats_has_no_need_of_it(pair: Pair) -> None:
    pair.claim()
    pair.pass_by(5, thread=True)
    assert len(pair.leases.calls["heartbeat"]) == 5 * 4
    assert not pair.is_free()


def test_the_leases_of_a_starved_worker_are_kept_and_it_learns_of_that(pair: Pair) -> None:
    claim, lost = pair.claim()
    pair.pass_by(5, thread=False)
    assert not pair.is_free()
    pair.leases.fail("heartbeat", BackendUnavailable("away"))
    pair.beats.beat()
    assert not lost, "it was told until when its lease lasts"
    assert pair.notices.events == ["heartbeats_starved", "heartbeat_failed"]
    pair.pass_by(2, thread=True)
    assert not lost
    assert claim in pair.leases.calls["heartbeat"][-1]


def test_a_claim_of_this_very_moment_is_kept_too(pair: Pair) -> None:
    pair.pass_by(1.2, thread=True)
    pair.claim()
    pair.pass_by(3, thread=False)
    assert not pair.is_free()


def test_what_was_let_go_is_not_kept(pair: Pair) -> None:
    claim, _ = pair.claim("a")
    pair.claim("b")
    pair.beats.let_go(claim)
    pair.pass_by(3, thread=False)
    assert [one.item for one in pair.leases.calls["heartbeat"][-1]] == ["b/pack#1"]
    assert pair.is_free()


def test_a_stopped_worker_loses_its_leases(pair: Pair) -> None:
    _, lost = pair.claim()
    pair.stopped = True
    pair.pass_by(2, thread=False)
    assert pair.is_free()
    pair.stopped = False
    pair.beats.beat()
    assert lost


def test_a_worker_that_hangs_for_good_loses_its_leases(pair: Pair) -> None:
    _, lost = pair.claim()
    pair.pass_by(12, thread=False)
    assert pair.is_free()
    pair.beats.beat()
    assert lost


def test_what_the_thread_does_not_hold_the_sidecar_does_not_hold(pair: Pair) -> None:
    """A pump that does not turn, though the thread does: seen by the thread, and the sidecar has nothing of it."""
    pulse = Pulse()
    pulse.turned_at = pair.now
    _, lost = pair.claim(pulse=pulse)
    pair.pass_by(1.5, thread=True)
    pair.pass_by(2, thread=False)
    assert pair.is_free()
    pair.beats.beat()
    assert lost


def test_a_pump_is_not_called_stuck_for_a_time_in_which_nobody_could_move(pair: Pair) -> None:
    pulse = Pulse()
    pulse.turned_at = pair.now
    _, lost = pair.claim(pulse=pulse)
    pair.pass_by(4, thread=False)
    pair.beats.beat()
    assert pair.leases.calls["heartbeat"][-1], "it may turn in a moment"
    pair.pass_by(1.25, thread=True)
    assert not lost
    pair.pass_by(2, thread=True)
    assert lost, "it did not"


def test_an_outcome_that_could_not_be_recorded_meanwhile_has_its_time(pair: Pair) -> None:
    claim, lost = pair.claim()
    pair.beats.outcome_waits(claim)
    pair.pass_by(4, thread=False)
    pair.pass_by(0.75, thread=True)
    assert not lost
    assert not pair.is_free()


def test_a_lease_that_another_has_by_now_is_lost(pair: Pair) -> None:
    _, lost = pair.claim()
    pair.clock.advance(2 * LEASE)
    assert pair.is_free()
    pair.pass_by(2, thread=False)
    pair.beats.beat()
    assert lost


# --------------------------------------------------------------------------------------------------- real processes


def until(condition: Callable[[], object]) -> None:
    ends = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < ends
        time.sleep(0.02)


def test_stopped_is_what_the_system_says() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"], stdout=-1)
    assert child.stdout is not None and child.stdout.readline()
    try:
        assert not is_stopped(child.pid)
        child.send_signal(signal.SIGSTOP)
        until(lambda: is_stopped(child.pid))
        child.send_signal(signal.SIGCONT)
        until(lambda: not is_stopped(child.pid))
    finally:
        child.kill()
        child.wait()
        child.stdout.close()
    assert is_stopped(child.pid)


def sidecar(folder: Path, notices: Notices) -> Sidecar:
    url = f"sqlite:///{folder / 'journal.db'}"
    Mesh.migrate(url)
    return Sidecar(url, every=timedelta(seconds=0.2), lease=timedelta(seconds=0.8), observer=notices)


def test_one_that_dies_is_replaced_and_it_ends_with_its_worker(tmp_path: Path) -> None:
    notices = Notices()
    beside = sidecar(tmp_path, notices)
    beside.sign(100.0)
    first = beside._process
    assert first is not None
    first.kill()
    first.wait()
    beside.sign(101.0)
    assert beside._process is first, "not at once, each time"
    beside.sign(106.0)
    second = beside._process
    assert second is not None
    assert second is not first

    def watches() -> bool:
        beside.sign(106.1)
        return "sidecar_watches" in notices.events

    until(watches)
    assert "sidecar_died" in notices.events
    beside.close()
    assert second.returncode == 0


def test_its_arguments_hold_no_address(tmp_path: Path) -> None:
    beside = sidecar(tmp_path, Notices())
    beside.sign(100.0)
    assert beside._process is not None
    assert not any("sqlite" in argument for argument in map(str, beside._process.args))  # type: ignore[arg-type]
    beside.close()


def test_it_ends_when_its_worker_is_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    Mesh.migrate(url)
    code = (
        "import time; from datetime import timedelta; from squidmesh.runtime.sidecar import Sidecar;"
        "from squidmesh.runtime.watch import LogObserver;"
        f"s = Sidecar({url!r}, every=timedelta(seconds=1), lease=timedelta(seconds=4), observer=LogObserver());"
        "s.sign(100.0); print(s._process.pid, flush=True); time.sleep(60)"
    )
    worker = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert worker.stdout is not None
    beside = int(worker.stdout.readline())
    worker.kill()
    worker.wait()
    worker.stdout.close()
    until(lambda: not Path(f"/proc/{beside}").exists() if Path("/proc").exists() else is_gone(beside))


def is_gone(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_a_mesh_in_memory_has_none_nor_has_a_host_that_does_not_ask() -> None:
    with Mesh.connect("memory://") as mesh, mesh.worker(sidecar=True):
        assert not mesh._engine().heartbeats.is_relieved


def test_a_host_that_does_not_ask_has_none(tmp_path: Path) -> None:
    with Mesh.connect(f"sqlite:///{tmp_path / 'journal.db'}") as mesh, mesh.worker():
        assert not mesh._engine().heartbeats.is_relieved
