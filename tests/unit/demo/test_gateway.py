"""The payment gateway keeps its promises over real HTTP, and its ledger is compared with the journal without mercy.

Each server is a process of its own on a free port, started and ended by its handle.
"""

import json
import os
import signal
import socket
import sqlite3
import struct
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from http.client import HTTPConnection
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from squidmesh.demo import gateway as gateway_module
from squidmesh.demo.gateway import DEFAULT_SEED, MAX_BODY_BYTES, Behaviour, behaviour, latency, refusals
from squidmesh.demo.invoices import load_invoices
from squidmesh.demo.ledger import (
    Kind,
    LedgerRow,
    LedgerUnusable,
    MoneyKind,
    Outcome,
    read_ledger,
    reconcile,
)

SEED = 11
ROOT = Path(gateway_module.__file__).parents[2]
FOREVER = 3600.0

Answer = tuple[int, dict[str, Any]]


class Gateway:
    """One gateway process and a client of it."""

    def __init__(self, ledger: Path, *, seed: int = SEED, hold: float = FOREVER) -> None:
        command = [sys.executable, "-m", "squidmesh.demo.gateway", "--ledger", str(ledger), "--port", "0"]
        command += ["--seed", str(seed), "--hold", str(hold)]
        path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        self.ledger = ledger
        self.process = subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("gateway listening on http://127.0.0.1:"):
            self.process.kill()
            pytest.fail(f"the gateway did not start: {line!r} {self.process.communicate()[1]}")
        self.port = int(line.rsplit(":", 1)[1])

    def post(self, path: str, key: str, body: object, *, patience: float = 30) -> Answer:
        headers = {"Idempotency-Key": key, "Content-Type": "application/json"}
        return self.request("POST", path, json.dumps(body).encode(), headers, patience=patience)

    def charge(self, invoice_id: str, key: str, amount_cents: int = 1250, *, patience: float = 30) -> Answer:
        body = {"invoice_id": invoice_id, "amount_cents": amount_cents, "currency": "EUR"}
        return self.post("/charges", key, body, patience=patience)

    def request(
        self, method: str, path: str, body: bytes | None, headers: dict[str, str], *, patience: float = 30
    ) -> Answer:
        with closing(HTTPConnection("127.0.0.1", self.port, timeout=patience)) as connection:
            connection.request(method, path, body, headers)
            response = connection.getresponse()
            assert response.headers["Content-Type"] == "application/json"
            return response.status, json.loads(response.read() or b"{}")

    def rows(self) -> list[LedgerRow]:
        return read_ledger(self.ledger)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> tuple[int, str]:
        """End the process; its exit code and what it said on stderr."""
        if self.process.poll() is None:
            self.process.send_signal(how)
        _, stderr = self.process.communicate(timeout=30)
        return self.process.returncode, stderr


Start = Callable[..., Gateway]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts gateways; ends those that the test did not end, and asks that none complained."""
    started: list[Gateway] = []

    def start_one(ledger: Path = tmp_path / "gateway.db", **options: Any) -> Gateway:
        started.append(Gateway(ledger, **options))
        return started[-1]

    yield start_one
    # All are ended before any is judged.
    ends = [each.stop() for each in started if each.process.returncode is None]
    assert all(end == (0, "") for end in ends), ends


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Gateway]]:
    """The gateways that were started for tests which need no other than a gateway with an empty ledger."""
    started: list[Gateway] = []
    yield started
    ends = [each.stop() for each in started if each.process.returncode is None]
    assert all(end == (0, "") for end in ends), ends


@pytest.fixture
def gateway(kept: list[Gateway], tmp_path: Path) -> Gateway:
    """One that is up; all that it knows is in its ledger, which is emptied."""
    if not kept or kept[-1].process.poll() is not None:
        kept.append(Gateway(tmp_path / "gateway.db"))
    with closing(sqlite3.connect(kept[-1].ledger, isolation_level=None)) as db:
        db.execute("DELETE FROM ledger")
    return kept[-1]


@pytest.fixture(scope="module")
def strict_gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One gateway for all tables of bad calls: after each of them its ledger is still empty."""
    gateway = Gateway(tmp_path_factory.mktemp("strict") / "gateway.db")
    yield gateway
    assert gateway.stop() == (0, "")


def invoice_that_is(mood: Behaviour, seed: int = SEED, *, refused: int | None = None) -> str:
    """The first invoice id that meets this behaviour."""
    for number in count(1):
        invoice_id = f"INV-{number:05d}"
        if behaviour(seed, invoice_id) is mood and refused in (None, refusals(seed, invoice_id)):
            return invoice_id
    raise AssertionError


def outcomes(rows: list[LedgerRow]) -> list[Outcome]:
    return [row.outcome for row in rows]


# --------------------------------------------------------------------------------------------------------- behaviours


def test_the_shares_are_what_they_should_be() -> None:
    found = Counter(behaviour(seed, f"INV-{number}") for seed in range(40) for number in range(1_000))
    shares = {mood: found[mood] / 40_000 for mood in Behaviour}
    assert shares == pytest.approx(
        {
            Behaviour.PAID: 0.74,
            Behaviour.DECLINED: 0.08,
            Behaviour.BUSY: 0.10,
            Behaviour.HELD: 0.05,
            Behaviour.DOWN: 0.03,
        },
        abs=0.005,
    )


