"""Every deed: asked for, confirmed, done under the visitor's name, and kept."""

from typing import Any

import pytest

from squidmesh import Mesh, Run
from tests.features.world import MemoryWorld, work
from tests.scenarios.sonar_app import Feast, Invitations, Journey, Letter, Nothing, RingErrand
from tests.unit.sonar.conftest import Browser, lose


def last(mesh: Mesh, run_id: str) -> tuple[str, str, str | None]:
    event = mesh.inspect_run(run_id, history=True).audit[-1]
    return event.action, event.actor, event.comment


def started(mesh: Mesh, which: str) -> Run:
    match which:
        case "council":
            run = mesh.start_run(RingErrand.leave_shire, Journey(ring_id="one"))
        case "hold":
            run = mesh.start_run(Letter.send)
        case _:
            run = mesh.start_run(Feast.invite, Nothing())
    work(mesh)
    return run


@pytest.mark.parametrize(
    ("which", "verb", "action", "query"),
    [
        ("council", "approve", "approved", {"step": "council"}),
        ("council", "reject", "rejected", {"step": "council"}),
        ("council", "cancel", "cancelled", {}),
        ("hold", "resume", "resumed", {"step": "hold"}),
        ("feast", "retry-compensation", "retried", {"step": "fireworks"}),
        ("feast", "waive-compensation", "waived", {"step": "fireworks"}),
    ],
)
def test_a_deed_is_a_fact_with_its_actor_and_comment(
    mesh: Mesh, operator: Browser, which: str, verb: str, action: str, query: dict[str, Any]
) -> None:
    run = started(mesh, which)
    page = operator.page(f"/runs/{run.run_id}")
    assert f"/runs/{run.run_id}/{verb}" in page
    answer = operator.send(f"/runs/{run.run_id}/{verb}", asked=query, comment="So it shall be.")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{run.run_id}?done={verb}")
    assert last(mesh, run.run_id) == (action, "gandalf", "So it shall be.")
    assert 'class="flash"' in operator.page(f"/runs/{run.run_id}", done=verb)


def test_the_actor_is_who_signed_in_whatever_the_form_says(mesh: Mesh, operator: Browser) -> None:
    run = started(mesh, "council")
    operator.send(f"/runs/{run.run_id}/approve", actor="saruman")
    assert last(mesh, run.run_id)[1] == "gandalf"


def test_a_form_that_is_sent_twice_counts_once(mesh: Mesh, operator: Browser) -> None:
    run = started(mesh, "council")
    form = operator.form(f"/runs/{run.run_id}/approve", step="council")
    assert [operator.post(form.action, form.fields).status_code for _ in range(2)] == [303, 303]
    seen = mesh.inspect_run(run.run_id)
    assert len(seen.audit) == 1 and seen.command_history[0].repeats == 1


def test_what_is_refused_is_asked_again_with_the_reason(mesh: Mesh, operator: Browser) -> None:
    run = started(mesh, "council")
    mesh.approve_run(run.run_id, actor="elrond")
    answer = operator.send(f"/runs/{run.run_id}/approve", asked={"step": "council"}, comment="kept words")
    assert answer.status_code == 409 and 'role="alert"' in answer.text and "kept words" in answer.text


def test_an_event_is_sent_with_its_data(mesh: Mesh, operator: Browser) -> None:
    run = mesh.start_run(Invitations.begin, Nothing())
    work(mesh)
    for child in mesh.inspect_run(run.run_id).children:
        mesh.resume_run(child.run_id, actor="bilbo")
    work(mesh)
    asked = {"event": "owl"}
    bad = operator.send(f"/runs/{run.run_id}/send-event", asked=asked, data="{not json")
    assert bad.status_code == 422 and "is no JSON" in bad.text
    assert operator.send(f"/runs/{run.run_id}/send-event", asked=asked, data='{"news": [1]}').status_code == 303
    events = [one for one in mesh.inspect_run(run.run_id, history=True).history or () if one.kind == "EventReceived"]
    assert [(one.details["data"], one.details["actor"]) for one in events] == [({"news": [1]}, "gandalf")]


def test_a_run_is_replayed_and_not_past_what_can_not_be_undone(mesh: Mesh, operator: Browser) -> None:
    run = started(mesh, "council")
    mesh.approve_run(run.run_id, actor="elrond")
    work(mesh)
    assert mesh.inspect_run(run.run_id).status == "completed"
    refused = operator.send(f"/runs/{run.run_id}/replay")
    assert refused.status_code == 409 and "irreversible" in refused.text
    answer = operator.send(f"/runs/{run.run_id}/replay", allow_irreversible="true")
    new = answer.headers["location"].removeprefix("/runs/").partition("?")[0]
    assert mesh.inspect_run(new).replay_of == run.run_id


