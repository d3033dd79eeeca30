"""The status of a run is derived, in the order of protocol 3.2; and it depends on the time alone where it must."""

import pytest

from squidmesh.clock import Instant
from squidmesh.journal.facts import AnyFact
from tests.unit.journal.story import (
    claimed,
    completed,
    decided,
    ended,
    failed,
    released,
    requested,
    scheduled,
    started,
    told,
)

WAITS = (started(), scheduled("rest", visible_at=10, cause="wait"))
RETRIES = (started(), scheduled(), claimed(), failed(), scheduled(attempt=2, visible_at=10, cause="retry"))


@pytest.mark.parametrize(
    ("told_so_far", "now", "status"),
    [
        ((started(), scheduled(visible_at=5)), 5, "running"),
        ((started(), scheduled(), claimed()), 0, "running"),
        ((started(), scheduled(), claimed(), released(visible_at=9)), 8, "waiting"),
        ((started(), scheduled(), claimed(), released(visible_at=9)), 9, "running"),
        (WAITS, 9, "waiting"),
        (WAITS, 10, "running"),
        (RETRIES, 9, "retrying"),
        (RETRIES, 10, "running"),
        ((started(), requested()), 0, "paused"),
        ((started(), requested(), scheduled("rest", visible_at=10, cause="wait")), 9, "paused"),
        ((started(), requested(), scheduled("rest", visible_at=10, cause="wait")), 10, "running"),
        ((started(), requested(), decided()), 0, "waiting"),
        ((started(), ended()), 0, "completed"),
        ((started(), scheduled(), claimed(), requested(), ended(well=False)), 0, "failed"),
    ],
)
def test_the_status_is_derived(told_so_far: tuple[AnyFact, ...], now: int, status: str) -> None:
    assert told(*told_so_far).status(Instant(now)) == status


def test_a_run_is_due_when_its_first_attempt_becomes_visible() -> None:
    state = told(started(), scheduled("rest", visible_at=10), scheduled("walk", visible_at=7))
    assert state.due_at() == 7
    assert told(started(), requested()).due_at() is None


@pytest.mark.parametrize(
    ("told_so_far", "step"),
    [
        ((started(), requested(), scheduled("rest")), "rest"),
        ((started(), requested()), "council"),
        ((started(), scheduled(), claimed(), completed(), ended()), None),
        ((started(), ended(well=False)), "pack"),
    ],
)
def test_a_run_stands_at_its_open_attempt_or_gate_or_where_it_failed(
    told_so_far: tuple[AnyFact, ...], step: str | None
) -> None:
    assert told(*told_so_far).standing_at() == step
