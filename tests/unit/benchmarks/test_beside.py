"""Peers beside ours: the talk with a peer's process, who takes part, and the arithmetic of the targets. No peer is
installed for it.
"""

import json
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from benchmarks import targets
from benchmarks.__main__ import main
from benchmarks.beside import measures, place
from benchmarks.beside.environments import LOCKS
from benchmarks.beside.place import Contestant
from benchmarks.beside.process import Marks, PeerFailed, talking
from benchmarks.beside.results import Results
from benchmarks.beside.run import UnknownPeer, chosen, named_by_targets
from benchmarks.beside.tables import tables
from benchmarks.beside.works import CONTESTANTS, PEERS, POSTGRES, SQLITE, WORKS
from benchmarks.report import Printer
from benchmarks.targets import TARGETS, Target, judge

FAKE = [sys.executable, str(Path(__file__).with_name("fake_peer.py"))]
CONTESTANT = Contestant(name="fake", peer="fake", stores=())


class Quiet(Printer):
    def progress(self, line):
        pass


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setattr(place, "command_of", lambda peer, printer: FAKE)
    with place.bench(tmp_path, Quiet()) as opened:
        yield opened


@pytest.fixture
def talk(tmp_path):
    marks = Marks()
    with talking(FAKE, {}, marks, tmp_path / "log") as talk:
        yield talk
    marks.close()


# ------------------------------------------------------------------------------------------------------------ the talk


def test_a_peer_says_its_version_and_what_was_tuned(talk):
    assert talk.version.startswith("click ")
    assert talk.how == "as fast as it can"


def test_an_answer_tells_how_long_it_took_and_nothing_that_a_peer_prints_is_one(talk):
    answer = talk.ask("direct", count=3)
    assert answer.keys() == {"result", "seconds", "cpu"}
    assert answer["cpu"] >= 0 and answer["seconds"] > 0


def test_what_a_peer_can_not_do_is_an_error_that_says_why(talk):
    with pytest.raises(PeerFailed, match="ValueError: no threads here"):
        talk.ask("direct", count=3, threads=4)
    with pytest.raises(PeerFailed, match=r"gone|ended"):
        talk.ask("direct", count=3)


def test_each_peer_writes_its_bytecode_whatever_this_process_was_told(tmp_path, monkeypatch):
    """Else one that was installed a moment ago would be measured with its compiler, and another without."""
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    marks = Marks()
    with talking(FAKE, {}, marks, tmp_path / "log") as talk:
        assert talk.ask("writes_bytecode")["result"]
    marks.close()


def test_a_peer_that_does_not_begin_is_told_with_its_last_words(tmp_path):
    marks = Marks()
    command = [sys.executable, "-c", "import sys; sys.exit('no such driver')"]
    with pytest.raises(PeerFailed, match="no such driver"), talking(command, {}, marks, tmp_path / "log"):
        pass
    marks.close()


def test_what_a_peer_forked_ends_with_it(tmp_path):
    """Else it would take the jobs of whoever comes next."""
    marks = Marks()
    with talking(FAKE, {}, marks, tmp_path / "log") as talk:
        child = talk.ask("fork")["result"]
        assert is_alive(child)
    ends = time.monotonic() + 20
    while is_alive(child) and time.monotonic() < ends:  # the signal is on its way
        time.sleep(0.005)
    assert not is_alive(child)
    marks.close()


