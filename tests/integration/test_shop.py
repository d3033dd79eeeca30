"""The example host with PostgreSQL and Redis: orders over HTTP to their end, and all that a host has to keep."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from examples.shop import store
from examples.shop.app import made
from examples.shop.settings import Settings
from examples.shop.workflows import Restock, connected
from squidmesh import Mesh
from tests.support.redises import started
from tests.support.shop_customer import Customer

PEOPLE = '{"sam": {"password": "p1", "role": "clerk"}, "rosie": {"password": "p2", "role": "manager"}}'


@dataclass(frozen=True)
class Shop:
    settings: Settings
    mesh: Mesh
    customer: Customer

    def work_until(self, run_id: str, reason: str) -> None:
        """In this thread, one attempt after the other."""
        while self.mesh.explain_run(run_id).reason != reason:
            self.mesh.execute_next()

    def rows(self, statement: str) -> list[tuple[object, ...]]:
        with store.opened(self.settings.database) as connection:
            return connection.execute(statement.encode()).fetchall()


@pytest.fixture
def shop(postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shop]:
    with started("valkey", tmp_path / "valkey") as redis:
        said = {"DATABASE": postgres_url, "REDIS": redis.url, "SECRET": "s", "PEOPLE": PEOPLE, "BANK_SECONDS": "0"}
        for name, value in said.items():
            monkeypatch.setenv(f"SHOP_{name}", value)
        settings = Settings.read()
        Mesh.migrate(settings.database)
        store.migrate(settings.database)
        with (
            connected(settings) as mesh,
            TestClient(made(settings, mesh), base_url="http://127.0.0.1") as client,
        ):
            yield Shop(settings, mesh, Customer(client))


def test_an_order_from_the_customer_to_the_last_parcel(shop: Shop) -> None:
    customer = shop.customer
    number, run_id = customer.order(cents=90_000)
    shop.work_until(run_id, "approval")
    with shop.mesh.worker(concurrency=2):
        page, approve = f"/sonar/runs/{run_id}", f"/orders/{number}/approve"
        assert customer.status(page) == 401, "who are you?"
        assert customer.client.post(approve, json={}).status_code == 401
        customer.client.cookies.set("shop", "726f736965.9999999999.0")
        assert customer.status(page) == 401, "a cookie of somebody's own"
        customer.sign_in("sam", "p1")
        assert "Fulfil" in customer.client.get(page).text
        assert customer.client.post(approve, json={}).status_code == 403, "a clerk looks"

        customer.sign_in("rosie", "p2")
        assert customer.approve_in_sonar(run_id, csrf="0" * 64) == 403, "a page elsewhere"
        assert customer.approve_in_sonar(run_id) == 303
        run = shop.mesh.wait_for(run_id, timeout=60)

    assert (run.status, [one.actor for one in run.command_history]) == ("completed", ["rosie"])
    assert len(run.children) == 3, "25 pieces, at most 10 in a parcel"
    assert shop.rows("SELECT item, pieces FROM shop.bookings") == [("lembas", 25)]
    assert shop.rows("SELECT pieces FROM shop.stock WHERE item = 'lembas'") == [(75,)]
    assert shop.rows("SELECT cents FROM shop.payments") == [(90_000,)]
    assert customer.client.get(f"/orders/{number}").json()["status"] == "shipped"
    assert customer.client.post(approve, json={}).status_code == 409, "it has ended"
    assert {'shop_orders{status="shipped"} 1.0', 'shop_runs{status="completed"} 4.0'} <= set(customer.metrics())


def test_a_manager_approves_at_the_hosts_own_door(shop: Shop) -> None:
    number, run_id = shop.customer.order(cents=90_000)
    shop.work_until(run_id, "approval")
    shop.customer.sign_in("rosie", "p2")
    for _ in range(2):
        answer = shop.customer.client.post(f"/orders/{number}/approve", json={"comment": "known customer"})
        assert answer.status_code == 200, "a double click"
    shop.work_until(run_id, "completed")


def test_an_order_that_is_rolled_back_has_no_run(shop: Shop) -> None:
    for _ in range(3):
        shop.customer.order()
    assert shop.customer.try_order().status_code == 409
    assert shop.rows("SELECT count(*) FROM shop.orders") == [(3,)]
    assert len(shop.mesh.list_runs(workflow="Fulfil").runs) == 3
    assert shop.customer.order(customer="sam")[0] == 5, "the fourth was there, until it was not"
    assert shop.customer.try_order(customer="sam", item="ring").status_code == 404


def test_what_was_booked_is_given_back_when_the_bank_says_no(shop: Shop) -> None:
    (_, stolen), (_, greedy) = shop.customer.order(stolen_card=True), shop.customer.order(quantity=999)
    with shop.mesh.worker(concurrency=2):
        ended = [shop.mesh.wait_for(run_id, timeout=60).status for run_id in (stolen, greedy)]
    assert ended == ["failed", "completed"]
    assert shop.rows("SELECT status FROM shop.orders") == [("cancelled",), ("cancelled",)]
    assert shop.rows("SELECT pieces FROM shop.stock WHERE item = 'lembas'") == [(100,)]
    assert shop.rows("SELECT * FROM shop.bookings") == []


def test_the_night_fills_up_what_is_short(shop: Shop) -> None:
    with store.opened(shop.settings.database) as connection:
        connection.execute("UPDATE shop.stock SET pieces = 2 WHERE item = 'rope'")
    with shop.mesh.worker():
        run = shop.mesh.activate_cron(Restock.nightly, window=datetime(2026, 7, 1, 3, tzinfo=UTC))
        assert run is not None
        ended = shop.mesh.wait_for(run.run_id, timeout=60)
    assert ended.output == {"filled": 1}
    assert shop.rows("SELECT pieces FROM shop.stock WHERE item = 'rope'") == [(20,)]
    shop.customer.sign_in("sam", "p1")
    assert "nightly" in shop.customer.client.get("/sonar/cron").text
