"""Whoever sees some queues is told what is true of them, and nothing that others' runs could be told from."""

import html
import re
from datetime import UTC, datetime

from squidmesh import Mesh
from squidmesh.sonar import Visitor
from squidmesh.sonar.counted import NEWEST, Counts, of_queue
from tests.features.world import MemoryWorld
from tests.scenarios.sonar_app import WORKFLOWS, Beacon, Letter, RingErrand
from tests.unit.sonar.conftest import Browser, browser


def hobbit(mesh: Mesh, *queues: str) -> Browser:
    return browser(mesh, Visitor(actor="frodo", queues=queues or ("shire",)))


def counts(page: str) -> dict[str, str]:
    """By the words that stand beside the numbers."""
    return dict(re.findall(r'<span class="label">(\w+)</span><b>([^<]+)</b>', page))


def text_of(page: str) -> str:
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", "", page)))


def test_counted_are_the_runs_of_the_queue_that_is_shown(mesh: Mesh) -> None:
    mine = mesh.start_runs(Letter.send, [{}] * 5, queue="shire")
    mesh.start_runs(Beacon.kindle, [{}] * 2, queue="shire")
    mesh.start_runs(Letter.send, [{}] * 40, queue="mordor")
    mesh.cancel_run(mine[0].run_id, actor="frodo")

    page = hobbit(mesh).page("/runs")
    told = counts(page)
    assert (told["all"], told["running"], told["paused"], told["cancelled"]) == ("7", "2", "4", "1")
    assert "Counted are all runs of the queue shire." in text_of(page)
    page = hobbit(mesh).page("/runs", workflow="Letter")
    assert counts(page)["all"] == "5" and "of them those of Letter" in text_of(page)
    assert counts(hobbit(mesh, "gondor").page("/runs"))["all"] == "0"
    whole = browser(mesh, Visitor(actor="gandalf")).page("/runs")
    assert counts(whole)["all"] == "47" and "Counted are" not in whole


def test_of_a_long_queue_the_newest_are_counted_and_the_page_says_so(mesh: Mesh) -> None:
    mesh.start_runs(Letter.send, [{}] * (NEWEST + 1), queue="shire")
    page = hobbit(mesh).page("/runs")
    assert counts(page)["all"] == f"{NEWEST:,}+"
    assert f"Counted are the newest {NEWEST:,} runs of the queue shire." in text_of(page)
    assert of_queue(mesh, "shire", "Beacon") == Counts(by_status={}, queue="shire", workflow="Beacon", newest=NEWEST)


def test_a_count_that_changes_is_news(mesh: Mesh) -> None:
    """Also of a run that is not on the page."""
    runs = mesh.start_runs(Letter.send, [{}] * 30, queue="shire")
    first = hobbit(mesh).page("/runs", by="started")
    (far, *_) = [run.run_id for run in runs if run.run_id not in first]
    mesh.cancel_run(far, actor="frodo")
    second = hobbit(mesh).page("/runs", by="started")
    seen = [re.findall('data-seen="([^"]+)"', page) for page in (first, second)]
    assert seen[0] != seen[1] and counts(second)["cancelled"] == "1"


def test_a_trigger_is_shown_to_who_sees_its_newest_run(world: MemoryWorld, mesh: Mesh) -> None:
    window = datetime(2026, 3, 2, 21, 30, tzinfo=UTC)
    for who in (hobbit(mesh), hobbit(mesh, "mordor")):
        assert "There is no such trigger" in who.page("/cron") and "30 21" not in who.page("/cron")
    node = world.process(*WORKFLOWS, queue="shire")
    run = node.activate_cron(RingErrand.nightly, window=window)
    assert run is not None and run.queue == "shire"
    last = mesh.list_cron()[0].last_run_id
    assert last == run.run_id

    page = hobbit(mesh, "shi*").page("/cron")
    assert "30 21 * * 1-5" in page and f"/runs/{run.run_id}" in page
    assert "whose newest run is of a queue that you see" in page and 'href="/cron"' in page
    other = hobbit(mesh, "mordor").page("/cron")
    assert "30 21" not in other and run.run_id not in other
    assert "30 21" in browser(mesh, Visitor(actor="gandalf")).page("/cron")
