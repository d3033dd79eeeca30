"""Workflows made at run time: built as data, judged by the host's actions, activated, run, shown."""

from __future__ import annotations

import copy
import os
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import (
    Actions,
    Context,
    InvalidPayload,
    Mesh,
    NotFound,
    UsageError,
    Workflow,
    WorkflowError,
    from_map,
    manual,
    preview_graph,
    step,
    to_map,
)
from squidmesh.errors import CorruptHistory, InvalidInput
from squidmesh.ids import EntryId, catalogue_thread
from squidmesh.journal.rows import RowChanges
from squidmesh.ports.journal_store import Append, Group, ThreadRead
from tests.features.world import LEASE, Hand, World, facts_of, kinds, seen, work
from tests.support import suspects


class Nothing(BaseModel):
    pass


def say(*names: str) -> dict[str, Any]:
    """A trigger, and what stands around steps and routes."""
    properties = {name: {"type": "integer"} for name in names}
    schema = {"type": "object", "properties": properties, "required": list(names)}
    return {"version": "1", "triggers": [{"name": "placed", "kind": "manual", "payload_schema": schema}]}


def call(name: str, action: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "kind": "function", "action": action, **more}


def route(source: str, target: str, on: str = "ok", **more: Any) -> dict[str, Any]:
    return {"source": source, "on": on, "target": target, **more}


ORDER: dict[str, Any] = say("amount") | {
    "name": "Order",
    "steps": [
        call("charge", "charge", output="paid", compensate={"action": "refund"}),
        {"name": "check", "kind": "approval"},
        call("ship", "ship", queue="parcels"),
    ],
    "routes": [route("charge", "check"), route("check", "ship")],
}


class Shop:
    """The host's functions, and what they did."""

    def __init__(self) -> None:
        self.did: list[str] = []
        self.actions = Actions()
        self.actions.add("charge", self.charge)
        self.actions.add("refund", self.refund)
        self.actions.add("ship", self.ship)
        self.actions.add("fail", self.fail)

    def charge(self, amount: int, context: Context) -> int:
        self.did.append(f"charge {context.workflow} {amount}")
        return amount * 100

    def refund(self, step_output: int) -> None:
        self.did.append(f"refund {step_output}")

    def ship(self, paid: int) -> dict[str, int]:
        self.did.append(f"ship {paid}")
        return {"shipped": paid}

    def fail(self) -> None:
        raise ConnectionError("no")


def decided(mesh: Mesh, run_id: str) -> None:
    mesh.approve_run(run_id, actor="elrond")


def test_what_one_process_activates_another_starts_and_a_third_carries_out(world: World) -> None:
    shop = Shop()
    editor = world.process(actions=shop.actions)
    active = editor.activate_workflow(ORDER, actor="sam")
    assert (active.name, active.version, active.origin, active.activated_by) == ("Order", "1", "run_time", "sam")
    run = world.process().start_run("Order", {"amount": 3}, key="k")
    worker = world.process(actions=shop.actions)
    work(worker)
    assert seen(worker, run).status == "paused"
    decided(worker, run.run_id)
    work(worker)
    done = seen(worker, run)
    assert (done.status, shop.did) == ("completed", ["charge Order 3", "ship 300"])
    assert done.output is not None
    assert (done.output["paid"], done.output["shipped"]) == (300, 300)
    assert world.process().workflows() == (active,)


