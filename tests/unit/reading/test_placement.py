"""The longest way on which all goes well goes straight down; no cell is taken twice."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from squidmesh import RunGraph
from squidmesh.cli.boxes import NARROWEST
from squidmesh.cli.drawing import draw_graph
from squidmesh.reading.placement import place_graph
from tests.unit.cli.graphs import drawn, graph

a_busy_machine_may_be_slow = settings(deadline=None, max_examples=60)


@st.composite
def graphs(draw: st.DrawFn) -> RunGraph:
    """Any workflow without a cycle, all of it reachable."""
    size = draw(st.integers(min_value=2, max_value=9))
    edges = []
    for target in range(1, size):
        sources = draw(st.sets(st.integers(0, target - 1), min_size=1, max_size=3))
        edges += [f"n{source}:{draw(st.sampled_from(['ok', 'ok', 'error']))}:n{target}" for source in sorted(sources)]
    return graph(*edges)


@a_busy_machine_may_be_slow
@given(graphs())
def test_every_node_has_a_cell_and_every_edge_leads_down(some):
    placement = place_graph(some)

    cells = [(placement.rows[node.id], placement.columns[node.id]) for node in some.nodes]
    assert len(set(cells)) == len(cells)
    assert all(placement.rows[edge.source] < placement.rows[edge.target] for edge in some.edges)


@a_busy_machine_may_be_slow
@given(graphs())
def test_no_lane_runs_through_a_node_or_a_lane_to_another_target(some):
    placement = place_graph(some)

    taken = {(placement.rows[node.id], placement.columns[node.id]): node.id for node in some.nodes}
    for link in placement.links:
        between = range(placement.rows[link.source] + 1, placement.rows[link.target])
        assert (link.lane is None) == (not between)
        for row in between:
            assert link.lane is not None
            assert taken.setdefault((row, link.lane), link.target) == link.target


@a_busy_machine_may_be_slow
@given(graphs())
def test_lines_leave_every_box_whole(some):
    text = drawn(draw_graph(some), width=10_000)

    assert text.count("│ ○ pending") == len(some.nodes)
    for node in some.nodes:
        (top,) = [line for line in text.splitlines() if f"╭─ {node.id} ─" in line]
        frame = top[top.index(f"╭─ {node.id} ─") :].split("╮")[0]
        assert set(frame.removeprefix(f"╭─ {node.id} ")) == {"─"} and len(frame) >= NARROWEST - 1


@a_busy_machine_may_be_slow
@given(graphs())
def test_every_target_has_an_arrow(some):
    text = drawn(draw_graph(some), width=10_000)

    assert text.count("▽") >= len({edge.target for edge in some.edges})


def test_the_spine_is_the_longest_way_of_ok_edges():
    placement = place_graph(graph("a:error:x", "a:ok:c", "a:ok:b", "b:ok:c", "c:ok:d", "x:ok:d"))

    assert [name for name, column in placement.columns.items() if column == 0] == ["a", "b", "c", "d"]
    assert placement.columns["x"] == 1


def test_error_routes_to_one_step_share_a_lane():
    placement = place_graph(graph("a:ok:b", "b:ok:c", "a:error:sorry", "b:error:sorry", "c:error:sorry"))

    assert {link.lane for link in placement.links if link.target == "sorry"} == {1, None}


def test_the_placement_of_a_workflow_does_not_depend_on_its_run():
    before = place_graph(graph("a:ok:b", "a:error:x"))
    after = place_graph(graph("a:ok:b:blocked", "a:error:x:selected", nodes={"a": {"status": "failed"}}))

    assert (before.rows, before.columns) == (after.rows, after.columns)
