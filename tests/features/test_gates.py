"""Approvals, pauses and events: each moves only by a word that is itself a fact (I17)."""

from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import (
    Decision,
    KeyReused,
    NotAllowed,
    NotWaiting,
    Workflow,
    approval,
    complete,
    event,
    manual,
    pause,
    step,
    value,
)
from tests.features.world import World, facts_of, seen, work


class Nothing(BaseModel):
    pass


class Council(Workflow):
    version = "1"
    call = manual(Nothing)
    council = approval(output="word", timeout=60)
    go = step(lambda: {"went": True})
    home = step(lambda: {"home": True})
    late = step(lambda: {"late": True})
    flow = (council >> go, council.on_reject(home), council.on_timeout(late))


def test_a_decision_its_actor_comment_and_time_are_facts(world: World) -> None:
    mesh = world.process(Council)
    run = mesh.start_run(Council.call)
    world.pass_time(5)
    mesh.approve_run(run.run_id, actor="elrond", comment="verified", metadata={"ring": 1})
    work(mesh)
    done = seen(mesh, run)
    assert done.output is not None
    word = done.output["word"]
    assert (word["decision"], word["actor"], word["comment"], word["metadata"]) == (
        "approved",
        "elrond",
        "verified",
        {"ring": 1},
    )
    (said,) = done.audit
    assert (said.action, said.step, said.actor, said.comment, said.metadata) == (
        "approved",
        "council",
        "elrond",
        "verified",
        {"ring": 1},
    )
    assert (said.at - done.started_at).total_seconds() == 5


def test_a_gate_survives_a_deploy(world: World) -> None:
    run = world.process(Council).start_run(Council.call)
    mesh = world.process(Council)
    assert mesh.explain_run(run.run_id).reason == "approval"
    assert mesh.reject_run(run.run_id, actor="elrond").status == "running"
    work(mesh)
    done = seen(mesh, run)
    assert (done.status, done.output and done.output["home"]) == ("completed", True)


def test_the_same_key_again_gives_the_first_result_and_is_counted(world: World) -> None:
    mesh = world.process(Council)
    run = mesh.start_run(Council.call)
    first = mesh.approve_run(run.run_id, actor="elrond", key="k")
    again = mesh.approve_run(run.run_id, actor="elrond", key="k")
    assert again.gates == first.gates
    assert [(one.verb, one.key, one.repeats) for one in again.command_history] == [("approve", "k", 1)]
    with pytest.raises(KeyReused):
        mesh.reject_run(run.run_id, actor="elrond", key="k")
    work(mesh)
    assert mesh.approve_run(run.run_id, actor="elrond", key="k").command_history[0].repeats == 1, "it has ended"


def test_of_two_operators_at_once_one_wins_and_the_other_is_told(world: World) -> None:
    one, other = world.process(Council), world.process(Council)
    run = one.start_run(Council.call)
    assert other.inspect_run(run.run_id).status == "paused"
    one.approve_run(run.run_id, actor="elrond")
    with pytest.raises(NotWaiting, match="council was approved already, by elrond"):
        other.reject_run(run.run_id, actor="saruman")


def test_a_deadline_takes_its_own_route_after_any_restart(world: World) -> None:
    run = world.process(Council).start_run(Council.call)
    mesh = world.process(Council)
    world.pass_time(59)
    work(mesh)
    assert seen(mesh, run).status == "paused"
    world.pass_time(2)
    later = world.process(Council)
    work(later)
    done = seen(later, run)
    assert (done.status, done.output) == ("completed", {"late": True})
    assert [gate.status for gate in done.gates] == ["timed_out"]
    with pytest.raises(NotWaiting, match="its time had passed"):
        later.approve_run(run.run_id, actor="elrond")


def test_a_deadline_that_was_answered_does_not_fire(world: World) -> None:
    mesh = world.process(Council)
    run = mesh.start_run(Council.call)
    mesh.approve_run(run.run_id, actor="elrond")
    world.pass_time(100)
    work(mesh)
    assert seen(mesh, run).output is not None
    assert "late" not in (seen(mesh, run).output or {})


class Strict(Workflow):
    version = "1"
    call = manual(Nothing)
    council = approval(timeout=60)
    go = step(lambda: None)
    flow = council >> go


def test_without_a_route_a_time_out_or_a_rejection_fails_the_run(world: World) -> None:
    mesh = world.process(Strict)
    late, rejected = mesh.start_run(Strict.call), mesh.start_run(Strict.call)
    mesh.reject_run(rejected.run_id, actor="elrond")
    world.pass_time(61)
    work(mesh)
    failures = [seen(mesh, run).failure for run in (late, rejected)]
    assert [failure and failure.code for failure in failures] == ["timed_out", "rejected"]
    assert mesh.explain_run(late.run_id).reason == "timed_out"


class Breath(Workflow):
    version = "1"
    call = manual(Nothing)
    breath = pause()
    council = approval()
    go = step(lambda: None)
    flow = breath >> council >> go


def test_a_pause_is_resumed_and_not_approved(world: World) -> None:
    mesh = world.process(Breath)
    run = mesh.start_run(Breath.call)
    assert (run.status, mesh.explain_run(run.run_id).reason) == ("paused", "pause")
    with pytest.raises(NotWaiting):
        mesh.approve_run(run.run_id, actor="sam")
    mesh.resume_run(run.run_id, actor="sam", comment="go on", metadata={"n": 1}, key="r")
    assert mesh.resume_run(run.run_id, actor="sam", key="r").command_history[0].repeats == 1
    with pytest.raises(NotWaiting, match="resumed already, by sam"):
        mesh.resume_run(run.run_id, actor="sam")
    mesh.approve_run(run.run_id, actor="sam")
    work(mesh)
    assert seen(mesh, run).status == "completed"


