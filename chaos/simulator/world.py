"""One schedule from its beginning to its verdict: a fleet over two simulated servers, and all that befalls it.

First things go wrong, as the script says. Then everything is healed, an operator answers what waits for one, and the
fleet runs on until every run has ended. What is broken on the way, or is not as it should be then, makes it red.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from chaos.simulator import deeds
from chaos.simulator.fate import HOSTILE, LEASE, Fate
from chaos.simulator.journal import Journal
from chaos.simulator.leases import Leases
from chaos.simulator.loop import SECOND, Actor, Died, Loop, Process
from chaos.simulator.script import Mishap, Script
from chaos.simulator.verdict import at_the_end
from chaos.simulator.virtual import Stage
from chaos.simulator.watch import MAX_DELIVERIES, Watch
from chaos.simulator.wires import JournalWire, LeaseWire
from squidmesh import Context, GiveUp, Mesh, RetryLater, Snooze
from squidmesh.config import MeshConfig
from squidmesh.ids import Fingerprint
from squidmesh.ports.journal_store import Answer, Group
from squidmesh.runtime.engine import Engine
from squidmesh.workflow.definition import Definition
from squidmesh.workflow.registry import Registry

START = 1_767_225_600 * SECOND
"""The first of January 2026."""
PATIENCE = 150
"""Seconds after the healing within which every run has to end: more than all leases, sweeps and deadlines together."""
_NEVER = frozenset(
    {"corrupt_history", "pump_failed", "reconciler_failed", "wrong_plane", "timer_refused", "unreadable_item"}
    | {"missing_step", "worker_not_registered"}
)
"""Notices that no fault here may lead to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """``red``: what was broken first, or None. ``script``: what has befallen, without a seed. ``happened``: when
    (microseconds), to whom, and what; ``entries``: the bodies that the journal has taken, in order.
    """

    red: str | None
    script: Script
    happened: tuple[tuple[int, str, str], ...]
    entries: tuple[bytes, ...]
    seconds: float
    runs: int
    calls: int

    @property
    def history(self) -> list[str]:
        """One line each."""
        return [f"{(at - START) / SECOND:10.6f} {who:9} {what}" for at, who, what in self.happened]

    @property
    def digest(self) -> str:
        """Of everything, byte for byte: the same script, the same digest."""
        found = hashlib.blake2b("\n".join(self.history).encode(), digest_size=16)
        for body in self.entries:
            found.update(body)
        return found.hexdigest()


class Bell:
    """One pump's wake-up."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._rung = False
        self._sleeper: Actor | None = None

    def poke(self) -> None:
        self._rung = True
        if self._sleeper is not None:
            self._world.loop.wake(self._sleeper)

    def wait(self, timeout: Any) -> None:
        if not self._rung:
            self._sleeper = self._world.loop.current
            try:
                self._world.loop.park(int(timeout.total_seconds() * SECOND))
            finally:
                self._sleeper = None
        self._rung = False

    def close(self) -> None:
        if self in self._world.bells:
            self._world.bells.remove(self)
        self.poke()


class Door:
    """The backend that a process opens."""

    url = "memory://simulated"

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def journal(self) -> Any:
        return JournalWire(self._world, self._process)

    def leases(self) -> Any:
        return LeaseWire(self._world, self._process)

    def wakeup(self, queues: Sequence[str] = ()) -> Bell:
        bell = Bell(self._world)
        self._world.bells.append(bell)
        return bell

    def starts_announced(self) -> None:
        """No host has transactions of its own here."""

    def close(self) -> None:
        """The servers live on."""


class Host(Door):
    """The stores in a host's own transaction: a commit is durable when that one is, and nothing is offered (3.4)."""

    def __init__(self, world: World, process: Process, micros: int) -> None:
        super().__init__(world, process)
        self._micros = micros

    def journal(self) -> Any:
        wire = JournalWire(self._world, self._process)

        def commit(groups: Sequence[Group]) -> list[Answer]:
            writer = self._world.journal.begin()
            self._world.tell(self._process.name, f"has begun a transaction as {writer}")
            try:
                self._world.loop.sleep(self._micros)
            except Died:
                self._world.journal.forget(writer)
                raise
            return self._world.journal.commit_as(self._process, writer, groups)

        wire.__dict__["commit"] = commit
        return wire

    def leases(self) -> Any:
        wire = LeaseWire(self._world, self._process)
        wire.__dict__["offer"] = lambda items: []
        return wire


