"""A journal in SQLite that was saved in the middle of its work and restored, with leases in a Redis that knows more, or
nothing. The drill with processes and with PostgreSQL is ``tests/scenarios/test_restore_drill.py``.
"""

import time
from collections import Counter
from pathlib import Path

import pytest
from pydantic import BaseModel
from redis import Redis

from squidmesh import Context, Mesh, NotFound, Workflow, approval, manual, step
from squidmesh.ids import idempotency_key
from tests.support.backups import OneFile
from tests.support.redises import left_behind, started

LEASE = 0.5


class Order(BaseModel):
    number: int


done: Counter[str] = Counter()
"""What the steps did outside, by idempotency key."""


def work(context: Context) -> None:
    done[context.idempotency_key] += 1


class Sale(Workflow):
    version = "1"
    sell = manual(Order)
    picked = step(work)
    gate = approval()
    shipped = step(work)
    flow = (picked >> gate >> shipped,)


def connected(url: str, leases: str) -> Mesh:
    return Mesh.connect(url, leases=leases, workflows=[Sale], lease=LEASE, sweep=0.2, idle_poll=0.05)


def sell(mesh: Mesh, number: int) -> str:
    return mesh.start_run(Sale, {"number": number}, key=str(number)).run_id


def approve(mesh: Mesh, run_id: str) -> None:
    mesh.approve_run(run_id, actor="sam")


def until_status(mesh: Mesh, wanted: dict[str, int]) -> None:
    ends = time.monotonic() + 60
    while (found := {name: count for name, count in mesh.count_runs().items() if count}) != wanted:
        assert time.monotonic() < ends, (found, wanted)
        time.sleep(0.02)


@pytest.mark.parametrize("leases", ["empty", "newer"])
def test_what_was_saved_goes_on_and_what_came_later_is_lost_alone(leases: str, tmp_path: Path) -> None:
    done.clear()
    store = OneFile(tmp_path)
    (saved := tmp_path / "saved").mkdir()
    with started("valkey", tmp_path) as server, Redis.from_url(server.url, decode_responses=True) as redis:
        with connected(store.url, server.url) as mesh:
            early, asked = sell(mesh, 1), sell(mesh, 2)
            with mesh.worker():
                until_status(mesh, {"paused": 2})
                approve(mesh, early)
                until_status(mesh, {"paused": 1, "completed": 1})
                store.save(saved)
                late = sell(mesh, 3)
                until_status(mesh, {"paused": 2, "completed": 1})
                approve(mesh, asked)
                approve(mesh, late)
                until_status(mesh, {"completed": 3})
            sell(mesh, 4)  # in Redis, and nobody begins with it
        store.lose()
        if leases == "empty":
            redis.flushall()

        with store.restored(saved, tmp_path / "restored") as url, connected(url, server.url) as mesh:
            if leases == "newer":
                assert mesh.reconcile(rewound=True).dropped == 1, "what the journal does not know"
            with pytest.raises(NotFound):
                mesh.inspect_run(late)
            assert mesh.explain_run(asked).reason == "approval", "that it was approved is lost"
            with mesh.worker():
                assert [sell(mesh, number) for number in (1, 2, 3)] == [early, asked, late]
                until_status(mesh, {"paused": 2, "completed": 1})
                for run_id in (asked, late):
                    approve(mesh, run_id)
                until_status(mesh, {"completed": 3})
            again = {key for key, count in done.items() if count == 2}
            assert len(done) == 6, "under the same idempotency keys"
            assert not again & {idempotency_key(early, name) for name in ("picked", "shipped")}, (
                "what had ended is not done again"
            )
            mesh.reconcile()
            assert left_behind(redis) == []
            assert all(not redis.hlen(key) for key in redis.scan_iter("squidmesh:{*}:items"))
