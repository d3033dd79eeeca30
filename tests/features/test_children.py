"""Child runs: started once by whichever attempt, fenced like every write, heard once, cancelled with their parent."""

from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import (
    Context,
    GiveUp,
    KeyReused,
    RetryPolicy,
    StaleClaim,
    Workflow,
    fixed,
    manual,
    step,
    wait_for_children,
)
from tests.features.world import Hand, World, facts_of, seen, work


class Guest(BaseModel):
    name: str = "Frodo"


class Invite(Workflow):
    version = "1"
    send = manual(Guest)
    write = step(lambda name: {"letter": f"Dear {name}"}, input=["name"])


class Party(BaseModel):
    guests: list[str] = ["Frodo", "Sam"]


def invite_all(guests: list[str], context: Context) -> dict[str, Any]:
    return {"runs": [context.start_child_run(Invite.send, Guest(name=guest), key=guest) for guest in guests]}


class Feast(Workflow):
    version = "1"
    plan = manual(Party)
    invite = step(invite_all)
    answers = wait_for_children(output="answers")
    feast = step(lambda answers: {"came": answers["completed"]}, input=["answers"])
    flow = invite >> answers >> feast


def test_children_have_their_own_history_and_lineage_both_ways(world: World) -> None:
    mesh = world.process(Feast, Invite)
    run = mesh.start_run(Feast.plan, queue="feasts", priority=2)
    worker = world.process(Feast, Invite, queue="feasts")
    work(worker)
    done = seen(mesh, run)
    assert (done.status, done.output and done.output["came"]) == ("completed", 2)
    assert [(child.key, child.status, child.workflow) for child in done.children] == [
        ("Frodo", "completed", "Invite"),
        ("Sam", "completed", "Invite"),
    ]
    child = seen(mesh, done.children[0].run_id)
    assert child.parent_run is not None
    assert (child.parent_run.run_id, child.parent_run.step, child.parent_run.key) == (run.run_id, "invite", "Frodo")
    assert (child.output, child.queue, child.priority) == ({"letter": "Dear Frodo"}, "feasts", 2)
    assert done.output is not None
    assert done.output["runs"] == [link.run_id for link in done.children]


def test_waiting_for_children_holds_no_slot(world: World) -> None:
    mesh = world.process(Feast, Invite)
    run = mesh.start_run(Feast.plan)
    mesh.execute_next(owner_id="w")
    waiting = seen(mesh, run)
    assert (waiting.status, waiting.current_steps) == ("waiting", ("answers",))
    why = mesh.explain_run(run.run_id)
    assert (why.reason, why.evidence["left"]) == ("children", 2)
    work(mesh)
    assert seen(mesh, run).status == "completed"


def flaky(guests: list[str], context: Context) -> dict[str, Any]:
    found = [context.start_child_run("Invite", {"name": guest}, key=guest) for guest in guests]
    if context.attempt == 1:
        raise RuntimeError("after both were started")
    return {"runs": found}


class Flaky(Workflow):
    version = "1"
    plan = manual(Party)
    invite = step(flaky, retry=RetryPolicy(max_attempts=2, backoff=fixed(1)))


def test_a_retry_of_the_parent_step_finds_the_same_children(world: World) -> None:
    mesh = world.process(Flaky, Invite)
    run = mesh.start_run(Flaky.plan)
    work(mesh)
    world.pass_time(2)
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, len(done.children), len(facts_of(done, "ChildStarted"))) == ("completed", 2, 2)
    assert mesh.count_runs(workflow="Invite") == {"completed": 2}


def test_a_crash_between_the_start_and_the_result_starts_no_second_child(world: World) -> None:
    mesh = world.process(Feast, Invite)
    run = mesh.start_run(Feast.plan)
    doomed = Hand(world.process(Feast, Invite), "doomed", capacity=1)
    doomed.claim()
    doomed.run()
    doomed.die()
    assert len(seen(mesh, run).children) == 2
    world.pass_time(31)
    work(mesh)
    assert seen(mesh, run).status == "completed"
    assert mesh.count_runs(workflow="Invite") == {"completed": 2}


def test_a_stale_attempt_starts_no_child(world: World) -> None:
    caught: list[Exception] = []

    def late(context: Context) -> None:
        try:
            context.start_child_run(Invite, {}, key="late")
        except StaleClaim as error:
            caught.append(error)
            raise

    class Late(Workflow):
        version = "1"
        plan = manual(Party)
        act = step(late)

    mesh = world.process(Late, Invite)
    run = mesh.start_run(Late.plan)
    zombie = Hand(world.process(Late, Invite), "zombie", capacity=1)
    zombie.claim()
    world.pass_time(31)
    other = Hand(world.process(Late, Invite), "other", capacity=1)
    assert other.claim() == ["act"]
    zombie.run()
    zombie.record()
    assert len(caught) == 1
    assert mesh.count_runs(workflow="Invite") == {}
    other.run()
    other.record()
    assert [child.key for child in seen(mesh, run).children] == ["late"]
    work(mesh)


