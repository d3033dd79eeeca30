"""Worker processes that record what they do, two of which are killed: the judge finds nothing, and says on how much."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from click.testing import CliRunner

from chaos.judging import judge_command
from chaos.recorder import Recorder
from squidmesh import Mesh
from tests.chaos.app import LEASE, MOST, SWEEP, Order, Sale, mesh_in
from tests.scenarios.fleet import until
from tests.support.redises import started

ROOT = Path(__file__).resolve().parents[2]
RUNS = 40

pytestmark = pytest.mark.all


@pytest.fixture(params=["journal", "valkey"])
def leases(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str | None]:
    if request.param == "journal":
        yield None
        return
    with started(request.param, tmp_path / "server") as server:
        yield server.url


def test_a_fleet_of_which_two_were_killed(tmp_path: Path, leases: str | None) -> None:
    url = f"sqlite:///{tmp_path / 'journal.db'}"
    Mesh.migrate(url)
    marks = Recorder(tmp_path / "history", process="storm")
    with ExitStack() as stack:
        mesh = stack.enter_context(mesh_in(tmp_path, url, leases, process="client"))
        workers = [running(tmp_path, url, leases, number) for number in range(3)]
        for worker in workers:
            stack.callback(worker.wait)
            stack.callback(worker.terminate)
        mesh.start_runs(Sale.sell, [Order(number=number) for number in range(RUNS)])
        for victim in workers[:2]:
            done = mesh.count_runs().get("completed", 0)
            until(lambda: mesh.count_runs().get("completed", 0) > done, "work in flight", within=60)  # noqa: B023
            mark = marks.fault_applied("kill", harm="worker_killed", target=str(victim.pid))
            victim.kill()
            victim.wait()
            marks.fault_healed(mark, "kill", harm="worker_killed", target=str(victim.pid))
        until(lambda: mesh.count_runs().get("completed", 0) == RUNS, "the end of all runs", within=60)
    marks.close()

    options = [f"--journal={url}", f"--history={tmp_path / 'history'}", f"--ledger={tmp_path / 'ledger'}"]
    options += [f"--lease={LEASE}", f"--sweep={SWEEP}", f"--max-deliveries={MOST}", "--patience=30", "--all-recorded"]
    options += [f"--text={path}" for path in tmp_path.glob("*.log")] + ([f"--leases={leases}"] if leases else [])
    result = CliRunner().invoke(judge_command, [*options, "--json"])

    verdict = json.loads(result.stdout)
    assert result.exit_code == 0, CliRunner().invoke(judge_command, options).output
    assert verdict["ok"]
    checked = {one["invariant"]: one["checked"] for one in verdict["findings"] if one["status"] == "green"}
    assert checked["I4"] >= RUNS * 4
    assert checked["I6"] >= RUNS * 4
    assert checked["I20"] >= 1
    assert verdict["seen"]["faults"] == 2


def running(folder: Path, url: str, leases: str | None, number: int) -> subprocess.Popen[bytes]:
    told = {"JUDGED_FOLDER": str(folder), "JUDGED_URL": url} | ({"JUDGED_LEASES": leases} if leases else {})
    told["PYTHONPATH"] = os.pathsep.join([str(ROOT), str(ROOT / "backends")])
    command = [sys.executable, "-m", "squidmesh", "--app", "tests.chaos.app:mesh", "worker", "--concurrency=4"]
    with (folder / f"worker-{number}.log").open("wb") as log:
        return subprocess.Popen(command, env=os.environ | told, stdout=log, stderr=log)
