"""Deadlines of steps and of runs: they fire after any restart, once, and close what is open."""

from datetime import timedelta

from pydantic import BaseModel

from squidmesh import RetryPolicy, Workflow, fixed, manual, step, wait
from tests.features.world import Hand, World, facts_of, seen, work


class Nothing(BaseModel):
    pass


class Slow(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(lambda: {"done": True}, timeout=10, retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))


def test_a_step_that_takes_too_long_has_failed_and_is_retried_as_its_policy_says(world: World) -> None:
    mesh = world.process(Slow)
    run = mesh.start_run(Slow.go)
    slow = Hand(world.process(Slow), "slow")
    slow.claim()
    world.pass_time(11)
    later = world.process(Slow)
    assert work(later) == 0
    assert seen(later, run).status == "retrying"
    (assignment,) = slow.claimed
    slow.beat()
    assert assignment.lost.closed, "the step is told"
    slow.run()
    slow.record()
    assert seen(later, run).output == {}, "what it still gives is refused"
    world.pass_time(2)
    work(later)
    done = seen(later, run)
    assert (done.status, done.output) == ("completed", {"done": True})
    (passed,) = facts_of(done, "AttemptTimedOut")
    assert (passed["error"]["code"], passed["final"]) == ("timed_out", False)


def test_a_step_whose_attempts_all_take_too_long_fails_for_good(world: World) -> None:
    mesh = world.process(Slow)
    run = mesh.start_run(Slow.go)
    for _ in range(2):
        slow = Hand(world.process(Slow), "slow")
        assert slow.claim() == ["act"]
        world.pass_time(12)
        work(mesh)
        slow.die()
        world.pass_time(2)
    done = seen(mesh, run)
    assert (done.status, done.failure and done.failure.error) == ("failed", "timed_out")


def test_a_step_that_is_in_time_is_left_alone(world: World) -> None:
    mesh = world.process(Slow)
    run = mesh.start_run(Slow.go)
    work(mesh)
    world.pass_time(100)
    work(mesh)
    assert facts_of(seen(mesh, run), "AttemptTimedOut") == []


def test_a_takeover_has_the_whole_time_again(world: World) -> None:
    class Long(Workflow):
        version = "1"
        go = manual(Nothing)
        act = step(lambda: {"done": True}, timeout=40)

    mesh = world.process(Long)
    run = mesh.start_run(Long.go)
    doomed = Hand(world.process(Long), "doomed")
    doomed.claim()
    doomed.die()
    world.pass_time(31)
    other = Hand(world.process(Long), "other")
    assert other.claim() == ["act"]
    world.pass_time(20)
    other.beat()
    assert work(mesh) == 0
    other.run()
    other.record()
    assert seen(mesh, run).status == "completed"


class Bounded(Workflow):
    version = "1"
    timeout = timedelta(minutes=1)
    go = manual(Nothing)
    rest = wait(3600)
    act = step(lambda: None)
    flow = rest >> act


def test_a_run_that_has_not_ended_at_its_deadline_fails(world: World) -> None:
    run = world.process(Bounded).start_run(Bounded.go)
    world.pass_time(61)
    mesh = world.process(Bounded)
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.failure and done.failure.code) == ("failed", "deadline_exceeded")
    assert mesh.explain_run(run.run_id).reason == "deadline_exceeded"
    world.pass_time(7200)
    assert work(mesh) == 0


def test_a_run_that_was_started_with_a_delay_has_its_whole_time_from_then(world: World) -> None:
    mesh = world.process(Bounded)
    run = mesh.start_run(Bounded.go, delay=100)
    world.pass_time(120)
    work(mesh)
    assert seen(mesh, run).status == "waiting"
    world.pass_time(50)
    work(mesh)
    assert seen(mesh, run).status == "failed"


def test_the_deadline_of_a_run_closes_also_what_is_claimed(world: World) -> None:
    undone: list[str] = []

    class Stuck(Workflow):
        version = "1"
        timeout = 60
        go = manual(Nothing)
        first = step(lambda: {"first": 1}, compensate=lambda: undone.append("first"))
        stuck = step(lambda: None)
        flow = first >> stuck

    mesh = world.process(Stuck)
    run = mesh.start_run(Stuck.go)
    mesh.execute_next(owner_id="w")
    worker = Hand(world.process(Stuck), "worker")
    worker.claim()
    for _ in range(4):
        world.pass_time(20)
        worker.beat()
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, undone) == ("failed", ["first"])
    worker.run()
    worker.record()
    assert seen(mesh, run).revision == done.revision
