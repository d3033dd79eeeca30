"""Lists read rows, and rows keep the status of the run's last entry."""

from __future__ import annotations

import json
from dataclasses import dataclass

import pytest

from squidmesh.journal.rows import RunRow
from squidmesh.planning.rows import run_row
from squidmesh.reading.listing import listing, summarize
from tests.unit.reading.story import SECRET, Told, at_council, in_moria, second


@dataclass
class Page:
    rows: tuple[RunRow, ...]
    next: str | None


@pytest.mark.parametrize("cause, kept", [("wait", "waiting"), ("retry", "retrying")])
def test_what_was_waiting_is_running_once_it_is_due(cause, kept):
    row = run_row(Told().scheduled("pack", delay=10, cause=cause).state)

    assert [summarize(row, now=second(at)).status for at in (9, 10, 11)] == [kept, "running", "running"]


def test_a_paused_run_stays_paused():
    assert summarize(run_row(at_council().state), now=second(999)).status == "paused"


def test_a_summary_tells_where_the_run_stands_and_the_code_of_its_failure():
    told = in_moria().scheduled("moria").claimed("moria").failed("moria", final=True).run_failed("step_failed", "moria")

    summary = summarize(run_row(told.state), now=second(9))

    assert (summary.status, summary.step, summary.error) == ("failed", "moria", "step_failed")
    assert SECRET not in json.dumps(summary.to_json())


def test_a_page_keeps_its_order_and_its_cursor():
    rows = (run_row(at_council().state), run_row(Told().scheduled("pack").state))

    page = listing(Page(rows, "c1"), now=second(5))

    assert [run.status for run in page.runs] == ["paused", "running"]
    assert page.to_json()["next"] == "c1"
