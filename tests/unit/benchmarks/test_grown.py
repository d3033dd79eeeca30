"""What fills a store for the measurements of growth is what a journal itself would hold, and no step grows with it."""

import pytest

from benchmarks import grown
from benchmarks.beside.results import Results
from benchmarks.beside.works import POSTGRES, REDIS, SQLITE
from benchmarks.journals import linear, open_journal
from benchmarks.report import Printer

COPIES = 50
TINY = grown.Sizes(open=(20, 2_000), finished=(20, 2_000), behind=(10, 60), samples=40, rounds=2)


class Quiet(Printer):
    def progress(self, line):
        pass


def test_copies_of_a_run_are_listed_wait_in_the_queue_and_agree_with_their_threads(tmp_path):
    workflow = linear(3)
    with open_journal(tmp_path / "journal.db", workflow) as journal:
        (ended,) = journal.start(workflow, 1)
        journal.finish(capacity=1)
        (waiting,) = journal.start(workflow, 1)
        for run in (ended, waiting):
            grown._fill_sqlite(tmp_path / "journal.db", run, COPIES)
        assert journal.mesh.count_runs() == {"completed": COPIES + 1, "running": COPIES + 1}
        assert journal.query("SELECT count(*) FROM agenda WHERE queue = 'default'") == COPIES + 1
        entries = journal.query(f"SELECT count(*) FROM entries WHERE thread = '{ended}'") + 1
        assert journal.query("SELECT count(*) FROM entries") == entries * (COPIES + 1)
        assert journal.query("SELECT count(DISTINCT entry_id) FROM entries") == entries * (COPIES + 1)


@pytest.mark.all
@pytest.mark.timeout(300)
def test_each_path_is_measured_beside_what_grows(tmp_path):
    results = Results()
    grown.measure(TINY, tmp_path / "growth", Quiet(), results)
    assert results.values.keys() == {"growth: open runs", "growth: finished runs", "growth: steps behind"}
    for work, sizes in (
        ("open runs", ("20", "2,000")),
        ("finished runs", ("20", "2,000")),
        ("steps behind", ("10", "60")),
    ):
        for path in (SQLITE, POSTGRES, REDIS):
            assert results.values[f"growth: {work}"][path].keys() == {*sizes, "ratio"}
