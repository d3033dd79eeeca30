"""The picture of a graph run, and of what only the bigger core has: gates, cancels, failing and compensating runs."""

from __future__ import annotations

from squidmesh import RetryPolicy, define, fixed, preview_graph
from squidmesh.clock import Instant
from squidmesh.reading.graph import RunGraph, run_graph
from squidmesh.workflow.authoring import (
    Workflow,
    approval,
    complete,
    event,
    log,
    manual,
    pause,
    step,
    wait,
    wait_for_children,
)
from tests.unit.planning.errand import Empty, Errander, walk


def unpack() -> None: ...


class Battle(Workflow):
    version = "1"
    leave = manual(Empty)
    march = step(walk, output="march", compensate=unpack)
    rally = step(walk, output="rally", retry=RetryPolicy(max_attempts=2, backoff=fixed(5)))
    council = approval(after=[march])
    declare = step(walk, after=[march, rally])
    home = step(walk, after=[declare, council])


BATTLE = define(Battle)


def graph_of(run: Errander) -> RunGraph:
    return run_graph(run.definition, run.state, now=Instant(run.now))


def nodes(run: Errander) -> dict[str, str]:
    return {node.id: node.status for node in graph_of(run).nodes}


def edges(run: Errander) -> dict[str, str]:
    return {edge.id: edge.status for edge in graph_of(run).edges}


# ------------------------------------------------------------------------------------------------------------ ids


def test_a_dependency_is_an_edge_with_an_id_of_its_own() -> None:
    graph = graph_of(Errander(BATTLE))
    assert [edge.id for edge in graph.edges] == [
        "march:dependency:council",
        "march:dependency:declare",
        "rally:dependency:declare",
        "declare:dependency:home",
        "council:dependency:home",
    ]
    assert {edge.on for edge in graph.edges} == {"dependency"}
    assert (graph.topology, graph.roots) == ("graph", ("march", "rally"))


def test_a_preview_of_a_graph_has_the_ids_of_every_run() -> None:
    preview, graph = preview_graph(BATTLE), graph_of(Errander(BATTLE))
    assert [node.id for node in preview.nodes] == [node.id for node in graph.nodes]
    assert [edge.id for edge in preview.edges] == [edge.id for edge in graph.edges]
    assert (preview.topology, preview.roots) == (graph.topology, graph.roots)
    assert {node.status for node in preview.nodes} == {edge.status for edge in preview.edges} == {"pending"}


def test_a_path_has_one_root() -> None:
    graph = graph_of(Errander())
    assert (graph.topology, graph.roots) == ("path", ("pack",))


# ------------------------------------------------------------------------------------------------------- open runs


def test_a_join_is_pending_until_the_last_of_its_dependencies_is_done() -> None:
    run = Errander(BATTLE)
    run.do("march")
    assert nodes(run) == {
        "march": "completed",
        "rally": "waiting",
        "council": "paused",
        "declare": "pending",
        "home": "pending",
    }
    assert edges(run) == {
        "march:dependency:council": "selected",
        "march:dependency:declare": "selected",
        "rally:dependency:declare": "pending",
        "declare:dependency:home": "pending",
        "council:dependency:home": "pending",
    }


def test_siblings_have_a_status_each() -> None:
    run = Errander(BATTLE)
    run.claim("march")
    run.claim("rally")
    assert (nodes(run)["march"], nodes(run)["rally"]) == ("running", "running")
    run.fail("rally")
    assert (nodes(run)["march"], nodes(run)["rally"]) == ("running", "retrying")


def test_a_dead_letter_blocks_what_comes_after_it_and_nothing_else() -> None:
    run = Errander(BATTLE)
    run.bury("march")
    assert (nodes(run)["march"], nodes(run)["rally"]) == ("dead", "waiting")
    assert edges(run)["march:dependency:declare"] == "blocked"
    assert (nodes(run)["council"], nodes(run)["declare"], nodes(run)["home"]) == ("blocked",) * 3


def test_a_dead_letter_that_is_replayed_blocks_nothing() -> None:
    run = Errander(BATTLE)
    run.bury("march")
    run.replay_dead("march")
    assert (nodes(run)["march"], nodes(run)["declare"]) == ("waiting", "pending")


def test_a_completed_graph_has_taken_every_edge() -> None:
    run = Errander(BATTLE)
    for name in ("march", "rally", "declare"):
        run.do(name)
    run.decide()
    run.do("home")
    assert set(nodes(run).values()) == {"completed"}
    assert set(edges(run).values()) == {"selected"}


# ----------------------------------------------------------------------------------------------------------- gates


class Gates(Workflow):
    version = "1"
    leave = manual(Empty)
    sleep = pause()
    eagles = event("eagle", 60)
    send = step(walk)
    children = wait_for_children(after=[send])
    rest = wait(5)
    note = log("come")
    home = step(walk, after=[sleep, eagles, children, rest, note])


def at_gates() -> Errander:
    run = Errander(define(Gates))
    run.claim("send")
    run.start_child("send")
    run.complete("send")
    return run


def test_a_gate_that_waits_for_a_person_is_paused_and_another_one_waits() -> None:
    run = at_gates()
    assert nodes(run) == {
        "sleep": "paused",
        "eagles": "waiting",
        "send": "completed",
        "children": "waiting",
        "rest": "waiting",
        "note": "waiting",
        "home": "pending",
    }


