"""Queues by their beginnings, with weights and with limits, for one worker."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import BackendUnavailable, Mesh, Workflow, manual, step
from squidmesh.ports.lease_backend import Grants
from squidmesh.runtime.shares import check_shares
from tests.features.world import Hand, World


class Nothing(BaseModel):
    pass


class Sale(Workflow):
    version = "1"
    go = manual(Nothing)
    only = step(lambda: None)


class Two(Workflow):
    version = "1"
    go = manual(Nothing)
    first = step(lambda: None)
    second = step(lambda: None)
    flow = first >> second


def start(mesh: Mesh, counts: dict[str, int], workflow: type[Workflow] = Sale) -> None:
    for queue, count in counts.items():
        for _ in range(count):
            mesh.start_run(workflow, {}, queue=queue)


class Shared(Hand):
    """A worker with shares, whose slots are in the test's hands."""

    def __init__(self, mesh: Mesh, *shares: str, capacity: int, continues: bool = False) -> None:
        super().__init__(mesh, "worker", capacity=capacity, continues=continues)
        self._pump = self.engine.pump(
            self,
            owner_id="worker",
            queues=check_shares(shares, field="queues"),
            pulse=None,
            patience=None,
            continues=continues,
        )

    def held(self) -> Counter[str]:
        self.claim()
        return Counter(assignment.claim.queue for assignment in self.claimed)


def test_a_beginning_stands_for_all_queues_that_have_it(world: World) -> None:
    mesh = world.process(Sale)
    start(mesh, {"tenant-1": 1, "tenant-2": 1, "other": 1})
    worker = Shared(mesh, "tenant-*", capacity=5)
    assert worker.held() == {"tenant-1": 1, "tenant-2": 1}
    start(mesh, {"tenant-3": 1})
    assert worker.held() == {"tenant-1": 1, "tenant-2": 1, "tenant-3": 1}, "one that nobody knew of before"
    worker.run()
    worker.record()
    assert mesh.count_runs() == {"completed": 3, "running": 1}


def test_weights_divide_what_is_claimed(world: World) -> None:
    mesh = world.process(Sale)
    start(mesh, {"high": 14, "low": 14})
    worker = Shared(mesh, "high=3", "low", capacity=4)
    for _ in range(3):
        assert worker.held() == {"high": 3, "low": 1}
        worker.run()
        worker.record()
    one_by_one = Shared(mesh, "high=3", "low", capacity=1)
    done: Counter[str] = Counter()
    for _ in range(4):
        done += one_by_one.held()
        one_by_one.run()
        one_by_one.record()
    assert done == {"high": 3, "low": 1}


def test_a_tenant_with_much_work_does_not_hold_up_the_others(world: World) -> None:
    mesh = world.process(Sale)
    start(mesh, {"tenant-1": 30})
    start(mesh, {"tenant-2": 2, "tenant-3": 2})
    worker = Shared(mesh, "tenant-*", capacity=3)
    for _ in range(2):
        assert worker.held() == {"tenant-1": 1, "tenant-2": 1, "tenant-3": 1}
        worker.run()
        worker.record()
    assert worker.held() == {"tenant-1": 3}


def test_a_limit_holds_also_while_runs_go_on(world: World) -> None:
    mesh = world.process(Two)
    start(mesh, {"bulk-1": 6, "bulk-2": 6, "fast": 2}, Two)
    worker = Shared(mesh, "bulk-*:1", "fast", capacity=8, continues=True)
    assert worker.held() == {"bulk-1": 1, "bulk-2": 1, "fast": 2}
    worker.run(lambda assignment: assignment.claim.queue == "bulk-1")
    assert worker.held() == {"bulk-1": 1, "bulk-2": 1, "fast": 2}, "its slot went to the next step of the same run"
    assert Counter(assignment.spec.name for assignment in worker.claimed) == {"first": 3, "second": 1}
    for _ in range(40):
        worker.run()
        assert all(count == 1 for queue, count in worker.held().items() if queue != "fast")
    assert mesh.count_runs() == {"completed": 14}


def test_a_paused_queue_of_a_beginning_is_left_out(world: World) -> None:
    mesh = world.process(Sale)
    start(mesh, {"tenant-1": 2, "tenant-2": 2})
    mesh.pause_queue("tenant-1", actor="sam")
    worker = Shared(mesh, "tenant-*", capacity=3)
    assert worker.held() == {"tenant-2": 2}
    mesh.resume_queue("tenant-1", actor="sam")
    assert worker.held() == {"tenant-2": 2, "tenant-1": 1}


def test_an_answer_that_was_lost_is_asked_for_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was granted then is not left to lapse, and what came before it is not lost."""
    mesh = world.process(Sale)
    start(mesh, {"high": 1, "low": 1})
    worker = Shared(mesh, "high=3", "low", capacity=4)
    leases = worker.engine.leases
    original = leases.claim
    calls: list[list[str]] = []

    def claim(queues: Sequence[str], **kwargs: Any) -> Grants:
        answer = original(queues, **kwargs)
        calls.append(list(queues))
        if len(calls) == 2:
            raise BackendUnavailable("the answer was lost")
        return answer

    monkeypatch.setattr(leases, "claim", claim)
    assert worker.held() == {"high": 1}
    assert worker.held() == {"high": 1, "low": 1}
    assert [assignment.delivery for assignment in worker.claimed] == [1, 1]
    assert not any(assignment.suspect for assignment in worker.claimed)
    assert calls[:3] == [["high"], ["low"], ["low"]]
    worker.run()
    worker.record()
    assert mesh.count_runs() == {"completed": 2}
