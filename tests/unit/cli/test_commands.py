"""What the commands print: something for people, or one JSON document."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from typing import Any

import pytest

from squidmesh import Mesh, __version__


@pytest.fixture
def started(run_cli, app) -> str:
    """The id of a run that waits for its approval."""
    payload = '{"order_id": "c0ffee"}'
    result = run_cli("--app", app(), "start", "Fulfil", "--payload", payload, "--key", "order-17", "--json")
    assert result.exit_code == 0, result.stderr
    run_id: str = json.loads(result.stdout)["run_id"]
    return run_id


def document(run_cli, *arguments: str) -> Any:
    result = run_cli(*arguments, "--json")
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def text(run_cli, *arguments: str) -> str:
    result = run_cli(*arguments)
    assert result.exit_code == 0, result.stderr
    assert "\x1b" not in result.stdout
    printed: str = result.stdout
    return printed


def test_the_version_is_told(run_cli):
    assert text(run_cli, "--version") == f"squidmesh {__version__}\n"


@pytest.mark.parametrize("arguments", [(), ("runs",), ("-h",), ("worker", "--help")])
def test_help_is_given(run_cli, arguments):
    assert text(run_cli, *arguments).startswith("Usage: squidmesh")


def test_the_same_key_starts_the_same_run(run_cli, app, started):
    payload = '{"order_id": "c0ffee"}'

    printed = text(run_cli, "--app", app(), "start", "Fulfil", "--payload", payload, "--key", "order-17")

    assert printed == f"run {started} of Fulfil  ‖ paused\n"


def test_a_payload_comes_from_a_file_or_from_stdin(run_cli, app, tmp_path):
    (tmp_path / "order.json").write_text('\ufeff{"order_id": "1"}', encoding="utf-8")

    assert run_cli("start", "Fulfil", "--app", app(), "--payload", "@order.json").exit_code == 0
    assert run_cli("start", "Fulfil", "--app", app(), "--payload", "-", stdin='{"order_id": "2"}').exit_code == 0


def test_a_trigger_can_be_named(run_cli, app):
    arguments = ("start", "Fulfil", "--trigger", "placed", "--payload", '{"order_id": "1"}')

    assert document(run_cli, "--app", app(), *arguments)["trigger"] == "placed"


@pytest.mark.parametrize("verb", ["list", "show", "explain", "graph"])
def test_a_url_is_enough_to_read(run_cli, url, started, verb):
    arguments = ("runs", verb) if verb == "list" else ("runs", verb, started)

    assert "fraud" in text(run_cli, "--url", url, *arguments)
    assert "fraud" in text(run_cli, *arguments, "--url", url)
    assert document(run_cli, "--url", url, *arguments)


def test_the_mesh_is_found_in_the_environment(run_cli, url, app, started, monkeypatch):
    monkeypatch.setenv("SQUIDMESH_URL", url)
    assert started in text(run_cli, "runs", "list")

    monkeypatch.setenv("SQUIDMESH_APP", app())
    assert run_cli("start", "Fulfil", "--payload", '{"order_id": "2"}').exit_code == 0


def test_the_command_line_wins_over_the_environment(run_cli, url, started, monkeypatch):
    monkeypatch.setenv("SQUIDMESH_APP", "nowhere:mesh")

    assert started in text(run_cli, "runs", "list", "--url", url)


def test_a_list_has_a_line_for_each_run_and_a_cursor(run_cli, app, url, started):
    run_cli("start", "Fulfil", "--app", app(), "--payload", '{"order_id": "2"}')

    first = text(run_cli, "--url", url, "runs", "list", "--limit", "1")
    cursor = document(run_cli, "--url", url, "runs", "list", "--limit", "1")["next"]

    assert "‖ paused" in first and "Fulfil" in first and "fraud" in first
    assert f"more: --after {cursor}" in first
    assert started in text(run_cli, "--url", url, "runs", "list", "--after", cursor)


def test_a_list_can_be_narrowed(run_cli, url, started):
    for arguments in (("--status", "failed"), ("--workflow", "Other"), ("--queue", "other"), ("--text", "zz")):
        assert text(run_cli, "--url", url, "runs", "list", *arguments) == "no runs\n"
    for arguments in (("--status", "paused"), ("--workflow", "Fulfil"), ("--text", "order-")):
        assert started in text(run_cli, "--url", url, "runs", "list", *arguments)


def test_a_run_is_shown_without_its_payload_unless_its_history_is_asked_for(run_cli, url, started):
    arguments = ("--url", url, "runs", "show", started)

    assert "c0ffee" not in text(run_cli, *arguments) + json.dumps(document(run_cli, *arguments))
    assert "c0ffee" in text(run_cli, *arguments, "--history")
    assert document(run_cli, *arguments, "--history")["payload"]["order_id"] == "c0ffee"


def test_a_decision_is_recorded_with_its_actor_and_comment(run_cli, url, started):
    said = ("--actor", "sam", "--comment", "known [bold]customer", "--metadata", '{"ticket": 7}', "--key", "k1")

    printed = text(run_cli, "--url", url, "runs", "approve", started, *said)

    assert printed == f"fraud was approved by sam; run {started}  ● running\n"
    shown = text(run_cli, "--url", url, "runs", "show", started, "--history")
    assert "known [bold]customer" in shown
    (event,) = document(run_cli, "--url", url, "runs", "show", started, "--history")["audit"]
    assert (event["actor"], event["metadata"]) == ("sam", {"ticket": 7})


def test_a_decision_is_made_once(run_cli, url, started):
    assert run_cli("--url", url, "runs", "reject", started, "--actor", "sam").exit_code == 0

    again = run_cli("--url", url, "runs", "approve", started, "--actor", "sam")

    assert again.exit_code == 2
    assert again.stderr.startswith("squidmesh: not_waiting: ")


def test_a_run_is_explained_and_drawn(run_cli, url, started):
    assert f"squidmesh runs approve {started} --actor NAME" in text(run_cli, "--url", url, "runs", "explain", started)
    assert document(run_cli, "--url", url, "runs", "explain", started)["reason"] == "approval"

    drawing = text(run_cli, "--url", url, "runs", "graph", started)
    assert "━ fraud · approval ━" in drawing and "‖ paused" in drawing and "○ complete" in drawing
    graph = document(run_cli, "--url", url, "runs", "graph", started)
    assert [edge["id"] for edge in graph["edges"]] == ["fraud:ok:charge", "charge:ok:complete"]


def test_a_failed_run_shows_its_error_and_with_history_where_it_came_from(run_cli, app, url, tmp_path):
    payload = '{"order_id": "1", "amount": 4711}'
    run_id = document(run_cli, "start", "Fulfil", "--app", app(), "--payload", payload)["run_id"]
    run_cli("--url", url, "runs", "approve", run_id, "--actor", "sam")
    module = app().partition(":")[0]
    mesh: Mesh = __import__(module).mesh
    with mesh:
        assert mesh.execute_next() is not None

    shown = text(run_cli, "--url", url, "runs", "show", run_id)
    assert "step_failed at charge with give_up" in shown and "the card ends in" not in shown
    whole = text(run_cli, "--url", url, "runs", "show", run_id, "--history")
    assert "the card ends in 4711" in whole and "last error of charge" in whole and "Traceback" in whole


def test_a_store_is_migrated_once(run_cli, tmp_path):
    target = ("migrate", "--url", f"sqlite:///{tmp_path / 'new.db'}")

    first, again = text(run_cli, *target), text(run_cli, *target)

    assert first.startswith("applied 0001")
    assert again == "up to date\n"
    assert document(run_cli, *target) == {"applied": []}


def test_ctrl_c_is_quiet(run_cli, url, monkeypatch):
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Mesh, "list_runs", interrupted)

    result = run_cli("--url", url, "runs", "list")

    assert (result.exit_code, result.stderr.strip(), result.stdout) == (130, "", "")


def damage(url: str, revision: int) -> None:
    with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as database, database:
        assert database.execute("UPDATE entries SET body = x'00' WHERE revision = ?", (revision,)).rowcount == 1


def test_a_damaged_entry_holds_the_run_which_is_shown_up_to_there(run_cli, url, started):
    run_cli("--url", url, "runs", "approve", started, "--actor", "sam")
    damage(url, 2)

    assert document(run_cli, "--url", url, "runs", "explain", started)["reason"] == "corrupt_history"
    shown = text(run_cli, "--url", url, "runs", "show", started)
    assert "‖ paused" in shown and "anomaly" in shown and "entry 2" in shown
    assert run_cli("--url", url, "runs", "approve", started, "--actor", "sam").stderr.startswith(
        "squidmesh: corrupt_history: "
    )


def test_of_a_run_whose_first_entry_is_damaged_what_its_row_knows_is_shown(run_cli, url, started):
    damage(url, 1)

    assert "corrupt_history" in text(run_cli, "--url", url, "runs", "explain", started)
    shown = text(run_cli, "--url", url, "runs", "show", started, "--history")
    assert "‖ paused" in shown and "anomaly" in shown and "entry 1" in shown
    assert run_cli("--url", url, "runs", "graph", started).stderr.startswith("squidmesh: corrupt_history: ")
