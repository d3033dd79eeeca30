"""A gate is moved by a recorded decision and by nothing else, and by one only (I17)."""

import pytest

from squidmesh.errors import KeyReused, NotFound, NotWaiting
from squidmesh.journal.facts import ApprovalDecided, AttemptScheduled, CommandRepeated, RouteTaken, RunFailed
from tests.unit.planning.errand import Errander, at, kinds

DAY = "2026-01-01T00:00:00+00:00"
MIDNIGHT = 1_767_225_600_000_000


def test_an_approval_the_route_and_what_is_next_are_one_entry() -> None:
    run = at("council")
    run.now = MIDNIGHT
    decided, routed, next_step = run.decide("approved", comment="go", metadata={"seat": 3}, key="word")
    said = {"decision": "approved", "actor": "elrond", "comment": "go", "decided_at": DAY, "metadata": {"seat": 3}}
    assert decided == ApprovalDecided(
        at=MIDNIGHT,
        step="council",
        decision="approved",
        actor="elrond",
        comment="go",
        metadata={"seat": 3},
        output={"council": said},
        key="word",
    )
    assert routed == RouteTaken(at=MIDNIGHT, source="council", on="ok", target="moria", edge="council:ok:moria")
    assert isinstance(next_step, AttemptScheduled)
    assert run.state.context()["council"] == said


def test_a_rejection_takes_its_own_route() -> None:
    run = at("council")
    _, routed, next_step = run.decide("rejected")
    assert isinstance(routed, RouteTaken)
    assert (routed.on, routed.target, routed.edge) == ("reject", "mend", "council:reject:mend")
    assert isinstance(next_step, AttemptScheduled)


def at_rohan() -> Errander:
    return at("rohan", road="gap", payload={"miles": 101})


def test_a_rejection_without_a_route_fails_the_run() -> None:
    run = at_rohan()
    decided, end = run.decide("rejected")
    assert isinstance(decided, ApprovalDecided)
    assert decided.output == {}, "no output key, no output"
    assert end == RunFailed(at=run.now, code="rejected", step="rohan", message="rohan was rejected")


def test_an_approval_that_leads_nowhere_completes_the_run() -> None:
    assert kinds(at_rohan().decide("approved")) == ["ApprovalDecided", "RunCompleted"]


@pytest.mark.parametrize("first", ["approved", "rejected"])
@pytest.mark.parametrize("second", ["approved", "rejected"])
def test_a_gate_is_decided_once(first: str, second: str) -> None:
    run = at("council")
    run.decide(first)
    with pytest.raises(NotWaiting, match=f"{first} already, by elrond"):
        run.decide(second, step="council")
    with pytest.raises(NotWaiting):
        run.decide(second)


def test_the_same_key_again_is_the_same_command_and_changes_nothing_but_a_count() -> None:
    run = at("council")
    run.decide("approved", key="word")
    before = run.agenda.copy()
    run.now = MIDNIGHT
    assert run.decide("approved", key="word") == [CommandRepeated(at=MIDNIGHT, key="word")]
    assert run.decide("approved", key="word", step="council") == [CommandRepeated(at=MIDNIGHT, key="word")]
    assert run.agenda == before
    assert run.state.open_steps == ["moria"]
    assert [(it.verb, it.subject, it.repeats) for it in run.state.commands] == [("approve", "council", 2)]


def test_the_same_key_still_changes_nothing_when_the_run_has_ended() -> None:
    run = at_rohan()
    run.decide("approved", key="word")
    assert run.state.ended
    assert run.decide("approved", key="word") == []


@pytest.mark.parametrize("other", [{"decision": "rejected"}, {"step": "rohan"}, {"step": "pack"}])
def test_the_same_key_is_not_for_another_command(other: dict[str, str]) -> None:
    run = at("council")
    run.decide("approved", key="word")
    with pytest.raises(KeyReused) as refused:
        run.decide(**{"decision": "approved", "key": "word", **other})
    assert refused.value.field == "key"


def test_a_refused_command_does_not_use_its_key_up() -> None:
    run = at("pack")
    with pytest.raises(NotWaiting):
        run.decide(key="word")
    assert run.state.keys == {}


def test_another_key_is_another_command() -> None:
    run = at("council")
    run.decide("approved", key="word")
    with pytest.raises(NotWaiting):
        run.decide("approved", key="another")


def test_a_gate_may_be_named() -> None:
    assert kinds(at("council").decide(step="council"))[0] == "ApprovalDecided"


def test_a_gate_that_is_not_open_is_not_decided_by_a_command_for_it() -> None:
    run = at("council")
    with pytest.raises(NotWaiting) as refused:
        run.decide(step="rohan")
    assert refused.value.field == "step"
    assert run.state.open_gates == ["council"]


@pytest.mark.parametrize("step", ["pack", "rest", "nonsense", ""])
def test_what_is_no_approval_can_not_be_decided(step: str) -> None:
    with pytest.raises(NotFound):
        at("council").decide(step=step)


@pytest.mark.parametrize(("where", "status"), [("pack", "running"), ("rest", "waiting"), ("moria", "running")])
def test_a_run_that_waits_for_nobody_is_not_moved(where: str, status: str) -> None:
    run = at(where)
    with pytest.raises(NotWaiting) as refused:
        run.decide()
    assert refused.value.http_status == 409
    if not run.state.gates:
        assert status in str(refused.value)


def test_an_ended_run_is_not_moved() -> None:
    run = at_rohan()
    run.decide("rejected")
    with pytest.raises(NotWaiting):
        run.decide("approved")
