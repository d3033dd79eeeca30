"""A mesh with something of everything, and browsers that look at it without a network."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any
from urllib.parse import urlencode

import pytest
from starlette.testclient import TestClient

from squidmesh import Mesh
from squidmesh.sonar import Visitor, app
from tests.features.world import Hand, MemoryWorld, work
from tests.scenarios.sonar_app import WORKFLOWS, Ferry

HERE = "http://127.0.0.1"


class Form(HTMLParser):
    """The fields of the last form of a page that is sent by post, and where it is sent."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.action = ""
        self.fields: dict[str, str] = {}
        self._textarea = ""
        self._posted = False
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if tag == "form":
            self._posted = given["method"] == "post"
            if self._posted:
                self.action, self.fields = given["action"], {}
        elif not self._posted:
            return
        elif tag == "input" and "name" in given and (given.get("type") != "checkbox" or "checked" in given):
            self.fields[given["name"]] = given.get("value", "")
        elif tag == "textarea":
            self._textarea = given["name"]
            self.fields[self._textarea] = ""

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea":
            self._textarea = ""

    def handle_data(self, data: str) -> None:
        if self._textarea:
            self.fields[self._textarea] += data


@dataclass
class Browser:
    """Somebody who looks, and sends the forms that they were shown."""

    client: TestClient
    root: str = ""
    headers: dict[str, str] = field(default_factory=dict)

    def get(self, path: str, **query: Any) -> Any:
        said = f"?{urlencode(query, doseq=True)}" if query else ""
        return self.client.get(f"{self.root}{path}{said}", headers=self.headers, follow_redirects=False)

    def page(self, path: str, **query: Any) -> str:
        answer = self.get(path, **query)
        assert answer.status_code == 200, answer.text
        text: str = answer.text
        return text

    def form(self, path: str, **query: Any) -> Form:
        return Form(self.page(path, **query))

    def post(self, path: str, fields: dict[str, Any], **headers: str) -> Any:
        body = urlencode(fields, doseq=True)
        kind = {"Content-Type": "application/x-www-form-urlencoded", "Origin": HERE}
        return self.client.post(path, content=body, headers={**kind, **self.headers, **headers}, follow_redirects=False)

    def send(self, path: str, *, asked: Mapping[str, Any] | None = None, **fields: Any) -> Any:
        """Opens the page of a form, fills it in, and sends it."""
        form = self.form(path, **(asked or {}))
        return self.post(form.action, {**form.fields, **fields})


@pytest.fixture
def world() -> Iterator[MemoryWorld]:
    world = MemoryWorld()
    with world:
        yield world


@pytest.fixture
def mesh(world: MemoryWorld) -> Mesh:
    return world.process(*WORKFLOWS, max_deliveries=1)


def browser(mesh: Mesh, who: Visitor | None, **settings: Any) -> Browser:
    return Browser(TestClient(app(mesh, auth=lambda request: who, **settings), base_url=HERE))


@pytest.fixture
def operator(mesh: Mesh) -> Browser:
    return browser(mesh, Visitor(actor="gandalf", role="operator"))


@pytest.fixture
def viewer(mesh: Mesh) -> Browser:
    return browser(mesh, Visitor(actor="pippin"))


def lose(world: MemoryWorld, *, queue: str = "default") -> str:
    """One dead letter more: its item."""
    mesh = world.process(*WORKFLOWS, max_deliveries=1, queue=queue)
    run = mesh.start_run(Ferry.board, queue=queue)
    doomed = Hand(mesh, "charon")
    assert "cross" in doomed.claim()
    doomed.die()
    world.pass_time(31)
    work(world.process(*WORKFLOWS, max_deliveries=1, queue=queue))
    return f"{run.run_id}/cross#1"
