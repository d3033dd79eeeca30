"""Real days of a real fleet: faults that are seen to happen, and a judge who finds nothing."""

from pathlib import Path

import pytest
from rich.console import Console

from chaos.fleet.setup import Setup
from chaos.report.page import write_page
from chaos.scenarios.catalogue import SCENARIOS, Scenario
from chaos.scenarios.day import Day
from chaos.scenarios.outcome import Outcome
from chaos.scenarios.versions import built
from squidmesh.testing.processes import NoServer

ON_SERVERS = Scenario(
    name="a-day-on-servers",
    what="PostgreSQL and Redis, which forgets and dies; a worker dies; answers to commits are lost",
    setup=Setup(journal="postgres", leases="redis", workers=3),
    faults=("worker-killed", "redis-killed", "redis-flushed", "commit-unknown"),
    every=2.5,
    most=30,
)
ON_A_FILE = Scenario(
    name="a-day-on-a-file",
    what="SQLite, whose lock somebody holds; a worker dies",
    setup=Setup(journal="sqlite", leases="journal", workers=2),
    faults=("worker-killed", "sqlite-lock-held"),
    every=2.5,
    most=20,
)


def lived(scenario: Scenario, folder: Path, *, seconds: float, seed: int = 1) -> Outcome:
    folder.chmod(0o755)
    old = built(folder / "old") if scenario.setup.old else None
    day = Day(scenario, seed=seed, seconds=seconds, folder=folder, command="a test", console=Console(), old=old)
    outcome = day.run()
    write_page(outcome, folder / "report.html")
    if not outcome.ok:
        print(outcome.problems, *(log.read_text()[-3000:] for log in sorted((folder / "logs").iterdir())), sep="\n")
    assert outcome.verdict is not None
    assert outcome.problems == []
    assert outcome.verdict.ok, outcome.verdict.table()
    return outcome


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    ("scenario", "seconds"), [(ON_SERVERS, 12.0), (ON_A_FILE, 8.0)], ids=lambda value: getattr(value, "name", None)
)
def test_a_short_bad_day_is_green(scenario: Scenario, seconds: float, tmp_path: Path) -> None:
    outcome = lived(scenario, tmp_path, seconds=seconds)
    assert {one.name for one in outcome.happened} == set(scenario.faults), "each kind has really happened"
    assert outcome.steps > 50
    assert outcome.deaths, "a worker has died, and another one has taken its seat"


@pytest.mark.all
@pytest.mark.timeout(1200)
@pytest.mark.parametrize("name", SCENARIOS)
def test_each_scenario_is_green(name: str, tmp_path: Path) -> None:
    """Those that need root or a package fail in one line where that is not here."""
    try:
        outcome = lived(SCENARIOS[name], tmp_path, seconds=30)
    except NoServer as missing:
        pytest.fail(str(missing), pytrace=False)
    assert len(outcome.happened) >= 2
