"""The benchmark of PostgreSQL, at its smallest; and what a step asks of the server, which is the same everywhere."""

import json

import pytest
from click.testing import CliRunner

from benchmarks import postgres
from benchmarks.__main__ import main
from benchmarks.report import Printer
from benchmarks.scale import QUICK, Scale

TINY = Scale(repeats=1, runs=40, singles=5, counted=64, grown=((400, 100), (1_200, 300)), calls=1)


class Quiet(Printer):
    def progress(self, line):
        pass


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    return {table.name: table for table in postgres.measure(TINY, tmp_path_factory.mktemp("bench"), Quiet())}


def test_every_measure_gives_its_table(tables):
    expected = ["growth_never", "growth_vacuumed", "throughput", "starts", "latency", "counts"]
    assert list(tables) == [f"postgres_{name}" for name in expected]
    for table in tables.values():
        assert all(len(row) == len(table.columns) for row in table.rows)
        json.dumps(table.to_json())


def test_each_call_is_measured_in_both_journals(tables):
    for state in ("never", "vacuumed"):
        table = tables[f"postgres_growth_{state}"]
        calls = table.column("call")
        assert len(set(calls)) == len(calls)
        for size in (1, 64):
            batch = f"{size} at once" if size > 1 else "one"
            assert {f"claim {batch}", f"start {batch}", f"commit {batch}: step done, next claimed"} <= set(calls)
        for name in ("400 + 100", "1,200 + 300"):
            assert all(float(str(pages)) > 0 for pages in _plain(table.column(f"pages, {name}")))


def test_many_in_flight_share_their_statements_and_transactions(tables):
    counts = {row[0]: row[1:] for row in tables["postgres_counts"].rows}
    statements_alone, transactions_alone, _ = map(float, counts["1 in flight"])
    statements, transactions, written = map(float, counts["64 in flight"])
    assert 0 < statements < statements_alone / 8
    assert 0 < transactions < transactions_alone / 8
    assert written > 0


def test_a_part_is_named_with_an_option_or_without(monkeypatch):
    asked: list[Scale] = []

    def measure(scale, folder, printer):
        asked.append(scale)
        return []

    monkeypatch.setattr("benchmarks.__main__.MEASURES", {"disk": pytest.fail, "postgres": measure})
    for arguments in (["postgres"], ["--only", "postgres"], ["postgres", "--only", "postgres"]):
        assert CliRunner().invoke(main, [*arguments, "--quick"]).exit_code == 0
    assert asked == [QUICK, QUICK, QUICK]
    assert CliRunner().invoke(main, ["mordor"]).exit_code == 2


def _plain(cells):
    return [getattr(cell, "median", cell) for cell in cells]
