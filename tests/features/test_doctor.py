"""The doctor, on every plane: what it says of a mesh that is well, and of each thing that may be wrong with it."""

import pytest
from pydantic import BaseModel

from squidmesh import Finding, Mesh, Report, Workflow, manual, step
from squidmesh.runtime import doctor
from tests.features.vandals import mend, spoil
from tests.features.world import Hand, World, work


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


def told(mesh: Mesh, name: str) -> Finding:
    (found,) = [one for one in mesh.doctor().findings if one.name == name]
    return found


def levels(report: Report) -> dict[str, str]:
    return {one.name: one.level for one in report.findings if "." not in one.name or one.name.startswith("queue.")}


def test_a_mesh_that_is_well(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go)
    report = mesh.doctor()
    names = ("plane", "queue.default", "oldest_attempt", "functions", "workers", "dead_letters", "paused_queues")
    assert levels(report) | {"memory": "ok"} == dict.fromkeys(("memory", *names), "ok")
    # A test's servers do not wait for the disk, and the clock of Redis is not the journal's virtual one.
    odd = {"memory", "redis.clock", "postgresql.fsync"}
    assert {one.name for one in report.findings if one.level != "ok"} <= odd
    assert told(mesh, "plane").found == "nobody has claimed anything yet"
    work(mesh)
    assert "epoch 1" in told(mesh, "plane").found
    assert report.to_json()["level"] == report.level


def test_it_only_looks(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go)
    store = mesh._engine().store
    before = store.rows_of([one.thread for one in store.threads().threads])
    mesh.doctor()
    assert store.plane() is None
    assert store.position() == 0
    assert store.rows_of([one.thread for one in store.threads().threads]) == before


def test_what_waits_is_counted_by_queue(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_runs(Toll.go, [{}] * 3)
    mesh.start_run(Toll.go, queue="slow", delay=60)
    world.pass_time(59)
    assert told(mesh, "queue.default").found == "3 open; the first is due since 0:00:59"
    assert told(mesh, "queue.slow").found == "1 open; none is due"


def test_the_oldest_is_found_whatever_its_priority(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_LOOK", 2)
    monkeypatch.setattr(doctor, "MOST_ATTEMPTS", 4)
    mesh = world.process(Toll)
    first = mesh.start_run(Toll.go, priority=9)
    for priority in (7, 3, 8, 0, 5):
        world.pass_time(1)
        mesh.start_runs(Toll.go, [{}] * 3, priority=priority)
    world.pass_time(5)
    assert told(mesh, "queue.default").found == "4 open or more; the first is due since 0:00:10"
    assert told(mesh, "oldest_attempt").found == (
        f"{first.run_id}/charge#1, queue default: due since 0:00:10, nobody has claimed it"
    )


def test_work_that_nobody_claims_is_told_unless_its_queue_is_paused(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go)
    world.pass_time(doctor.LATE.total_seconds() - 1)
    assert told(mesh, "queue.default").level == "ok"
    world.pass_time(2)
    assert told(mesh, "queue.default").level == "warning"
    mesh.pause_queue("default", actor="sam")
    assert told(mesh, "queue.default").level == "ok"
    assert (told(mesh, "paused_queues").level, told(mesh, "paused_queues").found) == ("warning", "default by sam")


def test_what_is_claimed_names_its_owner_and_no_claim(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go)
    hand = Hand(world.process(Toll), "busy")
    hand.claim()
    world.pass_time(doctor.LATE.total_seconds() * 2)
    assert "claimed by busy@" in told(mesh, "oldest_attempt").found
    assert told(mesh, "queue.default").level == "ok"
    claims = [row.claim_hash for row in mesh._engine().store.open_attempts()]
    assert all(claims)
    assert not [claim for claim in claims if str(claim) in str(mesh.doctor())]


def test_steps_that_have_no_function_here_are_named(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go)
    other = world.process(Mail)
    found = told(other, "functions")
    assert (found.level, found.found) == ("warning", "Toll.charge is missing")
    assert told(mesh, "functions").level == "ok"
    assert "functions" not in {one.name for one in world.process().doctor().findings}, "it was given no workflows"


def test_dead_letters_are_counted(world: World) -> None:
    mesh = world.process(Toll, max_deliveries=1)
    mesh.start_run(Toll.go)
    doomed = Hand(world.process(Toll, max_deliveries=1), "doomed")
    doomed.claim()
    doomed.die()
    world.pass_time(31)
    work(mesh)
    assert (told(mesh, "dead_letters").level, told(mesh, "dead_letters").found) == ("warning", "1")


def test_a_history_that_can_not_be_read_is_refused(world: World) -> None:
    mesh = world.process(Toll)
    run = mesh.start_run(Toll.go)
    spoil(world, run.run_id)
    found = told(world.process(Toll), "history")
    assert (found.level, run.run_id in found.found, "checksum" in found.found) == ("refused", True, True)
    mend(world)
