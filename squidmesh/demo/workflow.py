"""Payment recovery: charge an invoice; when the gateway does not let us, give the customer a credit.

    load >> settle >> charge ── paid ──────> notify_paid
                         │ ──── otherwise ─> notify_declined
                         └ error, recovery ─> credit >> notify_credited

Every call to the gateway carries the step's idempotency key, which is the same for every attempt and every delivery, so
a worker that dies between the gateway's booking and our record of it charges nobody twice.
"""

from __future__ import annotations

import http.client
import json
import os
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel

from squidmesh import Context, GiveUp, RetryPolicy, Workflow, exponential, manual, step, value, wait
from squidmesh.demo.invoices import load_invoice

GATEWAY_VARIABLE = "SQUIDMESH_DEMO_GATEWAY"
PATIENCE = 0.6
"""Seconds that a call waits for its answer. The gateway sometimes takes longer: then nobody knows what was booked."""


class Recover(BaseModel):
    invoice_id: str


class Invoice(BaseModel):
    customer: str
    amount_cents: int
    currency: str


class Charge(BaseModel):
    status: Literal["paid", "declined"]
    charge_id: str
    idempotency_key: str


class Credit(BaseModel):
    credit_id: str
    idempotency_key: str


class Notice(BaseModel):
    kind: str


class GatewayBusy(Exception):
    """The gateway refused for now, or did not answer in time: worth another attempt."""


def find_invoice(invoice_id: str) -> Invoice:
    """Looks the invoice up in the shipped file."""
    found = load_invoice(invoice_id)
    return Invoice(customer=found.customer, amount_cents=found.amount_cents, currency=found.currency)


def charge_customer(invoice_id: str, invoice: Invoice, context: Context) -> Charge:
    """Asks the gateway for the money. ``declined`` is an answer like any other: the workflow branches on it."""
    asked = {"invoice_id": invoice_id, "amount_cents": invoice.amount_cents, "currency": invoice.currency}
    answer = _post("/charges", asked, context)
    status: Literal["paid", "declined"] = "paid" if answer["status"] == "paid" else "declined"
    return Charge(status=status, charge_id=str(answer["charge_id"]), idempotency_key=context.idempotency_key)


def issue_credit(invoice_id: str, invoice: Invoice, context: Context) -> Credit:
    """Makes good whatever the gateway may have booked while it told us nothing."""
    asked = {"invoice_id": invoice_id, "amount_cents": invoice.amount_cents, "reason": "charge not confirmed"}
    answer = _post("/credits", asked, context)
    return Credit(credit_id=str(answer["credit_id"]), idempotency_key=context.idempotency_key)


def tell_paid(invoice_id: str, context: Context) -> Notice:
    """Sends the receipt."""
    return _notify(invoice_id, "receipt", context)


def tell_declined(invoice_id: str, context: Context) -> Notice:
    """Asks the customer for another way to pay."""
    return _notify(invoice_id, "declined", context)


def tell_credited(invoice_id: str, context: Context) -> Notice:
    """Tells the customer about the credit."""
    return _notify(invoice_id, "credit", context)


_PATIENT = RetryPolicy(max_attempts=8, backoff=exponential(min=0.2, max=2), jitter=0.5)


class PaymentRecovery(Workflow):
    """Charge an invoice; when the gateway does not let us, give the customer a credit."""

    version = "1"

    recover = manual(Recover)

    load = step(find_invoice, output="invoice")
    settle = wait(0.25)
    charge = step(
        charge_customer,
        output="charge",
        retry=RetryPolicy(max_attempts=4, backoff=exponential(min=0.2, max=1), jitter=0.5),
    )
    notify_paid = step(tell_paid, output="notice", retry=_PATIENT)
    notify_declined = step(tell_declined, output="notice", retry=_PATIENT)
    credit = step(issue_credit, output="credit", retry=_PATIENT)
    notify_credited = step(tell_credited, output="notice", retry=_PATIENT)

    flow = (
        load >> settle >> charge,
        charge.to(notify_paid, when=value("charge.status") == "paid"),
        charge.to(notify_declined),
        charge.on_error(credit, recovery="compensation"),
        credit >> notify_credited,
    )


def _notify(invoice_id: str, kind: str, context: Context) -> Notice:
    _post("/notices", {"invoice_id": invoice_id, "kind": kind}, context)
    return Notice(kind=kind)


def _post(path: str, body: dict[str, object], context: Context) -> dict[str, object]:
    """One call. A time-out, a broken connection and a 503 may be tried again; any other refusal will not get better."""
    address = urlsplit(os.environ[GATEWAY_VARIABLE])
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=PATIENCE)
    headers = {"Content-Type": "application/json", "Idempotency-Key": context.idempotency_key}
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = json.loads(response.read())
    except (OSError, http.client.HTTPException) as error:
        raise GatewayBusy(f"POST {path}: {type(error).__name__}") from error
    finally:
        connection.close()
    if response.status == http.client.SERVICE_UNAVAILABLE:
        raise GatewayBusy(f"POST {path}: 503")
    if response.status != http.client.OK:
        raise GiveUp(f"POST {path}: {response.status} {answer}")
    return dict(answer)
