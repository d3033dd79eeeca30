"""Takes the pictures of Sonar's pages: ``python -m tests.support.sonar_pictures FOLDER``, and those of docs/sonar.md
without a folder.
"""

import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from squidmesh import Mesh
from squidmesh.sonar import Tokens
from tests.scenarios import sonar_app
from tests.scenarios.sonar_app import Beacon, connect
from tests.support.browser import chromium
from tests.support.sonar_served import served
from tests.support.sonar_story import told

DOCS = Path(__file__).resolve().parents[2] / "docs" / "pictures" / "sonar"
SIZES = {"wide": (1280, 860), "narrow": (390, 844)}
KEPT = {
    ("runs", "light", "wide"),
    ("runs", "dark", "narrow"),
    ("run-retrying", "light", "wide"),
    ("run-retrying", "dark", "wide"),
    ("run-approval", "light", "narrow"),
    ("dead-letters", "light", "wide"),
    ("queues", "dark", "wide"),
    ("pulse", "light", "wide"),
}


def pages(mesh: Mesh) -> dict[str, str]:
    """By name, their paths."""

    def newest(workflow: str, status: str) -> str:
        return mesh.list_runs(workflow=workflow, status=status, limit=1).runs[0].run_id

    approval, dead = newest("RingErrand", "paused"), mesh.list_dead_letters().dead_letters[0].run_id
    return {
        "runs": "/runs",
        "runs-by-start": "/runs?by=started&status=paused",
        "run-approval": f"/runs/{approval}",
        "run-retrying": f"/runs/{mesh.list_runs(text='fords').runs[0].run_id}",
        "run-completed": f"/runs/{newest('RingErrand', 'completed')}",
        "run-compensating": f"/runs/{newest('Feast', 'compensating')}",
        "run-children": f"/runs/{newest('Invitations', 'waiting')}",
        "run-dead": f"/runs/{dead}",
        "approve": f"/runs/{approval}/approve",
        "dead-letters": "/dead-letters",
        "dead-letters-replay": "/dead-letters/replay?queue=anduin",
        "queues": "/queues",
        "workers": "/workers",
        "cron": "/cron",
        "workflows": "/workflows",
        "workflow": "/workflows/RingErrand",
        "start": "/workflows/RingErrand/start/leave_shire",
        "pulse": "/pulse",
    }


@contextmanager
def burning() -> Iterator[None]:
    """Beacons burn until the pictures are taken."""
    before, out = sonar_app.burn, threading.Event()

    def burn() -> None:
        out.wait()

    sonar_app.burn = burn
    try:
        yield
    finally:
        out.set()
        sonar_app.burn = before


def take(folder: Path, *, only: set[tuple[str, str, str]] | None, full: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    tokens, token = Tokens.for_this_machine("gandalf")
    with (
        tempfile.TemporaryDirectory() as place,
        told(Path(place)) as url,
        connect(url) as mesh,
        mesh.cron(),
        mesh.worker(concurrency=4, queues=["rohan"], owner_id="edoras"),
        mesh.worker(concurrency=2, queues=["gondor", "ithilien*"], owner_id="osgiliath"),
        burning(),
        served(mesh, tokens) as address,
        chromium() as browser,
    ):
        for _ in range(5):
            mesh.start_run(Beacon.kindle, queue="rohan")
        paths = pages(mesh)
        for theme in ("light", "dark"):
            for width in ("wide", "narrow"):
                chosen = {name: path for name, path in paths.items() if only is None or (name, theme, width) in only}
                with signed_in(browser, f"{address}/sign-in#{token}", theme, SIZES[width]) as page:
                    for name, path in chosen.items():
                        page.goto(address + path)
                        if page.query_selector("[data-live-state]"):
                            page.wait_for_selector("[data-live-state=on]")
                        page.screenshot(path=str(folder / f"{name}-{theme}-{width}.png"), full_page=full)


@contextmanager
def signed_in(browser: Any, address: str, theme: str, size: tuple[int, int]) -> Iterator[Any]:
    """A page of somebody who has a token."""
    viewport = {"width": size[0], "height": size[1]}
    context = browser.new_context(viewport=viewport, color_scheme=theme, reduced_motion="reduce")
    try:
        page = context.new_page()
        page.goto(address)
        page.click("section button")
        page.wait_for_url("**/runs")
        yield page
    finally:
        context.close()


if __name__ == "__main__":
    if len(sys.argv) > 1:
        take(Path(sys.argv[1]), only=None, full=True)
    else:
        take(DOCS, only=KEPT, full=False)