def test_the_shipped_invoices_meet_every_behaviour_under_the_default_seed() -> None:
    found = Counter(behaviour(DEFAULT_SEED, invoice.invoice_id) for invoice in load_invoices())
    assert found == {
        Behaviour.PAID: 232,
        Behaviour.DECLINED: 29,
        Behaviour.BUSY: 31,
        Behaviour.HELD: 19,
        Behaviour.DOWN: 9,
    }


def test_another_seed_is_another_day() -> None:
    ids = [invoice.invoice_id for invoice in load_invoices()]
    assert [behaviour(1, each) for each in ids] != [behaviour(2, each) for each in ids]


def test_an_answer_takes_10_to_60_ms() -> None:
    times = [latency(SEED, f"INV-{number}", number % 4).total_seconds() for number in range(2_000)]
    assert 0.010 <= min(times) < 0.012
    assert 0.058 < max(times) <= 0.060


def test_most_invoices_are_paid_at_the_first_call(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.PAID)
    status, answer = gateway.charge(invoice_id, "run-1/charge", 9900)
    [row] = gateway.rows()
    assert status == 200
    assert answer == {
        "status": "paid",
        "charge_id": row.charge_id,
        "invoice_id": invoice_id,
        "amount_cents": 9900,
        "currency": "EUR",
        "duplicate": False,
    }
    assert (row.kind, row.idempotency_key, row.invoice_id) == ("charge", "run-1/charge", invoice_id)
    assert (row.amount_cents, row.currency, row.outcome) == (9900, "EUR", "accepted_paid")
    assert abs((datetime.now(UTC) - row.at).total_seconds()) < 60


def test_a_declined_charge_is_an_answer_not_an_error(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.DECLINED)
    status, answer = gateway.charge(invoice_id, "run-1/charge")
    assert (status, answer["status"]) == (200, "declined")
    assert answer["decline_code"] in {"insufficient_funds", "do_not_honor", "card_expired", "limit_exceeded"}
    repeated = gateway.charge(invoice_id, "run-1/charge")
    assert repeated == (200, {**answer, "duplicate": True})
    assert outcomes(gateway.rows()) == ["accepted_declined", "duplicate"]


@pytest.mark.parametrize("refused", [1, 2])
def test_a_busy_gateway_takes_the_charge_later(gateway: Gateway, refused: int) -> None:
    invoice_id = invoice_that_is(Behaviour.BUSY, refused=refused)
    answers = [gateway.charge(invoice_id, "run-1/charge") for _ in range(refused + 2)]
    assert [status for status, _ in answers] == [503] * refused + [200, 200]
    assert answers[0][1]["error"]["code"] == "unavailable"
    assert [answer["duplicate"] for _, answer in answers[refused:]] == [False, True]
    assert outcomes(gateway.rows()) == ["refused_503"] * refused + ["accepted_paid", "duplicate"]
    assert [row.charge_id is None for row in gateway.rows()] == [True] * refused + [False, False]


def test_a_held_charge_is_booked_although_the_client_sees_a_time_out(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.HELD)
    with pytest.raises(TimeoutError):
        gateway.charge(invoice_id, "run-1/charge", patience=1)
    [row] = gateway.rows()
    assert row.outcome == "accepted_paid"
    status, answer = gateway.charge(invoice_id, "run-1/charge")
    assert (status, answer["status"], answer["charge_id"]) == (200, "paid", row.charge_id)
    assert answer["duplicate"] is True
    assert outcomes(gateway.rows()) == ["accepted_paid", "duplicate"]


def test_a_patient_client_gets_a_held_answer(start: Start) -> None:
    gateway = start(hold=0.2)
    before = datetime.now(UTC)
    status, answer = gateway.charge(invoice_that_is(Behaviour.HELD), "run-1/charge")
    assert (datetime.now(UTC) - before).total_seconds() >= 0.2
    assert (status, answer["status"], answer["duplicate"]) == (200, "paid", False)


def test_a_gateway_that_is_down_for_an_invoice_stays_down_and_still_takes_its_credit(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.DOWN)
    assert {gateway.charge(invoice_id, "run-1/charge")[0] for _ in range(6)} == {503}
    credit = {"invoice_id": invoice_id, "amount_cents": 1250, "reason": "the charge could not be made"}
    status, answer = gateway.post("/credits", "run-1/credit", credit)
    assert (status, answer["status"], answer["amount_cents"]) == (200, "credited", 1250)
    rows = gateway.rows()
    assert outcomes(rows) == ["refused_503"] * 6 + ["accepted_credit"]
    assert (rows[-1].kind, rows[-1].charge_id, rows[-1].currency) == ("credit", answer["credit_id"], None)


