"""A graph shows what became of each node and edge; ids are the same in every run and in the preview."""

from __future__ import annotations

import json

from squidmesh import Workflow, define, manual, preview_graph, step
from squidmesh.reading.graph import RunGraph, run_graph
from tests.unit.reading.story import (
    CLAIM_HASH,
    SECRET,
    Errand,
    Gate,
    Journey,
    Told,
    at_council,
    do_nothing,
    in_moria,
    second,
)


def graph_of(told: Told, *, at: float = 5, details: bool = False) -> RunGraph:
    return run_graph(told.definition, told.state, now=second(at), details=details)


def nodes(told: Told, *, at: float = 5) -> dict[str, str]:
    return {node.id: node.status for node in graph_of(told, at=at).nodes}


def edges(told: Told) -> dict[str, str]:
    return {edge.id: edge.status for edge in graph_of(told).edges}


def failing(*, final: bool = True) -> Told:
    return in_moria().scheduled("moria").claimed("moria").failed("moria", final=final)


class Alone(Workflow):
    version = "1"
    begin = manual(Errand)
    only = step(do_nothing)


def test_a_preview_has_the_ids_of_every_run():
    preview, graph = preview_graph(define(Journey)), graph_of(at_council())

    assert [node.id for node in preview.nodes] == [node.id for node in graph.nodes]
    assert [edge.id for edge in preview.edges] == [edge.id for edge in graph.edges]
    assert {node.status for node in preview.nodes} == {edge.status for edge in preview.edges} == {"pending"}


def test_edge_ids_name_source_outcome_target_and_condition():
    assert set(edges(at_council())) >= {
        "pack:ok:rest",
        "council:ok:moria:condition:0",
        "council:ok:pass_over",
        "council:reject:home",
        "moria:error:home",
        "mordor:ok:complete",
    }


def test_complete_is_a_node_only_where_a_route_leads_there():
    assert "complete" in nodes(at_council())
    assert [node.id for node in preview_graph(define(Gate)).nodes] == ["ask", "act", "last"]
    assert [node.id for node in preview_graph(define(Alone)).nodes] == ["only"]


def test_an_open_run_is_behind_at_and_before_its_current_step():
    assert nodes(at_council()) == {
        "pack": "completed",
        "rest": "completed",
        "council": "paused",
        "moria": "pending",
        "pass_over": "pending",
        "home": "pending",
        "mordor": "pending",
        "complete": "pending",
    }
    assert edges(at_council())["pack:ok:rest"] == "selected"
    assert edges(at_council())["council:reject:home"] == "pending"


def test_a_branch_that_was_not_taken_is_skipped_with_all_that_only_it_leads_to():
    told = in_moria().scheduled("moria")

    assert nodes(told)["moria"] == "waiting"
    assert nodes(told)["pass_over"] == "skipped"
    assert (nodes(told)["home"], nodes(told)["mordor"]) == ("pending", "pending")
    assert edges(told)["council:ok:moria:condition:0"] == "selected"
    assert edges(told)["council:ok:pass_over"] == edges(told)["council:reject:home"] == "skipped"
    assert edges(told)["pass_over:ok:mordor"] == "skipped"


def test_an_attempt_is_waiting_running_or_retrying():
    retry = failing(final=False).scheduled("moria", attempt=2, delay=10, cause="retry")

    assert nodes(in_moria().scheduled("moria"))["moria"] == "waiting"
    assert nodes(in_moria().scheduled("moria").claimed("moria"))["moria"] == "running"
    assert [nodes(retry, at=at)["moria"] for at in (9, 10)] == ["retrying", "waiting"]


def test_an_error_route_is_selected_after_a_failure():
    told = failing().route("moria:error:home", recovery="compensation").scheduled("home")

    assert (nodes(told)["moria"], nodes(told)["home"]) == ("failed", "waiting")
    assert (nodes(told)["mordor"], nodes(told)["complete"]) == ("skipped", "skipped")
    assert edges(told)["moria:error:home"] == "selected"
    assert edges(told)["moria:ok:mordor"] == "skipped"
    (edge,) = [edge for edge in graph_of(told).edges if edge.id == "moria:error:home"]
    assert edge.recovery == "compensation"


def test_what_a_failed_run_did_not_reach_is_blocked():
    told = Told().scheduled("pack").claimed("pack").failed("pack", final=True).run_failed("step_failed", "pack")

    assert nodes(told) == {"pack": "failed"} | dict.fromkeys(
        ("rest", "council", "moria", "pass_over", "home", "mordor", "complete"), "blocked"
    )
    assert set(edges(told).values()) == {"blocked"}


def test_a_branch_that_was_not_taken_stays_skipped_in_a_failed_run():
    told = failing().run_failed("step_failed", "moria")

    assert (nodes(told)["pass_over"], nodes(told)["mordor"]) == ("skipped", "blocked")
    assert edges(told)["moria:ok:mordor"] == "blocked"
    assert edges(told)["moria:error:home"] == "skipped"


def test_a_rejection_without_a_route_fails_its_gate():
    told = Told(Gate).asked("ask").decided("ask", "rejected").run_failed("rejected", "ask")

    (ask, *_) = graph_of(told).nodes
    assert (ask.status, ask.decision) == ("failed", "rejected")
    assert edges(told) == {"ask:ok:act": "blocked", "act:ok:last:condition:0": "blocked"}


def test_a_rejection_with_a_route_is_a_decision_like_another():
    told = at_council().decided("council", "rejected").route("council:reject:home").scheduled("home")

    (council,) = [node for node in graph_of(told).nodes if node.id == "council"]
    assert (council.status, council.decision) == ("completed", "rejected")


def test_where_no_condition_holds_the_node_says_so():
    told = (
        Told(Gate)
        .asked("ask")
        .decided("ask", "approved")
        .route("ask:ok:act")
        .passed("act")
        .run_failed("no_matching_transition", "act")
    )

    (_, node, last) = graph_of(told).nodes
    assert (node.status, node.error, last.status) == ("completed", "no_matching_transition", "skipped")


def test_a_completed_run_has_reached_complete():
    told = (
        in_moria().passed("moria").route("moria:ok:mordor").passed("mordor").route("mordor:ok:complete").run_completed()
    )

    assert nodes(told)["complete"] == "completed"
    assert nodes(told)["home"] == "skipped"


def test_conditions_are_told_in_words():
    labels = {edge.id: edge.condition for edge in preview_graph(define(Journey)).edges}

    assert labels["council:ok:moria:condition:0"] == 'council.metadata.road == "under"'
    assert labels["council:ok:pass_over"] is None


def test_user_data_and_names_of_people_need_details():
    told = failing().run_failed("step_failed", "moria")

    assert SECRET not in json.dumps(graph_of(told).to_json())
    shown = graph_of(told, details=True).to_json()
    by_id = {node["id"]: node["details"] for node in shown["nodes"]}
    assert by_id["council"]["actor"] == "elrond"
    assert by_id["moria"]["error_message"] == f"you shall not pass {SECRET}"
    assert CLAIM_HASH not in json.dumps(shown)
