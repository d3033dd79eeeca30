"""``squidmesh prune`` and ``squidmesh archive``: what operators type."""

import json
import sqlite3
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Mesh, Workflow, manual, step
from squidmesh.clock import Instant
from squidmesh.runtime.chance import SystemClock


class Nothing(BaseModel):
    pass


class Errand(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(lambda: None)


class LongAgo:
    """Two days before now."""

    def now(self) -> Instant:
        return Instant(SystemClock().now() - timedelta(days=2) // timedelta(microseconds=1))


@pytest.fixture
def old(url: str) -> list[str]:
    """Three runs that ended two days ago, one of them with a key."""
    with Mesh.connect(url, workflows=[Errand], clock=LongAgo()) as mesh:
        runs = [mesh.start_run(Errand, key=key) for key in (None, None, "k")]
        while mesh.execute_next() is not None:
            pass
    return [run.run_id for run in runs]


def left(url: str) -> int:
    with Mesh.connect(url) as mesh:
        return len(mesh.list_runs().runs)


def test_old_runs_are_pruned(run_cli: Any, url: str, old: list[str]) -> None:
    young = run_cli("--url", url, "prune", "--older-than", "3d")
    assert (young.exit_code, young.output.partition(",")[0]) == (0, "0 runs with 0 entries pruned")
    tried = run_cli("--url", url, "prune", "--older-than", "36h", "--dry-run")
    assert "3 runs with" in tried.output and "would be pruned" in tried.output
    assert left(url) == 3
    some = json.loads(run_cli("--url", url, "prune", "--older-than", "86400", "--limit", "1", "--json").output)
    assert (some["runs"], some["held"], some["dry_run"]) == (1, 0, False)
    assert run_cli("--url", url, "prune", "--older-than", "1d", "--workflow", "Errand").exit_code == 0
    assert left(url) == 0
    with Mesh.connect(url) as mesh:
        shown = run_cli("--url", url, "runs", "show", old[2])
        assert mesh._engine().store.tombstone(old[2]) is not None
    assert shown.exit_code == 2
    assert "run_pruned" in shown.output + shown.stderr


def test_old_runs_are_archived(run_cli: Any, url: str, old: list[str], tmp_path: Path) -> None:
    tried = json.loads(run_cli("--url", url, "archive", "a.jsonl", "--older-than", "1d", "--dry-run", "--json").output)
    assert (tried["runs"], tried["bytes"]) == (3, 0)
    assert not (tmp_path / "a.jsonl").exists()
    none = run_cli(
        "--url", url, "archive", "a.jsonl", "--older-than", "1d", "--status", "failed", "--status", "cancelled"
    )
    assert none.output.startswith("0 runs with")
    done = run_cli("--url", url, "archive", "a.jsonl", "--older-than", "1d", "--status", "completed")
    assert done.exit_code == 0
    assert done.output.startswith("3 runs with") and "archived" in done.output
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert {line["run_id"] for line in lines} == set(old)
    assert left(url) == 0


def test_what_can_not_be_read_stays_and_is_told(run_cli: Any, url: str, old: list[str], tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "orders.db")) as store:
        store.execute("UPDATE entries SET body = CAST('1:00000000:[]' AS BLOB) WHERE thread = ?", (old[0],))
        store.commit()
    done = run_cli("--url", url, "prune", "--older-than", "1d")
    assert done.exit_code == 1
    assert f"{old[0]} stays: " in done.output
    assert "2 runs with" in done.output
    assert "1 stay, because they can not be read" in done.output
    assert left(url) == 1


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (["prune"], "--older-than"),
        (["prune", "--older-than", "x"], "allowed are seconds, or a number with s, min, h or d"),
        (["prune", "--older-than", "30 days"], "is refused"),
        (["prune", "--older-than", "-1d"], "is refused"),
        (["prune", "--older-than", "5"], "older_than"),
        (["prune", "--older-than", "1d", "--limit", "0"], "limit"),
        (["prune", "--older-than", "1d", "--status", "running"], "running"),
        (["archive", "--older-than", "1d"], "FILE"),
        (["archive", "nowhere/a.jsonl", "--older-than", "1d"], "No such file"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(run_cli: Any, url: str, old: list[str], said: list[str], why: str) -> None:
    refused = run_cli("--url", url, *said)
    assert refused.exit_code == 2
    assert why in refused.output + refused.stderr
    assert "Traceback" not in refused.output + refused.stderr
    assert left(url) == 3
