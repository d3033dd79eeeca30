"""Rules and dashboards ask for what there is, and tell whoever reads them what good looks like."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from generators.monitoring.alerts import ALERTS
from generators.monitoring.boards import BOARDS
from generators.monitoring.files import writers
from generators.monitoring.promql import Queries, WrongExpression, check
from generators.monitoring.recording import NAMES
from squidmesh.ports import metrics
from squidmesh.ports.metrics import METRICS

ROOT = Path(__file__).resolve().parents[3]
DASHBOARDS = [(board, json.loads((ROOT / f"grafana/dashboards/{board.name}.json").read_text())) for board in BOARDS]


@pytest.mark.parametrize(
    ("expression", "why"),
    [
        ("rate(squidmesh_runs_begun_total[5m])", "there is no metric squidmesh_runs_begun_total"),
        ("rate(squidmesh_step_duration_seconds[5m])", "there is no metric squidmesh_step_duration_seconds"),
        ('squidmesh_slots_busy{queue="a"}', "squidmesh_slots_busy has no label 'queue'"),
        ("sum by (workflow) (squidmesh_slots_busy)", "none of its metrics has a label 'workflow'"),
        ("sum by (queue) (squidmesh_queue_items)", "every process tells squidmesh_queue_items alike"),
        ("vector(1)", "asks for no metric"),
        ("job:squidmesh_nothing:sum > 1", "there is no metric job:squidmesh_nothing:sum"),
    ],
)
def test_what_there_is_not_is_not_asked_for(expression: str, why: str):
    with pytest.raises(WrongExpression, match=re.escape(why)):
        check(expression, NAMES)


def test_a_metric_that_is_renamed_is_found(monkeypatch: pytest.MonkeyPatch):
    renamed = tuple(replace(one, name="squidmesh_slots_taken") if one is metrics.SLOTS_BUSY else one for one in METRICS)
    monkeypatch.setattr("generators.monitoring.promql.METRICS", renamed)
    with pytest.raises(WrongExpression, match="there is no metric squidmesh_slots_busy"):
        for board in BOARDS:
            for panel in board.panels:
                replace(panel)


def test_a_counter_is_not_taken_for_a_gauge():
    with pytest.raises(WrongExpression, match="squidmesh_live is a gauge; here must be a counter"):
        Queries().rate(metrics.LIVE)


def test_what_is_chosen_narrows_the_metrics_that_have_it():
    chosen = Queries(("job", "instance", "queue"))
    assert chosen.series(metrics.SLOTS_BUSY) == 'squidmesh_slots_busy{job=~"$job", instance=~"$instance"}'
    assert chosen.series(metrics.QUEUE_PAUSED) == 'squidmesh_queue_paused{job=~"$job", queue=~"$queue"}', (
        "any process tells it: a choice of processes must not hide it"
    )


def test_every_metric_is_on_a_dashboard():
    shown = " ".join(query.expression for board in BOARDS for panel in board.panels for query in panel.queries)
    assert [one.name for one in METRICS if not re.search(rf"\b{one.name}(_bucket|_sum|_count)?\b", shown)] == []


@pytest.mark.parametrize(("board", "document"), DASHBOARDS, ids=[board.name for board in BOARDS])
def test_a_dashboard_is_whole(board, document):
    panels = [panel for panel in document["panels"] if panel["type"] != "row"]
    assert len(panels) == len(board.panels)
    assert len({panel["id"] for panel in document["panels"]}) == len(document["panels"])
    for panel in panels:
        assert re.search(r"\. Good: \S.*\.$", panel["description"], re.DOTALL), panel["title"]
        assert panel["gridPos"]["x"] + panel["gridPos"]["w"] <= 24
    variables = {one["name"] for one in document["templating"]["list"]}
    assert {"datasource", "job", "instance"} <= variables
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(document)))
    assert used == variables, "each variable is used, and nothing else is"
    assert document["links"][0]["tags"] == ["squidmesh"] == document["tags"], "each links to all the others"


@pytest.mark.parametrize(("board", "document"), DASHBOARDS, ids=[board.name for board in BOARDS])
def test_no_panel_covers_another(board, document):
    covered: set[tuple[int, int]] = set()
    for panel in document["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & covered, panel["title"]
        covered |= cells


def test_uids_and_titles_stand_once():
    for what in ("uid", "title"):
        found = [document[what] for _, document in DASHBOARDS]
        assert len(set(found)) == len(found) == 6


def test_no_dashboard_lies_there_that_nobody_writes():
    made = {name for name in writers() if name.startswith("grafana/")}
    assert {str(path.relative_to(ROOT)) for path in (ROOT / "grafana/dashboards").iterdir()} == made


def test_provisioning_finds_the_dashboards_and_the_prometheus_of_the_compose_file():
    compose = yaml.safe_load((ROOT / "deploy/compose/compose.yml").read_text())["services"]
    mounted = dict(volume.split(":")[:2] for volume in compose["grafana"]["volumes"])
    (provider,) = yaml.safe_load((ROOT / "grafana/provisioning/dashboards/squidmesh.yml").read_text())["providers"]
    assert mounted["../../grafana/dashboards"] == provider["options"]["path"]
    sources = yaml.safe_load((ROOT / "grafana/provisioning/datasources/prometheus.yml").read_text())["datasources"]
    assert [source["url"] for source in sources] == ["http://prometheus:9090"]
    assert set(compose["prometheus"]["networks"]) & set(compose["grafana"]["networks"])
    scraped = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text())
    assert sources[0]["jsonData"]["timeInterval"] == scraped["global"]["scrape_interval"]
    (found,) = scraped["scrape_configs"][0]["dns_sd_configs"]
    for name in found["names"]:
        assert str(found["port"]) in compose[name]["expose"]


def test_an_alert_stands_once_and_says_what_a_person_needs():
    assert len({alert.name for alert in ALERTS}) == len(ALERTS)
    for alert in ALERTS:
        assert alert.name.startswith("SquidMesh")
        assert re.fullmatch(r"\d+[smhd]", alert.wait)
        assert "$value" not in alert.summary + alert.description, "a text that changes is a new message"
