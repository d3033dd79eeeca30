"""A real process over a real store that kills itself, with SIGKILL, at a port call of its parent's choosing.

python -m tests.support.victim JOURNAL_URL EFFECTS_FILE "leases.claim after"
"""

import os
import signal
import sys
import threading
from datetime import timedelta
from pathlib import Path

from squidmesh import Mesh, Run
from squidmesh.config import MeshConfig
from squidmesh.runtime.backends import open_backend
from squidmesh.runtime.chance import SystemClock
from squidmesh.runtime.engine import Engine
from squidmesh.runtime.watch import LogObserver
from squidmesh.workflow.registry import Registry
from tests.support.crashing import CrashingBackend, Plan
from tests.support.recovery import Effects, carry_on, make_workflow

LEASE = timedelta(milliseconds=500)
PACE = 0.02


def live(url: str, effects: Path, plan: Plan) -> Run:
    """Works until the run has ended."""
    beat: list[object] = []
    workflow = make_workflow(Effects(effects), beat, pace=PACE)
    registry, config = Registry([workflow]), MeshConfig(lease=LEASE)

    def open_engine() -> Engine:
        backend = CrashingBackend(open_backend(url, clock=SystemClock()), plan)
        engine = Engine(journal=backend, leases=None, registry=registry, config=config, observer=LogObserver())
        beat.append(engine.heartbeats)
        return engine

    turn = threading.Event()
    with Mesh("victim", registry=registry, config=config, open_engine=open_engine) as mesh:
        (run,) = carry_on(mesh, workflow, lambda much: turn.wait(0.05))
    return run


def main(url: str, effects: str, place: str) -> None:
    def die(count: int, reached: str) -> bool:
        if reached == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return False

    live(url, Path(effects), Plan(die))


if __name__ == "__main__":
    main(*sys.argv[1:])
