"""In a host's own ASGI application: below its path, with its own authentication."""

import asyncio

import pytest
from starlette.applications import Starlette
from starlette.authentication import AuthCredentials, AuthenticationBackend, SimpleUser
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.requests import HTTPConnection, Request
from starlette.routing import Mount
from starlette.testclient import TestClient
from starlette.types import Receive, Scope, Send

from squidmesh import Mesh
from squidmesh.sonar import Visitor, app
from tests.features.world import work
from tests.scenarios.sonar_app import Letter
from tests.unit.sonar.conftest import HERE, Browser


class ByHeader(AuthenticationBackend):
    """As a host may know its users."""

    async def authenticate(self, connection: HTTPConnection) -> tuple[AuthCredentials, SimpleUser] | None:
        name = connection.headers.get("x-test-user")
        return None if name is None else (AuthCredentials(["staff"]), SimpleUser(name))


def of_host(request: Request) -> Visitor | None:
    user = request.user
    return Visitor(actor=user.display_name, role="operator") if user.is_authenticated else None


async def later(request: Request) -> Visitor | None:
    await asyncio.sleep(0)
    return of_host(request)


@pytest.mark.parametrize("auth", [of_host, later])
@pytest.mark.parametrize("mounted", ["starlette", "by hand"])
def test_pages_forms_and_assets_work_below_a_path(mesh: Mesh, auth: object, mounted: str) -> None:
    pages = app(mesh, auth=auth)  # type: ignore[arg-type]
    run = mesh.start_run(Letter.send)
    work(mesh)

    async def by_hand(scope: Scope, receive: Receive, send: Send) -> None:
        """As Django's ASGI documentation has it: the path says who answers."""
        assert scope["path"].startswith("/ops/sonar")
        await pages({**scope, "root_path": "/ops/sonar"}, receive, send)

    routes = [Mount("/ops/sonar", pages)]
    host = Starlette(routes=routes) if mounted == "starlette" else by_hand
    known = AuthenticationMiddleware(host, backend=ByHeader())
    seen = Browser(TestClient(known, base_url=HERE), root="/ops/sonar", headers={"X-Test-User": "frodo"})

    assert seen.get("/").headers["location"] == "/ops/sonar/runs"
    page = seen.page(f"/runs/{run.run_id}")
    assert 'href="/ops/sonar/static/sonar.css"' in page and 'data-topic="/ops/sonar/live/runs/' in page
    assert seen.get("/static/sonar.css").status_code == 200
    answer = seen.send(f"/runs/{run.run_id}/resume")
    assert answer.headers["location"].startswith(f"/ops/sonar/runs/{run.run_id}")
    assert mesh.inspect_run(run.run_id).audit[0].actor == "frodo"
    seen.headers = {}
    assert seen.get("/runs").status_code == 401


def test_a_host_with_several_processes_shares_a_secret(mesh: Mesh) -> None:
    """A form that one has made is taken by another."""
    run = mesh.start_run(Letter.send)
    work(mesh)
    one, other = (
        app(mesh, auth=lambda request: Visitor(actor="frodo", role="operator"), secret="mellon") for _ in range(2)
    )
    first = Browser(TestClient(one, base_url=HERE))
    form = first.form(f"/runs/{run.run_id}/resume")
    second = Browser(TestClient(other, base_url=HERE, cookies=dict(first.client.cookies)))
    assert second.post(form.action, form.fields).status_code == 303


def test_middleware_of_the_host_stands_before_it(mesh: Mesh) -> None:
    host = Starlette(
        routes=[Mount("/sonar", app(mesh, auth=of_host))],
        middleware=[Middleware(AuthenticationMiddleware, backend=ByHeader())],
    )
    client = TestClient(host, base_url=HERE)
    assert client.get("/sonar/runs", headers={"X-Test-User": "sam"}).status_code == 200
    assert client.get("/elsewhere").status_code == 404
