"""The shop's tables. Who calls these functions holds the transaction."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

Connection = psycopg.Connection[Any]


def opened(database: str) -> Connection:
    """``with`` it, a transaction: committed at the end, rolled back on an exception."""
    return psycopg.connect(database)


def migrate(database: str) -> None:
    with opened(database) as connection:
        connection.execute(Path(__file__).with_name("schema.sql").read_bytes())


def place(shop: Connection, customer: str, item: str, quantity: int, cents: int) -> int | None:
    """The number of the new order; None where there is no such item."""
    statement = """INSERT INTO shop.orders (customer, item, quantity, cents)
        SELECT %s, item, %s, %s FROM shop.stock WHERE item = %s RETURNING number"""
    row = shop.execute(statement, (customer, quantity, cents, item)).fetchone()
    return row and int(row[0])


def note_run(shop: Connection, number: int, run_id: str) -> None:
    shop.execute("UPDATE shop.orders SET run_id = %s WHERE number = %s", (run_id, number))


def open_orders(shop: Connection, customer: str) -> int:
    statement = "SELECT count(*) FROM shop.orders WHERE customer = %s AND status = 'open'"
    (count,) = shop.execute(statement, (customer,)).fetchone() or (0,)
    return int(count)


def find(shop: Connection, number: int) -> tuple[str, str] | None:
    """Status and run of an order."""
    return shop.execute("SELECT status, run_id FROM shop.orders WHERE number = %s", (number,)).fetchone()


def orders_by_status(shop: Connection) -> dict[str, int]:
    return dict(shop.execute("SELECT status, count(*) FROM shop.orders GROUP BY status").fetchall())


def book(shop: Any, number: int, item: str, pieces: int) -> bool:
    """Takes them from the stock; False where there are not enough."""
    taken = "UPDATE shop.stock SET pieces = pieces - %s WHERE item = %s AND pieces >= %s"
    if not shop.execute(taken, (pieces, item, pieces)).rowcount:
        return False
    shop.execute("INSERT INTO shop.bookings VALUES (%s, %s, %s)", (number, item, pieces))
    return True


def give_back(shop: Connection, number: int) -> None:
    """What was booked is in stock again. The second time there is nothing to give back."""
    gone = shop.execute("DELETE FROM shop.bookings WHERE number = %s RETURNING item, pieces", (number,)).fetchall()
    for item, pieces in gone:
        shop.execute("UPDATE shop.stock SET pieces = pieces + %s WHERE item = %s", (pieces, item))


def close(shop: Any, number: int, status: str) -> None:
    shop.execute("UPDATE shop.orders SET status = %s WHERE number = %s", (status, number))


def fill_up(shop: Any, pieces: int) -> int:
    """How many items were short of that."""
    return int(shop.execute("UPDATE shop.stock SET pieces = %s WHERE pieces < %s", (pieces, pieces)).rowcount)


def pay(shop: Connection, key: str, number: int, cents: int) -> None:
    shop.execute("INSERT INTO shop.payments VALUES (%s, %s, %s) ON CONFLICT DO NOTHING", (key, number, cents))


def pay_back(shop: Connection, number: int) -> None:
    shop.execute("DELETE FROM shop.payments WHERE number = %s", (number,))
