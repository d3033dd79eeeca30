"""The shipped invoices add up, are all different, and are found by their id."""

import re
from collections import Counter
from datetime import date

import pytest

from squidmesh.demo.invoices import Invoice, UnknownInvoice, load_invoice, load_invoices


def test_there_are_enough_of_them_numbered_without_a_gap() -> None:
    ids = [invoice.invoice_id for invoice in load_invoices()]
    assert ids == [f"INV-2026-{number:04d}" for number in range(1, 321)]


@pytest.mark.parametrize("invoice", load_invoices(), ids=lambda invoice: invoice.invoice_id)
def test_an_invoice_is_the_sum_of_its_lines(invoice: Invoice) -> None:
    assert invoice.lines
    assert invoice.amount_cents == sum(line.total_cents for line in invoice.lines) > 0
    assert all(line.quantity > 0 and line.unit_cents > 0 for line in invoice.lines)
    assert len({line.sku for line in invoice.lines}) == len(invoice.lines)


def test_they_are_varied() -> None:
    invoices = load_invoices()
    currencies = Counter(invoice.currency for invoice in invoices)
    assert {"EUR", "USD", "GBP", "JPY"} <= currencies.keys()
    assert all(re.fullmatch(r"[A-Z]{3}", currency) for currency in currencies)
    assert len({invoice.customer for invoice in invoices}) > 50
    assert len({line.sku for invoice in invoices for line in invoice.lines}) > 40
    assert len({invoice.amount_cents for invoice in invoices}) > 250
    assert all(date(2026, 1, 1) < invoice.due < date(2027, 1, 1) for invoice in invoices)


def test_a_customer_is_billed_in_one_currency() -> None:
    currencies: dict[str, set[str]] = {}
    for invoice in load_invoices():
        currencies.setdefault(invoice.customer, set()).add(invoice.currency)
    assert all(len(found) == 1 for found in currencies.values())


def test_a_sku_means_one_thing_and_has_one_price_in_a_currency() -> None:
    meanings: dict[str, set[str]] = {}
    prices: dict[tuple[str, str], set[int]] = {}
    for invoice in load_invoices():
        for line in invoice.lines:
            meanings.setdefault(line.sku, set()).add(line.description)
            prices.setdefault((line.sku, invoice.currency), set()).add(line.unit_cents)
    assert all(len(found) == 1 for found in meanings.values())
    assert all(len(found) == 1 for found in prices.values())


def test_an_invoice_is_found_by_its_id() -> None:
    for invoice in load_invoices():
        assert load_invoice(invoice.invoice_id) == invoice


def test_changing_the_list_changes_nothing_for_the_next_caller() -> None:
    load_invoices().clear()
    assert len(load_invoices()) == 320


def test_an_unknown_id_is_a_key_error_that_says_what_there_is() -> None:
    with pytest.raises(UnknownInvoice) as caught:
        load_invoice("INV-1999-0001")
    assert isinstance(caught.value, KeyError)
    assert caught.value.invoice_id == "INV-1999-0001"
    assert str(caught.value) == ("no invoice 'INV-1999-0001': the demo ships 320, from INV-2026-0001 to INV-2026-0320")