def test_a_notice_is_sent_once(gateway: Gateway) -> None:
    body = {"invoice_id": "INV-2026-0001", "kind": "receipt"}
    first, second = (gateway.post("/notices", "run-1/notify", body) for _ in range(2))
    assert first == (200, {**second[1], "duplicate": False})
    assert second[1]["status"] == "sent"
    assert outcomes(gateway.rows()) == ["accepted_notice", "duplicate"]


def test_the_answers_do_not_depend_on_the_order_of_the_calls(start: Start, tmp_path: Path) -> None:
    ids = [f"INV-{number:05d}" for number in range(40)]
    ids = [each for each in ids if behaviour(SEED, each) is not Behaviour.HELD]

    def collect(gateway: Gateway, order: list[str]) -> dict[str, list[Answer]]:
        with ThreadPoolExecutor(8) as pool:
            return dict(zip(order, pool.map(lambda each: thrice(gateway, each), order), strict=True))

    def thrice(gateway: Gateway, invoice_id: str) -> list[Answer]:
        return [gateway.charge(invoice_id, f"{invoice_id}/charge") for _ in range(3)]

    forwards = collect(start(tmp_path / "one.db"), ids)
    backwards = collect(start(tmp_path / "two.db"), ids[::-1])
    assert forwards == backwards


# -------------------------------------------------------------------------------------------------------- idempotency


def test_the_same_key_with_another_body_books_nothing(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.PAID)
    gateway.charge(invoice_id, "run-1/charge", 1250)
    status, answer = gateway.charge(invoice_id, "run-1/charge", 1251)
    assert (status, answer["error"]["code"]) == (422, "idempotency_key_reused")
    assert outcomes(gateway.rows()) == ["accepted_paid"]


def test_a_refused_call_also_binds_its_key_to_its_body(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.BUSY, refused=1)
    assert gateway.charge(invoice_id, "run-1/charge", 1250)[0] == 503
    assert gateway.charge(invoice_id, "run-1/charge", 1251)[0] == 422
    assert gateway.charge(invoice_id, "run-1/charge", 1250)[0] == 200


def test_a_body_is_the_same_however_it_is_written(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.PAID)
    gateway.charge(invoice_id, "run-1/charge", 1250)
    body = f'{{ "currency":"EUR",\n"amount_cents":1250, "invoice_id":"{invoice_id}" }}'.encode()
    status, answer = gateway.request("POST", "/charges", body, {"Idempotency-Key": "run-1/charge"})
    assert (status, answer["duplicate"]) == (200, True)


def test_a_charge_and_a_credit_may_share_a_key(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.PAID)
    credit = {"invoice_id": invoice_id, "amount_cents": 1250, "reason": "returned"}
    assert gateway.charge(invoice_id, "key")[0] == gateway.post("/credits", "key", credit)[0] == 200
    assert outcomes(gateway.rows()) == ["accepted_paid", "accepted_credit"]


def test_sixteen_threads_with_one_key_book_one_charge(gateway: Gateway) -> None:
    invoice_id = invoice_that_is(Behaviour.BUSY, refused=2)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: gateway.charge(invoice_id, "run-1/charge"), range(48)))
    paid = [answer for status, answer in answers if status == 200]
    assert Counter(status for status, _ in answers) == {503: 2, 200: 46}
    assert len({answer["charge_id"] for answer in paid}) == 1
    assert Counter(answer["duplicate"] for answer in paid) == {False: 1, True: 45}
    assert Counter(outcomes(gateway.rows())) == {"refused_503": 2, "accepted_paid": 1, "duplicate": 45}


def test_two_gateways_with_one_ledger_book_one_charge(start: Start) -> None:
    gateways = [start(), start()]
    invoice_id = invoice_that_is(Behaviour.PAID)
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda n: gateways[n % 2].charge(invoice_id, f"run-{n // 8}/charge"), range(64)))
    assert {status for status, _ in answers} == {200}
    assert Counter(answer["duplicate"] for _, answer in answers) == {False: 8, True: 56}
    assert Counter(outcomes(gateways[0].rows())) == {"accepted_paid": 8, "duplicate": 56}


def test_sixteen_workers_that_retry_end_with_a_ledger_that_reconciles(gateway: Gateway) -> None:
    ids = [f"INV-{number:05d}" for number in range(96)]

    def work(invoice_id: str) -> dict[tuple[MoneyKind, str], str | None]:
        key = f"run-{invoice_id}/charge"
        for _ in range(4):
            try:
                status, answer = gateway.charge(invoice_id, key, patience=2)
            except TimeoutError:
                continue
            if status == 200:
                return {("charge", key): answer["charge_id"]}
        key = f"run-{invoice_id}/credit"
        body = {"invoice_id": invoice_id, "amount_cents": 1250, "reason": "retries exhausted"}
        return {("credit", key): gateway.post("/credits", key, body)[1]["credit_id"]}

    accepted: dict[tuple[MoneyKind, str], str | None] = {}
    with ThreadPoolExecutor(16) as pool:
        for results in pool.map(work, ids):
            accepted |= results
    rows = gateway.rows()
    assert [row.seq for row in rows] == list(range(1, len(rows) + 1))
    report = reconcile(rows, accepted)
    moods = Counter(behaviour(SEED, each) for each in ids)
    assert report.ok
    assert report.credits_booked == moods[Behaviour.DOWN] > 0
    assert report.charges_booked == len(ids) - moods[Behaviour.DOWN]
    assert report.matched == len(ids)
    assert report.duplicates >= moods[Behaviour.HELD] > 0
    assert report.credited == ()


