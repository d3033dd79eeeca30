"""Revision 1: that the run started, and what is first."""

from datetime import timedelta

from pydantic import BaseModel

from squidmesh import Workflow, approval, define, manual, wait
from squidmesh.journal.facts import ApprovalRequested, AttemptScheduled, RunStarted
from squidmesh.planning.commands import StartRun
from squidmesh.planning.decide import start
from tests.unit.planning.errand import DEFINITION, RUN, SECOND, Errander

GIVEN = {"now": 7, "run_id": RUN, "trigger": "leave", "payload_fingerprint": "p", "queue": "quick", "priority": 4}


class Empty(BaseModel):
    pass


class Resting(Workflow):
    version = "1"
    leave = manual(Empty)
    rest = wait(10)


class Asking(Workflow):
    version = "1"
    leave = manual(Empty)
    council = approval()


def test_a_run_starts_with_its_payload_its_definition_and_its_first_attempt() -> None:
    started, first = start(DEFINITION, StartRun(**GIVEN, payload={"miles": 3}, key="k"))  # type: ignore[arg-type]
    assert started == RunStarted(
        at=7,
        run_id=RUN,
        workflow="Errand",
        version="1",
        fingerprint=DEFINITION.fingerprint,
        trigger="leave",
        payload={"miles": 3},
        payload_fingerprint="p",
        queue="quick",
        priority=4,
        key="k",
    )
    assert first == AttemptScheduled(
        at=7, step="pack", attempt=1, queue="slow", priority=1, visible_at=7, cause="route"
    ), "a step's own queue and priority go first"


def test_a_delayed_start_makes_the_first_attempt_visible_later() -> None:
    _, first = Errander(delay=timedelta(seconds=5)).began
    assert isinstance(first, AttemptScheduled)
    assert (first.visible_at, first.cause) == (5 * SECOND, "wait")


def test_a_run_may_begin_with_a_wait_and_the_delay_is_added_to_it() -> None:
    command = StartRun(**GIVEN, payload={}, delay=timedelta(seconds=5))  # type: ignore[arg-type]
    _, first = start(define(Resting), command)
    assert first == AttemptScheduled(
        at=7, step="rest", attempt=1, queue="quick", priority=4, visible_at=7 + 15 * SECOND, cause="wait"
    )


def test_a_run_may_begin_with_an_approval() -> None:
    _, first = start(define(Asking), StartRun(**GIVEN, payload={}))  # type: ignore[arg-type]
    assert first == ApprovalRequested(at=7, step="council")
