"""How SQLite goes about a statement: by an index as small as what is asked for, never over the finished runs."""

import sqlite3
from contextlib import closing
from typing import Any

import pytest
from squidmesh_sqlite.migrating import add_functions
from squidmesh_sqlite.statements import load, migrations

RUNS: dict[str, Any] = {
    "now": 0,
    "since": 0,
    "started_at": 2**63 - 1,
    "run_id": "~",
    "queue": None,
    "workflow": None,
    "status": None,
    "limit": 51,
    "text": "a",
}


@pytest.fixture
def database() -> Any:
    with closing(sqlite3.connect(":memory:")) as connection:
        add_functions(connection)
        for migration in migrations():
            for statement in migration.statements():
                connection.execute(statement)
        yield connection


def plan(connection: sqlite3.Connection, file: str, name: str, given: dict[str, Any]) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {load(file)[name]}", given)]


def test_runs_that_go_on_are_found_without_a_walk_over_those_that_ended(database: sqlite3.Connection) -> None:
    steps = [step for step in plan(database, "lists", "running", RUNS) if "runs" in step]
    assert len(steps) == 3
    assert all("USING INDEX runs_by_status" in step for step in steps), steps


@pytest.mark.parametrize(
    ("name", "given", "index"),
    [
        ("newest", {}, "runs_newest"),
        ("of_workflow", {"workflow": "w"}, "runs_of_workflow"),
        ("of_queue", {"queue": "q"}, "runs_of_queue"),
        ("of_status", {"status": "failed"}, "runs_by_status"),
    ],
)
def test_a_page_of_runs_is_read_in_the_order_of_one_index(
    database: sqlite3.Connection, name: str, given: dict[str, Any], index: str
) -> None:
    (step,) = plan(database, "lists", name, RUNS | given)
    assert step.startswith("SEARCH runs") and f"USING INDEX {index} (" in step


def test_timers_are_found_by_when_they_are_due(database: sqlite3.Connection) -> None:
    (step,) = plan(database, "timers", "due", {"until": 9, "due_at": 0, "timer": "", "limit": 9})
    assert "timers_due" in step and step.startswith("SEARCH")


@pytest.mark.parametrize(
    ("name", "given", "index"),
    [
        (
            "of_queue",
            {"queue": "q", "aside": 0, "priority": 5, "since": 0, "arrival": 0, "until": 9, "limit": 9},
            "agenda_order",
        ),
        ("changed", {"queue": "q", "writer": 0, "item": "", "limit": 9}, "agenda_changes"),
        ("has_token", {"queue": "q", "token": "t"}, "PRIMARY KEY"),
    ],
)
def test_a_reconciler_asks_by_index(database: sqlite3.Connection, name: str, given: dict[str, Any], index: str) -> None:
    steps = plan(database, "agenda", name, given)
    assert any("SEARCH" in step and index in step for step in steps), steps
    assert not any(step.startswith("SCAN") for step in steps), steps
    assert not any("TEMP B-TREE" in step for step in steps), steps


def test_queues_are_hopped_to(database: sqlite3.Connection) -> None:
    steps = plan(database, "agenda", "queues", {})
    assert not any(step == "SCAN agenda" for step in steps), steps
    assert sum("SEARCH agenda" in step for step in steps) >= 2, steps
