"""Cron on real stores: killed at every port call, and run by many processes at once, each window has one run."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType

import pytest
import squidmesh_sqlite

from squidmesh import Mesh
from squidmesh.config import MeshConfig
from squidmesh.ids import trigger_thread
from squidmesh.journal.triggers import TRIGGER_CODEC, TriggerState, WindowActivated, fold_trigger
from squidmesh.ports.backend import Backend
from squidmesh.ports.journal_store import JournalStore, ThreadRead
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.watch import LogObserver
from squidmesh.testing.clock import VirtualClock
from squidmesh.workflow.registry import Registry
from tests.support.audit import audit
from tests.support.crashing import CrashingBackend, Plan, ProcessDied
from tests.support.cron import HOUR, START, Beacon, KeptMemory, windows_of
from tests.support.parts import aside

HOURLY = trigger_thread("Beacon", "hourly")


# ------------------------------------------------------------------------------------------- killed at every call


class World:
    """What outlives a process: the store and the clock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        self.folder = folder
        self.clock = VirtualClock(START)
        self.lives = 0

    def open(self) -> Backend:
        return squidmesh_sqlite.backend(f"sqlite:///{self.folder / 'journal.db'}", clock=self.clock)

    def live(self, plan: Plan) -> None:
        """A host asks for one window; a loop registers the triggers, and later finds three that are due."""
        self.lives += 1
        backend, registry, config = self.open(), Registry([Beacon]), MeshConfig()

        def open_engine() -> Engine:
            return Engine(
                journal=CrashingBackend(backend, plan),
                leases=None,
                registry=registry,
                config=config,
                observer=LogObserver(),
                heartbeat_thread=False,
            )

        mesh = Mesh("crashing", registry=registry, config=config, open_engine=open_engine)
        try:
            loop = mesh.cron()
            loop.look()
            mesh.activate_cron(Beacon.hourly, window=START + timedelta(minutes=75))
            self.clock.advance(START + 3 * HOUR - datetime.fromtimestamp(self.clock.now() / 1e6, UTC))
            loop.look()
        finally:
            backend.close()  # of handles only: nothing is written

    def check(self) -> None:
        backend = self.open()
        store = backend.journal()
        mesh = Mesh.connect(f"sqlite:///{self.folder / 'journal.db'}", workflows=[Beacon])
        self.check_runs(store, mesh)
        mesh.close()
        backend.close()

    def check_runs(self, store: JournalStore, mesh: Mesh) -> None:
        assert windows_of(mesh) == ["hourly 01 12:15", "hourly 01 13:15", "hourly 01 14:15"]
        for run in mesh.list_runs().runs:
            audit(store, run.run_id)
        audit_trigger(store)


class MemoryWorld(World):
    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.stores = KeptMemory("memory://", clock=self.clock)

    def open(self) -> Backend:
        return self.stores

    def check(self) -> None:
        config, registry = MeshConfig(), Registry([Beacon])

        def open_engine() -> Engine:
            return Engine(journal=self.stores, leases=None, registry=registry, config=config, observer=LogObserver())

        self.check_runs(self.stores.journal(), Mesh("m", registry=registry, config=config, open_engine=open_engine))


def audit_trigger(store: JournalStore) -> TriggerState:
    """I1 and I2 of a trigger's thread; each window stands in it once, and its run is there."""
    reads = [ThreadRead(thread=HOURLY)]
    (whole,) = store.read(reads, whole=True)
    (short,) = store.read(reads)
    assert [entry.revision for entry in whole.tail] == list(range(1, len(whole.tail) + 1))
    state = TriggerState()
    firings: Counter[int] = Counter()
    for entry in whole.tail:
        facts = TRIGGER_CODEC.decode_facts(entry.body, thread=HOURLY, revision=entry.revision)
        fold_trigger(state, facts)
        for fact in facts:
            if isinstance(fact, WindowActivated):
                firings[fact.window] += not fact.by_host
                assert store.run_row(fact.run_id) is not None, "one group: no window without its run"
    assert set(firings.values()) <= {0, 1}
    assert short.checkpoint is not None
    assert TRIGGER_CODEC.decode_state(short.checkpoint.body) == state, "I2"
    return state


@pytest.mark.parametrize(("make_world", "stride"), [(MemoryWorld, 1), (World, 5), aside(World, 1)])
def test_a_death_at_any_port_call_loses_no_window_and_fires_none_twice(
    make_world: type[World], stride: int, tmp_path: Path
) -> None:
    """At every call in memory; in a file at every fifth, and at every one under `all`."""
    calm, plan = make_world(tmp_path / "calm"), Plan()
    calm.live(plan)
    calm.check()
    assert plan.places.count("journal.commit before") == 7, "two registrations, a host, three windows, one found"
    for chosen in range(1, len(plan.places) + 1, stride):
        world = make_world(tmp_path / str(chosen))
        with pytest.raises(ProcessDied):
            world.live(Plan(lambda count, place, chosen=chosen: count == chosen))  # type: ignore[misc]
        world.live(Plan())
        world.check()


