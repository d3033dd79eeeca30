"""``squidmesh doctor``, ``reindex`` and ``migrate --print``: what operators type when something is wrong."""

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Mesh, Workflow, manual, step


class Nothing(BaseModel):
    pass


class Toll(Workflow):
    version = "1"
    go = manual(Nothing)
    charge = step(lambda: None)


@pytest.fixture
def made(url: str) -> str:
    with Mesh.connect(url, workflows=[Toll]) as mesh:
        mesh.start_runs(Toll.go, [{}] * 3)
    return url


def sql(url: str, statement: str) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"), isolation_level=None)) as connection:
        connection.execute(statement)


# ------------------------------------------------------------------------------------------------------------ doctor


def test_a_store_that_is_well_is_a_success(run_cli: Any, made: str) -> None:
    shown = run_cli("--url", made, "doctor")
    assert shown.exit_code == 0, shown.output
    assert "quick_check" in shown.output
    assert "3 open" in shown.output
    told = json.loads(run_cli("--url", made, "doctor", "--json").output)
    assert told["level"] == "ok"
    assert {"name", "level", "found", "wanted"} == set(told["findings"][0])


def test_what_is_refused_is_a_failure_that_says_what_is_wanted(run_cli: Any, made: str) -> None:
    sql(made, "PRAGMA user_version = 3")
    shown = run_cli("--url", made, "doctor")
    assert shown.exit_code == 1
    assert "refused" in shown.output
    assert "squidmesh migrate brings it there" in shown.output
    told = run_cli("--url", made, "doctor", "--json")
    assert (told.exit_code, json.loads(told.output)["level"]) == (1, "refused")


def test_a_warning_is_no_failure(run_cli: Any, url: str, tmp_path: Path) -> None:
    shown = run_cli("--url", url, "doctor")
    assert (shown.exit_code, "not there yet" in shown.output) == (0, True)
    assert list(tmp_path.iterdir()) == []


def test_no_password_is_shown(run_cli: Any, made: str) -> None:
    shown = run_cli("--url", made, "doctor", "--leases", "redis://gandalf:mellon@localhost:1")
    assert shown.exit_code == 1
    assert "can not be reached" in shown.output
    assert "mellon" not in shown.output + shown.stderr


def test_an_app_is_looked_at_with_its_functions(run_cli: Any, app: Any, made: str) -> None:
    shown = run_cli("--app", app(), "doctor")
    assert (shown.exit_code, "Toll.charge is missing" in shown.output) == (0, True)


# ----------------------------------------------------------------------------------------------------------- reindex


def test_rows_come_back(run_cli: Any, made: str) -> None:
    sql(made, "DELETE FROM agenda")
    sql(made, "UPDATE runs SET status = 'failed'")
    tried = run_cli("--url", made, "reindex", "--dry-run")
    assert (tried.exit_code, tried.output.strip()) == (0, "3 threads: 3 rows would be put, 0 removed, 3 changed")
    done = run_cli("--url", made, "reindex", "--json")
    assert json.loads(done.output) == {
        "threads": 3,
        "put": 3,
        "removed": 0,
        "changed": 3,
        "unreadable": [],
        "dry_run": False,
    }
    again = run_cli("--url", made, "reindex")
    assert again.output.strip() == "3 threads: 0 rows put, 0 removed, 0 changed"


def test_what_can_not_be_read_is_named_and_a_failure(run_cli: Any, made: str) -> None:
    sql(made, "UPDATE entries SET body = CAST('1:0:[]' AS BLOB) WHERE rowid = 1")
    shown = run_cli("--url", made, "reindex")
    assert (shown.exit_code, "the checksum does not match" in shown.output) == (1, True)
    told = run_cli("--url", made, "reindex", "--json")
    assert (told.exit_code, len(json.loads(told.output)["unreadable"])) == (1, 1)


# --------------------------------------------------------------------------------------------------- migrate --print


def test_the_sql_is_printed_and_nothing_is_made(run_cli: Any, url: str, tmp_path: Path) -> None:
    shown = run_cli("--url", url, "migrate", "--print")
    assert shown.exit_code == 0
    assert shown.output.startswith("-- 0001_journal_and_leases\n")
    assert "CREATE TABLE entries" in shown.output
    assert list(tmp_path.iterdir()) == []
    told = json.loads(run_cli("--url", url, "migrate", "--print", "--json").output)["migrations"]
    assert told[0]["name"] == "0001_journal_and_leases"
    assert told[0]["sql"] in run_cli("--url", url, "migrate", "--print").output


def test_what_was_applied_is_printed_when_it_is_asked_for(run_cli: Any, made: str) -> None:
    assert run_cli("--url", made, "migrate", "--print").output.strip() == "-- up to date"
    assert "CREATE TABLE entries" in run_cli("--url", made, "migrate", "--print", "--all").output
    sql(made, "PRAGMA user_version = 6")
    assert run_cli("--url", made, "migrate", "--print").output.startswith("-- 0007_")


@pytest.mark.parametrize(
    ("said", "why"),
    [(["--all"], "--all goes with --print"), (["--print", "--leases", "journal"], "is another thing")],
)
def test_what_makes_no_sense_is_refused(run_cli: Any, made: str, said: list[str], why: str) -> None:
    refused = run_cli("--url", made, "migrate", *said)
    assert refused.exit_code == 2
    assert why in refused.output + refused.stderr
