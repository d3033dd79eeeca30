"""Runs as tables."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from squidmesh import Run, RunList
from squidmesh.cli import looks, times
from squidmesh.cli.boxes import error_name
from squidmesh.cli.output import clean, shown


def runs_table(page: RunList) -> RenderableType:
    """One line a run; the id stands last and is never cut."""
    table = _table("status", "workflow", "at", "started")
    table.add_column("run", no_wrap=True, min_width=36)
    for run in page.runs:
        at = run.step or ""
        table.add_row(
            looks.status_text(run.status),
            clean(run.workflow),
            clean(at),
            Text(times.relative(run.started_at, page.as_of), style="dim"),
            Text(run.run_id),
        )
    if page.next is not None:
        table.caption = Text(f"more: --after {page.next}", style="dim")
        table.caption_justify = "left"
    return table


def show_run(run: Run) -> Iterator[RenderableType]:
    """A run from the top: what it is, where it stands, its attempts, the decisions, and what else was asked for."""
    yield Text.assemble((run.workflow, "bold"), (f" {run.version}  ", "dim"), looks.status_text(run.status))
    yield _facts(run)
    if run.attempts:
        yield from ("", _heading("attempts"), _attempts(run))
    if run.gates:
        yield from ("", _heading("gates"), _gates(run))
    if run.compensations:
        yield from ("", _heading("compensations"), _compensations(run))
    if run.children:
        yield from ("", _heading("child runs"), _children(run))
    if run.history is not None:
        yield from ("", _heading("history"), _history(run))
        yield from _traces(run)
        yield from ("", _heading("payload"), _document(run.payload), "", _heading("output"), _document(run.output))


def _facts(run: Run) -> Table:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    rows: list[tuple[str, str | None]] = [
        ("run", run.run_id),
        ("trigger", run.trigger),
        ("window", None if run.schedule is None else f"{run.schedule.window:%a %Y-%m-%d %H:%M %Z}"),
        ("signal", None if run.schedule is None else run.schedule.signal_id),
        ("key", run.key),
        ("queue", run.queue if run.priority is None else f"{run.queue}, priority {run.priority}"),
        ("started", times.both(run.started_at, run.as_of)),
        ("updated", None if run.ended else times.both(run.updated_at, run.as_of)),
        ("ended", times.both(run.ended_at, run.as_of) or None),
        ("at", ", ".join(run.current_steps) or None),
        ("deadline", times.both(run.deadline, run.as_of) or None),
        ("failed", None if run.failure is None else _failure(run)),
        ("parent", None if run.parent_run is None else f"{run.parent_run.run_id} at {run.parent_run.step}"),
        ("replay of", run.replay_of),
        ("anomaly", run.anomaly),
    ]
    for name, value in rows:
        if value is not None:
            grid.add_row(name, clean(value))
    return grid


def _failure(run: Run) -> str:
    assert run.failure is not None
    said = [run.failure.code, *([f"at {run.failure.step}"] if run.failure.step else [])]
    if run.failure.error:
        said.append(f"with {error_name(run.failure.error, run.failure.error_type)}")
    return " ".join(said) + (f": {run.failure.message}" if run.failure.message else "")


def _attempts(run: Run) -> Table:
    table = _table("step", "#", "status", "since", "owner", "fence", "lost", "last error")
    for attempt in run.attempts:
        since = attempt.claimed_at or attempt.visible_at
        error = error_name(attempt.last_error, attempt.last_error_type) if attempt.last_error else ""
        if attempt.last_error_message:
            error += f": {attempt.last_error_message}"
        open_ = attempt.status in ("scheduled", "claimed")
        table.add_row(
            clean(attempt.step),
            str(attempt.attempt),
            looks.status_text(attempt.status),
            Text(times.relative(since, run.as_of) if open_ else "", style="dim"),
            clean(attempt.owner or ""),
            str(attempt.fence),
            str(attempt.lost or ""),
            clean(error),
        )
    return table


def _gates(run: Run) -> Table:
    table = _table("step", "kind", "status", "actor", "when", "comment")
    comments = {event.step: event.comment or "" for event in run.audit}
    for gate in run.gates:
        moment = gate.decided_at or gate.requested_at
        table.add_row(
            clean(gate.step),
            gate.kind if gate.event is None else clean(f"{gate.kind} {gate.event}"),
            looks.status_text(gate.status),
            clean(gate.actor or ""),
            Text(times.relative(moment, run.as_of), style="dim"),
            clean(comments.get(gate.step, "")),
        )
    return table


def _compensations(run: Run) -> Table:
    table = _table("step", "status", "attempts", "last error")
    for one in run.compensations:
        table.add_row(
            clean(one.step), looks.status_text(one.status), str(one.attempts or ""), clean(one.last_error or "")
        )
    return table


def _children(run: Run) -> Table:
    table = _table("workflow", "step", "key", "status", "run")
    for child in run.children:
        status = looks.status_text(child.status or "open")
        table.add_row(clean(child.workflow), clean(child.step), clean(child.key), status, child.run_id)
    return table


def _history(run: Run) -> Table:
    table = _table("entry", "after", "fact", "details")
    before = 0
    for event in run.history or ():
        table.add_row(
            "" if event.revision == before else str(event.revision),
            Text(f"{(event.at - run.started_at).total_seconds():.2f} s", style="dim"),
            event.kind,
            clean(_details(event.details)),
        )
        before = event.revision
    return table


_TOLD_ELSEWHERE = frozenset(
    {"payload", "payload_fingerprint", "fingerprint", "output", "run_id", "workflow", "version", "metadata"}
)


def _details(details: dict[str, Any]) -> str:
    told = []
    for name, value in details.items():
        if name == "error":
            told.append(f"error={error_name(value['code'], value['type'])}: {value['message']}")
        elif name not in _TOLD_ELSEWHERE and value not in (None, "", 0):
            told.append(f"{name}={shown(value, None)}")
    return "  ".join(told)


def _traces(run: Run) -> Iterator[RenderableType]:
    """Where the newest failure of each step came from."""
    newest = {event.step: event.details["error"] for event in run.history or () if event.kind == "AttemptFailed"}
    for step, error in newest.items():
        if error["details"]:
            yield from ("", _heading(f"last error of {step}"), clean(error["details"].rstrip()))


def _document(value: object) -> Text:
    return clean(json.dumps(value, ensure_ascii=False, indent=2))


def _heading(text: str) -> Text:
    return Text(text, style="bold")


def _table(*names: str) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in names:
        table.add_column(name, overflow="fold")
    return table
