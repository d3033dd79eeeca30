"""Async steps take no thread, are told when they shall end, and hold up nobody but each other."""

import asyncio
import threading
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar, Token
from datetime import timedelta
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from squidmesh import Context, GiveUp, Mesh, Snooze, Workflow, manual, step
from squidmesh.ids import AttemptKey, ClaimId, RunId
from squidmesh.journal.facts import StepError
from squidmesh.ports.instrument import Instrument, StepOutcome, StepSeen
from squidmesh.ports.lease_backend import Claim
from squidmesh.runtime.context import LeaseFlag
from squidmesh.runtime.coroutines import AsyncLoop
from squidmesh.runtime.invoke import Assignment, Completed, Failed, Outcome, Snoozed, TimedOut, Unstarted
from squidmesh.runtime.slots import WorkerSlots
from squidmesh.workflow.registry import Registry
from tests.unit.runtime.rig import LEASE

WAIT = 20.0


class Nothing(BaseModel):
    pass


class NoVerbs:
    def start_child_run(self, *args: Any, **given: Any) -> str:
        raise AssertionError("this step starts no child runs")


def assignment(fn: Callable[..., Any], *, timeout: float | None = None, number: int = 0) -> Assignment:
    class One(Workflow):
        version = "1"
        go = manual(Nothing)
        act = step(fn, output="told", timeout=timeout)

    registered = Registry([One]).get("One")
    assert registered is not None
    bound = registered.steps["act"]
    claim = Claim(
        item=AttemptKey(f"{number}/act#1"),
        queue="default",
        owner="sam@1",
        claim_id=ClaimId(f"c:{number}"),
        generation=0,
        fence=1,
        lease=LEASE,
        incarnation="i",
    )
    return Assignment(
        claim=claim,
        run_id=RunId(f"{number}"),
        workflow="One",
        spec=bound.step,
        step=bound,
        attempt=1,
        delivery=1,
        inputs={},
        context={},
        payload_fields=frozenset(),
        lost=LeaseFlag(),
        asked_at=0.0,
        trigger="go",
        activation=None,
    )


@pytest.fixture
def loop() -> Iterator[AsyncLoop]:
    loop = AsyncLoop()
    yield loop
    loop.close()


def begin(loop: AsyncLoop, work: Assignment) -> Callable[[], Outcome]:
    ended: list[Outcome] = []
    there = threading.Event()

    def end(outcome: Outcome) -> None:
        ended.append(outcome)
        there.set()

    loop.begin(work, NoVerbs(), end)

    def outcome() -> Outcome:
        assert there.wait(WAIT)
        return ended[0]

    return outcome


def test_a_thousand_steps_take_one_thread(loop: AsyncLoop) -> None:
    together = asyncio.Event()
    arrived: list[int] = []

    async def act() -> str:
        arrived.append(1)
        if len(arrived) == 1000:
            together.set()
        await together.wait()
        return threading.current_thread().name

    before = threading.active_count()
    work = assignment(act)
    waits = [begin(loop, structs.replace(work, attempt=n)) for n in range(1000)]
    outcomes = [wait() for wait in waits]
    assert threading.active_count() <= before + 1
    assert all(isinstance(outcome, Completed) and outcome.output == {"told": "squidmesh-async"} for outcome in outcomes)


def test_its_outcomes_are_what_they_are_elsewhere(loop: AsyncLoop) -> None:
    async def gives_up() -> None:
        raise GiveUp("enough")

    async def snoozes() -> None:
        raise Snooze(after=3)

    async def leaves() -> None:
        raise SystemExit(7)

    async def interrupts() -> None:
        raise KeyboardInterrupt

    async def odd() -> int:
        return "seven"  # type: ignore[return-value]

    given_up, left = loop.carry(assignment(gives_up), NoVerbs()), loop.carry(assignment(leaves), NoVerbs())
    assert isinstance(given_up, Failed) and not given_up.retryable
    assert isinstance(left, Failed) and left.error.type == "SystemExit"
    snoozed = loop.carry(assignment(snoozes), NoVerbs())
    assert isinstance(snoozed, Snoozed) and snoozed.after == timedelta(seconds=3)
    interrupted = loop.carry(assignment(interrupts), NoVerbs())
    assert isinstance(interrupted, Failed) and interrupted.error.type == "KeyboardInterrupt"
    refused = loop.carry(assignment(odd), NoVerbs())
    assert isinstance(refused, Failed) and refused.error.code == "invalid_output"


class Cancellable:
    """Waits, and tells what came of it."""

    def __init__(self) -> None:
        self.began, self.cancelled = threading.Event(), 0
        self.saw_it_lost = False

    async def act(self, context: Context) -> str:
        self.began.set()
        try:
            await asyncio.sleep(WAIT)
        except asyncio.CancelledError:
            self.cancelled += 1
            self.saw_it_lost = context.lease_lost
            await asyncio.sleep(0)  # it has the time to end properly
            raise
        return "slept"


def test_it_is_cancelled_when_its_lease_is_lost(loop: AsyncLoop) -> None:
    step = Cancellable()
    work = assignment(step.act)
    outcome = begin(loop, work)
    assert step.began.wait(WAIT)
    work.lost.set()
    work.lost.set(closed=True)
    ended = outcome()
    assert isinstance(ended, Failed) and ended.error.type == "CancelledError"
    assert (step.cancelled, step.saw_it_lost) == (1, True)