def test_a_gate_that_has_opened_is_completed() -> None:
    run = at_gates()
    run.resume()
    run.send("eagle")
    run.child_ends("send")
    assert [nodes(run)[name] for name in ("sleep", "eagles", "children")] == ["completed"] * 3
    assert edges(run)["eagles:dependency:home"] == "selected"


def test_a_gate_that_is_out_of_time_has_failed() -> None:
    run = at_gates()
    run.later(60)
    run.pass_gate_deadline("eagles")
    assert run.state.phase == "failed"
    assert (nodes(run)["eagles"], nodes(run)["sleep"], nodes(run)["rest"]) == ("failed", "cancelled", "cancelled")
    assert nodes(run)["home"] == "blocked"


def test_a_node_tells_its_kind_and_the_event_that_it_waits_for() -> None:
    kinds = {node.id: (node.kind, node.event) for node in graph_of(at_gates()).nodes}
    assert kinds == {
        "sleep": ("pause", None),
        "eagles": ("event", "eagle"),
        "send": ("function", None),
        "children": ("wait_for_children", None),
        "rest": ("wait", None),
        "note": ("log", None),
        "home": ("function", None),
    }


class Late(Workflow):
    version = "1"
    leave = manual(Empty)
    council = approval(timeout=5)
    pack = step(walk)
    home = step(walk)
    flow = (council >> pack >> complete, council.on_timeout(home), council.on_reject(home))


def test_the_route_of_a_time_out_is_selected_and_the_others_are_skipped() -> None:
    run = Errander(define(Late))
    run.later(5)
    run.pass_gate_deadline("council")
    assert edges(run) == {
        "council:ok:pack": "skipped",
        "pack:ok:complete": "skipped",
        "council:timeout:home": "selected",
        "council:reject:home": "skipped",
    }
    assert (nodes(run)["council"], nodes(run)["pack"], nodes(run)["home"]) == ("failed", "skipped", "waiting")


# ------------------------------------------------------------------------- cancelled, failing and compensating runs


def test_a_cancelled_run_shows_what_it_was_about_and_what_it_never_reached() -> None:
    run = Errander(BATTLE)
    run.do("march")
    run.claim("rally")
    run.cancel()
    assert nodes(run) == {
        "march": "completed",
        "rally": "cancelled",
        "council": "cancelled",
        "declare": "blocked",
        "home": "blocked",
    }
    assert edges(run) == {
        "march:dependency:council": "selected",
        "march:dependency:declare": "selected",
        "rally:dependency:declare": "blocked",
        "declare:dependency:home": "blocked",
        "council:dependency:home": "blocked",
    }
    assert graph_of(run).status == "cancelled"


def test_a_cancelled_path_shows_that_too() -> None:
    run = Errander()
    run.claim("pack")
    run.cancel()
    found = nodes(run)
    assert found.pop("pack") == "cancelled"
    assert set(found.values()) == {"blocked"}
    assert set(edges(run).values()) == {"blocked"}


def test_a_failing_run_shows_who_failed_who_is_closed_and_who_is_waited_for() -> None:
    run = Errander(BATTLE)
    run.do("march")
    run.claim("rally")
    run.decide("rejected")
    assert (graph_of(run).status, nodes(run)) == (
        "failing",
        {"march": "completed", "rally": "running", "council": "failed", "declare": "blocked", "home": "blocked"},
    )
    assert edges(run)["council:dependency:home"] == "blocked"


def test_a_failure_blocks_what_comes_after_it_and_cancels_its_siblings() -> None:
    run = Errander(BATTLE)
    run.claim("rally")
    run.fail("rally", retryable=False)
    assert nodes(run) == {
        "march": "cancelled",
        "rally": "failed",
        "council": "blocked",
        "declare": "blocked",
        "home": "blocked",
    }
    assert set(edges(run).values()) == {"blocked"}


def undo_of_march(run: Errander) -> str | None:
    (node,) = [node for node in graph_of(run).nodes if node.id == "march"]
    return node.compensation


def test_a_step_is_compensated_when_its_compensation_is_done() -> None:
    run = Errander(BATTLE)
    run.do("march")
    assert undo_of_march(run) is None
    run.give_up("rally")
    assert (graph_of(run).status, nodes(run)["march"], undo_of_march(run)) == (
        "compensating",
        "completed",
        "scheduled",
    )
    run.claim("march!undo")
    assert (nodes(run)["march"], undo_of_march(run)) == ("completed", "claimed")
    run.complete("march!undo")
    assert (graph_of(run).status, nodes(run)["march"], undo_of_march(run)) == ("failed", "compensated", "completed")
    assert edges(run)["march:dependency:council"] == "selected"
    assert "march!undo" not in nodes(run), "a compensation is no node of its own"


def test_a_compensation_that_has_failed_leaves_its_step_completed() -> None:
    run = Errander(BATTLE)
    run.do("march")
    run.give_up("rally")
    run.give_up("march!undo")
    assert (nodes(run)["march"], undo_of_march(run)) == ("completed", "failed")
    run.waive_undo()
    assert (graph_of(run).status, nodes(run)["march"], undo_of_march(run)) == ("failed", "completed", "failed")
