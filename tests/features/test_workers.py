"""Who works is registered, on every plane, and the doctor reads it."""

from typing import Any

from msgspec import structs
from pydantic import BaseModel

from squidmesh import Finding, Mesh, Workflow, manual, step
from squidmesh.clock import Instant, micros
from squidmesh.journal.workers import WorkerRow
from squidmesh.reading.workers import LOST_AFTER
from squidmesh.runtime.register import FORGOTTEN_AFTER
from squidmesh.runtime.served import UNSERVED
from tests.features.world import World

SECONDS = LOST_AFTER.total_seconds()


class Nothing(BaseModel):
    pass


class Toll(Workflow):
    version = "1"
    go = manual(Nothing)
    charge = step(lambda: None)


def put(mesh: Mesh, name: str, **said: Any) -> None:
    """As a worker of another process does."""
    store = mesh._engine().store
    row = WorkerRow(
        name=name,
        host="shire",
        pid=7,
        version="1.0",
        queues=("default",),
        slots=4,
        busy=0,
        leases=0,
        draining=False,
        started_at=store.now(),
    )
    store.put_workers([structs.replace(row, **said)], stale=Instant(store.now() - micros(FORGOTTEN_AFTER)))


def told(mesh: Mesh, name: str) -> Finding:
    (found,) = [one for one in mesh.doctor().findings if one.name == name]
    return found


def states(mesh: Mesh) -> dict[str, str]:
    return {one.name: one.state for one in mesh.workers().workers}


def test_a_worker_of_any_process_is_seen_and_gone_when_it_has_ended(world: World) -> None:
    mesh, other = world.process(Toll), world.process(Toll)
    assert states(other) == {}
    with mesh.worker(owner_id="sam", concurrency=3, queues=["default", "slow"]):
        mesh._engine().register.write()
        (one,) = other.workers().workers
        assert (one.name, one.slots, one.queues) == (f"sam@{mesh._engine().nonce}", 3, ("default", "slow"))
        assert one.state in ("idle", "working")
    mesh._engine().register.write()
    assert states(other) == {}


def test_a_worker_of_prefixes_is_known_to_claim_from_what_begins_so(world: World) -> None:
    mesh, other = world.process(Toll), world.process(Toll)
    with mesh.worker(queues=["tenant-*=3", "bulk:2"]):
        mesh._engine().register.write()
        (one,) = other.workers().workers
        assert one.queues == ("tenant-*", "bulk")
        assert (one.claims_from("tenant-a"), one.claims_from("default")) == (True, False)
    mesh._engine().register.write()


def test_a_mesh_that_is_closed_over_its_worker_leaves_one_that_is_lost(world: World) -> None:
    mesh, other = world.process(Toll), world.process(Toll)
    mesh.worker(owner_id="sam").start()
    engine = mesh._engine()
    engine.register.write()
    mesh.close()
    world.pass_time(SECONDS)
    assert states(other) == {f"sam@{engine.nonce}": "lost"}


def test_who_is_not_seen_is_lost_for_a_while_and_then_forgotten(world: World) -> None:
    mesh = world.process(Toll)
    put(mesh, "dead@1")
    world.pass_time(SECONDS - 1)
    assert states(mesh) == {"dead@1": "idle"}
    world.pass_time(1)
    assert states(mesh) == {"dead@1": "lost"}
    found = told(mesh, "workers.lost")
    assert (found.level, found.found) == ("warning", "dead@1 on shire, seen 0:02:00 ago")
    put(mesh, "young@1")
    assert told(mesh, "workers").found == "1 idle, 1 lost; 4 slots"
    world.pass_time(FORGOTTEN_AFTER.total_seconds())
    put(mesh, "young@1")
    assert states(mesh) == {"young@1": "idle"}
    assert told(mesh, "workers.lost").level == "ok"


def test_several_versions_are_told_with_the_names(world: World) -> None:
    mesh = world.process(Toll)
    put(mesh, "a@1")
    put(mesh, "b@1")
    assert (told(mesh, "workers.versions").level, told(mesh, "workers.versions").found) == ("ok", "1.0")
    put(mesh, "c@1", version="2.0")
    found = told(mesh, "workers.versions")
    assert (found.level, found.found) == ("warning", "1.0: a@1, b@1; 2.0: c@1")
    world.pass_time(SECONDS)
    put(mesh, "c@1", version="2.0")
    assert told(mesh, "workers.versions").level == "ok", "the others are lost"


def test_due_work_that_nobody_claims_is_told(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go, queue="tenant-a")
    mesh.start_run(Toll.go, queue="bulk")
    mesh.start_run(Toll.go, queue="later", delay=3600)
    assert told(mesh, "workers.queues").level == "ok", "it has only just become due"
    world.pass_time(UNSERVED.total_seconds())
    put(mesh, "a@1", queues=("default", "bulk"))
    found = told(mesh, "workers.queues")
    assert (found.level, found.found) == ("warning", "tenant-a, due for 0:01:00")
    put(mesh, "b@1", queues=("tenant-*",))
    assert told(mesh, "workers.queues").level == "ok"
    put(mesh, "b@1", queues=("tenant-*",), draining=True)
    assert told(mesh, "workers.queues").level == "warning", "it takes nothing more"


def test_a_paused_queue_needs_nobody(world: World) -> None:
    mesh = world.process(Toll)
    mesh.start_run(Toll.go)
    world.pass_time(UNSERVED.total_seconds())
    assert told(mesh, "workers.queues").found == "default, due for 0:01:00"
    mesh.pause_queue("default", actor="sam")
    assert told(mesh, "workers.queues").level == "ok"


def test_many_are_counted_rather_than_named(world: World) -> None:
    mesh = world.process(Toll)
    for number in range(12):
        put(mesh, f"dead@{number:02}")
    world.pass_time(SECONDS)
    found = told(mesh, "workers.lost").found
    assert found.count("dead@") == 10
    assert found.endswith(" and 2 more")
