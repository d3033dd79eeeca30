"""A suspect in a process of its own (protocol 3.5.5): what may have killed its last worker does not kill this one."""

from __future__ import annotations

import logging

from squidmesh.runtime.context import StepVerbs
from squidmesh.runtime.invoke import Assignment, Outcome, Unstarted, invoke
from squidmesh.runtime.step_process import StepProcess, Unable

_logger = logging.getLogger("squidmesh")


def run(assignment: Assignment, home: str, verbs: StepVerbs) -> Outcome:
    """Blocks until the child has ended; no other step is called in it. Where none can be made, or it does not find the
    workflow, the step runs here: that is no fault of the step's.
    """
    if assignment.lost:
        return Unstarted(assignment=assignment)
    try:
        process = StepProcess()
    except OSError as error:
        return _run_here(assignment, verbs, str(error))
    try:
        outcome = process.carry(assignment, home, verbs)
    finally:
        process.end()
    return _run_here(assignment, verbs, outcome.why) if isinstance(outcome, Unable) else outcome


def _run_here(assignment: Assignment, verbs: StepVerbs, why: str) -> Outcome:
    _logger.warning("quarantine_impossible item=%r why=%r", assignment.key, why)
    return invoke(assignment, verbs)
