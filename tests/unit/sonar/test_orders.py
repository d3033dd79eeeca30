"""The list of runs in its two orders: by activity, which looks at a bounded number of runs, and by start."""

import html
import re

import pytest

from squidmesh import Mesh
from squidmesh.ports import pages
from squidmesh.sonar import Visitor
from squidmesh.sonar.pages.runs import LOOKED_AT
from tests.features.world import MemoryWorld
from tests.scenarios.sonar_app import Letter
from tests.unit.sonar.conftest import Browser, browser

MANY = LOOKED_AT + 1


def listed(page: str) -> list[str]:
    return re.findall(r'class="run" href="[^"]*/runs/([^"]+)"', page)


def link(page: str, words: str) -> str:
    (found,) = re.findall(rf'<a [^>]*href="([^"]+)"[^>]*>{words}</a>', page)
    return html.unescape(str(found))


def ordered(page: str) -> str:
    (found,) = re.findall(r'aria-current="true">((?:Last|Newest)[^<]+)</a>', page)
    return str(found)


def start(mesh: Mesh, count: int, *, queue: str = "post") -> list[str]:
    return [run.run_id for run in mesh.start_runs(Letter.send, [{}] * count, queue=queue)]


def wake(world: MemoryWorld, mesh: Mesh, run: str) -> None:
    """The run is active a minute later."""
    world.pass_time(60)
    mesh.cancel_run(run, actor="gandalf")


def test_a_page_by_activity_looks_at_as_many_as_it_says() -> None:
    assert LOOKED_AT == pages.LOOKED_AT


def test_runs_are_listed_by_their_last_activity_and_by_start_where_that_is_asked(
    world: MemoryWorld, mesh: Mesh, operator: Browser
) -> None:
    (old,) = start(mesh, 1)
    world.pass_time(1)
    (young,) = start(mesh, 1)
    wake(world, mesh, old)
    page = operator.page("/runs")
    assert listed(page) == [old, young] and ordered(page) == "Last active first"
    by_start = operator.page(link(page, "Newest started first"))
    assert listed(by_start) == [young, old] and ordered(by_start) == "Newest started first"
    assert listed(operator.page(link(by_start, "Last active first"))) == [old, young]