def test_the_same_key_with_another_payload_is_refused(world: World) -> None:
    def twice(context: Context) -> None:
        context.start_child_run(Invite, {"name": "Frodo"}, key="k")
        try:
            context.start_child_run(Invite, {"name": "Gollum"}, key="k")
        except KeyReused as error:
            raise GiveUp("refused") from error

    class Twice(Workflow):
        version = "1"
        plan = manual(Party)
        act = step(twice)

    mesh = world.process(Twice, Invite)
    run = mesh.start_run(Twice.plan)
    work(mesh)
    done = seen(mesh, run)
    assert (done.failure and done.failure.error, len(done.children)) == ("give_up", 1)


@pytest.mark.parametrize("children", ["cancel", "leave"])
def test_a_cancel_reaches_the_children_or_leaves_them(world: World, children: Any) -> None:
    mesh = world.process(Feast, Invite)
    run = mesh.start_run(Feast.plan)
    mesh.execute_next(owner_id="w")
    mesh.cancel_run(run.run_id, actor="sam", children=children)
    later = world.process(Feast, Invite)
    work(later)
    ends = {"cancel": {"cancelled": 2}, "leave": {"completed": 2}}
    assert later.count_runs(workflow="Invite") == ends[children]
    if children == "cancel":
        child = seen(later, seen(later, run).children[0].run_id)
        assert child.audit[0].actor == f"run {run.run_id}"


def test_the_end_of_a_child_is_heard_however_it_ends(world: World) -> None:
    def refuse(name: str) -> None:
        if name == "Gollum":
            raise RuntimeError("no")

    class Shy(Workflow):
        version = "1"
        send = manual(Guest)
        act = step(refuse)

    def ask(context: Context) -> None:
        for name in ("Gollum", "Sam"):
            context.start_child_run(Shy, {"name": name}, key=name)

    class Mixed(Workflow):
        version = "1"
        plan = manual(Party)
        begin = step(ask)
        heard = wait_for_children(output="heard")
        flow = begin >> heard

    mesh = world.process(Mixed, Shy)
    run = mesh.start_run(Mixed.plan)
    work(mesh)
    done = seen(mesh, run)
    assert done.output is not None
    assert {name: done.output["heard"][name] for name in ("completed", "failed", "cancelled")} == {
        "completed": 1,
        "failed": 1,
        "cancelled": 0,
    }


def test_a_child_is_retried_cancelled_and_replayed_by_itself(world: World) -> None:
    mesh = world.process(Feast, Invite)
    run = mesh.start_run(Feast.plan)
    mesh.execute_next(owner_id="w")
    first, second = seen(mesh, run).children
    mesh.cancel_run(first.run_id, actor="sam")
    work(mesh)
    assert [child.status for child in seen(mesh, run).children] == ["cancelled", "completed"]
    again = mesh.replay_run(second.run_id, actor="sam")
    work(mesh)
    assert seen(mesh, again).output == {"letter": "Dear Sam"}
    assert (again.replay_of, again.parent_run) == (second.run_id, None)


def test_a_child_may_have_another_trigger_queue_and_metadata_than_its_parent(world: World) -> None:
    class Letter(Workflow):
        version = "1"
        by_hand = manual(Guest)
        by_eagle = manual(Guest)
        write = step(lambda name: {"letter": name}, input=["name"])

    def ask(context: Context) -> None:
        said: dict[str, Any] = {"key": "k", "trigger": "by_eagle", "queue": "eagles", "metadata": {"tenant": "bree"}}
        context.start_child_run(Letter, {"name": "Sam"}, **said)

    class Asking(Workflow):
        version = "1"
        plan = manual(Party)
        begin = step(ask)

    mesh = world.process(Asking, Letter)
    run = mesh.start_run(Asking.plan)
    work(mesh)
    (link,) = seen(mesh, run).children
    child = seen(mesh, link.run_id)
    assert (child.trigger, child.queue, child.metadata) == ("by_eagle", "eagles", {"tenant": "bree"})
    assert child.status == "running", "nobody works on its queue yet"
    work(world.process(Asking, Letter, queue="eagles"))
    assert seen(mesh, link.run_id).status == "completed"
