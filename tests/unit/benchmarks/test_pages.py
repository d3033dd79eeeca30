"""The pages that are written from kept results, the pictures in them, and the arithmetic of capacity."""

import json
import re
from dataclasses import astuple
from xml.etree import ElementTree

import pytest

from benchmarks import capacity
from benchmarks.beside import page, pictures
from benchmarks.beside.results import Results
from benchmarks.beside.works import DBOS, REDIS, SQLITE
from benchmarks.capacity import Costs, Machine
from benchmarks.profiling import place_of

COSTS = Costs(
    worker=200e-6,
    postgres=100e-6,
    redis=10e-6,
    commits=0.05,
    log=2_000,
    scripts=0.02,
    item=200,
    commits_a_second=4_000,
)


@pytest.fixture
def results():
    found = Results()
    found.facts["machine"] = {"CPU": "two <cores>", "cores": "2"}
    for _ in range(3):
        found.add("queued", SQLITE, {"runs/s": 2000.0, "cpu": 150.0})
        found.add("queued", DBOS, {"runs/s": 100.0, "cpu": 2000.0})
        for work, runs in (("queued", 1000.0), ("queued by two", 2000.0)):
            found.add(work, REDIS, {"runs/s": runs, "cpu": 200.0, "cpu of PostgreSQL": 100.0, "cpu of Redis": 10.0})
    found.add(
        "asked", REDIS, {"commits that wrote": 0.05, "bytes of PostgreSQL's log": 2000.0, "scripts in Redis": 0.02}
    )
    found.add("item", REDIS, {"bytes": 200.0})
    found.add("limits", "PostgreSQL", {"commits/s, 1 client": 4000.0})
    return found


@pytest.fixture
def docs(tmp_path):
    for name in ("benchmarks.md", "capacity.md"):
        (tmp_path / name).write_text(f"# Told by hand\n\n{page.BEGIN}\nold figures\n{page.END}\n\nAlso by hand.\n")
    return tmp_path


# -------------------------------------------------------------------------------------------------------------- pages


def written(docs, tmp_path, results):
    file = tmp_path / "results.json"
    file.write_text(json.dumps(results.to_json()))
    page.write([file], docs)
    return (docs / "benchmarks.md").read_text()


def test_what_was_measured_is_replaced_and_what_people_wrote_stays(docs, tmp_path, results):
    text = written(docs, tmp_path, results)
    assert text.startswith("# Told by hand\n")
    assert text.endswith(f"{page.END}\n\nAlso by hand.\n")
    assert "old figures" not in text
    assert "### Targets: " in text
    assert re.search(r"^\| CPU +\| two <cores> \|$", text, re.MULTILINE)
    assert re.search(r"^\| ours, SQLite +\| +2,000 \(2,000 to 2,000\) \|", text, re.MULTILINE)


def test_a_page_that_is_written_twice_is_the_same(docs, tmp_path, results):
    once = written(docs, tmp_path, results)
    assert written(docs, tmp_path, results) == once


def test_later_results_win_work_by_work(docs, tmp_path, results):
    older = tmp_path / "older.json"
    old = Results(facts={"machine": {"cores": "2"}})
    old.add("queued", SQLITE, {"runs/s": 1.0})
    old.add("pick-up", REDIS, {"p50": 3.0})
    older.write_text(json.dumps(old.to_json()))
    newer = tmp_path / "newer.json"
    newer.write_text(json.dumps(results.to_json()))
    page.write([older, newer], docs)
    text = (docs / "benchmarks.md").read_text()
    assert re.search(r"^\| ours, SQLite +\| +2,000 \(", text, re.MULTILINE)
    assert re.search(r"^\| ours, PostgreSQL \+ Redis +\| +3\.00 \|$", text, re.MULTILINE)


def test_a_page_without_a_place_for_it_is_refused(docs, tmp_path, results):
    (docs / "capacity.md").write_text("# Nothing\n")
    with pytest.raises(ValueError, match=r"capacity\.md has no place"):
        written(docs, tmp_path, results)


def test_a_picture_has_a_bar_for_each_and_the_longest_is_the_largest(results):
    drawn = pictures.draw(results)
    assert drawn.keys() == {"queued", "queued-by-two"}
    tree = ElementTree.fromstring(drawn["queued"])
    _, *bars = tree.findall("{*}rect")
    widths = [float(bar.attrib["width"]) for bar in bars]
    assert len(widths) == 3
    assert widths[0] == max(widths) and widths[0] / widths[1] == pytest.approx(20, rel=0.05)


# ----------------------------------------------------------------------------------------------------------- capacity


def test_what_a_resource_allows_is_its_whole_by_its_share():
    found = capacity.limits(COSTS, Machine(cores=8, log=100e6, memory=4e9))
    assert found == {
        "a worker process, its CPU": pytest.approx(5_000),
        "PostgreSQL, CPU": pytest.approx(80_000),
        "PostgreSQL, write-ahead log": pytest.approx(50_000),
        "PostgreSQL, commits of one client": pytest.approx(80_000),
        "Redis, CPU": pytest.approx(100_000),
    }
    assert capacity.shards_first(COSTS, Machine()) == "PostgreSQL, write-ahead log"
    assert capacity.backlog(COSTS, Machine(memory=4e9)) == pytest.approx(10e6)


def test_on_one_machine_workers_and_servers_share_the_cores():
    assert capacity.on_one_machine(COSTS, cores=2, processes=1) == pytest.approx(5_000)
    assert capacity.on_one_machine(COSTS, cores=2, processes=2) == pytest.approx(2 / 310e-6)


def test_the_costs_are_the_medians_of_the_results(results):
    found = capacity.measured(results)
    assert found is not None
    assert astuple(found) == pytest.approx(astuple(COSTS))
    assert capacity.measured(Results()) is None


def test_the_model_stands_beside_what_was_measured(results):
    *_, checked = capacity.tables(results, cores=2)
    assert [row[0] for row in checked.rows] == [f"{REDIS}, 1 process", f"{REDIS}, 2 processes"]
    assert [row[-1] for row in checked.rows] == [pytest.approx(3000 / 5000), pytest.approx(6000 / 2 * 310e-6)]


# ------------------------------------------------------------------------------------------------------------ profiles


@pytest.mark.parametrize(
    ("file", "name", "place"),
    [
        ("/anywhere/squidmesh/planning/rows.py", "changes", "squidmesh.planning"),
        ("/anywhere/squidmesh/ids.py", "claim_hash", "squidmesh.ids"),
        ("/anywhere/backends/squidmesh_redis/leases.py", "offer", "squidmesh_redis"),
        ("/v/lib/python3.11/site-packages/psycopg/cursor.py", "execute", "psycopg"),
        ("/v/lib/python3.11/json/decoder.py", "decode", "Python's json"),
        ("~", "<method 'execute' of 'sqlite3.Connection' objects>", "SQLite"),
        ("~", "<built-in method builtins.isinstance>", None),
    ],
)
def test_a_function_belongs_to_the_part_whose_code_it_is(file, name, place):
    assert place_of((file, 1, name)) == place
