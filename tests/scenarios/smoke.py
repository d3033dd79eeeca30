"""``./dev smoke``: the whole boundary of a host, once. The example's shop, with servers of its own, as customers and
operators use it; a worker is killed while the bank charges.
"""

import sys
from collections.abc import Generator, Iterator
from datetime import UTC, datetime
from pathlib import Path

import httpx2

from examples.shop import store
from examples.shop.premises import Premises
from examples.shop.workflows import Restock, connected
from squidmesh import Mesh
from squidmesh.testing.processes import living
from tests.scenarios.told import PATIENCE, told, until
from tests.support.shop_customer import Customer

LEASE, BANK_SECONDS = 3.0, 2.0
"""Seconds. The bank is slow enough to be caught at it."""


def smoke(folder: Path) -> Generator[str]:
    with Premises(folder, lease=LEASE, bank_seconds=BANK_SECONDS) as shop:
        yield "PostgreSQL and Redis run, and are migrated"
        address = shop.start_web()
        with connected(shop.settings) as mesh, httpx2.Client(base_url=address, timeout=PATIENCE) as client:
            yield from _an_order(shop, mesh, Customer(client))
            yield from _what_else_there_is(shop, mesh, Customer(client))
        pids = shop.pids
    assert living(pids) == []
    yield f"all {len(pids)} processes have ended"


def _an_order(shop: Premises, mesh: Mesh, customer: Customer) -> Iterator[str]:
    first = shop.start_worker()
    number, run_id = customer.order(cents=90_000)
    assert mesh.inspect_run(run_id).key == f"order-{number}"
    yield "an order was placed over HTTP, and its run was started in the same transaction"

    for _ in range(3):
        customer.order(customer="gollum", item="rope", quantity=1)
    assert customer.try_order(customer="gollum", item="rope", quantity=1).status_code == 409
    assert len(mesh.list_runs(workflow="Fulfil").runs) == 4
    assert _rows(shop, "SELECT count(*) FROM shop.orders") == [(4,)]
    yield "an order that was rolled back has no run"

    until(lambda: mesh.explain_run(run_id).reason == "approval", "the approval")
    until(lambda: mesh.count_runs(workflow="Fulfil").get("completed") == 3, "the other orders")
    assert customer.status(f"/sonar/runs/{run_id}") == 401
    customer.sign_in("sam", shop.password)
    assert customer.status(f"/sonar/runs/{run_id}") == 200
    assert customer.client.post(f"/orders/{number}/approve", json={}).status_code == 403
    yield "Sonar refuses who has not signed in, and a clerk only looks"

    customer.sign_in("rosie", shop.password)
    assert customer.approve_in_sonar(run_id, csrf="0" * 64) == 403
    assert customer.approve_in_sonar(run_id) == 303
    yield "a manager approved in Sonar; a forged form was refused"

    charged = f"SELECT cents FROM shop.payments WHERE number = {number}"
    until(lambda: _rows(shop, charged), "the bank")
    shop.kill(first)
    shop.start_worker()
    run = mesh.wait_for(run_id, timeout=PATIENCE)
    (charge,) = [one for one in run.attempts if one.step == "charge"]
    assert (run.status, charge.attempt, charge.lost) == ("completed", 1, 1), run
    assert _rows(shop, charged) == [(90_000,)]
    yield "a worker was killed while the bank charged; another went on, and the bank has charged once"

    assert _rows(shop, f"SELECT pieces FROM shop.bookings WHERE number = {number}") == [(25,)]
    assert _rows(shop, "SELECT pieces FROM shop.stock WHERE item = 'lembas'") == [(75,)]
    assert len(run.children) == 3
    assert customer.client.get(f"/orders/{number}").json()["status"] == "shipped"
    yield "stock was booked once, three parcels were sent, the order is shipped"


def _what_else_there_is(shop: Premises, mesh: Mesh, customer: Customer) -> Iterator[str]:
    _, run_id = customer.order(customer="wormtongue", stolen_card=True)
    assert mesh.wait_for(run_id, timeout=PATIENCE).status == "failed"
    assert _rows(shop, "SELECT pieces FROM shop.stock WHERE item = 'lembas'") == [(75,)]
    yield "where the bank said no, what was booked was given back"

    windows = [mesh.activate_cron(Restock.nightly, window=datetime(2026, 7, 1, 3, tzinfo=UTC)) for _ in range(2)]
    (night,) = {run.run_id for run in windows if run is not None}
    assert mesh.wait_for(night, timeout=PATIENCE).status == "completed"
    assert "nightly" in customer.client.get("/sonar/cron").text
    yield "a night that was fired twice filled the stock up once"

    until(lambda: not {"running", "retrying", "waiting"} & {*mesh.count_runs(workflow="Fulfil")}, "all orders")
    told = set(customer.metrics())
    assert {'shop_orders{status="shipped"} 4.0', 'shop_orders{status="cancelled"} 1.0'} <= told, told
    assert 'shop_runs{status="failed"} 1.0' in told
    yield "the metrics tell it"


def _rows(shop: Premises, statement: str) -> list[tuple[object, ...]]:
    with store.opened(shop.settings.database) as connection:
        return connection.execute(statement.encode()).fetchall()


if __name__ == "__main__":
    sys.exit(told(smoke))