# ------------------------------------------------------------------------------------------------- the ledger survives


def test_what_was_booked_survives_a_kill(start: Start) -> None:
    paid, busy = invoice_that_is(Behaviour.PAID), invoice_that_is(Behaviour.BUSY, refused=2)
    held = invoice_that_is(Behaviour.HELD)
    first = start()
    _, answer = first.charge(paid, "run-1/charge")
    assert first.charge(busy, "run-2/charge")[0] == 503
    with pytest.raises(TimeoutError):
        first.charge(held, "run-3/charge", patience=1)
    assert first.stop(signal.SIGKILL) == (-signal.SIGKILL, "")
    before = read_ledger(first.ledger)
    assert outcomes(before) == ["accepted_paid", "refused_503", "accepted_paid"]

    second = start()
    assert second.charge(paid, "run-1/charge") == (200, {**answer, "duplicate": True})
    assert [second.charge(busy, "run-2/charge")[0] for _ in range(2)] == [503, 200]
    assert second.charge(held, "run-3/charge")[1]["charge_id"] == before[2].charge_id
    assert second.rows()[:3] == before
    assert outcomes(second.rows()[3:]) == ["duplicate", "refused_503", "accepted_paid", "duplicate"]


def test_a_repeat_gets_the_recorded_answer_even_under_another_seed(start: Start) -> None:
    invoice_id = next(
        each
        for each in (f"INV-{number:05d}" for number in count(1))
        if behaviour(1, each) is Behaviour.DECLINED and behaviour(2, each) is Behaviour.DOWN
    )
    first = start(seed=1)
    _, answer = first.charge(invoice_id, "run-1/charge")
    assert first.stop() == (0, "")
    assert start(seed=2).charge(invoice_id, "run-1/charge") == (200, {**answer, "duplicate": True})


def test_the_ledger_over_http_is_the_ledger_on_disk(gateway: Gateway) -> None:
    assert gateway.request("GET", "/ledger", None, {}) == (200, {"rows": []})
    gateway.charge(invoice_that_is(Behaviour.PAID), "run-1/charge")
    gateway.charge(invoice_that_is(Behaviour.DOWN), "run-2/charge")
    gateway.post("/notices", "run-1/notify", {"invoice_id": "INV-2026-0001", "kind": "receipt"})
    status, answer = gateway.request("GET", "/ledger?since=0", None, {})
    assert (status, answer["rows"]) == (200, [row.as_json() for row in gateway.rows()])
    assert len(answer["rows"]) == 3


def test_a_missing_ledger_is_one_clear_error_and_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(LedgerUnusable, match=r"nothing\.db"):
        read_ledger(tmp_path / "nothing.db")
    assert list(tmp_path.iterdir()) == []


def test_a_gateway_that_lost_its_table_says_so_and_pays_nobody(start: Start) -> None:
    gateway = start()
    with closing(sqlite3.connect(gateway.ledger)) as db:
        db.execute("DROP TABLE ledger")
    for answer in (gateway.charge("INV-2026-0001", "run-1/charge"), gateway.request("GET", "/ledger", None, {})):
        assert (answer[0], answer[1]["error"]["code"]) == (500, "ledger_unusable")
    code, stderr = gateway.stop()
    assert code == 0
    assert [line.startswith("gateway: ledger: ") for line in stderr.splitlines()] == [True, True]


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_with_0_even_while_an_answer_is_held(start: Start, how: signal.Signals) -> None:
    gateway = start()
    with pytest.raises(TimeoutError):
        gateway.charge(invoice_that_is(Behaviour.HELD), "run-1/charge", patience=1)
    assert gateway.stop(how) == (0, "")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--ledger", "{tmp}/no/such/folder/ledger.db"], 1),
        (["--ledger", "{tmp}/not-a-ledger.txt"], 1),
        (["--ledger", "{tmp}/ledger.db", "--port", "{taken}"], 1),
        (["--ledger", "{tmp}/ledger.db", "--port", "99999"], 1),
        (["--ledger", "{tmp}/ledger.db", "--hold", "-1"], 2),
        (["--ledger", "{tmp}/ledger.db", "--hold", "nan"], 2),
        ([], 2),
    ],
)
def test_a_gateway_that_cannot_start_says_why_in_one_line(tmp_path: Path, options: list[str], code: int) -> None:
    (tmp_path / "not-a-ledger.txt").write_text("Dear diary, " * 100)
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        told = [option.format(tmp=tmp_path, taken=taken.getsockname()[1]) for option in options]
        ended = subprocess.run(
            [sys.executable, "-m", "squidmesh.demo.gateway", *told],
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
            cwd=ROOT,
        )
    assert ended.returncode == code
    assert ended.stdout == ""
    assert "Traceback" not in ended.stderr
    if code == 1:
        assert ended.stderr.startswith("gateway: ")
        assert ended.stderr.count("\n") == 1


