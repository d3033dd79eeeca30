"""``squidmesh dead-letters``, ``reconcile`` and ``migrate --leases``: what operators type."""

import json
import threading
import time
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from squidmesh import Mesh, Workflow, manual, step
from squidmesh.runtime.invoke import Assignment
from squidmesh.runtime.slots import InlineSlots
from tests.support.redises import started


class Nothing(BaseModel):
    pass


class Poison(Workflow):
    version = "1"
    go = manual(Nothing)
    act = step(lambda: None)


class Grave(InlineSlots):
    capacity = 3
    """All at once: a lease as short as this one may end before the next turn."""

    def submit(self, assignment: Assignment) -> None:
        """Nobody hears of it again."""


@pytest.fixture
def letters(url: str) -> list[str]:
    """Three dead letters."""
    with Mesh.connect(url, workflows=[Poison], lease=0.05, max_deliveries=1, quarantine=False) as mesh:
        mesh.start_runs(Poison, [{}] * 3)
        engine = mesh._engine()
        pump = engine.pump(
            Grave(engine.carry),
            owner_id="gone",
            queues=["default"],
            pulse=None,
            patience=timedelta(seconds=5),
            continues=False,
        )
        assert pump.turn().granted == 3
        pump.abandon()
        ends, turn = time.monotonic() + 20, threading.Event()
        while len(mesh.list_dead_letters().dead_letters) < 3:
            assert time.monotonic() < ends
            mesh.execute_next()
            turn.wait(0.01)
        return [letter.item for letter in mesh.list_dead_letters().dead_letters]


def test_dead_letters_are_listed_for_people_and_for_programs(run_cli: Any, url: str, letters: list[str]) -> None:
    shown = run_cli("--url", url, "dead-letters", "list")
    assert shown.exit_code == 0
    assert all(item in shown.output for item in letters)
    assert "lost_deliveries" in shown.output
    page = json.loads(run_cli("--url", url, "dead-letters", "list", "--limit", "2", "--json").output)
    assert [one["item"] for one in page["dead_letters"]] == letters[:2]
    rest = run_cli("--url", url, "dead-letters", "list", "--after", page["next"], "--json")
    assert [one["item"] for one in json.loads(rest.output)["dead_letters"]] == letters[2:]
    none = run_cli("--url", url, "dead-letters", "list", "--workflow", "Nowhere")
    assert none.output.strip() == "no dead letters"


def test_one_is_shown_with_its_reason_and_what_may_be_done(run_cli: Any, url: str, letters: list[str]) -> None:
    shown = run_cli("--url", url, "dead-letters", "show", letters[0])
    assert shown.exit_code == 0
    assert "given up" in shown.output
    assert "dead-letters replay" in shown.output
    told = json.loads(run_cli("--url", url, "dead-letters", "show", letters[0], "--json").output)
    assert told["explanation"]["reason"] == "dead_letter"


def test_what_is_no_dead_letter_is_not_shown_as_one(run_cli: Any, url: str, letters: list[str]) -> None:
    run_cli("--url", url, "dead-letters", "discard", letters[0], "--actor", "ops", "--reason", "gone")
    shown = run_cli("--url", url, "dead-letters", "show", letters[0])
    assert shown.exit_code == 2
    assert "is no dead letter; its run: the run failed" in shown.output + shown.stderr


@pytest.mark.parametrize(("verb", "more"), [("replay", []), ("discard", ["--reason", "gone"])])
def test_those_named_are_moved(run_cli: Any, url: str, letters: list[str], verb: str, more: list[str]) -> None:
    tried = run_cli("--url", url, "dead-letters", verb, "--actor", "ops", *more, "--all", "--dry-run")
    assert f"3 would be {verb}ed, 0 refused" in tried.output.replace("replayed", "replayed")
    done = run_cli("--url", url, "dead-letters", verb, "--actor", "ops", *more, letters[0])
    assert done.exit_code == 0
    assert f"1 {verb}ed, 0 refused" in done.output
    again = run_cli("--url", url, "dead-letters", verb, "--actor", "ops", *more, letters[0], letters[1], "--json")
    assert again.exit_code == 1
    told = json.loads(again.output)
    assert (told["items"], list(told["refused"])) == ([letters[1]], [letters[0]])
    rest = run_cli("--url", url, "dead-letters", verb, "--actor", "ops", *more, "--older-than", "0")
    assert f"1 {verb}ed, 0 refused" in rest.output


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (["replay", "--actor", "ops"], "allowed is one of"),
        (["replay", "--all"], "--actor"),
        (["discard", "--all", "--actor", "ops"], "--reason"),
        (["replay", "--actor", "ops", "nonsense"], "is no attempt key"),
        (["replay", "--actor", "ops", "--all", "--rate", "0"], "rate"),
        (["list", "--cause", "bad luck"], "bad luck"),
        (["list", "--older-than", "x"], "is refused"),
        (["list", "--after", "x"], "is no cursor"),
    ],
)
def test_what_is_wrong_is_said_in_a_line(run_cli: Any, url: str, letters: list[str], said: list[str], why: str) -> None:
    refused = run_cli("--url", url, "dead-letters", *said)
    assert refused.exit_code == 2
    assert why in refused.output + refused.stderr
    assert "Traceback" not in refused.output + refused.stderr


def test_on_journal_leases_there_is_nothing_to_reconcile(run_cli: Any, url: str) -> None:
    assert run_cli("--url", url, "reconcile").output.strip() == "nothing to do"


def test_a_mesh_is_moved_and_reconciled_by_hand(run_cli: Any, url: str, tmp_path: Path) -> None:
    with Mesh.connect(url, workflows=[Poison]) as mesh:
        mesh.start_runs(Poison, [{}] * 3)
    with started("valkey", tmp_path / "server") as server:
        moved = run_cli("--url", url, "migrate", "--leases", server.url)
        assert moved.exit_code == 0, moved.output
        assert "up to date" in moved.output, "nobody had claimed anything: there was no plane yet"
        done = run_cli("--url", url, "reconcile", "--leases", server.url, "--rewound", "--json")
        assert json.loads(done.output)["offered"] == 3
        back = run_cli("--url", url, "migrate", "--leases", "journal")
        assert "applied leases: the journal" in back.output
        wrong = run_cli("--url", url, "reconcile", "--leases", server.url)
        assert wrong.exit_code == 2
        assert "delivered by the journal" in wrong.output + wrong.stderr
        there = run_cli("--url", url, "migrate", "--leases", server.url, "--json")
        assert json.loads(there.stdout)["applied"] == [f"leases: {server.url}?prefix=squidmesh"]
        assert "3 open attempts in 1 queues offered" in there.stderr


@pytest.mark.parametrize("leases", ["memory://", "nothing://x", "redis://example.org"])
def test_a_mesh_is_not_moved_to_what_makes_no_sense(run_cli: Any, url: str, leases: str) -> None:
    refused = run_cli("--url", url, "migrate", "--leases", leases)
    assert refused.exit_code == 2
    assert "leases" in refused.output + refused.stderr


def test_leases_go_with_a_url(run_cli: Any, app: Any) -> None:
    refused = run_cli("--app", app(), "reconcile", "--leases", "redis://localhost")
    assert refused.exit_code == 2
    assert "goes with --url" in refused.output + refused.stderr
