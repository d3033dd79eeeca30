"""The demo's invoices: what a small coffee and tea wholesaler sent out in one year.

They are shipped with the package as `invoices.jsonl`, one JSON object a line, in the order of their numbers. All
amounts are whole numbers of the currency's minor unit: cents, pence, öre, rappen; the yen has none, so there
`amount_cents` is whole yen.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TypedDict


class UnknownInvoice(KeyError):
    """No shipped invoice has this id. The caller asked for the wrong one; trying again does not help."""

    def __init__(self, invoice_id: str) -> None:
        super().__init__(invoice_id)
        self.invoice_id = invoice_id

    def __str__(self) -> str:
        known = sorted(_by_id())
        return f"no invoice {self.invoice_id!r}: the demo ships {len(known)}, from {known[0]} to {known[-1]}"


@dataclass(frozen=True, slots=True, kw_only=True)
class InvoiceLine:
    sku: str
    description: str
    quantity: int
    unit_cents: int

    @property
    def total_cents(self) -> int:
        return self.quantity * self.unit_cents


@dataclass(frozen=True, slots=True, kw_only=True)
class Invoice:
    """One invoice; `amount_cents` is the sum of its lines."""

    invoice_id: str
    customer: str
    amount_cents: int
    currency: str
    due: date
    lines: tuple[InvoiceLine, ...]


def load_invoices() -> list[Invoice]:
    """All shipped invoices, in the order of their ids. The list is the caller's own."""
    return list(_by_id().values())


def load_invoice(invoice_id: str) -> Invoice:
    """The invoice with this id, or `UnknownInvoice`."""
    try:
        return _by_id()[invoice_id]
    except KeyError:
        raise UnknownInvoice(invoice_id) from None


class _LineFields(TypedDict):
    sku: str
    description: str
    quantity: int
    unit_cents: int


class _InvoiceFields(TypedDict):
    invoice_id: str
    customer: str
    amount_cents: int
    currency: str
    due: str
    lines: list[_LineFields]


@cache
def _by_id() -> Mapping[str, Invoice]:
    text = files("squidmesh.demo").joinpath("invoices.jsonl").read_text(encoding="utf-8")
    # Not splitlines(): it also splits at characters that may stand inside a JSON string.
    invoices = [_invoice(json.loads(line)) for line in text.split("\n") if line]
    return MappingProxyType({invoice.invoice_id: invoice for invoice in invoices})


def _invoice(fields: _InvoiceFields) -> Invoice:
    return Invoice(
        invoice_id=fields["invoice_id"],
        customer=fields["customer"],
        amount_cents=fields["amount_cents"],
        currency=fields["currency"],
        due=date.fromisoformat(fields["due"]),
        lines=tuple(InvoiceLine(**line) for line in fields["lines"]),
    )