def test_a_key_starts_once_and_a_payload_is_held_to_its_schema(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    mesh.activate_workflow(ORDER, actor="sam")
    first = mesh.start_run("Order.placed", {"amount": 3}, key="k")
    assert mesh.start_run("Order", {"amount": 3}, key="k").run_id == first.run_id
    for wrong in ({}, {"amount": "3"}, {"amount": 3, "more": 1}):
        with pytest.raises(InvalidPayload, match=r"amount|more"):
            mesh.start_run("Order", wrong)
    assert len(mesh.start_runs("Order", [{"amount": n} for n in range(5)])) == 5
    assert mesh.start_runs("Order", []) == []
    with pytest.raises(NotFound, match="no trigger 'other'"):
        mesh.start_run("Order.other", {"amount": 3})


def entries(world: World) -> int:
    (history,) = world.open()[0].journal().read([ThreadRead(thread=catalogue_thread())], whole=True)
    return len(history.tail)


@pytest.mark.parametrize("action", ["os.system", "disabled"])
def test_an_unknown_or_a_disabled_action_is_refused_before_activation(world: World, action: str) -> None:
    shop = Shop()
    shop.actions.add("disabled", shop.fail, enabled=False)
    mesh = world.process(actions=shop.actions)
    said = copy.deepcopy(ORDER)
    said["steps"][2]["action"] = action
    with pytest.raises(WorkflowError) as caught:
        mesh.activate_workflow(said, actor="sam")
    (problem,) = caught.value.problems
    code = "disabled_action" if action == "disabled" else "unknown_action"
    assert (problem.path, problem.code) == ("steps.ship.action", code)
    assert (mesh.workflows(), entries(world)) == ((), 0)
    with pytest.raises(NotFound):
        mesh.start_run("Order", {"amount": 3})


def test_a_worker_leaves_what_it_has_no_action_for_to_others(world: World) -> None:
    shop = Shop()
    world.process(actions=shop.actions).activate_workflow(ORDER, actor="sam")
    stranger_actions = Actions()
    stranger_actions.add("ship", shop.ship)
    stranger = world.process(actions=stranger_actions)
    run = stranger.start_run("Order", {"amount": 3})
    assert work(stranger) == 0
    why = stranger.explain_run(run.run_id)
    assert (why.reason, why.evidence["action"]) == ("missing_step", "charge")
    assert "no action 'charge'" in why.summary
    assert work(world.process(actions=shop.actions)) == 1, "it is visible at once to those who have it"


def test_a_disabled_action_holds_back_what_is_not_claimed_and_an_enabled_one_goes_on(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    mesh.activate_workflow(ORDER, actor="sam")
    first = mesh.start_run("Order", {"amount": 1})
    hand = Hand(mesh, "worker")
    assert hand.claim() == ["charge"]
    shop.actions.disable("charge")
    second = mesh.start_run("Order", {"amount": 2})
    hand.run()
    hand.record()
    assert seen(mesh, first).status == "paused", "what was claimed goes on"
    assert work(mesh) == 0
    why = mesh.explain_run(second.run_id)
    assert (why.reason, why.next_actions[0]) == ("disabled_action", "actions.enable('charge')")
    assert world.notices.of("disabled_action")[0]["step"] == "charge"
    other = Shop()
    assert work(world.process(actions=other.actions)) == 1, "another process has it enabled"
    third = mesh.start_run("Order", {"amount": 3})
    assert work(mesh) == 0
    shop.actions.enable("charge")
    assert work(mesh) == 1, "it looks anew at once"
    assert seen(mesh, third).status == "paused"


def test_an_action_that_is_disabled_is_not_gone_on_with(world: World) -> None:
    """A step is completed, and the next one is not claimed by the same entry, as it would be."""
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    said = say("amount") | {
        "name": "Two",
        "steps": [call("charge", "charge", output="paid"), call("ship", "ship")],
        "routes": [route("charge", "ship")],
    }
    mesh.activate_workflow(said, actor="sam")
    run = mesh.start_run("Two", {"amount": 1})
    hand = Hand(mesh, "worker", continues=True)
    assert hand.claim() == ["charge"]
    shop.actions.disable("ship")
    hand.run()
    assert hand.claim() == []
    assert mesh.explain_run(run.run_id).reason == "disabled_action"
    shop.actions.enable("ship")
    again = mesh.start_run("Two", {"amount": 2})
    assert hand.claim() == ["ship", "charge"]
    hand.run()
    assert hand.claim() == ["ship"], "now it is"
    hand.run()
    hand.record()
    assert {seen(mesh, one).status for one in (run, again)} == {"completed"}


def test_a_run_in_flight_keeps_the_definition_that_it_started_with(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    before = mesh.activate_workflow(ORDER, actor="sam")
    old = mesh.start_run("Order", {"amount": 1})
    work(mesh)
    said = ORDER | {"version": "2", "steps": [call("ship", "charge", output="paid")], "routes": []}
    after = world.process(actions=shop.actions).activate_workflow(said, actor="frodo")
    assert (after.version, after.activated_by) == ("2", "frodo")
    assert after.fingerprint != before.fingerprint
    new = mesh.start_run("Order", {"amount": 2})
    mesh.approve_run(old.run_id, actor="elrond")
    work(mesh)
    assert [(seen(mesh, one).version, seen(mesh, one).status) for one in (old, new)] == [
        ("1", "completed"),
        ("2", "completed"),
    ]
    assert sorted(shop.did) == ["charge Order 1", "charge Order 2", "ship 100"]


def test_a_deactivated_workflow_starts_no_run_and_ends_those_in_flight(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    mesh.activate_workflow(ORDER, actor="sam")
    run = mesh.start_run("Order", {"amount": 1})
    world.process().deactivate_workflow("Order", actor="frodo")
    assert mesh.workflows() == ()
    for target in ("Order", "Order.placed"):
        with pytest.raises(NotFound, match="not registered"):
            mesh.start_run(target, {"amount": 1})
    with pytest.raises(NotFound, match="no workflow 'Order' is active"):
        mesh.deactivate_workflow("Order", actor="frodo")
    work(mesh)
    decided(mesh, run.run_id)
    work(mesh)
    assert seen(mesh, run).status == "completed"
    assert mesh.activate_workflow(ORDER, actor="sam").activated_by == "sam"
    assert mesh.start_run("Order", {"amount": 2}).status == "running"


def test_the_same_activation_again_changes_nothing(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    first = mesh.activate_workflow(ORDER, actor="sam")
    again = world.process(actions=shop.actions).activate_workflow(ORDER, actor="frodo")
    assert again == first
    assert entries(world) == 1
    definition = mesh.workflow_definition("Order")
    assert mesh.activate_workflow(definition, actor="frodo") == first, "a definition is a spec too"
    assert mesh.activate_workflow(to_map(definition), actor="frodo") == first


class Known(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(lambda: None)


class Order(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(lambda: {"by": "a class"})


def test_the_name_of_a_class_can_not_be_taken(world: World) -> None:
    shop = Shop()
    mesh = world.process(Order, actions=shop.actions)
    with pytest.raises(WorkflowError) as caught:
        mesh.activate_workflow(ORDER, actor="sam")
    assert [(one.path, one.code) for one in caught.value.problems] == [("name", "name_taken")]
    assert [one.code for one in mesh.validate_workflow(ORDER).problems] == ["name_taken"]
    world.process(actions=shop.actions).activate_workflow(ORDER, actor="sam")
    run = mesh.start_run("Order", {})
    work(mesh)
    assert seen(mesh, run).output == {"by": "a class"}, "where it is registered, the class is meant"
    assert [(one.name, one.origin) for one in mesh.workflows()] == [("Order", "class")]


def test_two_workflows_of_one_name_are_told_apart_by_their_definitions(world: World) -> None:
    """A worker that has the class carries out the run that was made at run time by its actions, and not by the class's
    functions, whatever the steps are called.
    """
    shop = Shop()
    said = say("amount") | {"name": "Order", "steps": [call("act", "charge", output="by")], "routes": []}
    host = world.process(actions=shop.actions)
    host.activate_workflow(said, actor="sam")
    run = host.start_run("Order", {"amount": 2})
    work(world.process(Order, actions=shop.actions))
    assert seen(host, run).output == {"by": 200}


def test_a_failed_run_is_compensated_by_actions(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    said = say("amount") | {
        "name": "Failing",
        "steps": [call("charge", "charge", output="paid", compensate={"action": "refund"}), call("fail", "fail")],
        "routes": [route("charge", "fail")],
    }
    mesh.activate_workflow(said, actor="sam")
    run = mesh.start_run("Failing", {"amount": 1})
    shop.actions.disable("refund")
    work(mesh)
    why = mesh.explain_run(run.run_id)
    assert (why.reason, why.evidence["action"]) == ("disabled_action", "refund")
    shop.actions.enable("refund")
    work(mesh)
    assert seen(mesh, run).status == "failed"
    assert shop.did == ["charge Failing 1", "refund 100"]


def test_a_graph_with_gates_and_timers_made_at_run_time_runs_to_its_end(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    said = say("amount") | {
        "name": "Graph",
        "timeout": 3600,
        "steps": [
            call(
                "charge", "charge", output="paid", retry={"max_attempts": 3, "backoff": {"kind": "fixed", "delay": 1}}
            ),
            {"name": "rest", "kind": "wait", "duration": 5},
            {"name": "note", "kind": "log", "message": "packing"},
            {"name": "sign", "kind": "event", "event": "signed", "output": "signature", "timeout": 60},
            call("ship", "ship", after=["charge", "rest", "note", "sign"]),
        ],
        "routes": [],
    }
    mesh.activate_workflow(said, actor="sam")
    run = mesh.start_run("Graph", {"amount": 1})
    work(mesh)
    mesh.send_event(run.run_id, "signed", {"by": "bilbo"})
    world.pass_time(6)
    work(mesh)
    done = seen(mesh, run)
    assert done.status == "completed"
    assert done.output is not None
    assert (done.output["shipped"], done.output["signature"]) == (100, {"by": "bilbo"})
    assert world.notices.of("workflow_log")[0]["message"] == "packing"


def test_a_run_is_drawn_with_the_ids_of_its_preview(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    preview = preview_graph(from_map(ORDER, shop.actions))
    mesh.activate_workflow(ORDER, actor="sam")
    run = mesh.start_run("Order", {"amount": 1})
    work(mesh)
    drawn = mesh.inspect_run_graph(run.run_id)
    assert [node.id for node in drawn.nodes] == [node.id for node in preview.nodes]
    assert [edge.id for edge in drawn.edges] == [edge.id for edge in preview.edges]
    assert [edge.status for edge in drawn.edges] == ["selected", "pending"]


def test_a_step_starts_a_child_of_a_workflow_made_at_run_time(world: World) -> None:
    shop = Shop()

    def spawn(amount: int, context: Context) -> dict[str, str]:
        return {"child": context.start_child_run("Order", {"amount": amount}, key="one")}

    shop.actions.add("spawn", spawn)
    mesh = world.process(actions=shop.actions)
    mesh.activate_workflow(ORDER, actor="sam")
    parent = say("amount") | {"name": "Parent", "steps": [call("spawn", "spawn")], "routes": []}
    mesh.activate_workflow(parent, actor="sam")
    run = mesh.start_run("Parent", {"amount": 7})
    work(mesh)
    output = seen(mesh, run).output
    assert output is not None
    child = seen(mesh, output["child"])
    assert (child.workflow, child.status) == ("Order", "paused")
    assert [fact["workflow"] for fact in facts_of(seen(mesh, run), "ChildStarted")] == ["Order"]


def test_a_replay_follows_what_is_active_now(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    said = say("amount") | {"name": "Short", "steps": [call("charge", "charge", output="paid")], "routes": []}
    mesh.activate_workflow(said, actor="sam")
    run = mesh.start_run("Short", {"amount": 7})
    work(mesh)
    mesh.activate_workflow(said | {"version": "2"}, actor="sam")
    again = mesh.replay_run(run.run_id, actor="sam")
    assert (again.version, seen(mesh, again).replay_of) == ("2", run.run_id)
    work(mesh)
    mesh.deactivate_workflow("Short", actor="sam")
    with pytest.raises(NotFound):
        mesh.replay_run(run.run_id, actor="sam")


def test_a_step_in_a_transaction_is_refused_where_there_is_no_database(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    said = say("amount") | {
        "name": "Rows",
        "steps": [call("charge", "charge", output="paid", transaction=True)],
        "routes": [],
    }
    if world.plane == "memory":
        with pytest.raises(UsageError) as caught:
            mesh.activate_workflow(said, actor="sam")
        assert caught.value.code == "transactions_unsupported"
        assert mesh.workflows() == ()
        return
    mesh.activate_workflow(said, actor="sam")
    run = mesh.start_run("Rows", {"amount": 1})
    work(mesh)
    assert seen(mesh, run).output == {"paid": 100}


SUSPECT: dict[str, Any] = {
    "name": "Authored",
    "version": "1",
    "triggers": [
        {
            "name": "go",
            "kind": "manual",
            "payload_schema": {
                "type": "object",
                "properties": {"deed": {"type": "string"}, "file": {"type": "string", "default": ""}},
                "required": ["deed"],
            },
        }
    ],
    "steps": [call("act", "suspect.do", output="told")],
    "routes": [],
}


@pytest.mark.parametrize("importable", [True, False])
def test_a_suspect_action_runs_in_a_process_of_its_own_where_its_function_can_be_found(
    world: World, importable: bool
) -> None:
    actions = suspects.ACTIONS
    if not importable:
        actions = Actions()
        actions.add("suspect.do", lambda deed, file, context: suspects.do(deed, file, context))
    mesh = world.process(actions=actions)
    mesh.activate_workflow(SUSPECT, actor="sam")
    run = mesh.start_run("Authored", {"deed": "tell"})
    lost = Hand(world.process(actions=actions), "gone")
    assert lost.claim() == ["act"]
    lost.die()
    world.pass_time(LEASE.total_seconds() + 1)
    assert work(mesh) == 1
    done = seen(mesh, run)
    assert done.output is not None
    assert (done.output["told"]["pid"] != os.getpid()) is importable
    assert (done.output["told"]["delivery"], done.output["told"]["seen"]) == (2, {"deed": "tell", "file": ""})


def test_an_action_that_kills_its_process_kills_no_worker(world: World) -> None:
    mesh = world.process(actions=suspects.ACTIONS, max_deliveries=2)
    mesh.activate_workflow(SUSPECT, actor="sam")
    run = mesh.start_run("Authored", {"deed": "kill"})
    lost = Hand(world.process(actions=suspects.ACTIONS), "gone")
    lost.claim()
    lost.die()
    world.pass_time(LEASE.total_seconds() + 1)
    work(mesh)
    world.pass_time(LEASE.total_seconds() + 1)
    work(mesh)
    (letter,) = mesh.list_dead_letters().dead_letters
    assert (letter.run_id, letter.detail) == (run.run_id, "signal 9 (SIGKILL)")
    assert "DeliveryLost" in kinds(seen(mesh, run))


def test_a_catalogue_that_can_not_be_read_holds_back_what_is_started_by_it_and_nothing_else(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    mesh.activate_workflow(ORDER, actor="sam")
    run = mesh.start_run("Order", {"amount": 1})
    append = Append(
        thread=catalogue_thread(), expected_revision=1, entry_id=EntryId("e"), body=b"rubbish", rows=RowChanges()
    )
    world.open()[0].journal().commit([Group(appends=(append,))])
    with pytest.raises(CorruptHistory):
        mesh.start_run("Order", {"amount": 2})
    later = world.process(Known, actions=shop.actions)
    known = later.start_run("Known", {})
    work(later)
    assert (seen(later, known).status, seen(later, run).status) == ("completed", "paused")
    assert world.notices.of("corrupt_history") != []


def test_activation_is_a_command_too(world: World) -> None:
    shop = Shop()
    mesh = world.process(actions=shop.actions)
    active = mesh.apply({"verb": "activate_workflow", "arguments": {"spec": ORDER, "actor": "sam"}})
    assert mesh.workflows() == (active,)
    mesh.apply({"verb": "deactivate_workflow", "arguments": {"name": "Order", "actor": "sam"}})
    assert mesh.workflows() == ()
    with pytest.raises(InvalidInput, match="actor"):
        mesh.activate_workflow(ORDER, actor=" ")


SWEEP: dict[str, Any] = {
    "name": "Sweep",
    "version": "1",
    "triggers": [
        {
            "name": "nightly",
            "kind": "cron",
            "expression": "0 3 * * *",
            "timezone": "Europe/Lisbon",
            "payload_schema": {
                "type": "object",
                "properties": {"amount": {"type": "integer", "default": 7}},
            },
        }
    ],
    "steps": [call("charge", "charge", output="paid")],
}


def test_a_cron_trigger_said_as_data_is_fired_by_the_loop_of_any_process(world: World) -> None:
    shop = Shop()
    loop = world.process().cron()
    assert not loop.triggers
    world.process(actions=shop.actions).activate_workflow(SWEEP, actor="sam")
    assert loop.triggers == ("Sweep.nightly",)
    assert loop.look().fired == ()
    world.pass_time(25 * 3600)
    (fired,) = loop.look().fired
    worker = world.process(actions=shop.actions)
    work(worker)
    assert (worker.inspect_run(fired.run_id).status, shop.did) == ("completed", ["charge Sweep 7"])
    worker.deactivate_workflow("Sweep", actor="sam")
    world.pass_time(25 * 3600)
    assert loop.look().fired == ()


def test_a_cron_trigger_comes_back_from_its_map(world: World) -> None:
    actions = Shop().actions
    for missed in ("skip", "last", "all"):
        said = copy.deepcopy(SWEEP)
        said["triggers"][0] |= {"missed": missed, "idempotency": "skip_duplicate"}
        definition = from_map(said, actions).definition
        assert definition is not None
        assert from_map(to_map(definition), actions).definition == definition
    with pytest.raises(WorkflowError, match="invalid_timezone"):
        said["triggers"][0]["timezone"] = "Middle/Earth"
        world.process(actions=actions).activate_workflow(said, actor="sam")