class Ear:
    """The observer of one process."""

    def __init__(self, world: World, process: Process) -> None:
        self._world, self._process = world, process

    def notice(self, event: str, /, **fields: object) -> None:
        world = self._world
        if self._process.dead:
            return  # what it does to end is heard by nobody
        item = str(fields.get("item", ""))
        world.tell(self._process.name, f"{event} {item}".rstrip())
        if event == "claim_refused":
            world.leases.refused.add((item, int(str(fields["fence"]))))
        unforeseen = event == "heartbeat_failed" and ":" in str(fields["error"])
        if event in _NEVER or unforeseen:
            world.broken(f"a process says {event}: {fields}")


class World:
    """Made for one script. ``calm``: nothing goes wrong any more."""

    def __init__(self, stage: Stage, registry: Registry, fate: Fate) -> None:
        self.fate = fate
        self.script: Script = fate.script
        self.registry = registry
        self.rng = random.Random(f"world {self.script.chance}")
        self.loop = Loop(START, self._failed)
        stage.loop, stage.world = self.loop, self
        self.red: str | None = None
        self.calm = False
        self.history: list[tuple[int, str, str]] = []
        self.bells: list[Bell] = []
        self.down_until = {"journal": 0, "leases": 0}
        self.watch = Watch(lambda fingerprint: self._definition(fingerprint))
        self.journal = Journal(self.loop, self.watch, self.broken)
        self.leases = Leases(self.loop, self.watch, self.broken, self.ring)
        self.counts: dict[tuple[str, str], int] = {}
        self.processes: dict[str, Process] = {}
        self.everyone: list[Process] = []
        self.nature = self._process("nature")
        self.acknowledged: list[str] = []
        """Ids of the runs of which a client was told that they are started."""
        self.left = len(self.script.deeds)
        """How many deeds are still to be done."""
        self.config = MeshConfig(
            lease=LEASE,  # type: ignore[arg-type]
            reconcile_every=3,  # type: ignore[arg-type]
            sweep=self.script.sweep,  # type: ignore[arg-type]
            max_deliveries=MAX_DELIVERIES,
            max_snoozes=5,
            quarantine=False,
        )

    # ----------------------------------------------------------------------------------------------- from A to Z

    def run(self) -> Outcome:
        """Once."""
        try:
            for number in range(self.script.workers):
                self.boot(f"worker-{number + 1}")
            self.boot("client")
            for deed in self.script.deeds:
                self.loop.spawn(self.nature, deed.do, partial(deeds.do, self, deed), after=int(deed.at * SECOND))
            self.loop.run(self._nothing_left, START + int(HOSTILE * SECOND))
            self.heal()
            quiet = self.loop.run(self._nothing_left, self.loop.now + PATIENCE * SECOND)
            if self.red is None:
                at_the_end(self, quiet=quiet)
        finally:
            self.loop.close(self.everyone)
        outcome = self._outcome()
        self._forget()
        return outcome

    def heal(self) -> None:
        """All faults end, and an operator comes."""
        self.calm = True
        self.tell("nature", "all is healed")
        self.down_until = {"journal": 0, "leases": 0}
        for process in self.everyone:
            process.frozen_until = 0
            process.cut_until = {"journal": 0, "leases": 0}
        self.boot("operator")

    def _nothing_left(self) -> bool:
        client = self.processes["client"]
        return not self.left and not self.watch.open and (client.dead or not client.parts.get("speaking"))

    # ------------------------------------------------------------------------------------------------- processes

    def boot(self, name: str) -> None:
        """A new life of that process."""
        process = self.processes[name] = self._process(name)
        self.tell(name, f"begins life {process.life}")
        mesh = self._mesh(process, Door(self, process))
        process.parts["mesh"] = mesh
        if name.startswith("worker"):
            self.loop.spawn(process, "main", lambda: self._work(process, mesh))
        elif name == "operator":
            self.loop.spawn(process, "main", lambda: deeds.operate(self, mesh))

    def host(self, seconds: float) -> Mesh:
        """The client's, in a transaction of its own that is committed so many seconds later."""
        client = self.processes["client"]
        return self._mesh(client, Host(self, client, int(seconds * SECOND)))

    def _mesh(self, process: Process, door: Door) -> Mesh:
        def open_engine() -> Engine:
            return Engine(
                journal=door,  # type: ignore[arg-type]
                leases=None,
                registry=self.registry,
                config=self.config,
                observer=Ear(self, process),
                monotonic=lambda: self.loop.now / SECOND,
            )

        return Mesh(process.name, registry=self.registry, config=self.config, open_engine=open_engine)

    def crash(self, process: Process, down: float) -> None:
        """And it is started again ``down`` seconds later."""
        if process.dead:
            return
        self.tell(process.name, "dies")
        self.loop.spawn(self.nature, "reboot", lambda: self.boot(process.name), after=int((down + 0.1) * SECOND))
        self.loop.kill(process)

    def ghost(self, call: str, deed: Callable[[], object], after: int) -> None:
        """A call that arrives when nobody waits for it any more."""

        def arrive() -> None:
            self.tell("nature", f"{call} arrives late")
            deed()

        self.loop.spawn(self.nature, "ghost", arrive, after=after)

    def ring(self) -> None:
        """There may be work: idle workers hear of it, or not."""
        if self.script.hints and self.rng.random() < 0.8:
            for bell in self.bells:
                bell.poke()

    def _process(self, name: str) -> Process:
        life = sum(other.name == name for other in self.everyone) + 1
        process = Process(name, life, random.Random(f"{self.script.chance}/{name}/{life}"))
        self.everyone.append(process)
        return process

    def _work(self, process: Process, mesh: Mesh) -> None:
        worker = mesh.worker(concurrency=self.script.slots, owner_id=process.name, grace=4)
        process.parts["worker"] = worker.start()

    # ------------------------------------------------------------------------------------------------ what happens

    def befalls(self, process: Process, call: str) -> Mishap | None:
        """What becomes of this call; it is counted."""
        who = process.name
        key = (who, call)
        nth = self.counts[key] = self.counts.get(key, 0) + 1
        self.history.append((self.loop.now, who, call))
        if self.calm or who == "operator":
            return None
        mishap = self.fate.befalls(who, call, nth)
        if mishap is not None:
            self.tell(who, f"{call} number {nth}: {mishap.what} {mishap.seconds}")
        return mishap

    def act(self, context: Context, name: str) -> None:
        """A step of the run of that name does its work, or what the script says."""
        current = self.loop.current
        assert current is not None
        process, call = current.process, f"step.{context.step}"
        nth = self.counts[name, call] = self.counts.get((name, call), 0) + 1
        self.tell(process.name, f"{call} of {name}, attempt {context.attempt}, delivery {context.delivery}")
        mishap = None if self.calm else self.fate.befalls(name, call, nth)
        long = process.rng.random() < 0.15
        self.loop.sleep(int(process.rng.expovariate(0.4 if long else 4) * SECOND))
        if mishap is None:
            return
        self.tell(process.name, f"{call} of {name}: {mishap.what} {mishap.seconds}")
        match mishap.what:
            case "slow":
                self.loop.sleep(int(mishap.seconds * SECOND))
            case "die":
                self.crash(process, mishap.seconds)
            case "fail":
                raise RuntimeError("as the script says")
            case "give up":
                raise GiveUp("as the script says")
            case "snooze":
                raise Snooze(after=mishap.seconds)
            case "retry later":
                raise RetryLater(after=mishap.seconds)
            case _:
                raise ValueError(f"{mishap.what!r} befalls no step")

    def tell(self, who: str, what: str) -> None:
        self.history.append((self.loop.now, who, what))

    def broken(self, what: str) -> None:
        """The first one counts: what follows may follow from it."""
        if self.red is None:
            self.red = what
            self.loop.stopped = True
            self.tell("judge", what)

    def _failed(self, actor: Actor, error: BaseException) -> None:
        self.broken(f"{actor.name} of {actor.process.name} ended: {type(error).__name__}: {error}")

    def _definition(self, fingerprint: str) -> Definition:
        body = self.journal.inner.definition(Fingerprint(fingerprint))
        assert body is not None
        return Definition.from_json(body)

    def _outcome(self) -> Outcome:
        return Outcome(
            red=self.red,
            script=replace(self.script, mishaps=tuple(self.fate.mishaps), note=self.red or ""),
            happened=tuple(self.history),
            entries=tuple(self.journal.bodies),
            seconds=(self.loop.now - START) / SECOND,
            runs=len(self.watch.runs),
            calls=sum(self.counts.values()),
        )

    def _forget(self) -> None:
        """What is over is one great circle of references: without its contents, it is a small one."""
        for process in self.everyone:
            process.parts.clear()
        for one in (self, self.journal.inner, self.leases.inner, self.journal, self.leases, self.watch):
            vars(one).clear()
