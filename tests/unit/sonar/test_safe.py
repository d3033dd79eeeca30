"""What attackers try: forms from elsewhere, other names, forged cookies and cursors, too much of anything, and markup
in every text that people or steps have written.
"""

import re
import time
from typing import Any

import pytest
from pydantic import BaseModel
from starlette.testclient import TestClient

from squidmesh import GiveUp, InvalidInput, Mesh, Workflow, approval, event, manual, step
from squidmesh.sonar import Tokens, Visitor, app
from squidmesh.sonar.guard import LARGEST_BODY, SIGNED, VISIT
from tests.features.world import MemoryWorld, work
from tests.scenarios.sonar_app import Journey, Letter, RingErrand
from tests.unit.sonar.conftest import HERE, Browser, Form, browser, lose

EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>{{7*7}}"
DEEDS = ["approve", "reject", "resume", "cancel", "replay", "send-event", "retry-compensation", "waive-compensation"]


def waiting(mesh: Mesh, **settings: Any) -> str:
    run = mesh.start_run(RingErrand.leave_shire, Journey(ring_id="one"), **settings)
    while mesh.execute_next(owner_id="worker", queues=[run.queue]) is not None:
        pass
    return run.run_id


# ------------------------------------------------------------------------------------------------- what is written


class Note(BaseModel):
    text: str


def bad(text: str) -> None:
    raise GiveUp(text)


class Evil(Workflow):
    """Every text of it is somebody's attempt."""

    version = "1"
    begin = manual(Note)
    gate = approval(output="council")
    wait = event("owl", output="news")
    fail = step(bad)
    flow = gate >> wait >> fail


def test_nothing_that_people_or_steps_write_is_markup(world: MemoryWorld) -> None:
    """Payload, key, metadata, actors, comments, event data, error texts, queue pauses, filters, paths: everywhere."""
    mesh = world.process(Evil, Letter)
    seen = browser(mesh, Visitor(actor=EVIL[:100], role="operator"))
    run = mesh.start_run(Evil.begin, Note(text=EVIL), key=EVIL, metadata={EVIL: EVIL})
    mesh.approve_run(run.run_id, actor=EVIL[:100], comment=EVIL, metadata={"why": EVIL})
    pages = [seen.get(f"/runs/{run.run_id}")]
    mesh.send_event(run.run_id, "owl", {EVIL: [EVIL]}, actor=EVIL[:100])
    work(mesh)
    mesh.pause_queue("default", actor=EVIL[:100], comment=EVIL)
    assert mesh.inspect_run(run.run_id).status == "failed"
    pages += [seen.get(path) for path in (f"/runs/{run.run_id}", "/runs", "/queues", "/workflows", "/workflows/Evil")]
    pages += [seen.get(f"/runs/{run.run_id}/{verb}", step=EVIL, event=EVIL) for verb in DEEDS]
    pages += [seen.get("/runs", **{name: EVIL}) for name in ("text", "workflow", "queue", "status", "after", "since")]
    pages += [seen.get("/dead-letters", **{name: EVIL}) for name in ("workflow", "step", "queue", "cause", "size")]
    pages += [seen.get("/dead-letters/replay", item=[EVIL], workflow=EVIL), seen.get("/pulse", workflow=EVIL)]
    pages += [seen.get(f"/{EVIL}"), seen.get(f"/runs/{EVIL}"), seen.get("/queues/x/pause", done=EVIL)]
    form = seen.form("/workflows/Evil/start/begin")
    texts = {name: EVIL for name in form.fields if name not in ("csrf", "key")}
    pages.append(seen.post(form.action, {**form.fields, **texts}))
    form = seen.form(f"/runs/{run.run_id}/approve")
    pages.append(seen.post(form.action, {**form.fields, "comment": EVIL}))

    for answer in pages:
        assert answer.status_code < 500, answer.text
        assert not re.search(r"<script>|<img|\sonerror=alert\(2\)>", answer.text), answer.request.url
        assert "49" not in re.findall(r"onerror=alert\(2\)&gt;(\d+)", answer.text)
    shown = pages[1].text
    assert shown.count("&lt;script&gt;alert(1)&lt;/script&gt;") > 8


# ---------------------------------------------------------------------------------------------------- who may what


