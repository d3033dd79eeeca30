"""What the benchmarks count: it is the same on every machine, so it can be a promise. Times are not."""

import json
import re
from types import SimpleNamespace

import pytest
from click.testing import CliRunner

from benchmarks import counts, growth, latency, throughput
from benchmarks.__main__ import main
from benchmarks.journals import Ledger, linear, open_journal
from benchmarks.report import Figure, Printer, Table
from benchmarks.scale import Scale
from squidmesh.runtime.pump import MOST_CONTINUED

RUNS = 64
STEPS = counts.STEPS
TINY = Scale(
    repeats=2, runs=20, singles=5, counted=20, sizes=(60, 600), positions=(10, 60), leased=(2, 20), samples=20, disk=0.0
)


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("counts")
    return {in_flight: counts.executed(folder, RUNS, in_flight=in_flight) for in_flight in (1, 16)}


@pytest.fixture(scope="module")
def a_run(executed):
    """By how many are in flight: what each of the runs took, on average."""
    return {in_flight: SimpleNamespace(**_words(found)) for in_flight, found in executed.items()}


def _words(found):
    return {name.replace(" ", "_"): value for name, value in found.a_run().items()}


# ------------------------------------------------------------------------------------------------------------- counts


@pytest.mark.parametrize("in_flight", [1, 16])
def test_a_linear_workflow_costs_one_entry_a_step_and_one_for_its_claim(a_run, in_flight):
    assert a_run[in_flight].entries == STEPS + 1


def test_a_start_in_bulk_is_one_entry_a_run_and_one_commit_for_all(tmp_path):
    started = counts.started(tmp_path, RUNS)
    assert (started.entries, started.counts.durable, started.counts.ordered) == (RUNS, 1, 0)


def test_a_long_run_takes_its_turn_in_the_queue_now_and_then(tmp_path):
    steps = MOST_CONTINUED + 8
    found = counts.executed(tmp_path, 4, in_flight=4, steps=steps)
    assert found.entries / found.runs == steps + 2


MOST = {
    1: {"calls": 33, "statements": 39, "durable_commits": STEPS + 0.1, "ordered_commits": 1, "rows_written": 16},
    16: {"calls": 2.5, "statements": 22, "durable_commits": 0.21, "ordered_commits": 0.07, "rows_written": 16},
}
"""What a run of three steps may ask of SQLite, by how many are in flight. Lower them when it asks for less.
A trigger that is looked at counts as a statement; one row is the tally of ended runs.
"""


@pytest.mark.parametrize("in_flight", MOST)
@pytest.mark.parametrize("what", MOST[1])
def test_a_run_asks_for_no_more_than_it_did(a_run, in_flight, what):
    assert getattr(a_run[in_flight], what) <= MOST[in_flight][what]


def test_the_last_step_of_one_run_and_the_claim_of_the_next_share_a_commit(a_run):
    assert a_run[1].durable_commits < STEPS + 1 <= a_run[1].entries


def test_many_in_flight_share_their_statements(a_run):
    assert a_run[16].statements < 0.75 * a_run[1].statements
    assert a_run[16].calls < 0.25 * a_run[1].calls


def test_many_in_flight_share_their_commits(a_run):
    assert a_run[1].durable_commits <= a_run[1].entries
    assert a_run[1].ordered_commits <= 1
    assert a_run[16].durable_commits <= a_run[16].entries / 8
    assert a_run[16].ordered_commits <= 1 / 8


def test_a_batch_writes_the_rows_that_its_runs_write_alone(a_run):
    assert a_run[16].rows_written == a_run[1].rows_written <= 6 * STEPS


def test_more_runs_cost_as_much_each(tmp_path, a_run):
    more = SimpleNamespace(**_words(counts.executed(tmp_path, 4 * RUNS, in_flight=16)))
    assert more.statements <= a_run[16].statements
    assert more.durable_commits <= a_run[16].durable_commits
    assert more.rows_written == a_run[16].rows_written


def test_threads_share_commits_too(tmp_path):
    found = SimpleNamespace(**_words(counts.worked(tmp_path, RUNS, concurrency=16)))
    assert found.entries == STEPS + 1
    assert found.durable_commits <= STEPS + 1


