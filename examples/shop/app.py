"""The web host: orders come in, people decide, Sonar shows. Plain functions get threads from FastAPI."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated
from urllib.parse import parse_qs

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, RedirectResponse
from prometheus_client import CollectorRegistry, Gauge, generate_latest
from pydantic import BaseModel, Field

from examples.shop import store
from examples.shop.people import COOKIE, DAY, People
from examples.shop.settings import Settings
from examples.shop.workflows import Fulfil, Order
from squidmesh import Mesh, UsageError, sonar
from squidmesh.sonar import Visitor

MOST_OPEN = 3
"""Orders that a customer may have open."""
LOGIN = """<!doctype html><title>Shop</title><form method="post"><input name="name" placeholder="name">
<input name="password" type="password" placeholder="password"><button>Sign in</button></form>"""


class NewOrder(BaseModel):
    customer: str = Field(min_length=1, max_length=100)
    item: str
    quantity: int = Field(ge=1, le=1000)
    cents: int = Field(ge=1)
    stolen_card: bool = False


class Comment(BaseModel):
    comment: str | None = None


def made(settings: Settings, mesh: Mesh) -> FastAPI:
    @asynccontextmanager
    async def lifespan(shop: FastAPI) -> AsyncIterator[None]:
        yield
        mesh.close()

    shop = FastAPI(title="Shop", lifespan=lifespan)
    people = People(settings)
    shop.mount("/sonar", sonar.app(mesh, auth=people.visitor, secret=settings.secret))
    _add_people(shop, people)
    _add_orders(shop, settings, mesh, _manager(people))
    _add_metrics(shop, settings, mesh)

    @shop.exception_handler(UsageError)
    def refused(request: Request, error: UsageError) -> JSONResponse:
        return JSONResponse({"code": error.code, "detail": str(error)}, error.http_status)

    return shop


def _manager(people: People) -> Callable[[Request], Visitor]:
    def manager(request: Request) -> Visitor:
        visitor = people.visitor(request)
        if visitor is None:
            raise HTTPException(401, "sign in first")
        if not visitor.may_act:
            raise HTTPException(403, "this is for managers")
        return visitor

    return manager


def _add_people(shop: FastAPI, people: People) -> None:
    @shop.get("/login")
    def ask() -> HTMLResponse:
        return HTMLResponse(LOGIN)

    @shop.post("/login")
    async def sign_in(request: Request) -> Response:
        said = parse_qs((await request.body()).decode())
        cookie = people.sign_in(said.get("name", [""])[0], said.get("password", [""])[0])
        if cookie is None:
            raise HTTPException(401, "name or password is not right")
        answer = RedirectResponse("/sonar/runs", 303)
        answer.set_cookie(COOKIE, cookie, max_age=DAY, httponly=True, samesite="strict")
        return answer


def _add_orders(shop: FastAPI, settings: Settings, mesh: Mesh, manager: Callable[[Request], Visitor]) -> None:
    @shop.post("/orders", status_code=201)
    def place(new: NewOrder) -> dict[str, int | str]:
        """The order, its run, and the note of it: all three, or none."""
        with store.opened(settings.database) as connection:
            number = store.place(connection, new.customer, new.item, new.quantity, new.cents)
            if number is None:
                raise HTTPException(404, f"no item {new.item!r}")
            order = Order(number=number, **new.model_dump(exclude={"customer"}))
            run = mesh.start_run(Fulfil.placed, order, key=f"order-{number}", connection=connection)
            store.note_run(connection, number, run.run_id)
            if store.open_orders(connection, new.customer) > MOST_OPEN:
                raise HTTPException(409, f"{new.customer} has {MOST_OPEN} open orders")
        return {"number": number, "run_id": run.run_id}

    @shop.get("/orders/{number}")
    def show(number: int) -> dict[str, int | str]:
        status, run_id = found(number)
        return {"number": number, "status": status, "run_id": run_id, "why": mesh.explain_run(run_id).summary}

    @shop.post("/orders/{number}/approve")
    def approve(number: int, said: Comment, by: Annotated[Visitor, Depends(manager)]) -> dict[str, str]:
        _, run_id = found(number)
        run = mesh.approve_run(run_id, actor=by.actor, comment=said.comment, key=f"approve-{number}")
        return {"status": run.status}

    def found(number: int) -> tuple[str, str]:
        with store.opened(settings.database) as connection:
            row = store.find(connection, number)
        if row is None:
            raise HTTPException(404, f"no order {number}")
        return row


def _add_metrics(shop: FastAPI, settings: Settings, mesh: Mesh) -> None:
    @shop.get("/metrics")
    def metrics() -> PlainTextResponse:
        """Read from the stores, so they are true after any crash. What a worker does, it tells itself."""
        registry = CollectorRegistry()
        orders = Gauge("shop_orders", "Orders by status.", ["status"], registry=registry)
        runs = Gauge("shop_runs", "Runs by status.", ["status"], registry=registry)
        with store.opened(settings.database) as connection:
            for status, count in store.orders_by_status(connection).items():
                orders.labels(status).set(count)
        for status, count in mesh.vitals().runs.items():
            runs.labels(status).set(count)
        return PlainTextResponse(generate_latest(registry))
