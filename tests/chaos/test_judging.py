"""The judge alone: what it says of somebody's own journal, and of what he asked for wrongly."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from pydantic import BaseModel
from redis import Redis

from chaos.judging import judge_command
from squidmesh import Mesh, Workflow, manual, step
from tests.support.redises import started


class Order(BaseModel):
    number: int = 1


class Sale(Workflow):
    version = "1"
    sell = manual(Order)
    pick = step(lambda: None)
    ship = step(lambda: None)
    flow = (pick >> ship,)


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'journal.db'}"


def judged(*options: str) -> Result:
    return CliRunner().invoke(judge_command, options)


def test_a_deployment_without_any_history_is_judged_by_what_stands_there(url: str, tmp_path: Path) -> None:
    with Mesh.connect(url, workflows=[Sale]) as mesh:
        mesh.start_run(Sale.sell, key="order-1")
        for _ in range(3):
            mesh.execute_next(owner_id="sam")
    result = judged("--journal", url)
    assert result.exit_code == 0, result.output
    assert "I6   not applicable" in result.output
    assert "I12  green" in result.output
    found = json.loads(judged("--journal", url, "--json").output)
    assert found["ok"]
    assert found["seen"]["runs"] == 1


def test_an_empty_journal_is_red(url: str) -> None:
    Mesh.migrate(url)
    result = judged("--journal", url)
    assert result.exit_code == 1
    assert "I1   nothing checked" in result.output


def test_a_log_is_searched(url: str, tmp_path: Path) -> None:
    with Mesh.connect(url, workflows=[Sale]) as mesh:
        mesh.start_run(Sale.sell)
        for _ in range(3):
            mesh.execute_next(owner_id="sam")
    log = tmp_path / "worker.log"
    log.write_text("all is well\nthe word is mellon\n")
    result = judged("--journal", url, "--text", str(log), "--secret", "mellon")
    assert result.exit_code == 1
    assert "worker.log:2: the planted secret 1 stands there" in result.output
    assert "mellon" not in result.output


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ((), "Missing option '--journal'"),
        (("--journal", "nosuch://x"), "scheme"),
        (("--journal", "sqlite:///{folder}/none.db"), "none.db"),
        (("--journal", "{url}", "--not-applicable", "I14"), "allowed is a number and a reason: I14=WHY"),
        (("--journal", "{url}", "--not-applicable", "I21=why"), "no such invariant"),
        (("--journal", "{url}", "--history", "{folder}/none"), "does not exist"),
    ],
)
def test_what_can_not_be_judged_is_said_in_one_line(
    url: str, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    Mesh.migrate(url)
    result = judged(*(one.format(url=url, folder=tmp_path) for one in options))
    assert result.exit_code == 2, result.output
    assert said in result.output


@pytest.mark.all
def test_a_journal_in_postgresql_is_judged_as_any_other(postgres_url: str) -> None:
    Mesh.migrate(postgres_url)
    with Mesh.connect(postgres_url, workflows=[Sale]) as mesh:
        mesh.start_run(Sale.sell, key="order-1")
        for _ in range(3):
            mesh.execute_next(owner_id="sam")
    result = judged("--journal", postgres_url)
    assert result.exit_code == 0, result.output
    assert "I13  green                   1" in result.output


@pytest.mark.all
def test_every_kind_of_value_of_a_redis_is_searched(url: str, tmp_path: Path) -> None:
    with started("valkey", tmp_path / "server") as server, Redis.from_url(server.url) as client:
        with Mesh.connect(url, leases=server.url, workflows=[Sale], reconcile_every=0.01) as mesh:
            mesh.start_run(Sale.sell)
            for _ in range(3):
                mesh.execute_next(owner_id="sam")
        seen = "--journal", url, "--leases", server.url, "--secret", "mellon"
        result = judged(*seen)
        assert result.exit_code == 0, result.output
        assert "I19  green" in result.output
        client.set("a", "xmellonx")
        client.hset("b", "field", "mellon")
        client.rpush("c", "one", "mellon")
        client.sadd("d", "mellon")
        client.zadd("e", {"mellon": 1})
        client.xadd("f", {"field": "mellon"})
        client.set("mellon", "1")
        result = judged(*seen)
        assert result.exit_code == 1
        for key in ("a", "b", "c", "d", "e", "f", "mellon"):
            assert f"key {key}: the planted secret 1 stands there" in result.output