def test_a_viewer_sees_no_deed_and_can_do_none(world: MemoryWorld, mesh: Mesh, viewer: Browser) -> None:
    run, item = waiting(mesh), lose(world)
    page = viewer.page(f"/runs/{run}")
    assert "data-ask" not in page and "/approve" not in page.replace("runs approve", "")
    assert "formaction" not in viewer.page("/dead-letters") and "/start/" not in viewer.page("/workflows")
    csrf = viewer.form("/runs").fields["csrf"]
    fields = {"csrf": csrf, "key": "k" * 20, "comment": "x", "item": item}
    paths = [f"/runs/{run}/{verb}" for verb in DEEDS]
    paths += ["/dead-letters/replay", "/dead-letters/discard", "/queues/default/pause", "/queues/default/resume"]
    paths += ["/workflows/Letter/start/send"]
    before = mesh.inspect_run(run).revision
    for path in paths:
        assert viewer.get(path).status_code == 403, path
        assert viewer.post(path, fields).status_code == 403, path
    assert mesh.inspect_run(run).revision == before and mesh.inspect_run(run).status == "paused"
    assert len(mesh.list_dead_letters().dead_letters) == 1 and not mesh.queues().queues[0].paused
    assert len(mesh.list_runs().runs) == 2


def test_another_tenants_runs_are_not_there(world: MemoryWorld, mesh: Mesh) -> None:
    mine, other = waiting(mesh, queue="shire-1"), waiting(mesh, queue="mordor")
    item = lose(world, queue="mordor")
    hobbit = browser(mesh, Visitor(actor="frodo", role="operator", queues=("shire-*",)))
    nobody = hobbit.get("/runs/00000000-0000-7000-8000-000000000000")
    for path in (f"/runs/{other}", f"/runs/{other}/approve", f"/live/runs/{other}", "/queues/mordor/pause"):
        answer = hobbit.get(path)
        assert answer.status_code == 404, path
    theirs = hobbit.get(f"/runs/{other}").text
    assert theirs.replace(other, "") == nobody.text.replace("00000000-0000-7000-8000-000000000000", "")
    for path in ("/runs", "/dead-letters", "/pulse", "/live/runs", "/live/dead-letters", "/dead-letters/replay"):
        assert hobbit.get(path, queue="mordor").status_code == 404, path
    assert "There is no run yet" in hobbit.page("/runs")  # no queue is known by its name: it has to be said
    page = hobbit.page("/runs", queue="shire-1")
    assert mine in page and other not in page and "mordor" not in page
    assert "mordor" not in hobbit.page("/queues") and item not in hobbit.page("/dead-letters")
    assert "mordor" not in hobbit.page("/pulse") and "badge" not in page

    csrf = Form(hobbit.page(f"/runs/{mine}/approve")).fields["csrf"]
    said = {"csrf": csrf, "key": "k" * 20, "comment": "x"}
    assert hobbit.post(f"/runs/{other}/approve", said).status_code == 404
    assert hobbit.post("/queues/mordor/pause", said).status_code == 404
    for fields in ({"item": item}, {"item": item, "queue": "shire-1"}, {"queue": "mordor"}, {"workflow": "Ferry"}, {}):
        assert hobbit.post("/dead-letters/replay", {**said, **fields}).status_code == 404, fields
    start = hobbit.post("/workflows/Letter/start/send", {**said, "queue": "mordor"})
    assert start.status_code == 404 and hobbit.post("/workflows/Letter/start/send", said).status_code == 422
    assert len(mesh.list_dead_letters().dead_letters) == 1 and mesh.inspect_run(other).status == "paused"
    assert hobbit.send(f"/runs/{mine}/approve").status_code == 303


def test_whoever_is_not_known_sees_nothing(mesh: Mesh) -> None:
    run = waiting(mesh)
    stranger = browser(mesh, None)
    for path in ("/runs", f"/runs/{run}", "/queues", "/live/runs", f"/live/runs/{run}"):
        answer = stranger.get(path)
        assert answer.status_code == 401 and run not in answer.text and "RingErrand" not in answer.text


def test_without_authentication_this_machine_may_look_and_nobody_may_act(mesh: Mesh) -> None:
    run = waiting(mesh)
    here = Browser(TestClient(app(mesh), base_url=HERE, client=("127.0.0.1", 5000)))
    assert run in here.page("/runs")
    assert here.get(f"/runs/{run}/approve").status_code == 403
    there = Browser(TestClient(app(mesh), base_url=HERE, client=("192.0.2.7", 5000)))
    assert there.get("/runs").status_code == 403
    here.headers = {"X-Forwarded-For": "192.0.2.7"}
    assert here.get("/runs").status_code == 403


def test_an_auth_that_gives_something_else_is_a_fault_and_lets_nobody_in(mesh: Mesh) -> None:
    client = TestClient(app(mesh, auth=lambda request: "gandalf"), base_url=HERE)  # type: ignore[arg-type,return-value]
    with pytest.raises(TypeError, match="allowed are a Visitor and None"):
        client.get("/runs")


