"""Every page answers, and shows what the mesh knows."""

import re
from datetime import timedelta

import pytest

from squidmesh import Mesh
from squidmesh.sonar import Visitor
from tests.features.world import MemoryWorld, work
from tests.scenarios.fleet import until
from tests.scenarios.sonar_app import Feast, Invitations, Journey, Letter, Nothing, RingErrand
from tests.unit.sonar.conftest import Browser, browser, lose


def start(mesh: Mesh, **fields: object) -> str:
    return mesh.start_run(RingErrand.leave_shire, Journey(ring_id="one", **fields)).run_id


def text_of(page: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", page))


@pytest.mark.parametrize(
    "path", ["/runs", "/dead-letters", "/queues", "/workers", "/cron", "/workflows", "/pulse", "/workflows/RingErrand"]
)
def test_a_mesh_without_a_run_has_every_page(operator: Browser, path: str) -> None:
    page = operator.page(path)
    assert '<main id="main"' in page and "gandalf" in page


def test_the_root_leads_to_the_runs(operator: Browser) -> None:
    assert operator.get("/").headers["location"] == "/runs"


def test_runs_are_listed_counted_and_filtered(mesh: Mesh, operator: Browser) -> None:
    waits = start(mesh)
    work(mesh)
    mesh.cancel_run(mesh.start_run(Letter.send, key="dear-bilbo").run_id, actor="gandalf")

    page = text_of(operator.page("/runs"))
    assert "all 2" in page and "paused 1" in page and "cancelled 1" in page
    assert waits in page and "dear-bilbo" in page and "council" in page

    assert waits not in operator.page("/runs", status="cancelled")
    assert waits in operator.page("/runs", workflow="RingErrand", queue="default", text=waits[:13])
    assert "No run matches" in operator.page("/runs", since="2030-01-01T00:00")
    assert waits in operator.page("/runs", since="2025-01-01T00:00", until="2030-01-01T00:00")


def test_pages_of_runs_lead_on_to_the_next(mesh: Mesh, operator: Browser) -> None:
    runs = [mesh.start_run(Letter.send).run_id for _ in range(30)]
    first = operator.page("/runs", size=25)
    assert sum(f'/runs/{run}"' in first for run in runs) == 25
    (link,) = re.findall(r'rel="next" href="([^"]+)"', first)
    second = operator.page(link.replace("&amp;", "&"))
    assert sum(f'/runs/{run}"' in second for run in runs) == 5
    assert all(f'/runs/{run}"' in first + second for run in runs)


def test_a_run_shows_why_it_stands_where_it_stands(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    run = start(mesh, password="mellon-the-word")
    work(mesh)
    world.pass_time(90)
    page = operator.page(f"/runs/{run}")
    said = text_of(page)
    assert mesh.explain_run(run).summary in said
    assert all(action in said for action in mesh.explain_run(run).next_actions)
    assert "mellon-the-word" not in page
    assert '"ring_id": "one"' in page.replace("&#34;", '"')
    for node, status in (("pack", "completed"), ("council", "paused"), ("moria", "pending")):
        assert re.search(rf'class="node is-{status}".*?<text class="name"[^>]*>{node}<', page), node
    assert 'class="edge is-selected"' in page and 'class="timeline"' in page
    assert "Attempt completed" in said and "up to 3 attempts" in said and "can not be undone" in said


def test_a_failed_run_shows_errors_and_the_way_that_it_took(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    run = mesh.start_run(RingErrand.leave_shire, Journey(ring_id="cursed")).run_id
    work(mesh)
    mesh.approve_run(run, actor="elrond", comment="Against my better judgement.")
    for _ in range(4):
        work(mesh)
        world.pass_time(1)
    said = text_of(operator.page(f"/runs/{run}"))
    assert "ConnectionError" in said and "Khazad-dum does not answer" in said
    assert "elrond approved council" in said and "Against my better judgement." in said
    assert "error leads to home, as compensation" in said
    assert "Frodo is home" in said


def test_compensation_children_and_events_have_their_places(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    feast = mesh.start_run(Feast.invite, Nothing()).run_id
    party = mesh.start_run(Invitations.begin, Nothing()).run_id
    work(mesh)
    said = text_of(operator.page(f"/runs/{feast}"))
    assert "Compensation, in this order" in said and "Retry compensation" in said and "Bilbo has hidden it" in said

    children = mesh.inspect_run(party).children
    page = operator.page(f"/runs/{party}")
    assert all(f"/runs/{child.run_id}" in page for child in children) and "Merry" in page
    child = operator.page(f"/runs/{children[0].run_id}")
    assert f"/runs/{party}" in child
    for one in children:
        mesh.resume_run(one.run_id, actor="bilbo")
    work(mesh)
    world.pass_time(1)
    work(mesh)
    mesh.send_event(party, "owl", {"news": "good"}, actor="radagast")
    said = text_of(operator.page(f"/runs/{party}"))
    assert "owl Event received" in said and "radagast" in said and "good" in said


def test_queues_show_depth_age_and_who_paused_them(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    start(mesh)
    world.pass_time(125)
    mesh.pause_queue("default", actor="boromir", comment="Orcs.")
    said = text_of(operator.page("/queues"))
    assert "2 min 5 s" in said and "boromir" in said and "Orcs." in said and "none" in said


def test_dead_letters_show_their_cause_and_are_filtered(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    item = lose(world)
    run = item.partition("/")[0]
    page = operator.page("/dead-letters")
    assert item in page and "lost deliveries" in page and 'class="badge">1<' in page
    assert item in operator.page("/dead-letters", workflow="Ferry", step="cross", cause="lost_deliveries")
    assert item not in operator.page("/dead-letters", workflow="Letter")
    assert item not in operator.page("/dead-letters", older_than="604800")
    said = text_of(operator.page(f"/runs/{run}"))
    assert "Replay dead letter" in said and "dead letter" in said


def test_workers_and_their_slots_are_shown() -> None:
    with Mesh.connect("memory://", workflows=[Letter]) as mesh:
        operator = browser(mesh, Visitor(actor="gandalf", role="operator"))
        with mesh.worker(concurrency=3, queues=["shire"], owner_id="strider"):
            until(lambda: mesh.workers().workers, "a worker")
            said = text_of(operator.page("/workers"))
    assert "strider" in said and "0/3" in said and "shire" in said


def test_cron_is_shown_in_its_own_time_and_in_utc(world: MemoryWorld, operator: Browser) -> None:
    world.pass_time(timedelta(days=200).total_seconds())
    said = text_of(operator.page("/cron"))
    assert "30 21 * * 1-5" in said and "21:30 BST" in said and "20:30" in said
    assert "No cron loop has seen it yet" in said


def test_the_pulse_counts_starts_and_endings(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    for _ in range(5):
        run = mesh.start_run(Letter.send).run_id
        work(mesh)
        world.pass_time(10)
        mesh.cancel_run(run, actor="gandalf")
    page = operator.page("/pulse")
    assert "newest 5 runs" in text_of(page) and "10 s" in page
    assert 'class="plot"' in page and 'class="bar is-failed"' in page


def test_what_is_not_there_is_said_so(operator: Browser) -> None:
    for path in (
        "/nothing",
        "/runs/none",
        "/workflows/None",
        "/runs/none/approve",
        "/queues/default/burn",
        "/runs/a/b/c",
    ):
        answer = operator.get(path)
        assert answer.status_code == 404 and "Not found" in answer.text, path


def test_assets_are_its_own_and_are_not_sent_twice(operator: Browser) -> None:
    for path in ("/static/sonar.css", "/static/sonar.js", "/static/favicon.svg", "/favicon.ico"):
        answer = operator.get(path)
        assert answer.status_code == 200
        operator.headers = {"If-None-Match": answer.headers["etag"]}
        assert operator.get(path).status_code == 304
        operator.headers = {}
    assert not re.findall(r"(?:src|href)=\"https?:", operator.page("/runs"))


def test_nothing_is_styled_or_scripted_inline(world: MemoryWorld, mesh: Mesh, operator: Browser) -> None:
    """The content-security policy allows neither."""
    run = start(mesh)
    work(mesh)
    world.pass_time(5)
    for path in ("/runs", f"/runs/{run}", "/queues", "/pulse", "/workflows/RingErrand"):
        page = operator.page(path)
        assert not re.search(r"\sstyle=|\son[a-z]+=|<style|<script(?! src=)|javascript:", page), path


def test_colours_are_chosen_by_whoever_looks(viewer: Browser) -> None:
    form = viewer.form("/runs")
    answer = viewer.post("/theme", {"csrf": form.fields["csrf"], "theme": "dark", "back": "/queues?x=1"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/queues?x=1")
    assert 'data-theme="dark"' in viewer.page("/runs")
    for elsewhere in ("//evil.example", "https://evil.example", "/\\evil.example", "/\t/evil.example"):
        answer = viewer.post("/theme", {"csrf": form.fields["csrf"], "theme": "light", "back": elsewhere})
        assert answer.headers["location"] == "/runs"
    assert viewer.post("/theme", {"csrf": form.fields["csrf"], "theme": "pink", "back": "/"}).status_code == 422
