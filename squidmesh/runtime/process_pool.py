"""The processes of steps with ``isolation="process"``: kept warm, used again, replaced (protocol 5).

As many as run at a time, each made when there is a step for it and no idle one is left. Isolation is a promise:
where no process can be had, the step is given back and does not run here.
"""

from __future__ import annotations

import threading
import time
from datetime import timedelta

from squidmesh.ports.observer import Observer
from squidmesh.runtime.context import StepVerbs
from squidmesh.runtime.invoke import Assignment, Outcome, Unstarted
from squidmesh.runtime.step_process import StepProcess, Unable

MOST_STEPS = 1000
"""So many steps in one process; the next one has a new one."""
MOST_RESIDENT = 512 * 1024 * 1024
"""Bytes. A process that is larger after a step is not used again."""
LONGEST_IDLE = 60.0
"""Seconds. A process that nobody has needed for so long is ended when another comes back."""
UNABLE_PAUSE = timedelta(seconds=10)
"""For how long an attempt waits that no process could be had for."""


class ProcessPool:
    """Of one process. Thread-safe."""

    def __init__(self, observer: Observer, *, most_steps: int = MOST_STEPS, most_resident: int = MOST_RESIDENT) -> None:
        self._observer = observer
        self._most_steps = most_steps
        self._most_resident = most_resident
        self._lock = threading.Lock()
        self._idle: list[StepProcess] = []
        """The most recently used last."""
        self._busy: set[StepProcess] = set()
        self._closed = False

    def carry(self, assignment: Assignment, home: str, verbs: StepVerbs) -> Outcome:
        """Blocks until the step has ended, or its process."""
        if assignment.lost:
            return Unstarted(assignment=assignment)
        try:
            process = self._take()
        except OSError as error:
            return self._unable(assignment, str(error))
        sound = False
        try:
            outcome = process.carry(assignment, home, verbs)
            sound = not isinstance(outcome, Unable)  # an import that failed half way is not tried there again
        finally:
            self._give_back(process, sound=sound)
        return self._unable(assignment, outcome.why) if isinstance(outcome, Unable) else outcome

    def close(self) -> None:
        """Ends them all. A step that runs in one dies."""
        with self._lock:
            self._closed = True
            idle, self._idle = self._idle, []
            for process in self._busy:
                process.kill()
        for process in idle:
            process.end()

    def _take(self) -> StepProcess:
        with self._lock:
            while self._idle:
                process = self._idle.pop()
                if process.alive:
                    self._busy.add(process)
                    return process
                process.end()
        process = StepProcess()
        with self._lock:
            self._busy.add(process)
        return process

    def _give_back(self, process: StepProcess, *, sound: bool) -> None:
        process.idle_since = time.monotonic()
        spent = process.steps >= self._most_steps or process.resident > self._most_resident
        with self._lock:
            self._busy.discard(process)
            keep = sound and process.alive and not spent and not self._closed
            cold = [] if keep else [process]
            while self._idle and process.idle_since - self._idle[0].idle_since > LONGEST_IDLE:
                cold.append(self._idle.pop(0))
            if keep:
                self._idle.append(process)
        for one in cold:
            one.end()

    def _unable(self, assignment: Assignment, why: str) -> Outcome:
        self._observer.notice("isolation_impossible", item=assignment.key, why=why)
        return Unstarted(assignment=assignment, delay=UNABLE_PAUSE)
