"""A small bad day in one process, in no time: every kind of thing that an invariant speaks of happens in it, and
recorders and ledgers write it down as they do for worker processes.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from pydantic import BaseModel, SecretStr

from chaos.evidence import (
    Backend,
    Evidence,
    ListedJournal,
    Settings,
    StoreJournal,
    ThreadDump,
    dump_backend,
    histories_in,
    ledger_in,
    texts_in,
)
from chaos.invariants.case import read_thread
from chaos.ledger import Ledger
from chaos.recorder import Recorder
from chaos.recording import recorded
from squidmesh import (
    Context,
    Mesh,
    RetryPolicy,
    Workflow,
    approval,
    fixed,
    manual,
    pause,
    step,
    wait,
    wait_for_children,
)
from squidmesh.ids import Fingerprint
from squidmesh.journal.facts import RunStarted
from squidmesh.ports.backend import Backend as PortBackend
from tests.features.world import Hand, MemoryWorld, SqliteWorld, work

LEASE = timedelta(seconds=30)
SWEEP = timedelta(seconds=60)
MOST = 2
"""``max_deliveries``."""
SECRET = "precious-of-gollum"

_book: list[Ledger] = []
"""The ledger of the present day, which steps write to."""


class Errand(BaseModel):
    ring: str = "one"
    word: SecretStr = SecretStr(SECRET)


def deed(context: Context) -> None:
    with _book[-1].step(context):
        pass


def pack(context: Context) -> dict[str, Any]:
    deed(context)
    return {"lembas": 7}


def cross(context: Context) -> None:
    with _book[-1].step(context):
        if context.attempt == 1:
            raise RuntimeError("snow on the pass")


class Walk(Workflow):
    """A path with a wait, an approval, a pause and a retry."""

    version = "1"
    leave = manual(Errand)
    pack = step(pack)
    rest = wait(20)
    council = approval(output="council")
    camp = pause()
    cross = step(cross, retry=RetryPolicy(max_attempts=3, backoff=fixed(5)))
    arrive = step(deed)
    flow = (pack >> rest >> council >> camp >> cross >> arrive,)


class Feast(Workflow):
    """A graph with a join."""

    version = "1"
    plan = manual(Errand)
    bake = step(deed)
    brew = step(deed)
    serve = step(deed, after=[bake, brew])


def refuse(context: Context) -> None:
    with _book[-1].step(context):
        raise RuntimeError("no funds")


class Journey(Workflow):
    """Two steps to be undone, and a third that fails."""

    version = "1"
    book = manual(Errand)
    flight = step(deed, compensate=deed)
    hotel = step(deed, compensate=deed)
    pay = step(refuse)
    flow = flight >> hotel >> pay


def invite(context: Context) -> None:
    with _book[-1].step(context):
        for guest in ("Frodo", "Sam"):
            context.start_child_run(Visit.come, Errand(), key=guest)


class Visit(Workflow):
    version = "1"
    come = manual(Errand)
    sit = step(deed)


class Party(Workflow):
    """Two child runs."""

    version = "1"
    plan = manual(Errand)
    invite = step(invite)
    answers = wait_for_children(output="answers")
    dance = step(deed)
    flow = invite >> answers >> dance


class Doom(Workflow):
    """Its step is given up, and replayed."""

    version = "1"
    send = manual(Errand)
    burn = step(deed)


WORKFLOWS: tuple[type[Workflow], ...] = (Walk, Feast, Journey, Party, Visit, Doom)


@dataclass(frozen=True, kw_only=True)
class Day:
    """What is left of it. ``runs``: by a name, the run that a test may want to spoil."""

    histories: Path
    ledger: Path
    journal: ListedJournal
    backend: Backend
    runs: dict[str, str]
    claim_id: str
    """One that was real."""

    def evidence(self, **others: Any) -> Evidence:
        given: dict[str, Any] = {
            "journal": self.journal,
            "backend": self.backend,
            "histories": histories_in(self.histories),
            "ledger": ledger_in(self.ledger),
            "searched": texts_in(self.logs),
            "planted": {"word": SECRET.encode()},
            "all_recorded": True,
            "all_deeds": True,
            "settings": Settings(lease=LEASE, sweep=SWEEP, max_deliveries=MOST, patience=timedelta(seconds=600)),
        }
        return Evidence(**{**given, **others})

    @property
    def logs(self) -> list[Path]:
        return sorted(self.histories.parent.glob("*.log"))


def a_bad_day(folder: Path, *, plane: type[MemoryWorld | SqliteWorld] = MemoryWorld) -> Day:
    day = _Day(folder, plane)
    try:
        return day.live()
    finally:
        day.close()


class _Day:
    def __init__(self, folder: Path, plane: type[MemoryWorld | SqliteWorld]) -> None:
        self.folder = folder
        self._stack = ExitStack()
        self.world = self._stack.enter_context(plane(folder) if issubclass(plane, SqliteWorld) else plane())
        self._ticks = itertools.count()
        self._opens = self.world.stores
        self.world.stores = self._stores  # type: ignore[method-assign]
        self._names = itertools.count(1)
        _book.append(Ledger(folder / "ledger", process="hands"))
        self.runs: dict[str, str] = {}

    def close(self) -> None:
        self._stack.close()
        _book.pop().close()

    def clock(self) -> int:
        """Nanoseconds that move on with every look, as true ones do."""
        return self.world.clock.now() * 1000 + next(self._ticks)

    def recorder(self, name: str) -> Recorder:
        return Recorder(self.folder / "history", process=name, clock=self.clock)

    def _stores(self) -> tuple[PortBackend, PortBackend | None]:
        journal, _ = self._opens()
        return recorded(journal, self.recorder(f"process-{next(self._names)}")), None

    def process(self) -> Mesh:
        return self.world.process(*WORKFLOWS, lease=LEASE, sweep=SWEEP, max_deliveries=MOST, quarantine=False)

    def hand(self, name: str) -> Hand:
        return Hand(self.process(), name)

    def live(self) -> Day:
        marks = self.recorder("storm")
        client, mesh = self.process(), self.process()
        for name, trigger in (
            ("walk", Walk.leave), ("feast", Feast.plan), ("journey", Journey.book), ("party", Party.plan),
        ):  # fmt: skip
            self.runs[name] = client.start_run(trigger, Errand(), key=name).run_id
        self.runs["open"] = client.start_run(Walk.leave, Errand(), key="open").run_id
        claim_id = self._killed_between_claim_and_result(marks)
        work(mesh)
        self._leases_lost(marks)
        self.runs["doom"] = client.start_run(Doom.send, Errand(), key="doom").run_id
        self._given_up_and_replayed(mesh, marks)
        self._to_the_end(mesh)
        self.runs["quiet"] = client.start_run(Doom.send, Errand(), key="quiet").run_id
        work(mesh)
        self.runs["late"] = client.start_run(Feast.plan, Errand(), key="late").run_id
        self.world.pass_time(90)  # due for longer than a sweep, and held
        marks.close()
        (self.folder / "worker.log").write_text("pack done in 3 ms\nnothing to be seen here\n")
        return self._written_down(claim_id)

    def _killed_between_claim_and_result(self, marks: Recorder) -> str:
        """One worker takes all that there is, and is killed; it comes back to life when others have taken over."""
        zombie, other = self.hand("pippin"), self.hand("merry")
        zombie.claim()
        claim_id = str(zombie.claimed[0].claim.claim_id)
        zombie.beat()
        mark = marks.fault_applied("kill", harm="worker_killed", target="pippin", at=self.world.clock.now())
        self.world.pass_time(31)
        other.claim()
        marks.fault_healed(mark, "kill", harm="worker_killed", target="pippin", at=self.world.clock.now())
        zombie.run()
        zombie.record()  # refused: a newer claim is recorded
        other.run()
        other.record()
        return claim_id

    def _leases_lost(self, marks: Recorder) -> None:
        """All that the backend held is gone; the next pass offers it again."""
        now = self.world.clock.now()
        mark = marks.fault_applied("emptied", harm="leases_lost", target="leases", at=now)
        backend, _ = self._opens()
        leases = backend.leases()
        if not leases.in_journal:
            leases.forget_everything()  # type: ignore[attr-defined]
        marks.fault_healed(mark, "emptied", harm="leases_lost", target="leases", at=now)

    def _given_up_and_replayed(self, mesh: Mesh, marks: Recorder) -> None:
        for number in range(MOST):
            victim = self.hand(f"victim-{number}")
            victim.claim()
            now = self.world.clock.now()
            mark = marks.fault_applied("kill", harm="worker_killed", target=f"victim-{number}", at=now)
            victim.die()
            self.world.pass_time(31)
            marks.fault_healed(mark, "kill", harm="worker_killed", target=f"victim-{number}", at=now)
        work(mesh)
        (letter,) = mesh.list_dead_letters().dead_letters
        mesh.replay_dead_letters([letter.item], actor="Gandalf", comment="mended")

    def _to_the_end(self, mesh: Mesh) -> None:
        """With an approval, a pause, and what was retried."""
        walk = self.runs["walk"]
        for seconds in (21, 1, 10, 10):
            work(mesh)
            self.world.pass_time(seconds)
        work(mesh)
        mesh.approve_run(walk, actor="Elrond", comment="go")
        mesh.resume_run(walk, actor="Strider")
        for _ in range(4):
            work(mesh)
            self.world.pass_time(10)

    def _written_down(self, claim_id: str) -> Day:
        backend, _ = self._opens()
        try:
            store = backend.journal()
            source = StoreJournal(store)
            dumps = list(source.threads())
            leases = backend.leases()
            fingerprints = {Fingerprint(fact.fingerprint) for dump in dumps for fact in _starts(dump)}
            bodies = {name: store.definition(name) for name in fingerprints}
            return Day(
                histories=self.folder / "history",
                ledger=self.folder / "ledger",
                journal=ListedJournal(
                    dumps=dumps,
                    now=store.now(),
                    definitions={name: body for name, body in bodies.items() if body is not None},
                ),
                backend=dump_backend(leases, ["default"]),
                runs=self.runs,
                claim_id=claim_id,
            )
        finally:
            backend.close()


def _starts(dump: ThreadDump) -> list[RunStarted]:
    return [fact for _, facts in read_thread(dump).entries for fact in facts if isinstance(fact, RunStarted)]
