"""What every page stands on: the mesh, who asks, and how an answer is written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from squidmesh import BackendError, InvalidInput, Mesh, NotFound, Run, RunPruned, __version__
from squidmesh.sonar import words
from squidmesh.sonar.access import Visitor
from squidmesh.sonar.counted import CHEAP_OF_A_QUEUE, Counted, Counts, of_queue
from squidmesh.sonar.guard import Refused
from squidmesh.sonar.live import Live
from squidmesh.sonar.paced import Paced

HERE = Path(__file__).parent
THEME = "squidmesh_sonar_theme"
THEMES = ("system", "light", "dark")
LONGEST_FILTER = 400
LONGEST_COMMENT = 2000
_MOST_DEAD = 99
PAGE_SIZES = (25, 50, 100, 200)


@dataclass(frozen=True)
class House:
    """``counted``: by the workflow, None for all; ``counted_of_queue``: by the queue and the workflow. ``tokens``:
    whether there is a page to sign in.
    """

    mesh: Mesh
    live: Live
    counted: Counted[str | None, Counts]
    counted_of_queue: Counted[tuple[str, str | None], Counts]
    paced: Paced
    tokens: bool

    @classmethod
    def of(cls, mesh: Mesh, live: Live, *, tokens: bool) -> House:
        def of_all(workflow: str | None) -> Counts:
            return Counts(by_status=mesh.count_runs(workflow=workflow), workflow=workflow)

        def of_one(which: tuple[str, str | None]) -> Counts:
            return of_queue(mesh, *which)

        counted_of_queue = Counted(of_one, cheap=CHEAP_OF_A_QUEUE)
        return cls(mesh, live, Counted(of_all), counted_of_queue, Paced(), tokens)

    def write(self, request: Request, name: str, /, *, status: int = 200, **values: Any) -> Response:
        """The page ``name`` of the templates. Everything in it is escaped."""
        told = request.scope["sonar"]
        theme = told["cookies"].get(THEME, "system")
        visitor: Visitor | None = told["visitor"]
        root = request.scope.get("root_path", "")
        defaults = {"topic": None, "seen": None, "section": "", "dead": ""}
        page = (
            _environment()
            .get_template(f"{name}.html")
            .render(
                {
                    **defaults,
                    "root": root,
                    "csrf": told["csrf"],
                    "visitor": visitor,
                    "may_act": visitor is not None and visitor.may_act,
                    "signs_in": self.tokens,
                    "theme": theme if theme in THEMES else "system",
                    "here": request.url.path + (f"?{request.url.query}" if request.url.query else ""),
                    "now": datetime.now(UTC),
                    **values,
                }
            )
        )
        return HTMLResponse(page, status)


@cache
def _environment() -> Environment:
    """The templates are read once a process."""
    environment = Environment(
        loader=FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        took=words.length,
        clock=words.clock,
        pretty=words.pretty,
        plain=words.plain,
        spoken=words.spoken,
        absolute=words.absolute,
        segment=lambda text: quote(text, safe=""),
    )
    environment.globals.update(moment=words.moment, version=__version__)
    return environment


class Ask:
    """One request: who asks, and for what."""

    def __init__(self, house: House, request: Request) -> None:
        self.house = house
        self.mesh = house.mesh
        self.request = request
        self.root: str = request.scope.get("root_path", "")

    @property
    def visitor(self) -> Visitor:
        found: Visitor = self.request.scope["sonar"]["visitor"]
        return found

    # ----------------------------------------------------------------------------------------------- what is asked

    def query(self, name: str, *, most: int = LONGEST_FILTER) -> str | None:
        """None where it is not said, or empty."""
        return _bounded(name, self.request.query_params.get(name, "").strip(), most) or None

    def queries(self, name: str, *, most: int) -> list[str]:
        found = [_bounded(name, one, LONGEST_FILTER) for one in self.request.query_params.getlist(name)]
        if len(found) > most:
            raise InvalidInput(f"{len(found)} of them are refused; allowed are {most}", field=name)
        return found

    def one_of(self, name: str, allowed: Sequence[str]) -> str | None:
        found = self.query(name)
        if found is not None and found not in allowed:
            raise InvalidInput(f"{found!r} is refused; allowed are {', '.join(allowed)}", field=name)
        return found

    def size(self) -> int:
        found = self.query("size") or str(PAGE_SIZES[0])
        if found not in map(str, PAGE_SIZES):
            raise InvalidInput(f"{found!r} is refused; allowed are {', '.join(map(str, PAGE_SIZES))}", field="size")
        return int(found)

    def moment(self, name: str) -> datetime | None:
        """As a browser's field for a time says it. Without a timezone, it is UTC."""
        found = self.query(name)
        if found is None:
            return None
        try:
            read = datetime.fromisoformat(found)
        except ValueError:
            raise InvalidInput(f"{found!r} is refused; allowed is as in 2026-11-22T21:00", field=name) from None
        return read if read.tzinfo is not None else read.replace(tzinfo=UTC)

    @property
    def form(self) -> Mapping[str, str]:
        """The first value of each field."""
        return dict(reversed(self.request.scope["sonar"]["form"]))

    def form_list(self, name: str) -> list[str]:
        return [value for field, value in self.request.scope["sonar"]["form"] if field == name]

    # -------------------------------------------------------------------------------------------- what may be seen

    def queue(self) -> str | None:
        """The queue that the page is about; None for all. Whoever may not see all is shown one at a time."""
        asked = self.query("queue")
        if asked is not None:
            self.check_queue(asked)
            return asked
        if self.visitor.sees_all:
            return None
        for name in self.queues():
            return name
        return self.visitor.queues[0].removesuffix("*")  # the beginning of a name: who looks may write the rest

    def queues(self) -> list[str]:
        """Those that are known, and may be seen."""
        named = [own for own in self.visitor.queues if not own.endswith("*")]
        known = [one.name for one in self.mesh.queues().queues if self.visitor.sees(one.name)]
        return list(dict.fromkeys([*named, *known]))

    def check_queue(self, queue: str) -> None:
        if not self.visitor.sees(queue):
            raise Refused(404, "Not found", "There is no such queue, or it is not yours to see.")

    def check_may_act(self) -> None:
        if not self.visitor.may_act:
            raise Refused(403, "Only looking", "You may look at this, and an operator may do it.")

    def run(self, run_id: str, *, history: bool = False) -> Run:
        """A run that the visitor may see. What is not there, and what is not theirs, is refused in the same words."""
        try:
            found = self.mesh.inspect_run(run_id, history=history)
        except RunPruned as error:
            if not self.visitor.sees_all:
                raise _no_run() from error
            raise
        except (NotFound, InvalidInput) as error:
            raise _no_run() from error
        if not self.visitor.sees(found.queue):
            raise _no_run()
        return found

    # -------------------------------------------------------------------------------------------------- the answer

    def at(self, path: str, **query: str | int | None) -> str:
        """The address of another page."""
        said = {name: value for name, value in query.items() if value is not None}
        return f"{self.root}{path}" + (f"?{urlencode(said)}" if said else "")

    def write(self, name: str, /, *, status: int = 200, **values: Any) -> Response:
        return self.house.write(self.request, name, status=status, ask=self, dead=self._dead(), **values)

    def _dead(self) -> str:
        """How many dead letters there are, as far as one looks: the number that everybody wants to see."""
        known = self.request.scope["sonar"]["visitor"]
        if known is None or not known.sees_all:
            return ""
        try:
            found = self.mesh.list_dead_letters(limit=_MOST_DEAD)
        except BackendError:
            return "?"
        count = len(found.dead_letters)
        return f"{count}+" if found.next is not None else str(count or "")

    def go(self, path: str, **query: str | int | None) -> Response:
        return RedirectResponse(self.at(path, **query), 303)


def _no_run() -> Refused:
    return Refused(404, "Not found", "There is no such run, or it is not yours to see.")


def _bounded(name: str, text: str, most: int) -> str:
    if len(text) > most:
        raise InvalidInput(f"{len(text)} characters are refused; allowed are {most}", field=name)
    return text