OF_THE_REGISTER = 4
"""Commits of a worker's own row: at its start, soon after, when it drains, and at its end."""


def test_a_run_alone_waits_for_the_disk_once_an_entry(tmp_path):
    found = counts.alone(tmp_path, 8)
    assert found.entries / found.runs == STEPS + 2
    assert found.counts.durable <= found.entries + OF_THE_REGISTER
    assert found.counts.ordered <= found.runs


def test_a_step_costs_the_same_whatever_stands_around_it(tmp_path):
    tables = {table.name: table for table in growth.measure(TINY, tmp_path, Quiet())}
    assert tables.keys() == {
        f"growth_{name}" for name in ("open", "finished", "leased", "position", "snapshot", "roots")
    }
    for name in ("open", "finished", "position", "snapshot", "roots"):
        ratios = [float(str(ratio)) for ratio in tables[f"growth_{name}"].column("instructions ratio")]
        assert max(ratios) < 1.05, name


# -------------------------------------------------------------------------------------------------------- the counting


def test_each_row_of_an_executemany_is_a_statement_of_one_call(tmp_path):
    ledger, workflow = Ledger(), linear(1)
    with open_journal(tmp_path / "journal.db", workflow, ledger=ledger) as journal:
        journal.start(workflow, 1)
        first = ledger.read()
        journal.start(workflow, 1)
        one = ledger.read() - first
        journal.start(workflow, 11)
        eleven = ledger.read() - first - one
    assert (first.rows, one.rows, eleven.rows) == (4, 3, 33), "an entry, a run and an attempt; once a definition"
    assert (one.calls, eleven.calls) == (first.calls, first.calls)
    assert (one.durable, eleven.durable, eleven.ordered) == (1, 1, 0)
    assert eleven.statements - one.statements == 10 * (one.rows + 2), "a definition is offered, a trigger looked at"


def test_a_commit_of_nothing_is_no_commit(tmp_path):
    ledger, workflow = Ledger(), linear(1)
    with open_journal(tmp_path / "journal.db", workflow, ledger=ledger) as journal:
        journal.mesh.count_runs()
        journal.mesh.execute_next()
        found = ledger.read()
    assert found.statements > 0
    assert (found.durable, found.ordered, found.rows) == (0, 0, 0)


# ------------------------------------------------------------------------------------------------------------ the tool


class Quiet(Printer):
    def progress(self, line):
        pass


@pytest.mark.parametrize("measure", [throughput.measure, latency.measure, counts.measure])
def test_every_measure_gives_tables(tmp_path, measure):
    for table in measure(TINY, tmp_path, Quiet()):
        assert table.rows
        assert all(len(row) == len(table.columns) for row in table.rows)


def test_the_tool_says_where_and_how_it_measured(tmp_path, monkeypatch):
    file = tmp_path / "figures.json"
    arguments = ["--quick", "--only", "disk", "--repeats", "1", "--json", str(file)]
    monkeypatch.setattr("sys.argv", ["bench", *arguments])
    monkeypatch.setattr("benchmarks.__main__.QUICK", TINY)

    result = CliRunner().invoke(main, arguments)

    assert result.exit_code == 0, result.output
    document = json.loads(file.read_text())
    asked = {"CPU", "system", "Python", "SQLite", "file system", "Squid Mesh", "load before", "load after", "command"}
    assert document["machine"].keys() == asked
    assert document["machine"]["command"].startswith("./dev bench --quick --only disk")
    assert document["results"].keys() == {"disk"}
    assert re.search(r"^\| write and fdatasync of 4 KiB \| ", result.stdout, re.MULTILINE)


def test_a_figure_is_a_median_and_a_range():
    assert str(Figure((1.0,))) == "1.00"
    assert str(Figure((30.0, 1234.4, 2.0))) == "30.0 (2.00 to 1,234)"


def test_a_table_is_markdown_where_nobody_looks(capsys):
    Printer().table(Table(name="t", title="Rings", columns=("who", "rings"), rows=(("elves", 3),), note="One more."))
    assert capsys.readouterr().out.splitlines() == [
        "### Rings",
        "",
        "| who   | rings |",
        "|-------|-------|",
        "| elves |     3 |",
        "",
        "One more.",
        "",
    ]
