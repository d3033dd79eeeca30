"""I19: a field marked secret is in no inspection, graph, log, error, on no command line, and in no Redis; and with a
payload codec, in no file of the store either.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from redis import Redis

from squidmesh import Mesh
from squidmesh.cli.root import squidmesh
from squidmesh.redaction import HIDDEN
from squidmesh.testing.clock import VirtualClock
from tests.support.parts import mostly_aside
from tests.support.redises import all_of, started
from tests.support.vault import CODEC, SECRETS, VISIT, Dies, Vault

APP = """
from squidmesh import Mesh
from tests.support.vault import CODEC, Vault

mesh = Mesh.connect({url!r}, leases={leases!r}, workflows=[Vault], codec={codec})
"""


def leaks(told: str | bytes) -> list[str]:
    """The secrets that are in there, whatever they stand between."""
    text = told.decode("latin-1") if isinstance(told, bytes) else told
    return [secret for secret in SECRETS if secret in text]


@dataclass(frozen=True)
class House:
    """One plane, and the mesh over it. ``sealed``: with a payload codec."""

    mesh: Mesh
    wait: Callable[[], object]
    url: str = "memory://"
    file: Path | None = None
    leases: str | None = None
    redis: Any = None
    sealed: bool = False

    def live_through(self) -> tuple[str, str]:
        """A run with an error, a retry and an approval, to its end; and one whose last step kills whoever runs it, in a
        child process too, to a dead letter. What Redis holds is looked at all the way.
        """
        mesh, dead = self.mesh, ""
        ended = mesh.start_run(Vault.visit, VISIT, key="Alice").run_id
        dead = mesh.start_run(Vault.visit, VISIT.model_copy(update={"kill": True})).run_id
        for _ in range(300):
            touched = None
            with suppress(Dies):
                touched = mesh.execute_next(owner_id="guard")
            for run_id in (ended, dead):
                if mesh.inspect_run(run_id).status == "paused":
                    mesh.approve_run(run_id, actor="warden", comment="let her in", metadata={"door": 7})
            if self.redis is not None:
                assert leaks(all_of(self.redis)) == []
            if mesh.list_dead_letters().dead_letters and mesh.inspect_run(ended).ended:
                return ended, dead
            if touched is None:
                self.wait()
        raise AssertionError(f"{mesh.explain_run(ended)}, {mesh.explain_run(dead)}")


@pytest.fixture(scope="module")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started("valkey", tmp_path_factory.mktemp("valkey")) as server:
        yield server.url


IN_FILES = ("sqlite", "sqlite, sealed", "redis", "redis, sealed")


@pytest.fixture(params=mostly_aside(["memory", *IN_FILES], ordinary=lambda kind: kind != "redis, sealed"))
def house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[House]:
    kind, sealed = request.param.partition(",")[0], "sealed" in request.param
    url = "memory://" if kind == "memory" else f"sqlite:///{tmp_path / 'vault.db'}"
    settings: dict[str, Any] = {"workflows": [Vault], "max_deliveries": 2, "codec": CODEC if sealed else None}
    file = None if kind == "memory" else tmp_path / "vault.db"
    if kind != "redis":
        clock = VirtualClock()
        with Mesh.connect(url, clock=clock, lease=30, **settings) as mesh:
            yield House(mesh, lambda: clock.advance(timedelta(seconds=31)), url, file, sealed=sealed)
        return
    leases = request.getfixturevalue("valkey")
    with Redis.from_url(leases, decode_responses=True) as redis:
        redis.flushall()
        with Mesh.connect(url, leases=leases, lease=0.3, reconcile_every=0.01, **settings) as mesh:
            yield House(mesh, lambda: threading.Event().wait(0.1), url, file, leases, redis, sealed)


@pytest.fixture
def run_cli(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., str]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    count = iter(range(100))

    def run(house: House, *arguments: str) -> str:
        """An app of its own each time: a command closes the mesh that it used."""
        name = f"vault_app_{next(count)}"
        codec = "CODEC" if house.sealed else None
        (tmp_path / f"{name}.py").write_text(APP.format(url=house.url, leases=house.leases, codec=codec))
        result = CliRunner().invoke(squidmesh, ["--app", f"{name}:mesh", *arguments])
        sys.modules.pop(name)
        assert result.exit_code == 0, result.output
        return result.output

    return run


def test_no_secret_is_seen_anywhere_outside_the_steps(
    house: House, run_cli: Callable[..., str], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    ended, dead = house.live_through()

    mesh = house.mesh
    assert mesh.inspect_run(ended).status == "completed", "the steps had the true values"
    seen: dict[str, object] = {
        "list": mesh.list_runs(),
        "dead letters": mesh.list_dead_letters(),
        "output": mesh.wait_for(ended, timeout=0),
    }
    for name, run_id in (("ended", ended), ("dead", dead)):
        seen |= {
            f"inspect {name}": mesh.inspect_run(run_id),
            f"history {name}": mesh.inspect_run(run_id, history=True),
            f"graph {name}": mesh.inspect_run_graph(run_id, history=True),
            f"explain {name}": mesh.explain_run(run_id),
        }
    told = {name: json.dumps(answer.to_json()) + repr(answer) for name, answer in seen.items()}  # type: ignore[attr-defined]
    if house.file is not None:
        for words in (
            ("runs", "list"),
            ("dead-letters", "list"),
            *(("runs", verb, run_id) for verb in ("show", "explain", "graph") for run_id in (ended, dead)),
            *(("runs", "show", run_id, "--history") for run_id in (ended, dead)),
            ("dead-letters", "show", f"{dead}/leave#1"),
        ):
            told[" ".join(words)] = run_cli(house, *words) + run_cli(house, *words, "--json")
    told["log"] = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    told["stdout"], told["stderr"] = capfd.readouterr()

    assert {name: leaks(text) for name, text in told.items() if leaks(text)} == {}
    assert "Dies" in told["stderr"], "the child that died said so"
    assert HIDDEN in told["stderr"]


def test_what_is_shown_says_where_a_secret_is(house: House) -> None:
    ended, _ = house.live_through()
    run = house.mesh.inspect_run(ended, history=True)

    card = {"holder": "Alice", "number": HIDDEN}
    assert run.payload == {
        "visitor": "Alice", "token": HIDDEN, "pin": HIDDEN, "badge": HIDDEN, "cards": [card], "kill": False,
    }  # fmt: skip
    assert run.output is not None and run.output["door"] == {"number": 7, "code": HIDDEN}
    assert run.output["log"] == f"{HIDDEN} went in with {HIDDEN}", "found by its value, where no annotation tells"
    assert house.mesh.wait_for(ended, timeout=0).output == run.output
    assert run.history is not None
    by_kind = {event.kind: event.details for event in run.history}
    assert by_kind["RunStarted"]["payload"] == run.payload
    assert by_kind["RunStarted"]["payload_fingerprint"] == HIDDEN
    assert by_kind["AttemptFailed"]["error"]["type"] == "PermissionError"
    assert by_kind["AttemptFailed"]["error"]["message"].endswith(": no entry")
    assert "knock" in by_kind["AttemptFailed"]["error"]["details"], "the traceback is there all the same"


def tables(file: Path) -> dict[str, str]:
    with closing(sqlite3.connect(file)) as store:
        names = [name for (name,) in store.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {
            name: "\n".join(
                cell.decode("latin-1") if isinstance(cell, bytes) else str(cell)
                for row in store.execute(f'SELECT * FROM "{name}"')
                for cell in row
            )
            for name in names
        }


@pytest.mark.parametrize("house", IN_FILES, indirect=True)
def test_a_dump_of_the_database_holds_no_secret_with_a_codec_and_each_of_them_without(house: House) -> None:
    assert house.file is not None
    house.live_through()

    files = {path.name: path.read_bytes() for path in house.file.parent.glob("vault.db*")}
    assert {"vault.db", "vault.db-wal"} <= files.keys()
    raw = b"".join(files.values())
    found = {name: leaks(rows) for name, rows in tables(house.file).items()}
    assert {"entries", "checkpoints", "definitions", "runs"} <= found.keys()
    if house.sealed:
        assert leaks(raw) == []
        assert {name for name, leaked in found.items() if leaked} == set()
    else:
        assert leaks(raw) == list(SECRETS), "or this test could not fail"
        assert found.pop("entries") == list(SECRETS)
        found.pop("checkpoints")
        assert {name for name, leaked in found.items() if leaked} == set(), "rows, definitions: never"
