"""The status of a run is derived, in the order of protocol 3.2; and it depends on the time alone where it must."""

import pytest

from squidmesh.clock import Instant
from squidmesh.journal.facts import AnyFact
from tests.unit.journal.story import (
    UNDO,
    awaited,
    cancelled,
    children_awaited,
    claimed,
    completed,
    dead,
    decided,
    ended,
    failed,
    fails,
    gate_closed,
    paused,
    released,
    requested,
    run_cancelled,
    scheduled,
    started,
    told,
    undoing,
)

WAITS = (started(), scheduled("rest", visible_at=10, cause="wait"))
EXHAUSTED = (
    started(),
    fails(step="moria"),
    undoing("lorien"),
    scheduled("lorien!undo", cause="undo"),
    claimed("lorien!undo"),
    failed("lorien!undo", final=True),
)
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
        ((started(), requested(), gate_closed(), ended(well=False)), 0, "failed"),
        ((started(), scheduled(), cancelled(), run_cancelled()), 0, "cancelled"),
        ((started(), scheduled(), claimed(), fails()), 0, "failing"),
        ((started(), fails(), undoing(), scheduled(UNDO, cause="undo"), claimed(UNDO)), 0, "compensating"),
        ((started(), paused()), 0, "paused"),
        ((started(), awaited()), 0, "waiting"),
        ((started(), children_awaited()), 0, "waiting"),
        ((started(), awaited(), paused("rest")), 0, "paused"),
        ((started(), scheduled(), claimed(), dead()), 0, "waiting"),
        ((*RETRIES, paused()), 9, "retrying"),
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
        ((started(), scheduled(), claimed(), dead()), "pack"),
        ((started(), fails(step="moria"), undoing("lorien"), scheduled("lorien!undo", cause="undo")), "lorien!undo"),
        ((*EXHAUSTED,), "lorien"),
    ],
)
def test_a_run_stands_at_its_open_attempt_or_gate_or_where_it_failed(
    told_so_far: tuple[AnyFact, ...], step: str | None
) -> None:
    assert told(*told_so_far).standing_at() == step
