"""Live and ready: what an orchestrator is told, and why."""

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from squidmesh.observe.health import Health
from squidmesh.ports.vitals import Vitals, WorkerSigns

WELL = WorkerSigns(
    quiet=timedelta(seconds=1), patience=timedelta(seconds=60), running=True, draining=False, busy=0, capacity=4, held=0
)
FINE = Vitals(runs={}, dead_letters=0, queues=(), paused=frozenset())


def health(look: object = FINE, **signs: Any) -> Health:
    def answer() -> Vitals:
        if isinstance(look, Exception):
            raise look
        assert isinstance(look, Vitals)
        return look

    return Health(lambda: replace(WELL, **signs), answer)


def test_a_worker_that_turns_and_reaches_its_stores_is_live_and_ready():
    assert (health().not_live(), health().not_ready()) == (None, None)


def test_a_pump_that_has_not_turned_for_a_lease_is_not_live():
    why = "the pump has not turned for 61.0 s; allowed is 0:01:00"
    assert health(quiet=timedelta(seconds=61)).not_live() == why
    assert health(quiet=timedelta(seconds=61)).not_ready() == why
    assert health(quiet=timedelta(seconds=59)).not_live() is None


def test_a_short_lease_does_not_make_an_orchestrator_nervous():
    assert health(quiet=timedelta(seconds=0.9), patience=timedelta(seconds=0.05)).not_live() is None


def test_a_pump_that_came_to_grief_is_not_live():
    assert health(running=False, failed="ValueError: odd").not_live() == "the pump has ended: ValueError: odd"
    assert health(running=False).not_live() == "the pump has ended"


def test_stores_that_are_away_make_it_unready_and_leave_it_alive():
    away = health(OSError("no route"))
    assert away.not_ready() == "the journal does not answer: no route"
    assert away.not_live() is None
    assert health(replace(FINE, trouble="no route")).not_ready() == "the leases do not answer: no route"


@pytest.mark.parametrize("running", [True, False])
def test_a_worker_that_leaves_is_not_ready_and_still_alive(running: bool):
    draining = health(draining=True, running=running)
    assert (draining.not_ready(), draining.not_live()) == ("draining", None)


def test_who_was_told_to_go_is_not_ready_at_once():
    told = health()
    told.leave()
    assert (told.not_ready(), told.not_live()) == ("draining", None)


def test_before_its_first_turn_it_is_not_ready_and_nobody_ends_it():
    young = health(quiet=None, running=False)
    assert (young.not_ready(), young.not_live()) == ("not started yet", None)
