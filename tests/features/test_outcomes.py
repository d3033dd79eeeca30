"""What a step may say, and what becomes of it: retries, snoozes, giving up; built-in steps."""

from typing import Any, NotRequired

import pytest
from pydantic import BaseModel
from typing_extensions import TypedDict

from squidmesh import (
    Context,
    GiveUp,
    RetryLater,
    RetryPolicy,
    Snooze,
    Workflow,
    complete,
    exponential,
    log,
    manual,
    step,
    value,
    wait,
)
from tests.features.world import World, facts_of, seen, work


class Order(BaseModel):
    amount: int = 5


def one_step(fn: Any, **settings: Any) -> type[Workflow]:
    return type("One", (Workflow,), {"version": "1", "go": manual(Order), "act": step(fn, **settings)})


def test_a_failure_is_retried_with_the_policys_delays_until_it_is_spent(world: World) -> None:
    def fails() -> None:
        raise RuntimeError("no")

    One = one_step(fails, retry=RetryPolicy(max_attempts=3, backoff=exponential(min=1, max=30)))
    mesh = world.process(One)
    run = mesh.start_run("One")
    for pause in (1, 2, 0):
        assert work(mesh) == 1
        assert seen(mesh, run).status == ("retrying" if pause else "failed")
        world.pass_time(pause)
    done = seen(mesh, run)
    assert done.status == "failed"
    delays = [
        (later["visible_at"] - earlier.at).total_seconds()
        for earlier, later in zip(
            [event for event in done.history or () if event.kind == "AttemptFailed"],
            [fact for fact in facts_of(done, "AttemptScheduled") if fact["cause"] == "retry"],
            strict=False,
        )
    ]
    assert delays == [1, 2]


def test_retry_later_spends_an_attempt_and_overrides_the_backoff_once(world: World) -> None:
    def later(context: Context) -> None:
        if context.attempt == 1:
            raise RetryLater(after=100)

    One = one_step(later, retry=RetryPolicy(max_attempts=2))
    mesh = world.process(One)
    run = mesh.start_run("One")
    work(mesh)
    world.pass_time(99)
    assert work(mesh) == 0
    world.pass_time(2)
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.attempts[0].attempt) == ("completed", 2)


def test_retry_later_without_a_policy_gives_up(world: World) -> None:
    def later() -> None:
        raise RetryLater(after=100)

    One = one_step(later)
    mesh = world.process(One)
    run = mesh.start_run("One")
    work(mesh)
    assert seen(mesh, run).status == "failed"


def test_give_up_fails_whatever_the_policy_says(world: World) -> None:
    def give_up() -> None:
        raise GiveUp("no use")

    One = one_step(give_up, retry=RetryPolicy(max_attempts=9))
    mesh = world.process(One)
    run = mesh.start_run("One")
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.attempts[0].attempt, done.failure and done.failure.error) == ("failed", 1, "give_up")


def test_a_snooze_spends_no_attempt_and_is_bounded(world: World) -> None:
    def snooze() -> None:
        raise Snooze(after=10)

    One = one_step(snooze)
    mesh = world.process(One, max_snoozes=2)
    run = mesh.start_run("One")
    for _ in range(3):
        work(mesh)
        assert seen(mesh, run).attempts[0].attempt == 1
        world.pass_time(11)
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.failure and done.failure.error) == ("failed", "too_many_snoozes")


def test_a_snooze_is_bounded_by_the_runs_deadline_too(world: World) -> None:
    def snooze() -> None:
        raise Snooze(after=10)

    One = one_step(snooze)
    One.timeout = 25
    mesh = world.process(One)
    run = mesh.start_run("One")
    for _ in range(4):
        work(mesh)
        world.pass_time(11)
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.failure and done.failure.code) == ("failed", "deadline_exceeded")


def test_a_log_step_tells_the_observer_and_holds_no_slot(world: World) -> None:
    class Told(Workflow):
        version = "1"
        go = manual(Order)
        first = log("the gates are open", level="warning")
        rest = wait(5)
        last = log("closed")
        flow = first >> rest >> last

    mesh = world.process(Told)
    run = mesh.start_run(Told.go)
    work(mesh)
    world.pass_time(6)
    work(mesh)
    assert seen(mesh, run).status == "completed"
    told = [(one["message"], one["level"], one["step"]) for one in world.notices.of("workflow_log")]
    assert told == [("the gates are open", "warning", "first"), ("closed", "info", "last")]


class Parcel(TypedDict):
    weight: int
    note: NotRequired[str]


def test_a_typed_output_is_validated_before_it_goes_under_its_key(world: World) -> None:
    def typed(amount: int) -> Parcel:
        return {"weight": "heavy"} if amount > 9 else {"weight": amount}  # type: ignore[typeddict-item]

    One = one_step(typed, output="parcel", retry=RetryPolicy(max_attempts=3))
    mesh = world.process(One)
    good, bad = mesh.start_run("One", {"amount": 3}), mesh.start_run("One", {"amount": 10})
    work(mesh)
    assert seen(mesh, good).output == {"parcel": {"weight": 3}}
    failed = seen(mesh, bad)
    assert (failed.failure and failed.failure.error, failed.attempts[0].attempt) == ("invalid_output", 1)


def test_a_missing_path_of_an_input_mapping_fails_the_attempt_before_the_step_runs(world: World) -> None:
    ran: list[int] = []

    def first() -> dict[str, Any]:
        return {"account": {}}

    def second(account_id: str) -> None:
        ran.append(1)

    class Mapped(Workflow):
        version = "1"
        go = manual(Order)
        load = step(first)
        use = step(second, input={"account_id": "account.id"})
        flow = load >> use

    mesh = world.process(Mapped)
    run = mesh.start_run(Mapped.go)
    work(mesh)
    done = seen(mesh, run)
    assert (ran, done.failure and done.failure.error) == ([], "missing_input")


@pytest.mark.parametrize(("amount", "expected"), [(1, "few"), (5, "five"), (50, "many"), (7, "some"), (8, "some")])
def test_conditions_are_tried_in_declaration_order_with_a_fallback(world: World, amount: int, expected: str) -> None:
    class Routed(Workflow):
        version = "1"
        go = manual(Order)
        look = step(lambda: None)
        few = step(lambda: {"went": "few"})
        five = step(lambda: {"went": "five"})
        many = step(lambda: {"went": "many"})
        some = step(lambda: {"went": "some"})
        flow = (
            look.to(few, when=value("amount") < 3),
            look.to(many, when=value("amount") > 40),
            look.to(five, when=value("amount") == 5),
            look.to(some, when=value("amount").in_([7, 8])),
            look.to(complete),
        )

    mesh = world.process(Routed)
    run = mesh.start_run(Routed.go, Order(amount=amount))
    work(mesh)
    done = seen(mesh, run)
    assert done.output == {"went": expected}
    assert [fact["target"] for fact in facts_of(done, "RouteTaken")] == [expected]


def test_where_no_condition_holds_and_there_is_no_fallback_the_run_fails(world: World) -> None:
    class Dead(Workflow):
        version = "1"
        go = manual(Order)
        look = step(lambda: None)
        end = step(lambda: None)
        flow = look.to(end, when=value("amount") != 5)

    mesh = world.process(Dead)
    run = mesh.start_run(Dead.go)
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.failure and done.failure.code) == ("failed", "no_matching_transition")
