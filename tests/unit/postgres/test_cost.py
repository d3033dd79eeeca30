"""What a call costs does not depend on what else the journal holds: counted in pages that the server touches, which no
busy machine alters. (Times are for `./dev bench postgres`.)
"""

import statistics
from contextlib import ExitStack
from functools import partial

import pytest

from benchmarks.postgres_calls import Caller
from benchmarks.postgres_place import place
from squidmesh.testing.postgres import Postgres

SMALL, GROWN = (1_000, 1_000), (30_000, 30_000)
"""Runs that have ended, and open ones."""
ALLOWED = 1.5
LEVELS = 4
"""Pages more that a few look-ups of keys cost, each in an index that is one level higher."""
BATCHES = (1, 16)


@pytest.fixture(scope="module")
def server(tmp_path_factory, postgres_templates):
    """Its own: nothing tidies up while pages are counted."""
    settings = (("autovacuum", "off"), ("shared_buffers", "128MB"))
    with Postgres(tmp_path_factory.mktemp("cost"), settings=settings, templates=postgres_templates) as started:
        yield started


@pytest.fixture(scope="module", params=["never_analysed", "analysed"])
def costs(request, server):
    """By the kind of call: pages in the small journal, and in the one that has grown."""
    found: dict[str, list[tuple[float, float]]] = {}
    with ExitStack() as stack:
        small, grown = (
            stack.enter_context(place(server, f"{request.param}_{name}", finished=SMALL[0], open_=SMALL[1]))
            for name in ("small", "grown")
        )
        grown.fill(first=sum(SMALL), finished=GROWN[0] - SMALL[0], open_=GROWN[1] - SMALL[1])
        if request.param == "analysed":
            small.maintain()
            grown.maintain()
        callers = [Caller(each) for each in (small, grown)]
        for _ in range(3):
            for (kind, few), (_, many) in zip(*(caller.calls(4, sizes=BATCHES) for caller in callers), strict=True):
                found.setdefault(kind, []).append((small.cost(few).pages, grown.cost(many).pages))
    return {kind: tuple(map(statistics.median, zip(*pairs, strict=True))) for kind, pairs in found.items()}


def test_no_call_touches_more_pages_in_a_journal_that_has_grown(costs):
    grown = {kind: pages for kind, pages in costs.items() if pages[1] > ALLOWED * pages[0] + LEVELS * _keys(kind)}
    assert grown == {}


def _keys(kind):
    """How many rows are looked up by their keys."""
    return BATCHES[1] if kind.split(":")[0].endswith("at once") else 1


def test_every_call_was_counted(costs):
    assert {kind.split()[0] for kind in costs} >= {"start", "claim", "heartbeat", "commit", "list", "count", "history"}
    assert min(pages for pair in costs.values() for pages in pair) >= 1


def test_pages_are_counted_as_they_are(server):
    walk = "SELECT count(*) FROM squidmesh.runs WHERE error = 'nothing'"

    def pages(name: str, runs: int) -> float:
        with place(server, name, finished=runs, open_=1) as filled:
            filled.execute(walk)  # the first time, the server also reads what its tables are
            return filled.cost([partial(filled.execute, walk)] * 3).pages

    assert pages("walked_more", 9_000) > 5 * pages("walked", 1_000) > 0
