"""A ledger in the journal's own database: its rows and the step's completion are one transaction, whatever dies."""

from __future__ import annotations

import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from pydantic import BaseModel

from examples.show import tell
from squidmesh import Context, Mesh, Workflow, manual, step

LEDGER = "CREATE TABLE IF NOT EXISTS ledger (account TEXT NOT NULL, cents INTEGER NOT NULL)"


class Transfer(BaseModel):
    source: str
    target: str
    cents: int


def move(source: str, target: str, cents: int, context: Context) -> dict[str, int]:
    """No idempotency key: what is written here is written once, or not at all."""
    ledger = context.connection
    ledger.execute(LEDGER)
    ledger.executemany("INSERT INTO ledger VALUES (?, ?)", [(source, -cents), (target, cents)])
    if context.attempt == 1 and source == "unlucky":
        raise RuntimeError("after the rows, before the end")
    return {"moved": cents}


class MoveMoney(Workflow):
    """One step, one transaction."""

    version = "1"
    asked = manual(Transfer)
    move = step(move, transaction=True)


def main() -> dict[str, int]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "bank.db"
        with Mesh.connect(f"sqlite:///{path}", workflows=[MoveMoney]) as mesh, mesh.worker():
            for source in ("frodo", "sam", "unlucky"):
                run = mesh.start_run(MoveMoney.asked, Transfer(source=source, target="inn", cents=250))
                tell(mesh, mesh.wait_for(run.run_id, timeout=30))
        with closing(sqlite3.connect(path)) as bank:
            sums = dict(bank.execute("SELECT account, sum(cents) FROM ledger GROUP BY account").fetchall())
    print(f"  ledger: {sums}")
    return sums


if __name__ == "__main__":
    main()
