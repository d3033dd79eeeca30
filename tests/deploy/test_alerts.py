"""Every alert has its runbook, whose commands exist, and its cases; promtool and amtool find nothing wrong."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import click
import pytest
import yaml

from generators.monitoring.alert_tests import CASES
from generators.monitoring.alerts import ALERTS
from squidmesh.cli.root import squidmesh
from tests.deploy.manifests import DEPLOY, ROOT
from tests.support.debian import files_of
from tests.support.shortened import shortened

PROMETHEUS = DEPLOY / "prometheus"
RUNBOOKS = (ROOT / "docs" / "runbooks.md").read_text()
SECTIONS = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", RUNBOOKS, flags=re.DOTALL | re.MULTILINE))
PARTS = ["What it means.", "How to look.", "What to do.", "How to know that it is over."]


def test_each_alert_has_its_runbook_and_each_runbook_its_alert():
    assert list(SECTIONS) == [alert.name for alert in ALERTS]
    for alert in ALERTS:
        page, anchor = alert.runbook.split("#")
        assert (ROOT / page).is_file()
        assert anchor in {head.lower() for head in SECTIONS}


@pytest.mark.parametrize("name", SECTIONS)
def test_a_runbook_says_what_it_means_how_to_look_what_to_do_and_when_it_is_over(name: str):
    assert re.findall(r"^\*\*(.+?)\*\*", SECTIONS[name], flags=re.MULTILINE) == PARTS
    how_to_look = SECTIONS[name].partition("**How to look.**")[2].partition("**What to do.**")[0]
    assert re.search(r"^squidmesh \w", how_to_look, flags=re.MULTILINE), "a command to look with"


COMMANDS = sorted(
    {*re.findall(r"^squidmesh .+$", RUNBOOKS, flags=re.MULTILINE), *re.findall(r"`(squidmesh [a-z][^`]*)`", RUNBOOKS)}
)


def parse(command: str) -> click.Command:
    """As the command line would, without carrying it out. Raises ``click.UsageError`` where it would refuse."""
    words = shlex.split(command)[1:]
    found: click.Command = squidmesh
    context = click.Context(found)
    while isinstance(found, click.Group) and words and not words[0].startswith("-"):
        _, inner, words = found.resolve_command(context, words)
        assert inner is not None
        found, context = inner, click.Context(inner, parent=context)
    found.make_parser(context).parse_args(words)
    return found


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_a_runbook_exists(command: str):
    parse(command)


@pytest.mark.parametrize("command", ["squidmesh queues empty", "squidmesh queues list --force", "squidmesh wrks"])
def test_a_command_that_there_is_not_would_be_found(command: str):
    with pytest.raises(click.UsageError):
        parse(command)


def test_links_of_runbooks_lead_somewhere():
    for link in re.findall(r"\]\(([^)]+)\)", RUNBOOKS):
        page, _, anchor = link.partition("#")
        assert (ROOT / "docs" / page).exists(), link
        assert not anchor or anchor in {head.lower() for head in SECTIONS}, link


def test_panels_that_runbooks_name_are_there():
    from generators.monitoring.boards import BOARDS

    shown = {panel.title for board in BOARDS for panel in board.panels} | {board.title for board in BOARDS}
    named = set(re.findall(r"(?<!\*)\*([A-Z][^*\n]*(?:\n[^*\n]*)?)\*(?!\*)", RUNBOOKS))
    assert named
    assert {" ".join(one.split()) for one in named} - shown == set()


@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_each_alert_is_tried_where_it_must_fire_and_where_it_must_not(alert):
    fires = [case.fires is not None for case in CASES if case.alert == alert.name]
    assert set(fires) == {True, False}


def test_the_files_are_those_that_prometheus_is_told_to_read():
    for path in (PROMETHEUS / "prometheus.yml", *(PROMETHEUS / "examples").iterdir()):
        (pattern,) = yaml.safe_load(path.read_text())["rule_files"]
        found = sorted(one.name for one in path.parent.glob(pattern))
        assert found == ["alerts.yml", "recording.yml"], path


def test_what_a_trial_runs_is_what_a_user_has_but_for_its_times(tmp_path: Path):
    anything = re.compile(r"(for: |\[|offset )\d+[smhd]|[<>] \d+(\.\d+)?")
    for path in shortened(PROMETHEUS / "rules", tmp_path):
        ours = (PROMETHEUS / "rules" / path.name).read_text()
        assert anything.sub("", path.read_text()) == anything.sub("", ours)
        assert not re.search(r"\d[mhd]\]|for: \d+[mhd]", path.read_text()), "seconds"


# ------------------------------------------------------------------------------------------------- Debian's own tools


def tool(package: str, name: str, *arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    (program,) = files_of(package, f"bin/{name}")
    command = [str(program), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, cwd=cwd)


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    shutil.copytree(PROMETHEUS, tmp_path / "prometheus")
    return tmp_path / "prometheus"


@pytest.mark.all
@pytest.mark.parametrize("name", ["prometheus.yml", "examples/hosts.yml", "examples/several-fleets.yml"])
def test_promtool_finds_nothing_wrong_with_a_configuration(name: str):
    done = tool("prometheus", "promtool", "check", "config", PROMETHEUS / name)
    assert done.returncode == 0, done.stderr + done.stdout
    assert done.stdout.count("rules found") == 2, "recording rules and alerts"


@pytest.mark.all
def test_amtool_finds_nothing_wrong_with_alertmanagers():
    done = tool("prometheus-alertmanager", "amtool", "check-config", PROMETHEUS / "alertmanager.yml")
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.all
@pytest.mark.parametrize(
    ("severity", "receiver"), [("critical", "page"), ("warning", "day"), ("info", "note")], ids=lambda word: word
)
def test_who_is_told_depends_on_how_bad_it_is(severity: str, receiver: str):
    routes = ("config", "routes", "test", f"--config.file={PROMETHEUS / 'alertmanager.yml'}")
    done = tool("prometheus-alertmanager", "amtool", *routes, "alertname=SquidMeshAny", f"severity={severity}")
    assert (done.returncode, done.stdout.strip()) == (0, receiver), done.stderr


@pytest.mark.all
def test_each_alert_fires_where_it_must_and_not_where_it_must_not():
    done = tool("prometheus", "promtool", "test", "rules", PROMETHEUS / "tests" / "alerts.yml")
    assert done.returncode == 0, done.stderr + done.stdout


@pytest.mark.all
@pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)
def test_an_alert_that_says_nothing_or_always_something_would_be_found(copied: Path, alert):
    """The cases can fail: with this alert's expression replaced, they do."""
    rules = copied / "rules" / "alerts.yml"
    document = yaml.safe_load(rules.read_text())
    tests = copied / "tests" / "alerts.yml"
    cases = yaml.safe_load(tests.read_text())
    cases["tests"] = [one for one in cases["tests"] if one["name"].startswith(f"{alert.name}:")]
    tests.write_text(yaml.safe_dump(cases))
    (rule,) = (one for one in document["groups"][0]["rules"] if one["alert"] == alert.name)
    for expression in ("vector(1) > 2", "vector(1)"):
        rule["expr"], rule["for"] = expression, "0s"
        rules.write_text(yaml.safe_dump(document))
        done = tool("prometheus", "promtool", "test", "rules", tests)
        assert done.returncode != 0, f"{expression} would pass for it"