# ------------------------------------------------------------------------------------------------ where it comes from


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8377", "127.0.0.1.evil.example", "", "[::2]:80"])
def test_a_name_that_is_not_its_own_is_refused(mesh: Mesh, operator: Browser, host: str) -> None:
    run = waiting(mesh)
    operator.headers = {"Host": host}
    for path in ("/runs", f"/runs/{run}", "/static/sonar.js", "/nothing"):
        answer = operator.get(path)
        assert answer.status_code == 421 and run not in answer.text
    assert operator.post(f"/runs/{run}/approve", {}).status_code == 421


def test_a_host_says_its_own_names(mesh: Mesh) -> None:
    seen = browser(mesh, Visitor(actor="gandalf"), hosts=("sonar.example",))
    assert seen.get("/runs").status_code == 421
    seen.headers = {"Host": "Sonar.Example:8443"}
    assert seen.get("/runs").status_code == 200


@pytest.mark.parametrize(
    "headers",
    [{"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": ""}, {"Origin": "http://127.0.0.1:1"}],
)
def test_a_form_from_elsewhere_is_refused(mesh: Mesh, operator: Browser, headers: dict[str, str]) -> None:
    run = waiting(mesh)
    form = operator.form(f"/runs/{run}/approve")
    assert operator.post(form.action, form.fields, **headers).status_code == 403
    assert mesh.inspect_run(run).status == "paused"


def test_a_form_without_its_token_or_with_another_visits_is_refused(mesh: Mesh, operator: Browser) -> None:
    run = waiting(mesh)
    form = operator.form(f"/runs/{run}/approve")
    other = browser(mesh, Visitor(actor="gandalf", role="operator")).form(f"/runs/{run}/approve")
    for csrf in ("", "0" * 64, other.fields["csrf"], "é"):
        assert operator.post(form.action, {**form.fields, "csrf": csrf}).status_code == 403
    operator.client.cookies.clear()
    operator.client.cookies.set(VISIT, "0" * 32)
    assert operator.post(form.action, form.fields).status_code == 403
    assert mesh.inspect_run(run).status == "paused"


