"""The gateway's own book of what was asked of it, and its reconciliation with what a workflow journal accepted.

The ledger is a SQLite file of its own, written by the gateway and by nobody else. A row is committed before the answer
to its call is sent, so whatever a client may have seen is in the book, also after the gateway was killed. (After a
power cut the last rows may be lost: the file is in WAL mode and is not synced at each commit.)

Every call that passed validation is one row. The first accepted call under an idempotency key *books*: its outcome is
`accepted_…`, and the row keeps the answer. Later calls under that key are `duplicate` rows with the same `charge_id`,
and get the kept answer. A call that was turned away is `refused_503`. Keys are scoped by kind: a charge and a credit
may share one.
"""

import json
import sqlite3
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

Kind = Literal["charge", "credit", "notice"]
MoneyKind = Literal["charge", "credit"]
Outcome = Literal[
    "accepted_paid", "accepted_declined", "accepted_credit", "accepted_notice", "duplicate", "refused_503"
]
Answer = dict[str, str | int | bool | None]

_TABLE = """
CREATE TABLE IF NOT EXISTS ledger (
    seq             INTEGER PRIMARY KEY,
    at              TEXT NOT NULL,      -- ISO 8601, UTC
    kind            TEXT NOT NULL,
    idempotency_key TEXT NOT NULL,
    invoice_id      TEXT NOT NULL,
    amount_cents    INTEGER,            -- null on a notice
    currency        TEXT,               -- null on a credit and on a notice
    outcome         TEXT NOT NULL,
    charge_id       TEXT,               -- null on a refusal; a credit's or a notice's own id on those
    body_digest     TEXT NOT NULL,      -- the same key with another body is refused
    answer          TEXT                -- on a booked row only: the answer to repeat, JSON
);
CREATE INDEX IF NOT EXISTS ledger_by_key ON ledger (kind, idempotency_key);
CREATE UNIQUE INDEX IF NOT EXISTS ledger_books_a_key_once ON ledger (kind, idempotency_key) WHERE answer IS NOT NULL;
"""


class LedgerUnusable(Exception):
    """The ledger's file is missing, cannot be opened, or is not a ledger."""


class LedgerClosed(Exception):
    """The gateway is stopping and books nothing more."""


class BodyChanged(Exception):
    """The idempotency key was used before, with another body. Nothing was booked."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerRow:
    seq: int
    at: datetime
    kind: Kind
    idempotency_key: str
    invoice_id: str
    amount_cents: int | None
    currency: str | None
    outcome: Outcome
    charge_id: str | None

    @property
    def booked(self) -> bool:
        """This is the first accepted call under its key: the one that counts."""
        return self.outcome.startswith("accepted_")

    def as_json(self) -> dict[str, str | int | None]:
        return {**asdict(self), "at": self.at.isoformat()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One valid call to the gateway. `body_digest` is equal for equal bodies, however they were written."""

    kind: Kind
    idempotency_key: str
    invoice_id: str
    amount_cents: int | None
    currency: str | None
    body_digest: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of a call: its outcome and, if it is booked, the id and the answer to keep."""

    outcome: Outcome
    charge_id: str | None = None
    answer: Answer | None = None


class Ledger:
    """The writing side. Safe to share between threads; each row is one transaction."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._closed = False
        try:
            self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            raise LedgerUnusable(f"cannot open the ledger {path}: {error}") from error
        try:
            self._db.execute("PRAGMA journal_mode = WAL")
            self._db.execute("PRAGMA synchronous = NORMAL")
            self._db.executescript(_TABLE)
        except sqlite3.Error as error:
            self._db.close()
            raise LedgerUnusable(f"cannot use the ledger {path}: {error}") from error

    def record(self, call: Call, decide: Callable[[int], Verdict]) -> tuple[Verdict, int]:
        """Write the row of this call; return its verdict, and how many calls this key had made before.

        `decide` gets that number, and is asked only if nothing is booked under the key yet. Raises `BodyChanged` or
        `LedgerClosed`.
        """
        with self._lock:
            if self._closed:
                raise LedgerClosed
            self._db.execute("BEGIN IMMEDIATE")
            try:
                verdict, seen = self._record(call, decide)
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
        return verdict, seen

    def _record(self, call: Call, decide: Callable[[int], Verdict]) -> tuple[Verdict, int]:
        before = self._db.execute(
            "SELECT body_digest, charge_id, answer FROM ledger WHERE kind = ? AND idempotency_key = ?",
            (call.kind, call.idempotency_key),
        ).fetchall()
        if any(digest != call.body_digest for digest, _, _ in before):
            raise BodyChanged
        booked = next(((charge_id, answer) for _, charge_id, answer in before if answer is not None), None)
        if booked is None:
            verdict = decide(len(before))
        else:
            charge_id, answer = booked
            verdict = Verdict(outcome="duplicate", charge_id=charge_id, answer=json.loads(answer))
        first = booked is None and verdict.answer is not None
        self._db.execute(
            "INSERT INTO ledger (at, kind, idempotency_key, invoice_id, amount_cents, currency, outcome, charge_id,"
            " body_digest, answer) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                datetime.now(UTC).isoformat(timespec="milliseconds"),
                call.kind,
                call.idempotency_key,
                call.invoice_id,
                call.amount_cents,
                call.currency,
                verdict.outcome,
                verdict.charge_id,
                call.body_digest,
                json.dumps(verdict.answer) if first else None,
            ),
        )
        return verdict, len(before)

    def close(self) -> None:
        """Book nothing more. Waits for the row that is being written."""
        with self._lock:
            self._closed = True
            self._db.close()