def test_when_a_run_was_active_is_told_exactly(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    run = start(mesh, 1)[0]
    wake(world, mesh, run)
    at = mesh.list_runs().runs[0].active_at
    (cell,) = re.findall(r'<td data-label="Active"[^>]*>(.*?)</td>', operator.page("/runs"), re.DOTALL)
    assert f'datetime="{at.isoformat()}"' in cell and "0 s ago" in cell
    assert f'<small class="exact">{at:%Y-%m-%d %H:%M:%S} UTC</small>' in cell


@pytest.mark.parametrize("by", ["active", "started"])
def test_the_pages_of_an_order_hold_each_run_once(world: MemoryWorld, mesh: Mesh, operator: Browser, by: str) -> None:
    runs = start(mesh, 60)
    for run in runs[:3]:
        wake(world, mesh, run)
    seen: list[str] = []
    page = operator.page("/runs", by=by)
    while 'rel="next"' in page:
        seen += listed(page)
        page = operator.page(link(page, "Next page"))
    seen += listed(page)
    latest = mesh.list_runs(by=by, limit=100).runs
    assert seen == [run.run_id for run in latest] and set(seen) == set(runs)
    assert set(seen[:3]) == set(runs[:3]) or by == "started"
    assert listed(operator.page(link(page, "First page"))) == seen[:25]


def test_what_is_active_meanwhile_goes_to_the_front_and_no_other_is_missed(
    world: MemoryWorld, mesh: Mesh, operator: Browser
) -> None:
    runs = start(mesh, 40)
    first = operator.page("/runs")
    late = mesh.list_runs(by="active", limit=40).runs[-1].run_id
    wake(world, mesh, late)
    second = listed(operator.page(link(first, "Next page")))
    assert {*listed(first), *second} == set(runs) - {late}
    assert listed(operator.page("/runs"))[0] == late


def test_an_order_outlives_filters_and_pages(mesh: Mesh, operator: Browser) -> None:
    start(mesh, 30)
    page = operator.page("/runs", by="started", size=25)
    assert '<input type="hidden" name="by" value="started">' in page
    paused = html.unescape(re.findall(r'href="([^"]+status=waiting[^"]*)"', page)[0])
    assert "by=started" in paused
    assert "by=started" in link(page, "Next page")
    assert "by=active" in link(operator.page("/runs"), "Next page")


def test_a_cursor_from_before_there_were_two_orders_is_one_by_start(mesh: Mesh, operator: Browser) -> None:
    start(mesh, 30)
    after = mesh.list_runs(limit=25).next
    page = operator.page("/runs", after=after)
    assert len(listed(page)) == 5 and ordered(page) == "Newest started first"


def test_where_few_of_the_latest_match_the_list_is_by_start_and_says_so(mesh: Mesh, operator: Browser) -> None:
    rare = start(mesh, 2, queue="rare")
    start(mesh, MANY)
    page = operator.page("/runs", queue="rare")
    assert set(listed(page)) == set(rare) and ordered(page) == "Newest started first"
    assert f"Few of the {LOOKED_AT:,} runs" in page
    common = operator.page("/runs", queue="post")
    assert ordered(common) == "Last active first" and "Few of the" not in common


def test_an_empty_page_by_activity_says_so_and_leads_on(mesh: Mesh, operator: Browser) -> None:
    rare = start(mesh, 2, queue="rare")
    start(mesh, MANY)
    page = operator.page("/runs", queue="rare", by="active")
    assert listed(page) == [] and "No run matches" not in page
    assert f"None of the {LOOKED_AT:,} runs that were looked at match" in page
    further = operator.page(link(page, f"Look at the next {LOOKED_AT:,}"))
    assert set(listed(further)) == set(rare) and 'id="short"' not in further
    assert set(listed(operator.page(link(page, "all that match, the newest started first")))) == set(rare)
    start(mesh, 1, queue="rare")
    assert f"Only 1 of the {LOOKED_AT:,} runs" in operator.page("/runs", queue="rare", by="active")


@pytest.mark.parametrize("by", ["", "active", "started"])
def test_who_sees_some_queues_is_told_of_no_run_of_another(mesh: Mesh, by: str) -> None:
    """A page by activity ends where the looking ended, maybe at a run of somebody else: its cursor would name that."""
    mine = start(mesh, 30, queue="shire")
    theirs = set(start(mesh, MANY, queue="mordor"))
    hobbit = browser(mesh, Visitor(actor="frodo", queues=("shire",)))
    seen: list[str] = []
    page = hobbit.page("/runs", by=by)
    while True:
        seen += listed(page)
        assert not any(run in page for run in theirs)
        if 'rel="next"' not in page:
            break
        page = hobbit.page(link(page, "Next page"))
    if by == "active":
        assert seen == [] and "Look at the next" not in page
        page = hobbit.page(link(page, "all that match, the newest started first"))
        assert len(listed(page)) == 25
    else:
        assert len(seen) == 30 and set(seen) == set(mine)


def test_a_forged_cursor_leads_to_no_run_of_another(mesh: Mesh) -> None:
    start(mesh, 3, queue="shire")
    theirs = start(mesh, MANY, queue="mordor")
    hobbit = browser(mesh, Visitor(actor="frodo", queues=("shire",)))
    last = mesh.list_runs(by="active", limit=1).runs[0]
    for after in ("active:9223372036854775807:z", f"active:{int(last.active_at.timestamp() * 1e6)}:{last.run_id}"):
        page = hobbit.page("/runs", by="active", after=after).replace(html.escape(after), "")
        assert not any(run in page for run in theirs if run != last.run_id)


@pytest.mark.parametrize("path", ["/runs", "/live/runs"])
def test_an_order_that_is_none_and_a_cursor_of_the_other_are_refused(mesh: Mesh, operator: Browser, path: str) -> None:
    start(mesh, 2)
    active, started = (mesh.list_runs(by=by, limit=1).next for by in ("active", "started"))
    for asked in (
        {"by": "size"},
        {"by": "Active"},
        {"by": "active; DROP TABLE runs"},
        {"by": "started", "after": active},
        {"by": "active", "after": started},
        {"after": active},
        {"by": "active", "after": "active:99999999999999999999:a"},
        {"by": "active", "after": "active:active:1:a"},
        {"by": "active", "after": "active:1:\x00"},
    ):
        assert operator.get(path, **asked).status_code == 422, asked
    assert "allowed are active, started" in operator.get(path, by="size").text


def test_a_page_that_is_live_hears_of_what_goes_to_the_front(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    """What is on another page is no news here, until it is active."""
    runs = start(mesh, 60)
    orders = {by: seen_of(operator.page("/runs", by=by)) for by in ("active", "started")}
    assert {by: topic for by, (topic, _) in orders.items()} == {by: f"/live/runs?by={by}" for by in orders}
    far = next(run for run in runs if run not in operator.page("/runs", by="active"))
    assert far not in operator.page("/runs", by="started")
    wake(world, mesh, far)
    assert seen_of(operator.page("/runs", by="active")) != orders["active"]
    assert listed(operator.page("/runs", by="active"))[0] == far


def seen_of(page: str) -> tuple[str, str]:
    topic, _, rest = page.partition('data-topic="')[2].partition('"')
    return topic, rest.partition('data-seen="')[2].partition('"')[0]