def test_children_go_on_where_the_operator_says_so(mesh: Mesh, operator: Browser) -> None:
    run = mesh.start_run(Invitations.begin, Nothing())
    work(mesh)
    operator.send(f"/runs/{run.run_id}/cancel", children="leave")
    work(mesh)
    assert {mesh.inspect_run(one.run_id).status for one in mesh.inspect_run(run.run_id).children} == {"paused"}


def test_a_queue_is_paused_and_resumed(mesh: Mesh, operator: Browser) -> None:
    assert operator.send("/queues/default/pause", comment="Orcs.").headers["location"] == "/queues?done=pause"
    (queue,) = [one for one in mesh.queues().queues if one.name == "default"]
    assert queue.paused is not None and (queue.paused.actor, queue.paused.comment) == ("gandalf", "Orcs.")
    assert operator.send("/queues/default/pause").status_code == 409
    assert operator.send("/queues/default/resume").status_code == 303
    assert all(one.paused is None for one in mesh.queues().queues)


def test_dead_letters_are_replayed_some_or_all_that_match(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    some, other, slow = lose(world), lose(world), lose(world, queue="slow")
    asked = {"item": [some]}
    page = operator.page("/dead-letters/replay", **asked)
    assert "<strong>1</strong> would be replayed" in page and some in page and other not in page
    assert len(mesh.list_dead_letters().dead_letters) == 3

    answer = operator.send("/dead-letters/replay", asked=asked, comment="The ferry is mended.")
    assert answer.headers["location"] == "/dead-letters?done=replay&count=1&refused=0"
    assert "1 went back to work" in operator.page("/dead-letters", done="replay", count=1, refused=0)
    assert last(mesh, some.partition("/")[0]) == ("replayed", "gandalf", "The ferry is mended.")

    assert "<strong>1</strong> would be replayed" in operator.page("/dead-letters/replay", queue="slow")
    operator.send("/dead-letters/replay", asked={"queue": "slow"})
    assert [one.item for one in mesh.list_dead_letters().dead_letters] == [other]
    assert slow not in operator.page("/dead-letters")
    operator.send("/dead-letters/replay")
    assert mesh.list_dead_letters().dead_letters == ()


def test_a_dead_letter_is_discarded_for_a_reason(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    item = lose(world)
    asked = {"item": [item], "run_id": item.partition("/")[0], "back": "run"}
    assert operator.send("/dead-letters/discard", asked=asked).status_code == 422
    answer = operator.send("/dead-letters/discard", asked=asked, comment="Sunk.")
    assert answer.headers["location"] == f"/runs/{item.partition('/')[0]}?done=discard-dead-letter"
    assert mesh.inspect_run(item.partition("/")[0]).status == "failed"


def test_a_run_is_started_from_the_form_of_its_payload(mesh: Mesh, operator: Browser) -> None:
    path = "/workflows/RingErrand/start/leave_shire"
    form = operator.form(path)
    assert form.fields["payload.bearer"] == "Frodo" and form.fields["payload.companions"] == "Sam"
    assert form.fields["payload.hidden"] == "true" and form.fields["payload.password"] == ""
    fields = {
        "payload.ring_id": "one",
        "payload.pace": '"ride"',
        "payload.companions": "Sam\nMerry\n",
        "payload.rations": "3",
        "payload.password": "mellon",
        "run_key": "order-17",
        "queue": "shire",
        "comment": "Off we go.",
    }
    answer = operator.send(path, asked=None, **fields)
    run = mesh.inspect_run(answer.headers["location"].removeprefix("/runs/").partition("?")[0], history=True)
    assert (run.key, run.queue) == ("order-17", "shire") and run.payload is not None
    assert run.payload["companions"] == ["Sam", "Merry"] and run.payload["rations"] == 3
    assert run.payload["pace"] == "ride" and run.payload["password"] == "**********"
    assert run.metadata == {"sonar": {"started_by": "gandalf", "comment": "Off we go."}}


def test_a_payload_that_is_refused_is_asked_again_without_its_secret(mesh: Mesh, operator: Browser) -> None:
    path = "/workflows/RingErrand/start/leave_shire"
    for given, said in (
        ({"payload.rations": "many"}, "many"),
        ({"payload.rations": "-4"}, "rations"),
        ({"delay": "soon"}, "delay"),
    ):
        fields = {"payload.ring_id": "kept-words", "payload.password": "mellon-word", **given}
        answer = operator.send(path, asked=None, **fields)
        assert answer.status_code == 422 and said in answer.text
        assert "kept-words" in answer.text and "mellon-word" not in answer.text
    assert mesh.list_runs().runs == ()


def test_a_start_that_is_sent_twice_is_one_run(mesh: Mesh, operator: Browser) -> None:
    form = operator.form("/workflows/Letter/start/send")
    first, second = (operator.post(form.action, form.fields) for _ in range(2))
    assert first.headers["location"] == second.headers["location"]
    assert len(mesh.list_runs().runs) == 1