def read_ledger(path: str | Path) -> list[LedgerRow]:
    """All rows, in the order in which they were booked; also while a gateway is writing. Raises `LedgerUnusable`."""
    # mode=rw, not ro: after a kill the first reader has to recover the write-ahead log. It never creates a file.
    address = f"{Path(path).absolute().as_uri()}?mode=rw"
    try:
        with closing(sqlite3.connect(address, uri=True)) as db:
            found = db.execute(
                "SELECT seq, at, kind, idempotency_key, invoice_id, amount_cents, currency, outcome, charge_id"
                " FROM ledger ORDER BY seq"
            ).fetchall()
    except sqlite3.Error as error:
        raise LedgerUnusable(f"cannot read the ledger {path}: {error}") from error
    return [
        LedgerRow(
            seq=seq,
            at=datetime.fromisoformat(at),
            kind=kind,
            idempotency_key=key,
            invoice_id=invoice_id,
            amount_cents=amount_cents,
            currency=currency,
            outcome=outcome,
            charge_id=charge_id,
        )
        for seq, at, kind, key, invoice_id, amount_cents, currency, outcome, charge_id in found
    ]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciliation:
    """How the gateway's book and the journal compare. Counts first, then what is wrong and what excuses it."""

    charges_booked: int
    credits_booked: int
    matched: int  # booked rows that are the journal's accepted result, charges and credits
    duplicates: int  # repeats of a booked call under its own key: harmless
    refused: int  # calls that were turned away: nothing was booked
    credited: tuple[LedgerRow, ...]  # charges without an accepted result, made good by a credit
    orphans: tuple[LedgerRow, ...]  # booked, and neither accepted by the journal nor credited
    missing: tuple[tuple[MoneyKind, str], ...]  # accepted by the journal, not in the book
    double_charged_invoices: tuple[str, ...]  # booked more than once
    double_credited_invoices: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not (self.orphans or self.missing or self.double_charged_invoices or self.double_credited_invoices)


def reconcile(rows: Iterable[LedgerRow], accepted: Mapping[tuple[MoneyKind, str], str | None]) -> Reconciliation:
    """Compare the gateway's rows with the results that the journal accepted, once every run has ended.

    `accepted` maps (kind, idempotency key) of each accepted charge and credit to the id that the gateway answered; None
    where the journal did not keep it, which any id matches. An accepted id that differs from the booked one is a
    missing *and* an orphan.

    A charge can be booked while its answer comes too late, and then the retries are exhausted: the journal has no
    accepted result, and the customer has paid. The workflow's answer to exhausted retries is a credit. Hence such a
    charge is `credited`, not an orphan, if credits booked for its invoice cover its amount; each credited cent makes
    good one charged cent. The credit itself has to be accepted in the journal like any other result. A credit without a
    charge is fine: the gateway was down all the time.

    Two keys that book one invoice are an error even if the journal accepted both and one was declined: here one run
    charges one invoice, so a second key means that a step lost its identity. Notices move no money and are not
    compared.
    """
    if odd := {kind for kind, _ in accepted} - {"charge", "credit"}:
        raise ValueError(f"only charges and credits are reconciled, not {', '.join(sorted(odd))}")
    money = [row for row in rows if row.kind != "notice"]
    booked = [row for row in money if row.booked]
    originals: dict[tuple[str, str], LedgerRow] = {}
    for row in booked:
        originals.setdefault((row.kind, row.idempotency_key), row)
    repeats = [row for row in money if row.outcome == "duplicate"]
    strays = [row for row in repeats if not _repeats(row, originals.get((row.kind, row.idempotency_key)))]
    matched = {slot for slot, charge_id in accepted.items() if _accepted(originals.get(slot), charge_id)}
    alone = [row for row in booked if not (_slot(row) in matched and originals[_slot(row)] is row)]
    credited, orphans = _make_good(sorted(alone + strays, key=lambda row: row.seq), booked)
    return Reconciliation(
        charges_booked=sum(row.kind == "charge" for row in booked),
        credits_booked=sum(row.kind == "credit" for row in booked),
        matched=len(matched),
        duplicates=len(repeats) - len(strays),
        refused=sum(row.outcome == "refused_503" for row in money),
        credited=tuple(credited),
        orphans=tuple(orphans),
        missing=tuple(sorted(slot for slot in accepted if slot not in matched)),
        double_charged_invoices=_booked_twice("charge", booked),
        double_credited_invoices=_booked_twice("credit", booked),
    )


def _slot(row: LedgerRow) -> tuple[str, str]:
    return row.kind, row.idempotency_key


def _repeats(row: LedgerRow, original: LedgerRow | None) -> bool:
    return original is not None and (row.charge_id, row.invoice_id) == (original.charge_id, original.invoice_id)


def _accepted(original: LedgerRow | None, charge_id: str | None) -> bool:
    return original is not None and charge_id in (None, original.charge_id)


def _make_good(alone: Iterable[LedgerRow], booked: Iterable[LedgerRow]) -> tuple[list[LedgerRow], list[LedgerRow]]:
    """Part what the journal does not know into charges that a credit covers, and orphans."""
    credit_left: Counter[str] = Counter()
    for row in booked:
        if row.kind == "credit":
            credit_left[row.invoice_id] += row.amount_cents or 0
    credited, orphans = [], []
    for row in alone:
        amount = row.amount_cents or 0
        if row.kind == "charge" and row.booked and 0 < amount <= credit_left[row.invoice_id]:
            credit_left[row.invoice_id] -= amount
            credited.append(row)
        else:
            orphans.append(row)
    return credited, orphans


def _booked_twice(kind: MoneyKind, booked: Iterable[LedgerRow]) -> tuple[str, ...]:
    times = Counter(row.invoice_id for row in booked if row.kind == kind)
    return tuple(sorted(invoice_id for invoice_id, count in times.items() if count > 1))