class Two(Workflow):
    version = "1"
    call = manual(Nothing)
    one = approval()
    other = approval()
    end = step(lambda: None, after=[one, other])


def test_where_two_gates_are_open_it_must_be_said_which(world: World) -> None:
    mesh = world.process(Two)
    run = mesh.start_run(Two.call)
    with pytest.raises(NotWaiting, match="say which: one, other"):
        mesh.approve_run(run.run_id, actor="sam")
    mesh.approve_run(run.run_id, actor="sam", step="other")
    mesh.approve_run(run.run_id, actor="sam")
    work(mesh)
    assert seen(mesh, run).status == "completed"


class Parcel(Workflow):
    version = "1"
    call = manual(Nothing)
    prepare = step(lambda: None)
    arrival = event("arrived", 60, output="parcel")
    open_it = step(lambda parcel: {"opened": parcel["from"]}, input=["parcel"])
    lost = step(lambda: {"opened": None})
    flow = (
        prepare >> arrival,
        arrival.to(open_it, when=value("parcel.from").exists()),
        arrival.to(complete),
        arrival.on_timeout(lost),
    )


def test_an_event_is_taken_by_the_step_that_waits_for_it(world: World) -> None:
    mesh = world.process(Parcel)
    run = mesh.start_run(Parcel.call)
    work(mesh)
    assert (seen(mesh, run).status, mesh.explain_run(run.run_id).reason) == ("waiting", "event")
    mesh.send_event(run.run_id, "arrived", {"from": "Bree"}, actor="post")
    work(mesh)
    assert seen(mesh, run).output == {"parcel": {"from": "Bree"}, "opened": "Bree"}


def test_an_event_that_comes_before_its_step_waits_is_kept_over_restarts(world: World) -> None:
    mesh = world.process(Parcel)
    run = mesh.start_run(Parcel.call)
    mesh.send_event(run.run_id, "arrived", {"from": "Bree"})
    later = world.process(Parcel)
    work(later)
    done = seen(later, run)
    assert (done.status, done.output and done.output["opened"]) == ("completed", "Bree")


def test_two_events_of_one_key_are_one(world: World) -> None:
    class Twice(Workflow):
        version = "1"
        call = manual(Nothing)
        one = event("knock", output="first")
        other = event("knock", output="second")
        flow = one >> other

    mesh = world.process(Twice)
    run = mesh.start_run(Twice.call)
    mesh.send_event(run.run_id, "knock", 1, key="k")
    again = mesh.send_event(run.run_id, "knock", 2, key="k")
    assert (again.status, again.command_history[0].repeats) == ("waiting", 1)
    done = mesh.send_event(run.run_id, "knock", 3)
    assert done.status == "completed"
    assert seen(mesh, run).output == {"first": 1, "second": 3}


def test_kept_events_are_taken_in_the_order_in_which_they_came(world: World) -> None:
    class Ordered(Workflow):
        version = "1"
        call = manual(Nothing)
        hold = pause()
        one = event("knock", output="first")
        other = event("knock", output="second")
        flow = hold >> one >> other

    mesh = world.process(Ordered)
    run = mesh.start_run(Ordered.call)
    for number in (1, 2):
        mesh.send_event(run.run_id, "knock", number)
    assert mesh.resume_run(run.run_id, actor="sam").status == "completed"
    assert seen(mesh, run).output == {"first": 1, "second": 2}


def test_an_event_that_does_not_come_times_out(world: World) -> None:
    mesh = world.process(Parcel)
    run = mesh.start_run(Parcel.call)
    work(mesh)
    world.pass_time(61)
    work(mesh)
    assert seen(mesh, run).output == {"opened": None}


def test_an_event_that_nobody_could_take_is_refused(world: World) -> None:
    mesh = world.process(Parcel)
    run = mesh.start_run(Parcel.call)
    with pytest.raises(NotAllowed, match="waits for no event 'arived'; allowed are: arrived"):
        mesh.send_event(run.run_id, "arived")
    mesh.cancel_run(run.run_id, actor="sam")
    with pytest.raises(NotAllowed, match="cancelled"):
        mesh.send_event(run.run_id, "arrived")


def test_an_event_for_a_run_that_lasts_goes_through_the_history(world: World) -> None:
    mesh = world.process(Parcel)
    run = mesh.start_run(Parcel.call)
    mesh.send_event(run.run_id, "arrived", {"from": "Bree"}, actor="post", key="p1")
    work(mesh)
    (received,) = facts_of(seen(mesh, run), "EventReceived")
    assert (received["event"], received["data"], received["actor"], received["key"]) == (
        "arrived",
        {"from": "Bree"},
        "post",
        "p1",
    )


def test_a_step_takes_a_decision_as_one(world: World) -> None:
    def heed(word: Decision) -> dict[str, Any]:
        return {
            "by": word.actor,
            "approved": word.approved,
            "said": [word.comment, word.metadata],
            "at": word.decided_at,
        }

    class Weighed(Workflow):
        version = "1"
        call = manual(Nothing)
        council = approval(output="word")
        weigh = step(heed, output="weighed")
        flow = council >> weigh

    mesh = world.process(Weighed)
    run = mesh.start_run(Weighed.call)
    mesh.approve_run(run.run_id, actor="elrond", comment="verified", metadata={"ring": 1})
    work(mesh)
    output = seen(mesh, run).output
    assert output is not None
    at = datetime.fromisoformat(output["weighed"].pop("at"))
    assert output["weighed"] == {"by": "elrond", "approved": True, "said": ["verified", {"ring": 1}]}
    assert at == datetime.fromisoformat(output["word"]["decided_at"])
