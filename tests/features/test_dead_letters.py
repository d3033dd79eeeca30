"""Dead letters: found by what they are about, sent back or given up for good, each by somebody with a name."""

import time
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Mesh, Workflow, manual, step
from tests.features.world import Hand, World, facts_of, kinds, seen, work


class Nothing(BaseModel):
    pass


class Mail(Workflow):
    version = "1"
    go = manual(Nothing)
    post = step(lambda: None)


class Toll(Workflow):
    version = "1"
    go = manual(Nothing)
    charge = step(lambda: None)


@pytest.fixture
def mesh(world: World) -> Iterator[Mesh]:
    """Three are dead: one of Mail, and 100 seconds later two of Toll, one of them in a queue of its own."""
    mesh = world.process(Mail, Toll, max_deliveries=1)
    mesh.start_run(Mail.go)
    lose(world)
    world.pass_time(100)
    mesh.start_run(Toll.go)
    mesh.start_run(Toll.go, queue="slow")
    lose(world)
    lose(world, queue="slow")
    assert len(mesh.list_dead_letters().dead_letters) == 3
    yield mesh


def lose(world: World, **settings: Any) -> None:
    """Who holds what is visible is gone, and another one finds it out."""
    doomed = Hand(world.process(Mail, Toll, max_deliveries=1, **settings), "doomed")
    assert doomed.claim()
    doomed.die()
    world.pass_time(31)
    work(world.process(Mail, Toll, max_deliveries=1, **settings))


def test_they_are_found_by_workflow_step_queue_run_cause_and_age(mesh: Mesh) -> None:
    mail, toll, slow = mesh.list_dead_letters().dead_letters

    def found(**filters: Any) -> list[str]:
        return [letter.item for letter in mesh.list_dead_letters(**filters).dead_letters]

    assert (mail.workflow, mail.step, mail.cause, mail.lost) == ("Mail", "post", "lost_deliveries", 1)
    assert mail.owner is not None
    assert mail.owner.startswith("doomed")
    assert found(workflow="Toll") == found(step="charge") == [toll.item, slow.item]
    assert found(queue="slow") == [slow.item]
    assert found(run_id=toll.run_id) == [toll.item]
    assert found(cause="lost_deliveries") == [mail.item, toll.item, slow.item]
    assert found(older_than=90) == [mail.item]
    assert found(workflow="Mail", queue="slow") == []


def test_those_that_match_are_replayed_and_the_others_left(mesh: Mesh) -> None:
    mail, toll, slow = mesh.list_dead_letters().dead_letters
    tried = mesh.replay_dead_letters(workflow="Toll", actor="ops", dry_run=True)
    assert (tried.items, tried.dry_run) == ((toll.item, slow.item), True)
    assert len(mesh.list_dead_letters().dead_letters) == 3, "a dry run changes nothing"
    assert mesh.replay_dead_letters(workflow="Toll", actor="ops", comment="mended").items == (toll.item, slow.item)
    assert [letter.item for letter in mesh.list_dead_letters().dead_letters] == [mail.item]
    work(mesh)
    done = seen(mesh, toll.run_id)
    assert done.status == "completed"
    assert [fact["actor"] for fact in facts_of(done, "DeadLetterReplayed")] == ["ops"]


def test_where_no_error_route_leads_on_a_discard_fails_the_run(mesh: Mesh) -> None:
    (mail, *_) = mesh.list_dead_letters().dead_letters
    assert mesh.discard_dead_letters([mail.item], actor="ops", reason="the road is gone").items == (mail.item,)
    done = seen(mesh, mail.run_id)
    assert (done.status, done.failure and done.failure.error) == ("failed", "dead_letter_discarded")
    assert "DeadLetterDiscarded" in kinds(done)


def test_a_replay_goes_no_faster_than_its_rate(mesh: Mesh) -> None:
    heard: list[float] = []
    mesh.replay_dead_letters(all=True, actor="ops", rate=10, tell=lambda item: heard.append(time.monotonic()))
    assert len(heard) == 3
    assert heard[-1] - heard[0] > 0.15, "two pauses of a tenth of a second"
