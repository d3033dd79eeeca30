"""``sonar.app``: the pages as one ASGI application, to be served alone or mounted in a host's own."""

from __future__ import annotations

import hashlib
import mimetypes
from collections.abc import Callable, Sequence
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import ASGIApp

from squidmesh import BackendError, InvalidInput, Mesh, SquidMeshError, UsageError
from squidmesh.sonar.access import Auth, Tokens
from squidmesh.sonar.guard import LOOPBACK, Guard, Refused
from squidmesh.sonar.house import HERE, Ask, House
from squidmesh.sonar.live import EVERY, Live, Topic
from squidmesh.sonar.pages import dead_letters, deciding, fleet, queues, run, runs, signing_in, workflows

MOST_STREAMS = 100

View = Callable[..., Response]
_TOPICS: dict[str, Callable[[Ask], Topic]] = {
    "runs": runs.topic,
    "queues": queues.topic,
    "workers": fleet.workers_topic,
    "dead-letters": dead_letters.topic,
    "cron": fleet.cron_topic,
    "pulse": fleet.pulse_topic,
}


def app(
    mesh: Mesh,
    *,
    auth: Auth | None = None,
    hosts: Sequence[str] = LOOPBACK,
    secret: str | None = None,
    streams: int = MOST_STREAMS,
    look_every: float = EVERY,
) -> ASGIApp:
    """An ASGI application that shows ``mesh``.

    ``auth``: from a request to a ``Visitor``, or None where it is not known who asks; :class:`Tokens` is one. Without
    it, whoever comes from this machine may look, and nobody may do anything. ``hosts``: the names under which it is
    reached, without ports; a request for another one is refused. ``secret``: what makes the tokens of forms, the same
    in each process of a host that has several. ``streams``: pages that may be live at once; ``look_every``: seconds
    between two looks at what they show. Raises ``InvalidInput``.
    """
    _check_arguments(mesh, auth, hosts, streams)
    tokens = auth if isinstance(auth, Tokens) else None
    house = House.of(mesh, Live(most=streams, every=look_every), tokens=tokens is not None)
    pages = Starlette(
        routes=[*_routes(house, tokens), *_files()],
        exception_handlers={HTTPException: _unknown(house)},
    )
    return Guard(pages, auth=auth, hosts=hosts, secret=secret)


def _check_arguments(mesh: object, auth: object, hosts: object, streams: object) -> None:
    if not isinstance(mesh, Mesh):
        raise InvalidInput(f"is a {type(mesh).__name__}; allowed is a Mesh", field="mesh")
    if auth is not None and not callable(auth):
        raise InvalidInput(f"is a {type(auth).__name__}; allowed is a callable, or None", field="auth")
    named = not isinstance(hosts, str) and isinstance(hosts, Sequence) and len(hosts) > 0
    if not named or not all(isinstance(host, str) and host for host in hosts):  # type: ignore[attr-defined]  # it is
        raise InvalidInput(f"{hosts!r} is refused; allowed are names, at least one", field="hosts")
    if type(streams) is not int or not 0 <= streams <= 10_000:
        raise InvalidInput(f"{streams!r} is refused; allowed is 0 to 10000", field="streams")


def _routes(house: House, tokens: Tokens | None) -> list[Route]:
    def get(path: str, view: View, *, known: bool = True) -> Route:
        return Route(path, _page(house, view, known=known), methods=["GET"])

    def post(path: str, view: View, *, known: bool = True) -> Route:
        return Route(path, _page(house, view, known=known), methods=["POST"])

    found = [
        get("/", lambda ask: ask.go("/runs")),
        get("/runs", runs.show),
        get("/runs/{run_id}", run.show),
        get("/runs/{run_id}/{verb}", deciding.ask_first),
        post("/runs/{run_id}/{verb}", deciding.do),
        get("/dead-letters", dead_letters.show),
        get("/dead-letters/{verb}", dead_letters.ask_first),
        post("/dead-letters/{verb}", dead_letters.do),
        get("/queues", queues.show),
        get("/queues/{queue}/{verb}", queues.ask_first),
        post("/queues/{queue}/{verb}", queues.do),
        get("/workers", fleet.workers),
        get("/cron", fleet.cron),
        get("/pulse", fleet.pulse),
        get("/workflows", workflows.listing),
        get("/workflows/{name}", workflows.show),
        get("/workflows/{name}/start/{trigger}", workflows.ask_first),
        post("/workflows/{name}/start/{trigger}", workflows.do),
        post("/theme", signing_in.set_theme, known=False),
        Route("/live/runs/{run_id}", _stream(house, lambda ask: run.topic(ask, ask.request.path_params["run_id"]))),
        *(Route(f"/live/{name}", _stream(house, topic)) for name, topic in _TOPICS.items()),
    ]
    if tokens is not None:
        found += [
            get("/sign-in", signing_in.show, known=False),
            post("/sign-in", lambda ask: signing_in.sign_in(ask, tokens), known=False),
            post("/sign-out", signing_in.sign_out, known=False),
        ]
    return found


