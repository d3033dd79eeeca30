"""Sonar in a real browser: the whole story of a run, live; for those who can not see, or have no mouse; and not one
error in the console.
"""

import os
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from squidmesh import Mesh
from squidmesh.sonar import Tokens
from tests.scenarios.sonar_app import connect
from tests.support.browser import axe_script, chromium
from tests.support.sonar_pictures import SIZES, pages, signed_in
from tests.support.sonar_served import served
from tests.support.sonar_story import told

pytestmark = [pytest.mark.all, pytest.mark.timeout(300)]
_PATIENCE = 60_000
"""Milliseconds."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser


@contextmanager
def looking(
    browser: Any, mesh: Mesh, theme: str = "light", width: str = "wide"
) -> Iterator[tuple[Any, str, list[str]]]:
    """A page of an operator, where Sonar is, and what the console has said of errors."""
    tokens, token = Tokens.for_this_machine("gandalf")
    with served(mesh, tokens) as address, signed_in(browser, f"{address}/sign-in#{token}", theme, SIZES[width]) as page:
        said: list[str] = []
        page.on("console", lambda message: said.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: said.append(str(error)))
        page.set_default_timeout(_PATIENCE)
        yield page, address, said


def has(page: Any, selector: str, count: int) -> None:
    """Soon. A function to wait for would be an evil script to the page's own policy."""
    for _ in range(_PATIENCE // 50):
        if page.locator(selector).count() == count:
            return
        page.wait_for_timeout(50)
    assert page.locator(selector).count() == count, selector


def test_the_whole_story_of_runs_from_the_form_to_a_batch_of_replays(browser: Any, tmp_path: Path) -> None:
    """Nothing is loaded again by hand: what others do is seen as it happens."""
    stone = tmp_path / "stone"
    stone.touch()
    os.environ["SONAR_STONE"] = str(stone)
    try:
        with (
            connect(f"sqlite:///{tmp_path / 'journal.db'}", lease=60.0) as mesh,
            mesh.worker(concurrency=4),
            looking(browser, mesh) as (page, address, said),
        ):
            _approval(page, address, mesh)
            _dead_letters(page, address, mesh, stone)
            assert said == []
    finally:
        del os.environ["SONAR_STONE"]


def _approval(page: Any, address: str, mesh: Mesh) -> None:
    page.goto(f"{address}/workflows")
    page.get_by_role("link", name="Start RingErrand").click()
    page.get_by_label("ring_id").fill("one-ring")
    page.get_by_label("companions").fill("Sam\nMerry")
    page.get_by_label("Comment").fill("Off we go.")
    page.get_by_role("button", name="Start", exact=True).click()
    page.wait_for_url("**/runs/*done=start")
    page.wait_for_selector("[data-live-state=on]")
    page.wait_for_selector(".node.is-paused")  # the worker has packed meanwhile: seen without loading the page again
    run_id = page.locator(".ids code").first.inner_text()

    page.get_by_role("link", name="Approve").click()
    dialog = page.get_by_role("dialog")
    dialog.get_by_label("Comment").fill("The council has spoken.")
    page.keyboard.press("Escape")
    assert dialog.count() == 0 and mesh.inspect_run(run_id).status == "paused"
    page.get_by_role("link", name="Approve").focus()
    page.keyboard.press("Enter")
    dialog.get_by_label("Comment").fill("The council has spoken.")
    dialog.get_by_role("button", name="Approve").click()
    page.wait_for_url("**/runs/*done=approve")
    page.wait_for_selector("h1 .is-completed")
    assert page.locator(".edge.is-selected").count() == 3
    assert "The council has spoken." in page.locator("#live-audit").inner_text()
    assert mesh.inspect_run(run_id).audit[0].actor == "gandalf"


def _dead_letters(page: Any, address: str, mesh: Mesh, stone: Path) -> None:
    page.goto(f"{address}/dead-letters")
    page.wait_for_selector("[data-live-state=on]")
    assert "All is well" in page.locator("#live-dead").inner_text()
    runs = [mesh.start_run("Ferry").run_id for _ in range(3)]
    has(page, "input[name=item]", 3)
    page.wait_for_selector(".badge >> text=3")
    stone.unlink()

    page.locator("input[name=item]").first.check()
    assert page.locator("[data-chosen]").inner_text() == "1 chosen"
    page.get_by_role("button", name="Replay").click()
    page.get_by_label("Comment").fill("The stone is gone.")
    page.get_by_role("button", name="Replay 1").click()
    has(page, "input[name=item]", 2)

    page.get_by_role("button", name="Replay").click()  # none chosen: all that match
    page.get_by_label("At most so many a second").fill("20")
    page.get_by_role("button", name="Replay 2").click()
    page.wait_for_selector("text=All is well")
    page.wait_for_selector(".going >> text=2 of 2")
    page.goto(f"{address}/runs?workflow=Ferry&status=completed")
    has(page, "#live-runs tbody tr", 3)
    page.get_by_role("link", name="Newest started first").click()
    page.wait_for_url("**/runs?*by=started")
    newest = page.locator("#live-runs tbody .run").first.get_attribute("href") or ""
    assert newest.endswith(runs[-1])
    assert {mesh.inspect_run(run).status for run in runs} == {"completed"}


def test_a_server_that_goes_away_is_told_and_its_return_is_seen(browser: Any, tmp_path: Path) -> None:
    tokens, token = Tokens.for_this_machine("gandalf")
    with connect(f"sqlite:///{tmp_path / 'journal.db'}") as mesh, ExitStack() as first:
        address = first.enter_context(served(mesh, tokens))
        with signed_in(browser, f"{address}/sign-in#{token}", "light", SIZES["wide"]) as page:
            page.wait_for_selector("[data-live-state=on]")
            first.close()
            page.wait_for_selector("[data-live-state=lost]")
            run = mesh.start_run("Letter").run_id
            with served(mesh, tokens, int(address.rpartition(":")[2])):
                page.wait_for_selector(f"text={run}")
                page.wait_for_selector("[data-live-state=on]")


@pytest.mark.parametrize(("theme", "width"), [("light", "wide"), ("dark", "narrow")])
def test_no_page_keeps_anybody_out(browser: Any, tmp_path: Path, theme: str, width: str) -> None:
    """axe-core finds nothing serious, no page is wider than its screen, and the console stays silent."""
    with told(tmp_path) as url, connect(url) as mesh, mesh.cron(), looking(browser, mesh, theme, width) as seen:
        page, address, said = seen
        for name, path in pages(mesh).items():
            page.goto(address + path)
            wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
            assert wide <= 0, f"{name} is {wide} pixels too wide"
            page.evaluate(axe_script())
            found = page.evaluate("axe.run()")["violations"]
            serious = [
                (one["id"], node["html"][:200], node["failureSummary"])
                for one in found
                if one["impact"] in ("serious", "critical")
                for node in one["nodes"]
            ]
            assert serious == [], name
        assert said == []


def test_everything_is_done_without_a_script(browser: Any, tmp_path: Path) -> None:
    """Forms and links are enough."""
    tokens, token = Tokens.for_this_machine("gandalf")
    with connect(f"sqlite:///{tmp_path / 'journal.db'}") as mesh, served(mesh, tokens) as address:
        run = mesh.start_run("Letter")
        mesh.execute_next(owner_id="worker")
        context = browser.new_context(java_script_enabled=False)
        page = context.new_page()
        page.goto(f"{address}/sign-in")
        page.get_by_label("Token").fill(token)
        page.get_by_role("button", name="Sign in").click()
        page.goto(f"{address}/runs/{run.run_id}")
        page.get_by_role("link", name="Resume").click()
        page.get_by_role("button", name="Resume").click()
        assert "Resumed." in page.locator(".flash").inner_text()
        context.close()
        assert mesh.inspect_run(run.run_id).audit[0].actor == "gandalf"
