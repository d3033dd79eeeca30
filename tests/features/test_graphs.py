"""Graphs: independent roots, joins that begin once, and what a failure stops (I14)."""

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Workflow, approval, manual, pause, step, wait
from tests.features.world import Hand, World, facts_of, kinds, seen, work


class Order(BaseModel):
    weight: int = 3


def pack(weight: int) -> dict[str, Any]:
    return {"packed": weight}


def label(weight: int) -> dict[str, Any]:
    return {"label": f"w{weight}"}


def ship(packed: int, label: str) -> dict[str, Any]:
    return {"shipped": f"{label}/{packed}"}


class Shipping(Workflow):
    version = "1"
    placed = manual(Order)
    pack = step(pack)
    label = step(label)
    ship = step(ship, after=[pack, label])


def test_independent_roots_run_and_the_join_starts_once_when_all_succeeded(world: World) -> None:
    mesh = world.process(Shipping)
    run = mesh.start_run(Shipping.placed, Order())
    assert run.current_steps == ("pack", "label")
    assert work(mesh) == 3
    done = seen(mesh, run)
    assert (done.status, done.output) == ("completed", {"packed": 3, "label": "w3", "shipped": "w3/3"})
    assert [event.step for event in done.history or () if event.kind == "AttemptScheduled"].count("ship") == 1


def test_two_siblings_that_complete_in_the_same_instant_on_two_workers_start_the_join_once(world: World) -> None:
    """Both decide on a state in which the other is still claimed; one of them conflicts, and decides again."""
    run = world.process(Shipping).start_run(Shipping.placed, Order())
    one = Hand(world.process(Shipping), "one", capacity=1)
    other = Hand(world.process(Shipping), "other", capacity=1)
    assert one.claim() + other.claim() == ["pack", "label"]
    one.run()
    other.run()
    one.record()
    other.record()
    reader = world.process(Shipping)
    scheduled = [event.step for event in seen(reader, run).history or () if event.kind == "AttemptScheduled"]
    assert scheduled.count("ship") == 1
    assert work(reader) == 1
    assert seen(reader, run).status == "completed"


class Tower(Workflow):
    """Several roots, a wait, gates and a diamond."""

    version = "1"
    placed = manual(Order)
    base = step(pack)
    left = step(label, after=[base])
    rest = wait(5, after=[base])
    council = approval(output="word", after=[left])
    breath = pause(after=[rest])
    alone = step(lambda weight: {"alone": weight})
    top = step(ship, after=[council, breath, alone])


def test_waits_pauses_and_approvals_stand_in_a_graph_as_steps_do(world: World) -> None:
    mesh = world.process(Tower)
    run = mesh.start_run(Tower.placed, Order())
    work(mesh)
    assert set(seen(mesh, run).current_steps) == {"rest", "council"}
    mesh.approve_run(run.run_id, actor="elrond")
    world.pass_time(6)
    work(mesh)
    assert seen(mesh, run).current_steps == ("breath",)
    assert mesh.resume_run(run.run_id, actor="elrond").status == "running"
    work(mesh)
    done = seen(mesh, run)
    assert done.status == "completed"
    assert done.output is not None
    assert done.output["word"]["decision"] == "approved"


def test_a_graph_completes_when_its_last_gate_opens(world: World) -> None:
    class Last(Workflow):
        version = "1"
        placed = manual(Order)
        a = step(pack)
        end = pause(after=[a])

    mesh = world.process(Last)
    run = mesh.start_run(Last.placed, Order())
    work(mesh)
    assert mesh.resume_run(run.run_id, actor="sam").status == "completed"


def test_a_step_of_a_graph_does_not_see_what_a_sibling_gives(world: World) -> None:
    """Whether or not it is there already: what a step is given does not depend on who was faster."""

    def curious(label: str = "nothing") -> dict[str, Any]:
        return {"saw": label}

    class Blind(Workflow):
        version = "1"
        placed = manual(Order)
        label = step(label)
        look = step(curious)
        after = step(curious, output="later", after=[label])

    mesh = world.process(Blind)
    run = mesh.start_run(Blind.placed, Order())
    work(mesh)
    assert seen(mesh, run).output == {"label": "w3", "saw": "nothing", "later": {"saw": "w3"}}


def fails() -> None:
    raise RuntimeError("the bridge is down")


class Risky(Workflow):
    version = "1"
    placed = manual(Order)
    good = step(pack)
    bad = step(fails)
    slow = step(label)
    gate = approval()
    end = step(ship, after=[good, bad, slow, gate])


def test_a_siblings_terminal_failure_closes_what_nobody_has_claimed_and_starts_nothing_more(world: World) -> None:
    run = world.process(Risky).start_run(Risky.placed, Order())
    worker = Hand(world.process(Risky), "worker", capacity=2)
    worker.claim()
    assert sorted(assignment.spec.name for assignment in worker.claimed) == ["bad", "good"]
    worker.run(lambda assignment: assignment.spec.name == "bad")
    worker.record()
    reader = world.process(Risky)
    failing = seen(reader, run)
    assert failing.status == "failing"
    assert {attempt.step: attempt.status for attempt in failing.attempts}["slow"] == "cancelled"
    assert [gate.status for gate in failing.gates] == ["closed"]
    assert reader.explain_run(run.run_id).reason == "failing"
    worker.run()
    worker.record()
    done = seen(reader, run)
    assert done.status == "failed"
    assert done.failure is not None
    assert (done.failure.code, done.failure.step) == ("step_failed", "bad")
    assert "end" not in {attempt.step for attempt in done.attempts}
    assert work(reader) == 0


