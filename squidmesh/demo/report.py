"""What came of it: the outcomes, what the killed worker had in hand, and the two books compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from squidmesh import Run
from squidmesh.demo.ledger import LedgerRow, Reconciliation, reconcile


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``taken_over``: runs in which a claim of the killed worker was superseded by another worker's. ``recovered``: a
    run that went through the credit. ``problems``: why the demo is not a success; none if it is.
    """

    runs: int
    outcomes: Counter[str]
    failed_attempts: int
    held_by_killed: frozenset[str]
    taken_over: tuple[str, ...]
    recovered: str | None
    reconciliation: Reconciliation
    problems: tuple[str, ...]


def make_report(runs: Sequence[Run], rows: Sequence[LedgerRow], *, killed_owner: str, held: frozenset[str]) -> Report:
    """``runs`` are inspected with history; ``killed_owner`` is how the killed worker's owner ends, before its nonce;
    ``held``: the runs that it had claims in when it was killed.
    """
    outcomes = Counter(outcome_of(run) for run in runs)
    accepted = accepted_results(runs)
    taken_over = tuple(run.run_id for run in runs if _taken_over(run, killed_owner))
    recovered = next((run.run_id for run in runs if outcome_of(run) == "credited"), None)
    reconciliation = reconcile(rows, accepted)
    return Report(
        runs=len(runs),
        outcomes=outcomes,
        failed_attempts=sum(item.kind == "AttemptFailed" for run in runs for item in run.history or ()),
        held_by_killed=held,
        taken_over=taken_over,
        recovered=recovered,
        reconciliation=reconciliation,
        problems=tuple(_problems(outcomes, held, taken_over, recovered, reconciliation)),
    )


def outcome_of(run: Run) -> str:
    """paid, declined or credited for a run that completed; else its status."""
    if run.status != "completed":
        return run.status
    output = run.output or {}
    if "credit" in output:
        return "credited"
    return str(output["charge"]["status"])


def accepted_results(runs: Sequence[Run]) -> Mapping[tuple[Literal["charge", "credit"], str], str | None]:
    """By kind and idempotency key: the gateway's id in each result that the journal accepted."""
    accepted: dict[tuple[Literal["charge", "credit"], str], str | None] = {}
    for run in runs:
        output: dict[str, Any] = run.output or {}
        if "charge" in output:
            accepted["charge", output["charge"]["idempotency_key"]] = output["charge"]["charge_id"]
        if "credit" in output:
            accepted["credit", output["credit"]["idempotency_key"]] = output["credit"]["credit_id"]
    return accepted


def _taken_over(run: Run, killed_owner: str) -> bool:
    claims: dict[tuple[Any, Any], list[str]] = {}
    for item in run.history or ():
        if item.kind == "AttemptClaimed":
            claims.setdefault((item.details["step"], item.details["attempt"]), []).append(item.details["owner"])
    return any(
        earlier.partition("@")[0].endswith(killed_owner) for owners in claims.values() for earlier in owners[:-1]
    )


def _problems(
    outcomes: Counter[str],
    held: frozenset[str],
    taken_over: Sequence[str],
    recovered: str | None,
    books: Reconciliation,
) -> list[str]:
    problems = []
    unfinished = {name: count for name, count in outcomes.items() if name not in ("paid", "declined", "credited")}
    if unfinished:
        problems.append(f"not every run completed: {unfinished}")
    if not held:
        problems.append("the killed worker held nothing: the kill proved nothing")
    if lost := held - set(taken_over):
        problems.append(f"{len(lost)} claims of the killed worker were not taken over")
    if recovered is None:
        problems.append("no run went through the credit")
    if books.orphans:
        problems.append(f"the gateway booked {len(books.orphans)} charges or credits that no accepted result knows")
    if books.missing:
        problems.append(f"the journal accepted {len(books.missing)} results that the gateway does not know")
    if books.double_charged_invoices or books.double_credited_invoices:
        problems.append("an invoice was charged or credited twice")
    return problems
