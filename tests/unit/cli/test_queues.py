"""``squidmesh queues``: what operators type."""

import json
from collections.abc import Callable
from typing import Any


def test_queues_are_listed_for_people_and_for_programs(run_cli: Any, app: Callable[[], str]) -> None:
    run_cli("--app", app(), "start", "Fulfil", "--payload", '{"order_id": "1"}', "--queue", "vip")
    run_cli("--app", app(), "queues", "pause", "payouts", "--actor", "ops", "--comment", "bank holiday")
    shown = run_cli("--app", app(), "queues", "list")
    assert shown.exit_code == 0, shown.output
    lines = {line.split()[0]: line for line in shown.output.splitlines()}
    assert set(lines) == {"queue", "default", "payouts"}, "an approval is no open attempt"
    assert "paused by ops" in lines["payouts"]
    assert "bank holiday" in lines["payouts"]
    told = json.loads(run_cli("--app", app(), "queues", "list", "--json").output)
    assert [one["name"] for one in told["queues"]] == ["default", "payouts"]
    assert told["queues"][0] == {
        "name": "default",
        "paused": None,
        "depth": {"ready": 0, "delayed": 0, "leased": 0, "oldest_ready": None},
    }
    assert told["queues"][1]["paused"]["actor"] == "ops"


def test_a_queue_is_paused_and_resumed(run_cli: Any, url: str) -> None:
    paused = run_cli("--url", url, "queues", "pause", "payouts", "--actor", "ops", "--key", "k-1")
    assert (paused.exit_code, paused.output) == (0, "payouts is paused by ops; 0 leased, 0 ready\n")
    again = run_cli("--url", url, "queues", "pause", "payouts", "--actor", "ops", "--key", "k-1", "--json")
    assert json.loads(again.output)["paused"]["actor"] == "ops"
    refused = run_cli("--url", url, "queues", "pause", "payouts", "--actor", "sam")
    assert refused.exit_code != 0
    assert "paused already, by ops" in refused.output
    resumed = run_cli("--url", url, "queues", "resume", "payouts", "--actor", "sam")
    assert (resumed.exit_code, resumed.output) == (0, "payouts is handed out\n")
    assert run_cli("--url", url, "queues", "resume", "payouts", "--actor", "sam").exit_code != 0


def test_who_decides_must_be_named(run_cli: Any, url: str) -> None:
    refused = run_cli("--url", url, "queues", "pause", "payouts")
    assert refused.exit_code == 2
    assert "--actor" in refused.output


def test_leases_go_with_a_url_only(run_cli: Any, app: Callable[[], str]) -> None:
    refused = run_cli("--app", app(), "queues", "list", "--leases", "redis://localhost")
    assert refused.exit_code != 0
    assert "--leases goes with --url" in refused.output