def test_a_lost_sibling_of_a_failing_run_is_delivered_once_more_to_find_out(world: World) -> None:
    run = world.process(Risky).start_run(Risky.placed, Order())
    doomed = Hand(world.process(Risky), "doomed", capacity=1)
    fine = Hand(world.process(Risky), "fine", capacity=1)
    assert doomed.claim() == ["good"]
    assert fine.claim() == ["bad"]
    fine.run()
    fine.record()
    doomed.die()
    reader = world.process(Risky)
    assert seen(reader, run).status == "failing"
    world.pass_time(31)
    work(reader)
    assert seen(reader, run).status == "failed"
    assert "AttemptCompleted" in kinds(seen(reader, run))


def wide(count: int) -> type[Workflow]:
    """That many roots, and one step after all of them."""

    def root(weight: int) -> None: ...

    body: dict[str, Any] = {"version": "1", "placed": manual(Order)}
    roots = {f"r{number}": step(root) for number in range(count)}
    body |= roots
    body["end"] = step(root, after=list(roots.values()))
    return type("Wide", (Workflow,), body)


@pytest.mark.parametrize("capacity", [1, 7, 1000])
def test_many_parallel_roots_of_one_run_join_once(world: World, capacity: int) -> None:
    count = 60
    Wide = wide(count)
    run = world.process(Wide).start_run("Wide", {})
    worker = Hand(world.process(Wide), "worker", capacity=capacity, continues=True)
    for _ in range(2 * count + 10):
        worker.claim()
        worker.run()
        worker.record()
    done = seen(world.process(Wide), run)
    assert done.status == "completed"
    assert len(facts_of(done, "AttemptCompleted")) == count + 1


def test_the_graph_of_a_run_shows_its_dependencies_and_what_became_of_them(world: World) -> None:
    mesh = world.process(Shipping)
    run = mesh.start_run(Shipping.placed, Order())
    mesh.execute_next(owner_id="w")
    graph = mesh.inspect_run_graph(run.run_id)
    assert (graph.topology, graph.roots) == ("graph", ("pack", "label"))
    assert {node.id: node.status for node in graph.nodes} == {
        "pack": "completed",
        "label": "waiting",
        "ship": "pending",
    }
    assert {edge.id: edge.status for edge in graph.edges} == {
        "pack:dependency:ship": "selected",
        "label:dependency:ship": "pending",
    }
    work(mesh)
    assert {edge.status for edge in mesh.inspect_run_graph(run.run_id).edges} == {"selected"}


def test_a_failed_graph_shows_what_it_hindered(world: World) -> None:
    mesh = world.process(Risky)
    run = mesh.start_run(Risky.placed, Order())
    work(mesh)
    nodes = {node.id: node.status for node in mesh.inspect_run_graph(run.run_id).nodes}
    assert nodes == {"good": "completed", "bad": "failed", "slow": "cancelled", "gate": "cancelled", "end": "blocked"}


Make = Callable[[], type[Workflow]]


def mixed() -> type[Workflow]:
    class Mixed(Workflow):
        version = "1"
        placed = manual(Order)
        a = step(pack)
        b = step(label, after=[a])
        flow = a >> b

    return Mixed


def backward() -> type[Workflow]:
    class Elsewhere(Workflow):
        version = "1"
        placed = manual(Order)
        a = step(pack)

    class Foreign(Workflow):
        version = "1"
        placed = manual(Order)
        b = step(label, after=[Elsewhere.a])

    return Foreign


def clashing() -> type[Workflow]:
    class Clash(Workflow):
        version = "1"
        placed = manual(Order)
        a = step(pack, output="same")
        b = step(label, output="same")
        c = step(lambda: None, after=[a, b])

    return Clash


@pytest.mark.parametrize(
    ("make", "code"), [(mixed, "mixed_topology"), (backward, "foreign_step"), (clashing, "duplicate_output")]
)
def test_what_is_no_graph_is_refused_with_its_code(make: Make, code: str) -> None:
    from squidmesh import problems_of

    assert code in {problem.code for problem in problems_of(make())}


def test_the_docstring_of_a_step_is_its_description_in_definition_and_graph(world: World) -> None:
    from squidmesh import define

    def in_leaves(weight: int) -> None:
        """Wraps it in leaves."""

    class Described(Workflow):
        version = "1"
        placed = manual(Order)
        wrap = step(in_leaves)

    assert define(Described).step("wrap").description == "Wraps it in leaves."
    mesh = world.process(Described)
    run = mesh.start_run(Described.placed, Order())
    assert [node.description for node in mesh.inspect_run_graph(run.run_id).nodes] == ["Wraps it in leaves."]
    work(mesh)