def test_only_forms_are_taken(mesh: Mesh, operator: Browser) -> None:
    run = waiting(mesh)
    form = operator.form(f"/runs/{run}/approve")
    assert operator.post(form.action, form.fields, **{"Content-Type": "text/plain"}).status_code == 415
    for method in ("PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        assert operator.client.request(method, form.action).status_code == 405
    assert mesh.inspect_run(run).status == "paused"


def test_every_answer_says_what_a_browser_may_do_with_it(operator: Browser) -> None:
    for path in ("/runs", "/nothing", "/static/sonar.js", "/runs?size=1"):
        headers = operator.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy and "script-src 'self'" in policy and "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy and headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff" and headers["referrer-policy"] == "same-origin"
    assert operator.get("/runs").headers["cache-control"] == "no-store"


def test_cookies_are_out_of_reach(mesh: Mesh) -> None:
    answer = browser(mesh, Visitor(actor="gandalf")).get("/runs")
    cookie = answer.headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=Strict" in cookie


# ------------------------------------------------------------------------------------------------------- too much


def test_what_is_too_large_is_refused(mesh: Mesh, operator: Browser) -> None:
    run = waiting(mesh)
    form = operator.form(f"/runs/{run}/approve")
    assert operator.post(form.action, {**form.fields, "comment": "x" * (LARGEST_BODY + 1)}).status_code == 413
    assert operator.post(form.action, {**form.fields, "comment": "x" * 2001}).status_code == 422
    assert operator.post(form.action, {**form.fields, "many": ["x"] * 3000}).status_code == 400
    assert operator.post(form.action, {**form.fields, "key": "x" * 5000}).status_code == 422
    assert operator.get("/runs", text="x" * 500).status_code == 422
    assert operator.get("/runs", text="x" * 20_000).status_code == 414
    assert operator.get("/dead-letters/replay", item=["x"] * 501).status_code == 422
    assert mesh.inspect_run(run).status == "paused"


@pytest.mark.parametrize("size", ["0", "-1", "1000000", "25.5", "abc", "٢٥"])
def test_page_sizes_are_those_that_are_offered(operator: Browser, size: str) -> None:
    answer = operator.get("/runs", size=size)
    assert answer.status_code == 422 and "allowed are 25, 50, 100, 200" in answer.text


@pytest.mark.parametrize("cursor", ["x", "1:2:3 4", "99999999999999999999:a", "'; DROP TABLE runs; --", "-1:a", "\x00"])
@pytest.mark.parametrize("path", ["/runs", "/dead-letters"])
def test_a_forged_cursor_is_refused_with_a_reason(operator: Browser, path: str, cursor: str) -> None:
    answer = operator.get(path, after=cursor)
    assert answer.status_code == 422 and "is no cursor" in answer.text


@pytest.mark.parametrize("path", ["/runs", "/live/runs"])
@pytest.mark.parametrize("asked", [{"status": "odd"}, {"since": "yesterday"}, {"workflow": "a b"}, {"queue": "\x00"}])
def test_filters_that_make_no_sense_are_refused(operator: Browser, path: str, asked: dict[str, str]) -> None:
    assert operator.get(path, **asked).status_code == 422


def test_no_more_pages_are_live_than_may_be(mesh: Mesh) -> None:
    seen = browser(mesh, Visitor(actor="gandalf"), streams=0)
    assert seen.get("/live/runs").status_code == 503


# --------------------------------------------------------------------------------------------------------- tokens


def signed(mesh: Mesh, tokens: Tokens) -> Browser:
    return Browser(TestClient(app(mesh, auth=tokens), base_url=HERE, client=("127.0.0.1", 1)))


def test_a_token_signs_in_and_out(mesh: Mesh) -> None:
    tokens, token = Tokens.for_this_machine("frodo")
    run = waiting(mesh)
    seen = signed(mesh, tokens)
    assert "read only" in seen.page("/runs") and seen.get(f"/runs/{run}/approve").status_code == 403
    wrong = seen.send("/sign-in", token="mellon")
    assert (
        wrong.status_code == 403
        and "lets nobody in" in wrong.text
        and SIGNED not in wrong.headers.get("set-cookie", "")
    )
    answer = seen.send("/sign-in", token=token)
    assert answer.status_code == 303 and "HttpOnly" in answer.headers["set-cookie"]
    assert seen.send(f"/runs/{run}/approve").status_code == 303
    assert mesh.inspect_run(run).audit[0].actor == "frodo"
    seen.post("/sign-out", {"csrf": seen.form("/runs").fields["csrf"]})
    assert seen.get(f"/runs/{run}/approve").status_code == 403


def test_a_cookie_is_sealed_ends_and_dies_with_its_token() -> None:
    tokens, token = Tokens.for_this_machine("frodo")
    visitor = tokens.sign_in(token)
    assert visitor is not None
    now = time.time()
    good = tokens.cookie(visitor, int(now) + 60)
    assert tokens.of_cookie(good, now) == visitor
    assert tokens.of_cookie(good, now + 61) is None
    name, until, seal = good.split(".")
    later, sam = f"{name}.{int(until) + 9}.{seal}", f"{b'sam'.hex()}.{until}.{seal}"
    for forged in (later, sam, f"{name}.{until}.", "", "..", "é.1.x"):
        assert tokens.of_cookie(forged, now) is None
    other, _ = Tokens.for_this_machine("frodo")
    assert other.of_cookie(good, now) is None


def test_with_a_file_of_tokens_nobody_looks_without_one(mesh: Mesh, tmp_path: Any) -> None:
    from squidmesh.sonar.access import token_row

    token, row = token_row('éowyn "of" Rohan', "operator", ("rohan-*",))
    path = tmp_path / "tokens.toml"
    path.write_text(row)
    tokens = Tokens.read(path)
    seen = signed(mesh, tokens)
    assert seen.get("/runs").headers["location"] == "/sign-in"
    assert seen.post("/runs/x/approve", {"csrf": seen.form("/sign-in").fields["csrf"]}).status_code == 401
    seen.headers = {"Authorization": f"Bearer {token}"}
    assert "éowyn" in seen.page("/workflows")
    assert tokens.sign_in(token) == Visitor(actor='éowyn "of" Rohan', role="operator", queues=("rohan-*",))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "names nobody"),
        ("frodo = 1", "allowed is a table"),
        ("[frodo]\ntoken_sha256 = 'x'", "64 digits"),
        (f"[frodo]\ntoken_sha256 = '{'0' * 64}'\nrole = 'king'", "allowed are viewer, operator"),
        (f"[frodo]\ntoken_sha256 = '{'0' * 64}'\nqueues = 'all'", "allowed is a list"),
        (f"[frodo]\ntoken_sha256 = '{'0' * 64}'\nqueues = []", "at least one"),
        ("[frodo", "tokens"),
    ],
)
def test_a_file_of_tokens_that_is_wrong_is_refused(tmp_path: Any, text: str, said: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text)
    with pytest.raises(InvalidInput, match=said):
        Tokens.read(path)


@pytest.mark.parametrize(
    "wrong",
    [{"mesh": None}, {"auth": "token"}, {"hosts": ()}, {"hosts": "localhost"}, {"streams": -1}, {"streams": True}],
)
def test_arguments_that_are_wrong_are_refused_by_name(mesh: Mesh, wrong: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=f"^{next(iter(wrong))}: "):
        app(**{"mesh": mesh, **wrong})
