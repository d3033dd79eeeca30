"""The harness for tests of workflows: time, work and functions are the test's; the mesh is the real one."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from pydantic import BaseModel

from squidmesh import (
    Context,
    InvalidInput,
    InvalidUrl,
    NotFound,
    RetryPolicy,
    Snooze,
    UsageError,
    Workflow,
    WorkflowError,
    approval,
    exponential,
    manual,
    step,
    wait,
)
from squidmesh.testing import Harness, StillGoing, VirtualClock
from tests.support.audit import audit

MONTH = timedelta(days=30)


class LeaveShire(BaseModel):
    ring_id: str
    bearer: str = "Frodo"


class Provisions(BaseModel):
    bread: int


def pack(ring_id: str, pockets: int = 2) -> Provisions:
    return Provisions(bread=pockets)


async def rest(provisions: Provisions) -> dict[str, int]:
    return {"rested": provisions.bread}


def moria(provisions: Provisions, context: Context) -> dict[str, str]:
    raise ConnectionError(f"a Balrog, on attempt {context.attempt}")


class RingErrand(Workflow):
    version = "1"
    leave_shire = manual(LeaveShire)
    pack = step(pack, output="provisions")
    winter = wait(MONTH)
    rest = step(rest)
    moria = step(moria, queue="mines", retry=RetryPolicy(max_attempts=3, backoff=exponential(min=60, max=600)))
    flow = pack >> winter >> rest >> moria


class Council(Workflow):
    version = "1"
    call = manual(LeaveShire)
    council = approval(output="council")
    leave = step(lambda: None)
    flow = council >> leave


class Restless(Workflow):
    version = "1"
    begin = manual(LeaveShire)
    pace = step(lambda: None)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return "memory://" if request.param == "memory" else f"sqlite:///{tmp_path}/errand.db"


@pytest.fixture
def h(store: str):
    with Harness([RingErrand, Council, Restless], store=store) as harness:
        yield harness


def leave(h: Harness):
    return h.start(RingErrand.leave_shire, LeaveShire(ring_id="one-ring"))


def done(h: Harness, run) -> list[str | None]:
    return [event.step for event in h.history(run) if event.kind == "AttemptCompleted"]


def raises(error: Exception) -> Callable[[], Any]:
    def fn() -> Any:
        raise error

    return fn


class TestTime:
    def test_a_wait_of_a_month_is_over_as_soon_as_the_test_says_so(self, h: Harness) -> None:
        h.replace(RingErrand.moria, lambda: {})
        run = leave(h)
        assert h.drain() == 1
        assert (h.run(run).status, h.explain(run).reason) == ("waiting", "wait")
        h.skip(MONTH - timedelta(microseconds=1))
        assert h.drain() == 0
        h.skip(timedelta(microseconds=1))
        assert h.drain() == 3
        assert h.run(run).status == "completed"
        audit(h._engine.store, run.run_id)

    def test_nothing_moves_the_clock_but_the_test(self, h: Harness) -> None:
        before = h.now
        leave(h)
        h.drain()
        assert h.now == before
        assert h.skip(1.5) == before + timedelta(seconds=1.5) == h.now

    @pytest.mark.parametrize("time", [-1, timedelta(seconds=-1), "a while", None, True])
    def test_time_is_skipped_forwards_only(self, h: Harness, time: Any) -> None:
        with pytest.raises(InvalidInput, match=r"^time: .*allowed is"):
            h.skip(time)

    def test_a_retry_waits_for_its_backoff(self, h: Harness) -> None:
        run = leave(h)
        h.drain()
        h.skip(MONTH)
        h.drain()
        assert h.explain(run).reason == "retry"
        assert h.run(run).attempts[-1].attempt == 2
        assert h.drain() == 0
        h.skip(h.explain(run).evidence["remaining"])
        assert h.drain() == 1
        assert h.run(run).attempts[-1].attempt == 3

    def test_a_run_is_taken_to_its_end_through_waits_and_retries(self, h: Harness) -> None:
        before = h.now
        run = h.run_to_end(leave(h))
        assert (run.status, run.failure and run.failure.step) == ("failed", "moria")
        assert run.attempts[-1].attempt == 3
        assert run.attempts[-1].last_error_message == "a Balrog, on attempt 3"
        assert MONTH + timedelta(minutes=3) <= h.now - before < MONTH + timedelta(hours=1)
        audit(h._engine.store, run.run_id)

    def test_skipping_ends_when_nothing_waits_for_time(self, h: Harness) -> None:
        ends = [leave(h), h.start(RingErrand, {"ring_id": "b"}, delay=timedelta(days=2))]
        gate = h.start(Council, {"ring_id": "c"})
        h.drain(skipping=True)
        assert [h.run(run).status for run in (*ends, gate)] == ["failed", "failed", "paused"]

    def test_a_run_that_waits_for_a_person_is_left_to_him(self, h: Harness) -> None:
        far = h.start(RingErrand, {"ring_id": "a"}, delay=timedelta(days=3))
        gate = h.start(Council, {"ring_id": "b"})
        before = h.now
        assert h.run_to_end(gate).status == "paused"
        assert h.now == before, "no time helps it"
        h.mesh.approve_run(gate.run_id, actor="elrond")
        assert h.run_to_end(gate.run_id).output == {"council": h.run(gate).output["council"]}  # type: ignore[index]
        assert h.run(far).status == "waiting"

    def test_work_of_every_queue_is_done(self, h: Harness) -> None:
        runs = [h.start(Restless, {"ring_id": "a"}, queue=queue) for queue in ("default", "mordor", "rohan")]
        assert h.drain() == 3
        assert {h.run(run).status for run in runs} == {"completed"}

    def test_a_clock_that_is_given_goes_on_in_the_next_harness(self, tmp_path: Path) -> None:
        store, clock = f"sqlite:///{tmp_path}/errand.db", VirtualClock()
        with Harness([RingErrand], store=store, clock=clock) as first:
            run = leave(first)
            first.drain()
            first.skip(MONTH)
        with Harness([RingErrand], store=store, clock=clock) as second:
            second.drain()
            assert done(second, run) == ["pack", "winter", "rest"]


class TestBounds:
    def test_work_without_end_is_an_error_that_names_the_run(self, h: Harness) -> None:
        h.replace(Restless.pace, raises(Snooze(after=0)))
        run = h.start(Restless, {"ring_id": "a"})
        over = leave(h)
        with pytest.raises(
            StillGoing, match=rf"(?s)after 50 attempts.*Restless {run.run_id} \(\d\d attempts\)"
        ) as caught:
            h.drain(most=50)
        assert caught.value.runs == (run.run_id, over.run_id)
        assert isinstance(caught.value, AssertionError), "a test that meets it has failed"

    def test_time_without_end_is_an_error_that_names_the_run(self, h: Harness) -> None:
        h.replace(Restless.pace, raises(Snooze(after=timedelta(days=1))))
        run = h.start(Restless, {"ring_id": "a"})
        with pytest.raises(StillGoing, match="beyond the horizon of 10 days") as caught:
            h.run_to_end(run, horizon=timedelta(days=10))
        assert caught.value.runs == (run.run_id,)
        with pytest.raises(StillGoing, match="after 20 attempts and moves"):
            h.drain(skipping=True, most=20)

    def test_a_horizon_counts_from_now(self, h: Harness) -> None:
        h.replace(RingErrand.moria, lambda: {})
        h.skip(timedelta(days=1000))
        assert h.run_to_end(leave(h), horizon=MONTH).status == "completed"

    def test_a_step_whose_function_is_gone_holds_nobody_up(self, tmp_path: Path) -> None:
        class Shorter(Workflow):
            name = "RingErrand"
            version = "2"
            leave_shire = manual(LeaveShire)
            unpack = step(lambda: None)

        store, clock = f"sqlite:///{tmp_path}/errand.db", VirtualClock()
        with Harness([RingErrand], store=store, clock=clock) as before:
            run = leave(before)
        with Harness([Shorter, Restless], store=store, clock=clock) as after:
            other = after.start(Restless, {"ring_id": "a"}, delay=60)
            before_it = after.now
            assert after.run_to_end(run).status == "running"
            assert after.explain(run).reason == "missing_step"
            assert after.now == before_it, "no time helps it"
            after.drain(skipping=True)
            assert after.run(other).status == "completed"


class TestStandIns:
    def test_a_stand_in_is_called_instead(self, h: Harness) -> None:
        h.replace(RingErrand.pack, lambda ring_id: Provisions(bread=len(ring_id)))
        run = leave(h)
        h.drain()
        assert h.run(run).output == {"provisions": {"bread": 8}}
        assert pack("one-ring").bread == 2, "the author's module is as it was"

    def test_the_original_comes_back(self, h: Harness) -> None:
        h.replace(RingErrand.pack, lambda: Provisions(bread=9))
        h.restore(RingErrand.pack)
        run = leave(h)
        h.drain()
        assert h.run(run).output == {"provisions": {"bread": 2}}

    def test_it_takes_over_in_a_run_that_is_under_way(self, h: Harness) -> None:
        run = leave(h)
        h.drain()
        h.skip(MONTH)
        h.drain()  # the first attempt of moria fails
        h.replace(RingErrand.moria, lambda: {"moria": "the west-door"})
        assert h.run_to_end(run).status == "completed"
        assert "moria" in done(h, run)

    def test_the_definition_stays_as_it_is(self, h: Harness) -> None:
        before = h.history(leave(h))[0].details["fingerprint"]
        h.replace(RingErrand.pack, lambda: Provisions(bread=9))
        assert h.history(leave(h))[0].details["fingerprint"] == before

    def test_it_gets_what_the_step_would_get(self, h: Harness) -> None:
        got: dict[str, Any] = {}

        def seen(**arguments: Any) -> Provisions:
            got.update(arguments)
            return Provisions(bread=1)

        h.replace(RingErrand.pack, seen)
        leave(h)
        h.drain()
        assert got == {"ring_id": "one-ring", "pockets": 2}, "the step's default included"

        def at_moria(provisions: Provisions, context: Context) -> dict[str, str]:
            return {"at": context.step, "bread": f"{provisions.bread} loaf"}

        h.replace(RingErrand.moria, at_moria)
        assert h.run_to_end(leave(h)).output == {
            "provisions": {"bread": 1},
            "rested": 1,
            "at": "moria",
            "bread": "1 loaf",
        }

    def test_what_it_gives_back_has_to_fit_the_step(self, h: Harness) -> None:
        h.replace(RingErrand.pack, lambda: {"bread": "plenty"})
        run = h.run_to_end(leave(h))
        assert run.failure is not None
        assert run.failure.error == "invalid_output"
        assert "output: bread: " in str(run.attempts[0].last_error_message)

    def test_a_mock_stands_in(self, h: Harness) -> None:
        mock = Mock(return_value=Provisions(bread=3))
        h.replace(RingErrand.pack, mock)
        leave(h)
        h.drain()
        mock.assert_called_once_with(ring_id="one-ring", pockets=2)

    def test_a_coroutine_function_may_be_stood_in_for_by_either_kind(self, h: Harness) -> None:
        h.replace(RingErrand.moria, lambda: {})
        h.replace(RingErrand.rest, lambda: {"rested": -1})
        assert h.run_to_end(leave(h)).output["rested"] == -1  # type: ignore[index]

        async def sleep(provisions: Provisions) -> dict[str, int]:
            return {"rested": -2}

        h.replace(RingErrand.rest, sleep)
        assert h.run_to_end(leave(h)).output["rested"] == -2  # type: ignore[index]

    def test_what_can_not_stand_in_is_refused(self, h: Harness) -> None:
        async def too_late(ring_id: str) -> Provisions:
            raise AssertionError

        with pytest.raises(InvalidInput, match=r"fn: its parameter 'elf' can not be supplied.*has: pockets, ring_id"):
            h.replace(RingErrand.pack, lambda elf: None)
        with pytest.raises(InvalidInput, match="fn: its parameter 'ring_id' can not be supplied"):
            h.replace(RingErrand.pack, lambda ring_id, /: None)
        with pytest.raises(InvalidInput, match="fn: is async, and the function of 'pack' is not"):
            h.replace(RingErrand.pack, too_late)
        with pytest.raises(InvalidInput, match="fn: is a Provisions"):
            h.replace(RingErrand.pack, Provisions(bread=1))  # type: ignore[arg-type]
        for wrong in (RingErrand.winter, "pack", step(pack), Council.council):
            with pytest.raises(InvalidInput, match=r"step: is .*allowed is a step of a workflow that calls a function"):
                h.replace(wrong, lambda: None)  # type: ignore[arg-type]

    def test_a_step_of_a_workflow_that_is_not_registered_is_not_found(self) -> None:
        with Harness([Council]) as h, pytest.raises(NotFound, match="registered are: Council"):
            h.replace(RingErrand.pack, lambda: None)


class TestOpening:
    def test_workflows_are_judged_at_once(self) -> None:
        with pytest.raises(WorkflowError):
            Harness([RingErrand, RingErrand])

    @pytest.mark.parametrize("store", ["", "nowhere://", "redis://localhost", 7])
    def test_another_store_is_refused(self, store: Any) -> None:
        with pytest.raises((InvalidUrl, UsageError), match=r"^store: "):
            Harness([Council], store=store)

    def test_a_store_with_a_clock_of_its_own_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        clocks = iter((1, 2))
        clock = VirtualClock()
        monkeypatch.setattr(clock, "now", lambda: next(clocks))
        with pytest.raises(InvalidUrl, match=r"^store: has a clock of its own"):
            Harness([Council], clock=clock)

    def test_a_closed_one_says_so(self, store: str) -> None:
        with Harness([Council], store=store) as h:
            h.drain()
        h.close()
        with pytest.raises(UsageError, match="closed"):
            h.start(Council, {"ring_id": "a"})

    def test_it_says_where_and_when_it_is(self) -> None:
        with Harness([Council]) as h:
            assert "Council" in repr(h)
            assert "2026-01-01" in repr(h)

    def test_a_run_is_meant_by_itself_or_by_its_id(self, h: Harness) -> None:
        run = leave(h)
        assert h.run(run) == h.run(run.run_id)
        with pytest.raises(InvalidInput, match="run: is a int; allowed is a run, or its id"):
            h.run(7)  # type: ignore[arg-type]
