"""The rows follow from the facts: what an entry touches and no more, and all of them together what a rebuild gives."""

from datetime import timedelta

import pytest

from squidmesh import RetryPolicy, Workflow, define, fixed, manual, step
from squidmesh.ids import RunId, attempt_key
from squidmesh.journal.rows import AttemptRow, RowChanges, RunRow
from squidmesh.planning.rows import active_at
from tests.unit.planning.errand import RUN, SECOND, Empty, Errander, at, walk


def items(changed: RowChanges) -> tuple[list[str], list[str]]:
    return [row.item for row in changed.put], list(changed.remove)


def key(step: str, attempt: int = 1) -> str:
    return attempt_key(RUN, step, attempt)


def test_a_start_puts_the_run_and_its_first_attempt() -> None:
    run = Errander(key="k1")
    assert run.changed == RowChanges(
        run=RunRow(
            run_id=RunId(RUN),
            workflow="Errand",
            version="1",
            trigger="leave",
            key="k1",
            queue="default",
            status="running",
            step="pack",
            error=None,
            started_at=0,
            due_at=None,
            ended_at=None,
        ),
        put=(
            AttemptRow(
                item=attempt_key(RUN, "pack", 1),
                run_id=RunId(RUN),
                step="pack",
                attempt=1,
                queue="slow",
                priority=1,
                visible_at=0,
                generation=0,
                fence=0,
            ),
        ),
    )


def test_a_claim_stands_on_the_row_of_its_attempt_and_leaves_the_run_row_alone() -> None:
    run = at("pack")
    run.claim("pack", fence=3)
    changed = run.changed
    assert changed.run is None
    assert items(changed) == ([key("pack")], [])
    (row,) = changed.put
    assert (row.fence, row.owner, row.lease) == (3, "sam@1", 60 * SECOND)
    assert row.claim_hash == run.state.runnables["pack"].claim.claim_hash  # type: ignore[union-attr]


def test_a_release_takes_the_claim_off_the_row_and_keeps_its_fence() -> None:
    run = at("pack")
    run.claim("pack", fence=3)
    run.release("pack", delay=timedelta(seconds=8))
    (row,) = run.changed.put
    assert (row.owner, row.claim_hash, row.lease) == (None, None, None)
    assert (row.fence, row.visible_at) == (3, 8 * SECOND)


def test_a_completion_removes_its_attempt_and_puts_the_next() -> None:
    run = at("pack")
    run.claim("pack")
    run.complete("pack")
    changed = run.changed
    assert items(changed) == ([key("rest")], [key("pack")])
    assert changed.run is not None
    assert (changed.run.status, changed.run.step, changed.run.due_at) == ("waiting", "rest", 10 * SECOND)


def test_a_retry_removes_one_attempt_and_puts_another_of_the_same_step() -> None:
    run = at("pack")
    run.claim("pack")
    run.fail("pack")
    changed = run.changed
    assert items(changed) == ([key("pack", 2)], [key("pack", 1)])
    assert changed.run is not None
    assert (changed.run.status, changed.run.due_at) == ("retrying", 2 * SECOND)


def test_a_wait_that_ends_with_its_claim_is_removed_and_not_put() -> None:
    run = at("rest")
    run.now += 10 * SECOND
    run.claim("rest")
    changed = run.changed
    assert items(changed) == ([], [key("rest")])
    assert changed.run is not None
    assert (changed.run.status, changed.run.step) == ("paused", "council")


def test_the_end_removes_the_last_attempt_and_says_how_it_ended() -> None:
    run = at("lorien")
    run.claim("lorien")
    run.fail("lorien")
    changed = run.changed
    assert items(changed) == ([], [key("lorien")])
    assert changed.run is not None
    assert (changed.run.status, changed.run.error, changed.run.step) == ("failed", "step_failed", "lorien")
    assert changed.run.ended_at == run.now


def test_an_approval_touches_no_attempt_but_the_next() -> None:
    run = at("council")
    run.decide()
    assert items(run.changed) == ([key("moria")], [])


def test_a_command_that_was_carried_out_before_changes_no_row() -> None:
    run = at("council")
    run.decide(key="word")
    run.decide(key="word")
    assert run.changed == RowChanges()


@pytest.mark.parametrize("step", ["pack", "rest", "council", "moria", "lorien", "mend"])
def test_the_changes_add_up_to_what_a_rebuild_gives(step: str) -> None:
    """I13, along the road to each step, and then through all that can become of an attempt."""
    run = at(step)
    run.assert_rows_are_rebuilt()
    if step in run.state.gates:
        run.decide()
        run.assert_rows_are_rebuilt()
        return
    for act in (run.claim, run.claim, run.release, run.claim, run.fail):
        runnable = run.state.runnables[step]
        if runnable.status not in ("scheduled", "claimed"):
            break  # a wait, which ends with its claim
        run.now = max(run.now, runnable.visible_at)
        act(step)
        run.assert_rows_are_rebuilt()


class Tower(Workflow):
    version = "1"
    leave = manual(Empty)
    watch = step(walk, timeout=20, retry=RetryPolicy(max_attempts=2, backoff=fixed(5)))


@pytest.mark.parametrize("how", ["timed out", "failed", "lost", "released"])
def test_the_timer_of_a_claim_goes_with_the_claim_whatever_comes_after_it(how: str) -> None:
    """Else it stays due while the next attempt waits, and nobody who looks at it comes to rest."""
    run = Errander(define(Tower))
    run.claim("watch")
    assert [row.kind for row in run.timers.values()] == ["step"]
    run.later(20)
    match how:
        case "timed out":
            run.pass_step_deadline("watch")
        case "failed":
            run.fail("watch")
        case "lost":
            run.lose("watch")
        case _:
            run.release("watch")
    assert run.timers == {}


def test_the_time_of_the_newest_entry_is_rounded_down_so_that_most_entries_leave_it_alone() -> None:
    second = 1_000_000
    state = at("pack").state

    def told(updated_at: int, started_at: int = 12 * second, ended_at: int | None = None) -> int:
        state.updated_at, state.started_at, state.ended_at = updated_at, started_at, ended_at
        return active_at(state)

    assert told(12 * second) == told(19 * second) == 12 * second, "the start is told exactly"
    assert told(20 * second) == told(30 * second - 1) == 20 * second
    assert told(34 * second, ended_at=34 * second) == 34 * second, "and so is the end"
