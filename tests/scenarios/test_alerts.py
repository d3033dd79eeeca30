"""A real Prometheus with our rules, and a real Alertmanager, over a live fleet.

Each alert fires while its fault lasts and is over when that is mended, and no expression of a panel, a rule or an alert
is without data.
"""

import os
import shutil
import time
from pathlib import Path

import pytest

from generators.monitoring.alerts import ALERTS
from generators.monitoring.grafana import FIRING
from generators.monitoring.recording import RECORDED
from tests.support.alarm_fleet import World, world
from tests.support.alarms import FAULTS, until
from tests.support.board_answers import DASHBOARDS, LARGEST, ROOT, answers, drawn, without_data
from tests.support.prometheus import Prometheus

pytestmark = [pytest.mark.all, pytest.mark.timeout(1500)]
OF_CRON = ("SquidMeshCronNotFiring", "SquidMeshCronSkipped")
PATIENCE = 120


def test_each_fault_has_its_alert_and_each_alert_its_fault():
    tried = {name for _, names in FAULTS for name in names} | {*OF_CRON}
    assert tried == {alert.name for alert in ALERTS}


def test_each_alert_fires_while_its_fault_lasts_and_every_expression_has_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    began = time.time()

    def told(text: str) -> None:
        with capsys.disabled():
            print(f"\n{time.time() - began:6.1f} s  {text}", end="", flush=True)

    with world(tmp_path) as here:
        here.watch.is_over(*(alert.name for alert in ALERTS), within=PATIENCE)
        fired = "squidmesh_cron_fired_total"
        until(lambda: here.server.query(fired), "cron has fired once", within=90)
        told("all is well, and cron has fired")
        here.fleet.kill("cron")
        here.fleet.forget("cron")
        killed = time.time()
        told(f"cron is gone: SquidMeshCronNotFiring after {fires(here, 'SquidMeshCronNotFiring'):.1f} s")

        for fault, names in FAULTS:
            here.watch.is_over(*names, within=PATIENCE)
            with fault(here):
                seconds = [f"{name} after {fires(here, name):.1f} s" for name in names]
            told(f"{fault.__name__}: {', '.join(seconds)}")

        # Of two windows that nobody looks at, the older one is passed over.
        until(lambda: time.time() > (killed // 60 + 3) * 60 + 1, "two windows have passed", within=200)
        here.fleet.start("cron", "cron", "--look-every=1")
        told(f"cron is back: SquidMeshCronSkipped after {fires(here, 'SquidMeshCronSkipped'):.1f} s")
        over = here.watch.is_over(*(alert.name for alert in ALERTS), within=2 * PATIENCE)
        told(f"all are over after {over:.1f} s")
        assert here.watch.was("SquidMeshReconcilerQuiet", "suppressed"), "a store that is away explains it"

        boards = answers(here.server, began, time.time())
        assert rules_without_data(here.server, began) + without_data(boards) == []
        pictures = drawn(boards, tmp_path)
        assert len(pictures) == len(DASHBOARDS)
        assert [path.name for path in pictures if path.stat().st_size > LARGEST] == []
        if folder := os.environ.get("SQUIDMESH_PICTURES"):
            for path in pictures:
                shutil.copy(path, ROOT / folder)


def fires(here: World, name: str) -> float:
    return here.watch.fires(name, within=PATIENCE)


def rules_without_data(server: Prometheus, began: float) -> list[str]:
    """Of recording rules, of alerts that fire, and of the marks that dashboards show for those."""
    asked = {one.name: one.name for one in RECORDED}
    asked |= {alert.name: f'ALERTS{{alertname="{alert.name}", alertstate="firing"}}' for alert in ALERTS}
    asked["marks"] = FIRING
    # A fault is mended as soon as its alert is seen, so some fire for a few seconds only.
    return [name for name, expression in asked.items() if not server.query_range(expression, began, time.time(), 1)]
