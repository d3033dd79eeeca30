"""I20, for real: a process is killed with SIGKILL at each port method; another one, over the same store, goes on."""

import os
import re
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from squidmesh import Mesh
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from tests.support.audit import audit
from tests.support.crashing import Plan
from tests.support.parts import mostly_aside
from tests.support.victim import live

ROOT = Path(__file__).parents[2]
PLACES = [
    f"{method} {when}"
    for method in (
        "journal.now",
        "journal.commit",
        "journal.read",
        "journal.definition",
        "journal.run_row",
        "journal.plane",
        "journal.set_plane",
        "journal.next_timer",
        "leases.claim",
        "leases.heartbeat",
    )
    for when in ("before", "after")
]


WRITES = [place for place in PLACES if re.search("commit|set_plane|claim|heartbeat", place)]
"""Tried on PostgreSQL too, where every connection of the victim ends in the middle of its work."""
ORDINARY = [("sqlite", place) for place in WRITES]
ORDINARY += [("postgres", place) for place in WRITES if re.search("commit|claim after", place)]
"""The reads, and the other writes on PostgreSQL, are died at under ``all``."""
CASES = [*(("sqlite", place) for place in PLACES), *(("postgres", place) for place in WRITES)]


@pytest.fixture
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'journal.db'}"
    found: str = request.getfixturevalue("postgres_url")
    Mesh.migrate(found)
    return found


@pytest.mark.parametrize("url", ["sqlite", "postgres"], indirect=True)
def test_these_are_the_methods_that_the_main_job_reaches(url: str, tmp_path: Path) -> None:
    plan = Plan()
    live(url, tmp_path / "effects", plan)
    assert {place.split()[0] for place in plan.places} == {place.split()[0] for place in PLACES}


@pytest.mark.parametrize(
    ("url", "place"),
    mostly_aside(CASES, ordinary=ORDINARY.__contains__),
    indirect=["url"],
)
def test_a_process_killed_at_this_call_loses_nothing(url: str, place: str, tmp_path: Path) -> None:
    effects = tmp_path / "effects"
    search = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    victim = subprocess.run(
        [sys.executable, "-m", "tests.support.victim", url, str(effects), place],
        env=os.environ | {"PYTHONPATH": search},
        cwd=tmp_path,
        capture_output=True,
        timeout=60,
    )
    assert victim.returncode == -signal.SIGKILL, victim.stderr.decode()
    run = live(url, effects, Plan())
    assert run.status == "completed"
    store = open_backend(url, clock=SystemClock())
    state = audit(store.journal(), run.run_id)
    store.close()
    assert state.runnables["charge"].attempt == 2, "a crash costs a delivery, never an attempt"
    keys = Counter(effects.read_text().split())
    assert len(keys) == 4, "four steps touch the world, each under one idempotency key"
    assert keys.total() <= 4 + 1 + 1, "one step fails once by itself; the kill repeats one at most"
