"""``squidmesh cron`` as a shell sees it, and the exit code of its process."""

from __future__ import annotations

import json
import os
import signal
import threading
from itertools import count
from pathlib import Path
from typing import Any, cast

import pytest

from squidmesh.cli.cron import _Process
from tests.unit.cli.conftest import Squidmesh

APP = """
from datetime import date, datetime, timedelta
from pathlib import Path
from pydantic import BaseModel
from squidmesh import Mesh, Workflow, cron, manual, step, today

class Nightly(BaseModel):
    day: date = today()
    number: int = {number}

class Fixed:
    def now(self):
        return int(datetime.fromisoformat(Path("now").read_text()).timestamp()) * 1_000_000

class Report(Workflow):
    version = "1"
    nightly = cron("30 1 * * *", timezone="Europe/London", payload=Nightly)
    act = step(lambda: None)

class Plain(Workflow):
    version = "1"
    go = manual(Nightly)
    act = step(lambda: None)

mesh = Mesh.connect("sqlite:///nights.db", workflows=[{workflows}], clock=Fixed())
"""


@pytest.fixture
def at(run_cli: Squidmesh, tmp_path: Path):
    """``at("2026-03-28T12:00+00:00", "list", number=…)``: the command at that time."""
    processes = count()

    def run(moment: str, *arguments: str, number: str = "7", workflows: str = "Report, Plain"):
        (tmp_path / "now").write_text(moment)
        name = f"nights{next(processes)}"  # each command is a process of its own
        (tmp_path / f"{name}.py").write_text(APP.format(number=number, workflows=workflows))
        return run_cli("--app", f"{name}:mesh", "cron", *arguments)

    return run


BEFORE, AFTER = "2026-03-28T12:00+00:00", "2026-03-29T08:00+00:00"


def test_one_look_fires_what_is_due(at):
    assert "nothing was due; next window at 2026-03-29 01:00:00 UTC" in at(BEFORE, "--once").output
    found = at(AFTER, "--once")
    assert found.exit_code == 0
    assert "Report.nightly 2026-03-29T02:00:00+01:00" in found.output, "01:30 is skipped in that night"
    assert "nothing was due" in at(AFTER, "--once").output


def test_a_run_shows_its_window(at, run_cli: Squidmesh):
    at(BEFORE, "--once")
    (fired,) = json.loads(at(AFTER, "--once", "--json").stdout)["fired"]
    shown = run_cli("--url", "sqlite:///nights.db", "runs", "show", fired["run_id"]).output
    assert "Sun 2026-03-29 02:00 BST" in shown


def test_one_look_as_a_document(at):
    at(BEFORE, "--once")
    told = json.loads(at(AFTER, "--once", "--json").stdout)
    (fired,) = told["fired"]
    assert (fired["workflow"], fired["trigger"], fired["window"]) == ("Report", "nightly", "2026-03-29T02:00:00+01:00")
    assert told["next_at"] == "2026-03-30T00:30:00+00:00"
    assert told["held"] == {}


def test_a_trigger_that_is_held_makes_one_look_a_failure(at):
    at(BEFORE, "--once")
    found = at(AFTER, "--once", number='"seven"')
    assert found.exit_code == 1
    assert "Report.nightly: InvalidPayload" in found.output


def test_the_list_shows_local_time_and_utc(at):
    found = at(BEFORE, "list", "--upcoming", "2").output
    assert "no loop has seen it" in found
    at(BEFORE, "--once")
    lines = at(BEFORE, "list", "--upcoming", "2").output.splitlines()
    assert lines[1].split() == [
        *("Report.nightly", "30", "1", "*", "*", "*", "Europe/London"),
        *("Sun", "2026-03-29", "02:00", "2026-03-29", "01:00"),
    ]
    assert lines[2].split() == ["Mon", "2026-03-30", "01:30", "2026-03-30", "00:30"]
    assert "overdue" in at(AFTER, "list").output


def test_the_list_as_a_document(at):
    (told,) = json.loads(at(BEFORE, "list", "--json").stdout)
    assert told["next"][0] == "2026-03-29T02:00:00+01:00"
    assert (told["registered_at"], told["missed"], told["missed_within"]) == (None, "last", 86400.0)


def test_an_app_without_cron_triggers_has_an_empty_list(at):
    assert at(BEFORE, "list", workflows="Plain").output.strip() == "no cron triggers"


def test_it_needs_the_app(run_cli: Squidmesh):
    for arguments in (["--once"], ["list"]):
        found = run_cli("--url", "sqlite:///nights.db", "cron", *arguments)
        assert found.exit_code == 2
        assert "needs the workflows" in found.output


@pytest.mark.parametrize("seconds", ["0", "61", "soon"])
def test_how_often_to_look_has_bounds(at, seconds: str):
    assert at(BEFORE, "--once", "--look-every", seconds).exit_code == 2


# ---------------------------------------------------------------------------------------------------- its process


class Loop:
    """A mesh and its loop in one: ``dies`` ends it at once."""

    triggers = ("Report.nightly",)

    def __init__(self, *, dies: bool = False) -> None:
        self.calls: list[str] = []
        self._ended = threading.Event()
        if dies:
            self._ended.set()

    def start(self) -> None:
        self.calls.append("start")
        if not self._ended.is_set():
            os.kill(os.getpid(), signal.SIGTERM)

    def join(self) -> None:
        self._ended.wait(10)

    def stop(self, timeout: float) -> None:
        self.calls.append("stop")
        self._ended.set()

    def close(self) -> None:
        self.calls.append("close")


def test_a_loop_that_is_told_to_leave_is_a_success():
    loop = Loop()
    assert _Process(cast(Any, loop), cast(Any, loop)).run() == 0
    assert loop.calls == ["start", "stop", "close"]


def test_a_loop_that_ends_by_itself_is_a_failure():
    loop = Loop(dies=True)
    assert _Process(cast(Any, loop), cast(Any, loop)).run() == 1