def is_alive(pid):
    """A killed one that nobody has waited for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_runs_a_second_are_counted_by_their_steps(bench):
    figures = measures.queued(bench, CONTESTANT, runs=500)
    assert figures.keys() == {"runs/s", "cpu"}
    assert figures["runs/s"] > 500
    assert bench.hows == {"fake": "as fast as it can"}


def test_one_at_a_time_is_told_by_its_middle_and_its_end(bench):
    figures = measures.alone(bench, CONTESTANT, runs=50)
    assert 0 < figures["p50"] <= figures["p99"]
    assert measures.spread([float(number) for number in range(100, 0, -1)]) == {"p50": 51.0, "p99": 100.0}


# ------------------------------------------------------------------------------------------------------- who takes part


def test_a_name_that_no_peer_has_is_told_with_those_that_there_are():
    with pytest.raises(UnknownPeer, match=r"no peer 'temporary': there are absurd, arq, celery, dbos"):
        chosen(["rq", "temporary"])
    result = CliRunner().invoke(main, ["--peers", "temporary"])
    assert result.exit_code == 2
    assert "no peer 'temporary'" in result.output


def test_each_peer_has_its_script_its_requirements_and_its_lock():
    scripts = Path(measures.__file__).parents[1] / "peers"
    for peer in PEERS:
        assert (scripts / f"{peer}.py").is_file(), peer
        assert (LOCKS / f"{peer}.in").is_file(), peer
        assert (LOCKS / f"{peer}.txt").is_file(), peer
    assert {path.stem for path in LOCKS.glob("*.txt")} == set(PEERS)


def test_every_work_has_ours_and_a_peer():
    for work in WORKS.values():
        peers = {CONTESTANTS[name].peer for name in work.pace}
        assert work.name == "direct by threads" or ("ours" in peers and len(peers) > 1), work.name


def test_a_quicker_one_gets_more_to_do_and_nobody_nothing():
    queued = WORKS["queued"]
    assert queued.runs("dbos, PostgreSQL", 3.0) == 300
    assert queued.runs(SQLITE, 3.0) > queued.runs("dbos, PostgreSQL", 3.0)
    assert queued.runs("dbos, PostgreSQL", 0.01) == 20


def test_a_quick_look_repeats_those_that_a_target_names():
    assert named_by_targets(WORKS["bulk"]) == (POSTGRES, "pgqueuer", "procrastinate")
    assert "huey" not in named_by_targets(WORKS["job"])
    assert all(named_by_targets(work) for work in WORKS.values() if work.name != "job in PostgreSQL")


# ---------------------------------------------------------------------------------------------------------- the targets

RATE = Target(what="fast", ours=("work", "us", "runs/s"), peer=("work", "them", "runs/s"), bound=20)
DELAY = Target(what="soon", ours=("work", "us", "p99"), sense="at most", bound=5, unit="ms")


def results(us, them):
    found = Results()
    for values, who in ((us, "us"), (them, "them")):
        for value in values:
            found.add("work", who, {"runs/s": value, "p99": value})
    return found


@pytest.mark.parametrize(
    ("us", "reached", "met"), [([2000, 1999, 2500], 20.0, True), ([1990, 1999, 2500], 19.99, False)]
)
def test_a_ratio_is_that_of_the_medians(us, reached, met):
    verdict = judge(RATE, results(us, [100, 90, 2000]))
    assert (verdict.ours, verdict.peer) == (sorted(us)[1], 100)
    assert verdict.reached == pytest.approx(reached)
    assert verdict.met is met


@pytest.mark.parametrize(("p99", "met"), [(5.0, True), (5.1, False)])
def test_a_limit_needs_no_peer(p99, met):
    verdict = judge(DELAY, results([p99], []))
    assert (verdict.reached, verdict.peer, verdict.met) == (p99, None, met)


def test_what_stands_beside_a_limit_is_shown_and_decides_nothing():
    target = replace(DELAY, beside=("work", "them", "p99"))
    verdict = judge(target, results([4.0], [0.5]))
    assert (verdict.reached, verdict.peer, verdict.met) == (4.0, 0.5, True)


def test_what_was_not_measured_is_neither_met_nor_missed():
    assert judge(RATE, results([2000], [])).met is None
    assert judge(RATE, results([], [100])).met is None
    assert judge(DELAY, results([], [])).met is None


def test_each_target_names_figures_that_are_measured():
    for target in TARGETS:
        for work, contestant, _ in filter(None, (target.ours, target.peer, target.beside)):
            assert work.startswith("growth: ") or contestant in WORKS[work].pace, target.what


def test_the_tables_come_from_the_results_alone():
    found = Results()
    for _ in range(3):
        found.add("queued", SQLITE, {"runs/s": 2100.0, "cpu": 150.0})
        found.add("queued", "dbos, SQLite", {"runs/s": 100.0, "cpu": 2000.0})
    found.failed["queued: absurd, PostgreSQL"] = "no driver\nand more"
    read = Results.from_json(json.loads(json.dumps(found.to_json())))

    aims, work, failed = tables(read)

    assert aims.title == "Targets: 2 of 2 are met"
    assert [row[-2:] for row in aims.rows] == [(21.0, "yes"), (150.0, "yes")]
    assert work.columns == ("who", "runs/s", "CPU a step, µs")
    assert failed.rows == (("queued: absurd, PostgreSQL", "no driver"),)
    assert targets.table(read) == aims
