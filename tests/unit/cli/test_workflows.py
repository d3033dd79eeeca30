"""``squidmesh workflows``: what an editor, and whoever answers for it, types."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from squidmesh import Mesh

APP = """
from pydantic import BaseModel
from squidmesh import Actions, Mesh, Workflow, manual, step

class Nothing(BaseModel):
    pass

class Known(Workflow):
    version = "7"
    go = manual(Nothing)
    act = step(lambda: None)

actions = Actions()

@actions.add("charge")
def charge(amount: int, note: str = "") -> dict[str, int]:
    \"\"\"Takes the money.\"\"\"
    return {"charged": amount}

actions.add("old", charge, enabled=False)
mesh = Mesh.connect("{url}", workflows=[Known], actions=actions)
"""
ORDER: dict[str, Any] = {
    "name": "Order",
    "version": "1",
    "triggers": [
        {
            "name": "placed",
            "kind": "manual",
            "payload_schema": {"type": "object", "properties": {"amount": {"type": "integer"}}, "required": ["amount"]},
        }
    ],
    "steps": [{"name": "charge", "kind": "function", "action": "charge"}, {"name": "check", "kind": "approval"}],
    "routes": [{"source": "charge", "on": "ok", "target": "check"}],
}


@pytest.fixture
def shop(run_cli: Any, tmp_path: Path, url: str) -> Callable[..., Any]:
    """``shop("workflows", "list")``, with an app that has actions."""
    numbers = iter(range(100))

    def type_(*arguments: str, **more: Any) -> Any:
        name = f"shop_app_{next(numbers)}"
        (tmp_path / f"{name}.py").write_text(APP.replace("{url}", url))
        return run_cli("--app", f"{name}:mesh", *arguments, **more)

    return type_


@pytest.fixture
def order(tmp_path: Path) -> Callable[..., str]:
    def write(**changes: Any) -> str:
        path = tmp_path / "order.json"
        path.write_text(json.dumps(ORDER | changes))
        return str(path)

    return write


def test_a_file_is_judged_activated_started_drawn_and_deactivated(
    shop: Any, order: Any, run_cli: Any, url: str
) -> None:
    judged = shop("workflows", "validate", order())
    assert (judged.exit_code, judged.output.startswith("Order 1 can be activated (")) == (0, True)
    assert json.loads(shop("workflows", "list", "--json").output)["workflows"][0]["name"] == "Known"
    activated = shop("workflows", "activate", order(), "--actor", "sam", "--json")
    assert activated.exit_code == 0
    assert json.loads(activated.output)["activated_by"] == "sam"
    started = shop("start", "Order", "--payload", '{"amount": 3}', "--json")
    assert json.loads(started.output)["workflow"] == "Order"
    listed = run_cli("--url", url, "workflows", "list")
    assert "Order" in listed.output
    assert "sam" in listed.output
    drawn = run_cli("--url", url, "workflows", "graph", "Order")
    assert "charge" in drawn.output
    assert "check" in drawn.output
    ended = run_cli("--url", url, "workflows", "deactivate", "Order", "--actor", "sam")
    assert (ended.exit_code, ended.output) == (0, "Order is not active any more\n")
    assert json.loads(run_cli("--url", url, "workflows", "list", "--json").output) == {"workflows": []}


def test_what_is_shown_is_what_can_be_activated_again(shop: Any, order: Any) -> None:
    shop("workflows", "activate", order(), "--actor", "sam")
    said = shop("workflows", "show", "Order", "--map").output
    again = shop("workflows", "activate", "-", "--actor", "sam", "--json", stdin=said)
    shown = json.loads(shop("workflows", "show", "Order", "--json").output)
    assert shown["map"] == json.loads(said)
    assert json.loads(again.output)["fingerprint"] == shown["fingerprint"]
    assert "activated by" in shop("workflows", "show", "Order").output


def test_every_problem_of_a_file_is_a_line(shop: Any, order: Any) -> None:
    path = order(run_id="9a1e", steps=[{"name": "charge", "kind": "function", "action": "old"}], routes=[])
    judged = shop("workflows", "validate", path)
    assert judged.exit_code == 2
    assert judged.stderr.splitlines() == [
        "squidmesh: invalid_workflow: Order: run_id: run_id is the runtime's own to say; leave it out"
        " [runtime_owned_field]",
        "squidmesh: invalid_workflow: Order: steps.charge.action: old is disabled by the host; enable it, or use"
        " another one [disabled_action]",
    ]
    told = shop("workflows", "validate", path, "--json")
    assert told.exit_code == 2
    assert [one["code"] for one in json.loads(told.output)["problems"]] == ["runtime_owned_field", "disabled_action"]
    refused = shop("workflows", "activate", path, "--actor", "sam")
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 2)
    drawn = shop("workflows", "graph", f"@{path}")
    assert drawn.exit_code == 0
    assert "problem: run_id" in drawn.output


def test_a_warning_does_not_stop_a_file(shop: Any, order: Any) -> None:
    when = {"path": "amount", "operator": ">", "value": 3}
    path = order(routes=[{"source": "charge", "on": "ok", "target": "check", "when": when}])
    judged = shop("workflows", "validate", path)
    assert judged.exit_code == 0
    assert "warning: steps.charge" in judged.output


def test_actions_are_listed_for_people_and_for_editors(shop: Any) -> None:
    shown = shop("workflows", "actions")
    assert "amount, note?" in shown.output
    assert "disabled" in shown.output
    told = json.loads(shop("workflows", "actions", "--json").output)["actions"]
    assert [(one["name"], one["enabled"]) for one in told] == [("charge", True), ("old", False)]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("workflows", "show", "Nope"), "not_found"),
        (("workflows", "graph", "Nope"), "not_found"),
        (("workflows", "deactivate", "Known", "--actor", "sam"), "not_found"),
        (("workflows", "validate", "nowhere.json"), "unreadable_file"),
        (("workflows", "activate", "nowhere.json", "--actor", "sam"), "unreadable_file"),
    ],
)
def test_what_is_not_there_is_told_in_a_line(shop: Any, arguments: tuple[str, ...], code: str) -> None:
    told = shop(*arguments)
    assert told.exit_code == 2
    assert told.stderr.startswith(f"squidmesh: {code}: ")
    assert len(told.stderr.splitlines()) == 1


def test_a_mesh_without_the_app_can_not_judge(run_cli: Any, url: str, order: Any) -> None:
    Mesh.migrate(url)
    assert "--app" in run_cli("--url", url, "workflows", "activate", order(), "--actor", "sam").stderr
    assert run_cli("--url", url, "workflows", "list").output == "no workflows\n"