# ---------------------------------------------------------------------------------------------------------- bad input

CHARGE: dict[str, object] = {"invoice_id": "INV-2026-0001", "amount_cents": 1250, "currency": "EUR"}
CREDIT: dict[str, object] = {"invoice_id": "INV-2026-0001", "amount_cents": 1250, "reason": "returned"}
NOTICE: dict[str, object] = {"invoice_id": "INV-2026-0001", "kind": "receipt"}


def without(body: dict[str, object], name: str) -> dict[str, object]:
    return {key: found for key, found in body.items() if key != name}


@pytest.mark.parametrize(
    ("path", "body", "code"),
    [
        ("/charges", b"", "bad_json"),
        ("/charges", b"{", "bad_json"),
        ("/charges", b"\xff\xfe{}", "bad_json"),
        ("/charges", b"[]", "bad_json"),
        ("/charges", b"null", "bad_json"),
        ("/charges", b"[" * 60_000, "bad_json"),
        ("/charges", b'{"amount_cents": NaN}', "bad_json"),
        ("/charges", b'{"amount_cents": 1, "amount_cents": 2}', "bad_json"),
        ("/charges", b'{"amount_cents": ' + b"9" * 5000 + b"}", "bad_json"),
        ("/charges", {}, "missing_field"),
        ("/charges", without(CHARGE, "invoice_id"), "missing_field"),
        ("/charges", without(CHARGE, "amount_cents"), "missing_field"),
        ("/charges", without(CHARGE, "currency"), "missing_field"),
        ("/charges", {**CHARGE, "reason": "no"}, "unknown_field"),
        ("/charges", {**CHARGE, "x" * 5000: 1}, "unknown_field"),
        ("/charges", {**CHARGE, "amount_cents": -1}, "bad_field"),
        ("/charges", {**CHARGE, "amount_cents": 0}, "bad_field"),
        ("/charges", {**CHARGE, "amount_cents": 12.5}, "bad_field"),
        ("/charges", {**CHARGE, "amount_cents": "1250"}, "bad_field"),
        ("/charges", {**CHARGE, "amount_cents": True}, "bad_field"),
        ("/charges", {**CHARGE, "amount_cents": None}, "bad_field"),
        ("/charges", {**CHARGE, "amount_cents": 10**12 + 1}, "bad_field"),
        ("/charges", {**CHARGE, "currency": "eur"}, "bad_field"),
        ("/charges", {**CHARGE, "currency": "EURO"}, "bad_field"),
        ("/charges", {**CHARGE, "currency": 978}, "bad_field"),
        ("/charges", {**CHARGE, "invoice_id": ""}, "bad_field"),
        ("/charges", {**CHARGE, "invoice_id": 1}, "bad_field"),
        ("/charges", {**CHARGE, "invoice_id": "INV 1"}, "bad_field"),
        ("/charges", {**CHARGE, "invoice_id": "INV-1\n"}, "bad_field"),
        ("/charges", {**CHARGE, "invoice_id": "\ud800"}, "bad_field"),
        ("/charges", {**CHARGE, "invoice_id": "x" * 129}, "bad_field"),
        ("/credits", without(CREDIT, "reason"), "missing_field"),
        ("/credits", {**CREDIT, "currency": "EUR"}, "unknown_field"),
        ("/credits", {**CREDIT, "amount_cents": -1250}, "bad_field"),
        ("/credits", {**CREDIT, "reason": ""}, "bad_field"),
        ("/credits", {**CREDIT, "reason": "x" * 501}, "bad_field"),
        ("/notices", without(NOTICE, "kind"), "missing_field"),
        ("/notices", {**NOTICE, "kind": ["receipt"]}, "bad_field"),
    ],
)
def test_a_bad_body_is_400_and_books_nothing(strict_gateway: Gateway, path: str, body: object, code: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    status, answer = strict_gateway.request("POST", path, data, {"Idempotency-Key": "run-1/step"})
    assert (status, answer["error"]["code"]) == (400, code)
    assert 0 < len(answer["error"]["message"]) < 300
    assert strict_gateway.rows() == []


@pytest.mark.parametrize(
    ("method", "path", "headers", "status", "code"),
    [
        ("POST", "/charges", {}, 400, "missing_idempotency_key"),
        ("POST", "/credits", {}, 400, "missing_idempotency_key"),
        ("POST", "/notices", {}, 400, "missing_idempotency_key"),
        ("POST", "/charges", {"Idempotency-Key": ""}, 400, "missing_idempotency_key"),
        ("POST", "/charges", {"Idempotency-Key": "two words"}, 400, "bad_idempotency_key"),
        ("POST", "/charges", {"Idempotency-Key": "Schlüssel"}, 400, "bad_idempotency_key"),
        ("POST", "/charges", {"Idempotency-Key": "k" * 256}, 400, "bad_idempotency_key"),
        ("POST", "/", {"Idempotency-Key": "k"}, 404, "unknown_path"),
        ("POST", "/charges/1", {"Idempotency-Key": "k"}, 404, "unknown_path"),
        ("GET", "/charge", {}, 404, "unknown_path"),
        ("GET", "/charges", {}, 405, "method_not_allowed"),
        ("PUT", "/charges", {"Idempotency-Key": "k"}, 405, "method_not_allowed"),
        ("DELETE", "/ledger", {}, 405, "method_not_allowed"),
        ("POST", "/ledger", {"Idempotency-Key": "k"}, 405, "method_not_allowed"),
        ("PATCH", "/healthz", {}, 405, "method_not_allowed"),
        ("OPTIONS", "/charges", {}, 405, "method_not_allowed"),
        ("BREW", "/charges", {}, 405, "method_not_allowed"),
        ("POST", "/charges", {"Content-Length": "-5"}, 400, "bad_length"),
        ("POST", "/charges", {"Content-Length": "five"}, 400, "bad_length"),
        ("POST", "/charges", {"Transfer-Encoding": "chunked"}, 411, "length_required"),
    ],
)
def test_a_bad_call_is_answered_cleanly_and_books_nothing(
    strict_gateway: Gateway, method: str, path: str, headers: dict[str, str], status: int, code: str
) -> None:
    body = json.dumps(CHARGE).encode() if method in ("POST", "PUT") else None
    told, answer = strict_gateway.request(method, path, body, headers)
    assert (told, answer["error"]["code"]) == (status, code)
    assert strict_gateway.rows() == []


def test_a_wrong_method_is_told_the_right_one(strict_gateway: Gateway) -> None:
    head, _, body = converse(strict_gateway, b"HEAD /charges HTTP/1.1\r\nConnection: close\r\n\r\n").partition(
        b"\r\n\r\n"
    )
    assert head.startswith(b"HTTP/1.1 405 ")
    assert b"Allow: POST" in head.splitlines()
    assert body == b""


@pytest.mark.parametrize("size", [MAX_BODY_BYTES + 1, 900_000])
def test_a_body_that_is_too_large_is_413(strict_gateway: Gateway, size: int) -> None:
    status, answer = strict_gateway.request("POST", "/charges", b" " * size, {"Idempotency-Key": "k"})
    assert (status, answer["error"]["code"]) == (413, "body_too_large")
    assert strict_gateway.rows() == []


def converse(gateway: Gateway, said: bytes) -> bytes:
    """Say this on a bare connection and listen until the gateway hangs up."""
    with closing(socket.create_connection(("127.0.0.1", gateway.port), timeout=30)) as connection:
        connection.sendall(said)
        heard = b""
        while chunk := connection.recv(65_536):
            heard += chunk
    return heard


@pytest.mark.parametrize(
    ("said", "status"),
    [
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /healthz HTTP/banana\r\n\r\n", 400),
        (b"GET /" + b"x" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n", 431),
        (b"POST /charges HTTP/1.1\r\nIdempotency-Key: k\r\n\r\n", 411),
        (b"POST /charges HTTP/1.1\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", 400),
    ],
)
def test_what_is_hardly_http_gets_an_answer_in_http(strict_gateway: Gateway, said: bytes, status: int) -> None:
    head, _, body = converse(strict_gateway, said).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Length: %d" % len(body) in head
    assert set(json.loads(body)["error"]) == {"code", "message"}


def test_a_client_that_asks_first_is_told_to_continue(gateway: Gateway) -> None:
    body = json.dumps({**CHARGE, "invoice_id": invoice_that_is(Behaviour.PAID)}).encode()
    head = (
        b"POST /charges HTTP/1.1\r\nHost: localhost\r\nIdempotency-Key: k\r\nExpect: 100-continue\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body)
    )
    with closing(socket.create_connection(("127.0.0.1", gateway.port), timeout=30)) as connection:
        connection.sendall(head)
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_one_connection_carries_good_and_bad_calls(gateway: Gateway) -> None:
    statuses, sockets = [], set()
    paid = json.dumps({**CHARGE, "invoice_id": invoice_that_is(Behaviour.PAID)})
    down = json.dumps({**CHARGE, "invoice_id": invoice_that_is(Behaviour.DOWN)})
    with closing(HTTPConnection("127.0.0.1", gateway.port, timeout=30)) as connection:
        for path, key, body in [
            ("/charges", "a", paid),
            ("/charges", "a", paid),
            ("/charges", "a", down),
            ("/nowhere", "a", paid),
            ("/charges", "", paid),
            ("/charges", "b", "{"),
            ("/charges", "b", down),
        ]:
            connection.request("POST", path, body, {"Idempotency-Key": key})
            response = connection.getresponse()
            assert len(response.read()) == int(response.headers["Content-Length"])
            statuses.append(response.status)
            sockets.add(connection.sock.getsockname())
    assert statuses == [200, 200, 422, 404, 400, 400, 503]
    assert len(sockets) == 1


def test_clients_that_hang_up_leave_no_traceback_and_no_harm(gateway: Gateway) -> None:
    paid = invoice_that_is(Behaviour.PAID)
    body = json.dumps({**CHARGE, "invoice_id": paid}).encode()
    head = b"POST /charges HTTP/1.1\r\nIdempotency-Key: key-%d\r\nContent-Length: %d\r\n\r\n"
    said = [head % (0, len(body)) + body, head % (1, len(body)) + body[:-3], head % (2, 50_000), b"POST /char", b""]
    for each in said:
        connection = socket.create_connection(("127.0.0.1", gateway.port), timeout=30)
        connection.sendall(each)
        # Lingering for no time: the other side sees a reset, not a polite end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
    assert gateway.charge(paid, "afterwards")[0] == 200
    assert {row.idempotency_key for row in gateway.rows()} <= {"key-0", "afterwards"}
    assert gateway.stop() == (0, "")


# ----------------------------------------------------------------------------------------------------- reconciliation


def row(
    seq: int, kind: Kind, key: str, invoice_id: str, outcome: Outcome, charge_id: str | None, **more: Any
) -> LedgerRow:
    return LedgerRow(
        seq=seq,
        at=datetime(2026, 11, 22, tzinfo=UTC),
        kind=kind,
        idempotency_key=key,
        invoice_id=invoice_id,
        amount_cents=more.get("amount_cents", 500),
        currency="EUR" if kind == "charge" else None,
        outcome=outcome,
        charge_id=charge_id,
    )


GOOD_ROWS = [
    row(1, "charge", "run-a/charge", "INV-A", "accepted_paid", "ch_a"),
    row(2, "charge", "run-b/charge", "INV-B", "refused_503", None),
    row(3, "charge", "run-b/charge", "INV-B", "accepted_paid", "ch_b"),
    row(4, "charge", "run-b/charge", "INV-B", "duplicate", "ch_b"),
    row(5, "charge", "run-c/charge", "INV-C", "accepted_declined", "ch_c"),
    row(6, "charge", "run-d/charge", "INV-D", "refused_503", None),
    row(7, "credit", "run-d/credit", "INV-D", "accepted_credit", "cr_d"),
    row(8, "credit", "run-d/credit", "INV-D", "duplicate", "cr_d"),
    row(9, "notice", "run-a/notify", "INV-A", "accepted_notice", "no_a", amount_cents=None),
]
GOOD_JOURNAL: dict[tuple[MoneyKind, str], str | None] = {
    ("charge", "run-a/charge"): "ch_a",
    ("charge", "run-b/charge"): None,
    ("charge", "run-c/charge"): "ch_c",
    ("credit", "run-d/credit"): "cr_d",
}


def test_a_book_that_agrees_with_the_journal_is_ok() -> None:
    report = reconcile(GOOD_ROWS, GOOD_JOURNAL)
    assert report.ok
    assert (report.charges_booked, report.credits_booked, report.matched) == (3, 1, 4)
    assert (report.duplicates, report.refused) == (2, 2)
    assert (report.credited, report.orphans, report.missing) == ((), (), ())
    assert (report.double_charged_invoices, report.double_credited_invoices) == ((), ())


def test_nothing_against_nothing_is_ok() -> None:
    assert reconcile([], {}).ok


def test_a_charge_that_the_journal_does_not_know_is_an_orphan() -> None:
    journal = {slot: found for slot, found in GOOD_JOURNAL.items() if slot[1] != "run-a/charge"}
    report = reconcile(GOOD_ROWS, journal)
    assert not report.ok
    assert report.orphans == (GOOD_ROWS[0],)
    assert report.missing == ()


def test_a_credit_that_the_journal_does_not_know_is_an_orphan() -> None:
    journal = {slot: found for slot, found in GOOD_JOURNAL.items() if slot[0] != "credit"}
    report = reconcile(GOOD_ROWS, journal)
    assert not report.ok
    assert report.orphans == (GOOD_ROWS[6],)


@pytest.mark.parametrize("slot", sorted(GOOD_JOURNAL))
def test_an_accepted_result_that_was_never_booked_is_missing(slot: tuple[MoneyKind, str]) -> None:
    rows = [each for each in GOOD_ROWS if (each.kind, each.idempotency_key) != slot]
    report = reconcile(rows, GOOD_JOURNAL)
    assert not report.ok
    assert report.missing == (slot,)
    assert report.orphans == ()


def test_refusals_alone_do_not_book_an_accepted_result() -> None:
    report = reconcile(GOOD_ROWS[5:6], {("charge", "run-d/charge"): None})
    assert not report.ok
    assert report.missing == (("charge", "run-d/charge"),)


def test_a_key_is_accepted_for_its_own_kind_only() -> None:
    report = reconcile(GOOD_ROWS[:1], {("credit", "run-a/charge"): "ch_a"})
    assert not report.ok
    assert report.orphans == (GOOD_ROWS[0],)
    assert report.missing == (("credit", "run-a/charge"),)


def test_another_charge_id_than_the_accepted_one_is_missing_and_an_orphan() -> None:
    report = reconcile(GOOD_ROWS, {**GOOD_JOURNAL, ("charge", "run-a/charge"): "ch_else"})
    assert not report.ok
    assert report.orphans == (GOOD_ROWS[0],)
    assert report.missing == (("charge", "run-a/charge"),)


def test_an_invoice_booked_under_two_keys_is_double_charged_even_if_both_were_accepted() -> None:
    again = row(10, "charge", "run-a2/charge", "INV-A", "accepted_paid", "ch_a2")
    report = reconcile([*GOOD_ROWS, again], {**GOOD_JOURNAL, ("charge", "run-a2/charge"): "ch_a2"})
    assert not report.ok
    assert report.double_charged_invoices == ("INV-A",)
    assert (report.orphans, report.missing) == ((), ())


def test_an_invoice_credited_under_two_keys_is_not_ok() -> None:
    again = row(10, "credit", "run-d2/credit", "INV-D", "accepted_credit", "cr_d2")
    report = reconcile([*GOOD_ROWS, again], {**GOOD_JOURNAL, ("credit", "run-d2/credit"): "cr_d2"})
    assert not report.ok
    assert report.double_credited_invoices == ("INV-D",)
    assert report.double_charged_invoices == ()


def test_a_key_that_booked_twice_is_an_orphan_and_a_double_charge() -> None:
    again = row(10, "charge", "run-a/charge", "INV-A", "accepted_paid", "ch_a")
    report = reconcile([*GOOD_ROWS, again], GOOD_JOURNAL)
    assert not report.ok
    assert report.orphans == (again,)
    assert report.double_charged_invoices == ("INV-A",)


@pytest.mark.parametrize(
    "stray",
    [
        row(10, "charge", "run-z/charge", "INV-A", "duplicate", "ch_a"),
        row(10, "charge", "run-a/charge", "INV-A", "duplicate", "ch_else"),
        row(10, "charge", "run-a/charge", "INV-B", "duplicate", "ch_a"),
        row(10, "credit", "run-a/charge", "INV-A", "duplicate", "ch_a"),
    ],
    ids=["no original", "another charge", "another invoice", "another kind"],
)
def test_a_duplicate_that_repeats_nothing_is_an_orphan(stray: LedgerRow) -> None:
    report = reconcile([*GOOD_ROWS, stray], GOOD_JOURNAL)
    assert not report.ok
    assert report.orphans == (stray,)
    assert report.duplicates == 2


# A charge is booked, its answers come too late, the retries are exhausted, and the workflow credits the customer.
LATE = row(10, "charge", "run-e/charge", "INV-E", "accepted_paid", "ch_e", amount_cents=700)
CREDITED = row(12, "credit", "run-e/credit", "INV-E", "accepted_credit", "cr_e", amount_cents=700)
CREDIT_ACCEPTED: dict[tuple[MoneyKind, str], str | None] = {**GOOD_JOURNAL, ("credit", "run-e/credit"): "cr_e"}


def test_a_charge_without_a_result_is_made_good_by_a_credit() -> None:
    repeat = row(11, "charge", "run-e/charge", "INV-E", "duplicate", "ch_e", amount_cents=700)
    report = reconcile([*GOOD_ROWS, LATE, repeat, CREDITED], CREDIT_ACCEPTED)
    assert report.ok
    assert report.credited == (LATE,)
    assert (report.charges_booked, report.credits_booked, report.matched, report.duplicates) == (4, 2, 5, 3)


@pytest.mark.parametrize(
    "credit",
    [
        replace(CREDITED, amount_cents=699),
        replace(CREDITED, invoice_id="INV-F"),
        replace(CREDITED, outcome="refused_503", charge_id=None),
    ],
    ids=["too little", "another invoice", "refused"],
)
def test_a_credit_that_does_not_cover_the_charge_leaves_an_orphan(credit: LedgerRow) -> None:
    report = reconcile([*GOOD_ROWS, LATE, credit], CREDIT_ACCEPTED)
    assert not report.ok
    assert report.orphans == (LATE,)
    assert report.credited == ()


def test_a_credit_that_the_journal_does_not_know_excuses_nothing() -> None:
    report = reconcile([*GOOD_ROWS, LATE, CREDITED], GOOD_JOURNAL)
    assert not report.ok
    assert report.credited == (LATE,)
    assert report.orphans == (CREDITED,)


def test_a_credit_does_not_excuse_a_duplicate_that_repeats_nothing() -> None:
    stray = replace(LATE, outcome="duplicate")
    report = reconcile([*GOOD_ROWS, stray, CREDITED], CREDIT_ACCEPTED)
    assert not report.ok
    assert report.orphans == (stray,)


def test_one_credit_makes_good_one_charge() -> None:
    again = replace(LATE, seq=13, idempotency_key="run-e2/charge", charge_id="ch_e2")
    report = reconcile([*GOOD_ROWS, LATE, CREDITED, again], CREDIT_ACCEPTED)
    assert not report.ok
    assert report.credited == (LATE,)
    assert report.orphans == (again,)
    assert report.double_charged_invoices == ("INV-E",)


def test_notices_are_not_money() -> None:
    with pytest.raises(ValueError, match="not notice"):
        reconcile([], {("notice", "run-a/notify"): None})  # type: ignore[dict-item]
