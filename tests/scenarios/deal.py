"""The work of a fleet on PostgreSQL: a sale, with a step that books in the journal's own database."""

import time

from squidmesh import Context, RetryPolicy, Workflow, fixed, manual, step, wait
from tests.scenarios.sale import Order, charge, note, pick, ship

BOOKS = "CREATE TABLE booked (run_id text NOT NULL, number integer NOT NULL)"
"""No key: a second row of a run would be seen."""


def book(number: int, context: Context) -> None:
    note(context)
    context.connection.execute("INSERT INTO public.booked VALUES (%s, %s)", (context.run_id, number))
    time.sleep(0.01)


class Deal(Workflow):
    version = "1"
    strike = manual(Order)
    picked = step(pick)
    rest = wait(0.2)
    charged = step(charge, retry=RetryPolicy(max_attempts=3, backoff=fixed(0.3)))
    booked = step(book, transaction=True)
    shipped = step(ship, queue="slow")
    flow = (picked >> rest >> charged >> booked >> shipped,)