@pytest.mark.parametrize("every", [3, 5, 7])
def test_one_death_after_another_loses_nothing(every: int, tmp_path: Path) -> None:
    world = World(tmp_path)
    for life in range(20):
        try:
            world.live(Plan(lambda count, place, life=life: count == every + life))  # type: ignore[misc]
            break
        except ProcessDied:
            continue
    assert world.lives > 2
    world.check()


# ----------------------------------------------------------------------------------------------- many processes

APP = """
import time
from datetime import date
from pathlib import Path
from types import ModuleType
from pydantic import BaseModel
from squidmesh import Mesh, Workflow, cron, step, today

class Nightly(BaseModel):
    day: date = today()

class Compressed:
    # Half an hour in a second, through a night in which London has one hour twice. It begins when the test says so.
    def now(self):
        begin = Path("begin")
        passed = time.time_ns() // 1000 - int(begin.read_text()) if begin.exists() else 0
        return 1_792_886_400_000_000 + passed * 1800

class Beacon(Workflow):
    version = "1"
    often = cron("* * * * *", timezone="Europe/London", payload=Nightly, missed="all")
    nightly = cron("30 1 * * *", timezone="Europe/London", payload=Nightly)
    watch = step(lambda: None)

mesh = Mesh.connect("sqlite:///night.db", workflows=[Beacon], clock=Compressed())
"""
PROCESSES = 4
WAIT = 60.0
"""Seconds until the test gives up. Nothing takes that long."""


@pytest.fixture
def night(tmp_path: Path) -> Iterator[list[subprocess.Popen[str]]]:
    """As many ``squidmesh cron`` as there are nodes, over one file."""
    (tmp_path / "nightapp.py").write_text(APP)
    command = [sys.executable, "-m", "squidmesh", "--app", "nightapp:mesh", "cron", "--look-every", "0.05", "--json"]
    processes = [
        subprocess.Popen(command, cwd=tmp_path, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for _ in range(PROCESSES)
    ]
    yield processes
    for process in processes:
        if process.poll() is None:
            process.kill()
        process.wait()
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def until(holds: Callable[[], bool]) -> None:
    ends, pause = time.monotonic() + WAIT, threading.Event()
    while not holds():
        assert time.monotonic() < ends
        pause.wait(0.05)


def up_to(word: str, process: subprocess.Popen[str]) -> str:
    """What it says on stderr, until it says that."""
    assert process.stderr is not None
    said = ""
    while word not in said:
        line = process.stderr.readline()
        assert line, said
        said += line
    return said


def test_many_processes_at_once_start_one_run_a_window(night: list[subprocess.Popen[str]], tmp_path: Path) -> None:
    said = [up_to("cron_started", process) for process in night]
    begin = tmp_path / "begin.new"
    begin.write_text(str(time.time_ns() // 1000))
    begin.rename(tmp_path / "begin")
    with Mesh.connect(f"sqlite:///{tmp_path / 'night.db'}") as mesh:
        until(lambda: sum(mesh.count_runs().values()) >= 130)
        until(lambda: any(run.trigger == "nightly" for run in mesh.list_runs(limit=1000).runs))
        for process in night:
            process.send_signal(signal.SIGTERM)
        rest = [process.communicate(timeout=WAIT) for process in night]
        assert [process.returncode for process in night] == [0] * PROCESSES
        assert [json.loads(out) for out, _ in rest] == [{"ended": True}] * PROCESSES
        runs, after = [], None
        while True:
            page = mesh.list_runs(limit=1000, after=after)
            runs += [mesh.inspect_run(row.run_id) for row in page.runs]
            if (after := page.next) is None:
                break
    often = sorted(run.schedule.window.astimezone(UTC) for run in runs if run.trigger == "often" and run.schedule)
    assert often == [often[0] + n * timedelta(minutes=1) for n in range(len(often))], "none twice, none missing"
    nightly = [run.schedule.window.isoformat() for run in runs if run.trigger == "nightly" and run.schedule]
    assert nightly == ["2026-10-25T01:30:00+01:00"], "the hour comes twice, its window once"
    told = Counter(
        word.removeprefix("run_id=")
        for errors in (*said, *(errors for _, errors in rest))
        for line in errors.splitlines()
        if "cron_fired" in line
        for word in line.split()
        if word.startswith("run_id=") and "'" not in word
    )
    assert told == Counter(run.run_id for run in runs), "and each was started by one of them"


# ------------------------------------------------------------------------------------------------------- the page

PAGE = Path(__file__).parents[2] / "docs" / "cron.md"


def test_what_the_page_shows_works_as_it_stands_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    shop = ModuleType("shop")
    monkeypatch.setitem(sys.modules, "shop", shop)  # annotations are looked up there
    for block in blocks:
        exec(block, shop.__dict__)
    with shop.mesh as mesh:
        assert shop.run.run_id == shop.again.run_id != shop.named.run_id
        while mesh.execute_next() is not None:
            pass
        done = mesh.inspect_run(shop.run.run_id, history=True)
    assert done.output == {"report": "all on 2026-05-04, for 21:30 BST"}