def _page(house: House, view: View, *, known: bool) -> Callable[[Request], Response]:
    """``known``: whoever is not known does not get there."""

    def endpoint(request: Request) -> Response:
        try:
            _check(request)
            if known and request.scope["sonar"]["visitor"] is None:
                return _who(house, request)
            return view(Ask(house, request), **request.path_params)
        except (Refused, SquidMeshError) as error:
            return _refusal(house, request, error)

    return endpoint


def _check(request: Request) -> None:
    refused: Refused | None = request.scope["sonar"]["refused"]
    if refused is not None:
        raise refused


def _who(house: House, request: Request) -> Response:
    """Where there is a page to sign in, a page leads there; else the host has to say who asks."""
    if house.tokens and request.method == "GET":
        return RedirectResponse(f"{request.scope.get('root_path', '')}/sign-in", 303)
    return _refusal(house, request, Refused(401, "Who are you?", "Sign in first."))


def _refusal(house: House, request: Request, error: Refused | SquidMeshError) -> Response:
    match error:
        case Refused():
            status, title, why = error.status, error.title, error.why
        case UsageError():
            status, title, why = error.http_status, "Not so", str(error)
        case BackendError():
            status, title, why = 503, "The store does not answer as it should", f"{error.code}: {error}"
        case _:
            status, title, why = 500, "This can not be shown", f"{error.code}: {error}"
    if request.scope["sonar"]["visitor"] is None:
        return PlainTextResponse(f"{title}. {why}\n", status)
    return house.write(request, "refused", status=status, title=title, why=why)


def _unknown(house: House) -> Callable[[Request, Exception], Response]:
    """No such page; and what came to no page at all is refused all the same."""

    def handler(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        refused: Refused | None = request.scope["sonar"]["refused"]
        why = "There is no such page." if error.status_code == 404 else str(error.detail)
        return _refusal(house, request, refused or Refused(error.status_code, "Not found", why))

    return handler


def _stream(house: House, topic_of: Callable[[Ask], Topic]) -> Callable[[Request], Any]:
    async def endpoint(request: Request) -> Response:
        try:
            _check(request)
            if request.scope["sonar"]["visitor"] is None:
                raise Refused(401, "Who are you?", "Sign in first.")
            if house.live.is_full:
                raise Refused(503, "Too many", "As many pages are live as may be.")
            if request.method == "HEAD":
                return Response(media_type="text/event-stream")
            topic = await run_in_threadpool(_readable, topic_of, Ask(house, request))
        except (Refused, SquidMeshError) as error:
            return _refusal(house, request, error)
        headers = {"X-Accel-Buffering": "no", "Cache-Control": "no-store"}
        return StreamingResponse(house.live.follow(topic), media_type="text/event-stream", headers=headers)

    return endpoint


def _readable(topic_of: Callable[[Ask], Topic], ask: Ask) -> Topic:
    """What can not be looked at is refused now, and not in a stream."""
    topic = topic_of(ask)
    topic.look()
    return topic


def _files() -> list[Route]:
    """Style, script and pictures: read once, sent from memory."""
    found = []
    for path in sorted((HERE / "static").iterdir()):
        found.append(Route(f"/static/{path.name}", _file(path.read_bytes(), path.name), methods=["GET"]))
        if path.name == "favicon.svg":
            found.append(Route("/favicon.ico", _file(path.read_bytes(), path.name), methods=["GET"]))
    return found


def _file(body: bytes, name: str) -> Callable[[Request], Response]:
    kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
    tag = f'"{hashlib.sha256(body).hexdigest()[:16]}"'

    def endpoint(request: Request) -> Response:
        headers = {"ETag": tag, "Cache-Control": "no-cache"}
        if request.scope["sonar"]["refused"] is not None:
            return PlainTextResponse("not here\n", request.scope["sonar"]["refused"].status)
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(body, headers=headers, media_type=kind)

    return endpoint
