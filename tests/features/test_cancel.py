"""Cancel: at every state, at once; refused with the reason while the run fails or compensates."""

import pytest
from pydantic import BaseModel

from squidmesh import Context, NotAllowed, RetryPolicy, Workflow, approval, event, fixed, manual, pause, step, wait
from tests.features.world import Hand, World, facts_of, seen, work


class Nothing(BaseModel):
    pass


def fails() -> None:
    raise RuntimeError("no")


class Simple(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(lambda: {"done": True})
    more = step(lambda: None)
    flow = act >> more


class Waiting(Workflow):
    version = "1"
    go = manual(Nothing)
    rest = wait(60)
    act = step(lambda: None)
    flow = rest >> act


class Retrying(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(fails, retry=RetryPolicy(max_attempts=3, backoff=fixed(60)))


class Paused(Workflow):
    version = "1"
    go = manual(Nothing)
    hold = pause()
    act = step(lambda: None)
    flow = hold >> act


class Approving(Workflow):
    version = "1"
    go = manual(Nothing)
    gate = approval(timeout=60)
    act = step(lambda: None)
    flow = gate >> act


class Listening(Workflow):
    version = "1"
    go = manual(Nothing)
    ear = event("knock", 60)
    act = step(lambda: None)
    flow = ear >> act


@pytest.mark.parametrize(
    ("workflow", "before"),
    [
        (Simple, "running"),
        (Waiting, "waiting"),
        (Retrying, "retrying"),
        (Paused, "paused"),
        (Approving, "paused"),
        (Listening, "waiting"),
    ],
)
def test_a_run_that_nobody_works_on_is_cancelled_and_nothing_of_it_goes_on(
    world: World, workflow: type[Workflow], before: str
) -> None:
    mesh = world.process(workflow)
    run = mesh.start_run(workflow)
    if workflow is Retrying:
        work(mesh)
    assert mesh.inspect_run(run.run_id).status == before
    done = mesh.cancel_run(run.run_id, actor="sam", comment="enough", key="c")
    assert (done.status, done.current_steps) == ("cancelled", ())
    world.pass_time(100)
    assert work(mesh) == 0
    assert [attempt.status for attempt in seen(mesh, run).attempts] in ([], ["cancelled"], ["failed"])
    why = mesh.explain_run(run.run_id)
    assert (why.reason, why.evidence["actor"]) == ("cancelled", "sam")
    assert mesh.cancel_run(run.run_id, actor="sam", key="c").status == "cancelled", "the same command again"
    with pytest.raises(NotAllowed, match="has ended; it is cancelled"):
        mesh.cancel_run(run.run_id, actor="sam")


def test_a_cancel_fences_the_claim_and_reaches_the_step_within_a_heartbeat(world: World) -> None:
    told: list[tuple[bool, bool]] = []

    def long(context: Context) -> dict[str, bool]:
        told.append((context.lease_lost, context.cancelled))
        return {"done": True}

    class Long(Workflow):
        version = "1"
        go = manual(Nothing)
        act = step(long)
        more = step(lambda: None)
        flow = act >> more

    mesh = world.process(Long)
    run = mesh.start_run(Long.go)
    worker = Hand(world.process(Long), "worker")
    assert worker.claim() == ["act"]
    mesh.cancel_run(run.run_id, actor="sam")
    (assignment,) = worker.claimed
    assert not assignment.lost
    worker.beat()
    assert assignment.lost
    assert assignment.lost.closed
    worker.run()
    worker.record()
    done = seen(mesh, run)
    assert (done.status, done.output) == ("cancelled", {})
    assert told == [], "a step whose attempt is closed does not begin"
    assert work(mesh) == 0


def test_a_result_that_comes_after_the_cancel_is_refused(world: World) -> None:
    mesh = world.process(Simple)
    run = mesh.start_run(Simple.go)
    worker = Hand(world.process(Simple), "worker")
    worker.claim()
    worker.run()
    mesh.cancel_run(run.run_id, actor="sam")
    worker.record()
    done = seen(mesh, run)
    assert (done.status, done.output) == ("cancelled", {})
    assert world.notices.of("stale_write_refused")
    assert facts_of(done, "AttemptCompleted") == []


def test_a_dead_letter_is_closed_by_the_cancel_of_its_run(world: World) -> None:
    mesh = world.process(Simple, max_deliveries=1)
    run = mesh.start_run(Simple.go)
    doomed = Hand(world.process(Simple, max_deliveries=1), "doomed")
    doomed.claim()
    doomed.die()
    world.pass_time(31)
    work(mesh)
    assert len(mesh.list_dead_letters().dead_letters) == 1
    mesh.cancel_run(run.run_id, actor="sam")
    assert mesh.list_dead_letters().dead_letters == ()
    assert work(mesh) == 0


class Failing(Workflow):
    version = "1"
    go = manual(Nothing)
    bad = step(fails)
    slow = step(lambda: None)
    end = step(lambda: None, after=[bad, slow])


def test_a_run_that_fails_is_not_cancelled_and_says_why(world: World) -> None:
    mesh = world.process(Failing)
    run = mesh.start_run(Failing.go)
    worker = Hand(world.process(Failing), "worker", capacity=2)
    worker.claim()
    worker.run(lambda assignment: assignment.spec.name == "bad")
    worker.record()
    with pytest.raises(NotAllowed, match=r"is failing: bad failed \(step_failed\)"):
        mesh.cancel_run(run.run_id, actor="sam")
    worker.run()
    worker.record()
    assert seen(mesh, run).status == "failed"


def test_a_step_that_runs_sees_the_cancel_at_its_next_heartbeat(world: World) -> None:
    told: list[bool] = []

    def long(context: Context) -> None:
        told.append(context.cancelled)
        operator.cancel_run(context.run_id, actor="sam")
        worker.beat()
        told.append(context.cancelled)

    class Long(Workflow):
        version = "1"
        go = manual(Nothing)
        act = step(long)

    operator = world.process(Long)
    run = operator.start_run(Long.go)
    worker = Hand(world.process(Long), "worker")
    worker.claim()
    worker.run()
    worker.record()
    assert told == [False, True]
    assert seen(operator, run).status == "cancelled"