def test_it_is_cancelled_when_its_time_is_up(loop: AsyncLoop) -> None:
    step = Cancellable()
    assert isinstance(loop.carry(assignment(step.act, timeout=0.05), NoVerbs()), TimedOut)
    assert (step.cancelled, step.saw_it_lost) == (1, False)


def test_what_it_gives_back_all_the_same_is_for_the_journal_to_judge(loop: AsyncLoop) -> None:
    async def stubborn() -> str:
        try:
            await asyncio.sleep(WAIT)
        except asyncio.CancelledError:
            return "done"
        return "slept"

    assert isinstance(loop.carry(assignment(stubborn, timeout=0.05), NoVerbs()), Completed)


def test_nothing_begins_under_a_lease_that_is_lost(loop: AsyncLoop) -> None:
    work = assignment(Cancellable().act)
    work.lost.set()
    assert isinstance(loop.carry(work, NoVerbs()), Unstarted)


def test_the_end_of_the_loop_cancels_what_runs() -> None:
    loop, step = AsyncLoop(), Cancellable()
    outcome = begin(loop, assignment(step.act))
    assert step.began.wait(WAIT)
    loop.close()
    assert isinstance(outcome(), Failed)
    assert step.cancelled == 1


def test_who_waits_for_a_blocked_loop_is_let_go_at_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("squidmesh.runtime.coroutines._LAST_WAIT", 0.1)
    loop, began, go_on = AsyncLoop(), threading.Event(), threading.Event()

    async def blocks() -> None:
        began.set()
        go_on.wait(WAIT)

    ended: list[Outcome] = []
    waiter = threading.Thread(target=lambda: ended.append(loop.carry(assignment(blocks), NoVerbs())))
    waiter.start()
    assert began.wait(WAIT)
    loop.close()
    waiter.join(WAIT)
    go_on.set()
    (outcome,) = ended
    assert isinstance(outcome, Failed) and outcome.error.type == "CancelledError"


# ------------------------------------------------------------------------------------------------------------ slots


class Carry:
    """Async assignments on the loop; others wait at a gate, in whatever thread they are given."""

    def __init__(self, loop: AsyncLoop) -> None:
        self._loop = loop
        self.gate = threading.Event()

    def __call__(self, assignment: Assignment) -> Outcome:
        assert self.gate.wait(WAIT)
        return Completed(assignment=assignment, output={})

    def begin(self, assignment: Assignment, ended: Callable[[Outcome], None]) -> bool:
        if assignment.step.is_async:
            self._loop.begin(assignment, NoVerbs(), ended)
        return assignment.step.is_async


def drained(slots: WorkerSlots, woken: threading.Semaphore, number: int) -> list[Outcome]:
    found: list[Outcome] = []
    while len(found) < number:
        assert woken.acquire(timeout=WAIT)
        found += slots.drain()
    return found


def test_a_thread_is_made_when_a_step_needs_one_and_none_is_free(loop: AsyncLoop) -> None:
    async def quick() -> None: ...

    carry, woken = Carry(loop), threading.Semaphore(0)
    slots = WorkerSlots(100, carry=carry, wake=woken.release)
    for number in range(20):
        slots.submit(assignment(quick, number=number))
    drained(slots, woken, 20)
    assert slots._threads == []
    for number in range(3):
        slots.submit(assignment(lambda: None, number=number))
    assert len(slots._threads) == 3
    carry.gate.set()
    drained(slots, woken, 3)
    for number in range(9):
        slots.submit(assignment(lambda: None, number=number))
        drained(slots, woken, 1)
    assert len(slots._threads) == 3, "those that are free are used again"
    slots.close()


def test_a_blocked_loop_holds_up_no_plain_step(loop: AsyncLoop) -> None:
    go_on = threading.Event()

    async def blocks() -> None:
        time.sleep(0)  # noqa: ASYNC251
        go_on.wait(WAIT)

    carry, woken = Carry(loop), threading.Semaphore(0)
    carry.gate.set()
    slots = WorkerSlots(2, carry=carry, wake=woken.release)
    slots.submit(assignment(blocks))
    slots.submit(assignment(lambda: None, number=1))
    (outcome,) = drained(slots, woken, 1)
    assert outcome.assignment.key == "1/act#1"
    go_on.set()
    drained(slots, woken, 1)
    slots.close()


class Ear(Instrument):
    """Hears of steps, and in which task."""

    def __init__(self) -> None:
        self.heard: list[tuple[str, object]] = []

    def step_begins(self, step: StepSeen) -> object:
        self.heard.append(("begins", asyncio.current_task()))
        return _HERE.set(step.step)

    def step_ends(
        self, step: StepSeen, begun: object, *, outcome: StepOutcome, error: StepError | None, seconds: float
    ) -> None:
        self.heard.append((outcome, asyncio.current_task()))
        assert isinstance(begun, Token)
        _HERE.reset(begun)


_HERE: ContextVar[str] = ContextVar("here", default="nowhere")


async def _tell_where() -> str:
    await asyncio.sleep(0)
    return _HERE.get()


class Told(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(_tell_where, output="where")


def test_an_instrument_stands_in_the_context_of_the_step() -> None:
    """So a trace, or the ids that logs are bound to, is there in the step's own code."""
    ear = Ear()
    with Mesh.connect("memory://", workflows=[Told]) as mesh:
        mesh.observe(ear)
        run = mesh.start_run(Told)
        with mesh.worker(concurrency=1):
            assert mesh.wait_for(run.run_id, timeout=WAIT).output == {"where": "act"}
    (begins, first), (outcome, last) = ear.heard
    assert (begins, outcome) == ("begins", "completed")
    assert first is last
    assert first is not None
