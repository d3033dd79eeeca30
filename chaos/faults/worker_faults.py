"""What befalls workers: killed, stopped past their leases, poisoned by a step, on a clock of their own, or old."""

from __future__ import annotations

import signal
import sqlite3
import time
from contextlib import closing

from chaos.faults.fault import Fault, NoTarget, state_of
from chaos.fleet.faketime import FakeTime
from chaos.fleet.settings import LEASE
from chaos.fleet.workers import WorkerProcess
from squidmesh.testing import processes

WORKERS = frozenset({"workers"})


class OfOneWorker(Fault):
    """Its victim is a worker at work that no other fault has."""

    needs = WORKERS
    touches = frozenset()
    victim: WorkerProcess

    def choose(self) -> WorkerProcess:
        taken = self.world.workers.taken
        free = [worker for worker in self.world.workers.working() if worker.seat not in taken]
        if len(free) < 2:  # somebody shall be left to go on
            raise NoTarget("fewer than two workers are free")
        self.victim = self.chance.choice(free)
        taken.add(self.victim.seat)
        return self.victim

    def let_go(self) -> None:
        self.world.workers.taken.discard(self.victim.seat)


class WorkerKilled(OfOneWorker):
    name = "worker-killed"
    harm = "worker_killed"
    what = "SIGKILL to a worker; its seat stays empty for a while"
    expected = "others take its work over when its leases end; nothing is lost"
    lasts = (0.5, 6.0)

    def apply(self) -> str:
        victim = self.choose()
        self.world.workers.empty.add(victim.seat)
        victim.process.kill()
        return victim.name

    def seen(self) -> str | None:
        code = self.victim.process.poll()
        return f"process {self.victim.pid} has ended by signal {-code}" if code == -signal.SIGKILL else None

    def heal(self) -> None:
        self.world.workers.empty.discard(self.victim.seat)
        self.let_go()


class WorkerStopped(OfOneWorker):
    name = "worker-zombie"
    harm = "worker_stalled"
    what = "SIGSTOP to a worker and its children for longer than a lease, then SIGCONT"
    expected = "what it says when it wakes is refused, for others have taken over"
    lasts = (LEASE + 1.0, 2 * LEASE)

    def apply(self) -> str:
        victim = self.choose()
        self._family = processes.freeze(victim.pid)
        if self._holds_the_file():
            processes.resume(victim.pid)
            self.let_go()
            raise NoTarget("it holds the lock on the journal's file")
        self._since = time.monotonic()
        return victim.name

    def _holds_the_file(self) -> bool:
        """A process that is stopped in the middle of a commit holds everybody up, as with any embedded database."""
        file = self.world.stores.sqlite
        if file is None:
            return False
        with closing(sqlite3.connect(file, timeout=1.0, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    def seen(self) -> str | None:
        stood = time.monotonic() - self._since
        if stood <= LEASE or state_of(self.victim.pid) != "T":
            return None
        return f"process {self.victim.pid} has stood still for {stood:.1f} s, a lease is {LEASE:g} s"

    def heal(self) -> None:
        processes.resume(self.victim.pid)
        self.let_go()


class PoisonStep(Fault):
    name = "poison-step"
    harm = "worker_killed"
    what = "a step that kills its process each time, or crashes it, until somebody mends it"
    expected = "a dead letter after max_deliveries; the fleet lives, and a replay brings the run to its end"
    needs = WORKERS
    touches = frozenset({"poison"})
    lasts = (4.0, 10.0)
    patience = 240.0

    def apply(self) -> str:
        self._name = f"poison-{self.chance.getrandbits(48):012x}"
        kind = self.chance.choice(("kill", "segfault"))
        self._run = self.world.robot.poison(self._name, kind)
        self.world.robot.spared.add(self._run)
        return f"run {self._run}, by {kind}"

    def seen(self) -> str | None:
        for letter in self.world.mesh.list_dead_letters(run_id=self._run).dead_letters:
            return f"{letter.item} is a dead letter after {letter.lost} lost deliveries"
        return None

    def heal(self) -> None:
        (self.world.folder / "mended" / self._name).touch()
        self.world.robot.spared.discard(self._run)


class WorkerClock(OfOneWorker):
    name = "worker-clock"
    what = "a worker whose wall clock is hours away takes the place of another one"
    expected = "nothing changes: no worker's wall clock is read"
    needs = WORKERS
    lasts = (5.0, 15.0)
    patience = 180.0
    package = "libfaketime"

    def apply(self) -> str:
        self._away = self.chance.choice((-1, 1)) * self.chance.randrange(3600, 36_000)
        faked = FakeTime(self.world.folder / f"clock-{self.chance.getrandbits(32):08x}", ahead=self._away)
        victim = self.choose()
        self.world.workers.replace(victim, more=faked.environment, words=f"its clock is {self._away:+d} s away")
        return f"seat {victim.seat}, {self._away:+d} s"

    def seen(self) -> str | None:
        now = self.world.workers.seats.get(self.victim.seat)
        line = None if now is None or not now.words else self.world.workers.last_line(now)
        if line is None:
            return None
        off = line["wall"] - line["mono"] - (time.time() - time.monotonic())
        return f"its own clock is {off:+.0f} s away" if abs(off - self._away) < 60 else None

    def heal(self) -> None:
        self.world.workers.replace_back(self.victim.seat)
        self.let_go()


class OldWorker(OfOneWorker):
    name = "old-version"
    what = "a worker of an earlier version of the package takes the place of another one"
    expected = "both read each other's facts; no run strands"
    needs = WORKERS | {"old"}
    lasts = (5.0, 20.0)
    patience = 180.0

    def apply(self) -> str:
        assert self.world.old is not None
        victim = self.choose()
        self.world.workers.replace(victim, path=self.world.old, words="of the old version")
        return f"seat {victim.seat}"

    def seen(self) -> str | None:
        now = self.world.workers.seats.get(self.victim.seat)
        if now is None or not now.words:
            return None
        assert self.world.old is not None
        told = f"package {self.world.old}" in now.log.read_text(errors="replace")
        book = self.world.folder / "ledger" / f"steps-{now.pid}.jsonl"
        steps = book.read_bytes().count(b'"what":"returned"') if book.exists() else 0
        return f"process {now.pid} has ended {steps} steps with the old package" if told and steps else None

    def heal(self) -> None:
        self.world.workers.replace_back(self.victim.seat)
        self.let_go()
