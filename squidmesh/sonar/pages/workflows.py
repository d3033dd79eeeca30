"""Workflows: what each looks like, and starting a run of it."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from squidmesh import Definition, InvalidInput, NotFound, UsageError, preview_graph
from squidmesh.sonar import graph_picture
from squidmesh.sonar.forms import Field, fields_of, payload_of
from squidmesh.sonar.guard import Refused
from squidmesh.sonar.house import LONGEST_COMMENT, Ask
from squidmesh.sonar.pages.deciding import comment_of, key_of, new_key

_PRIORITIES = range(10)


def listing(ask: Ask) -> Response:
    found = [(one, ask.mesh.workflow_definition(one.name)) for one in ask.mesh.workflows()]
    return ask.write("workflows", section="workflows", workflows=found)


def show(ask: Ask, name: str) -> Response:
    definition = _definition(ask, name)
    graph = preview_graph(definition)
    return ask.write(
        "workflow",
        section="workflows",
        definition=definition,
        graph=graph,
        picture=graph_picture.draw(graph, name=f"Graph of {definition.name}"),
    )


def ask_first(ask: Ask, name: str, trigger: str) -> Response:
    ask.check_may_act()
    definition = _definition(ask, name)
    return _form(ask, definition, trigger, {}, None)


def do(ask: Ask, name: str, trigger: str) -> Response:
    ask.check_may_act()
    definition = _definition(ask, name)
    fields = _fields(definition, trigger)
    form = ask.form
    try:
        queue = form.get("queue", "").strip() or None
        if queue is not None:
            ask.check_queue(queue)
        elif not ask.visitor.sees_all:
            raise InvalidInput("is needed: you may start runs on some queues only", field="queue")
        key_of(ask)
        comment = comment_of(ask)
        by = {"started_by": ask.visitor.actor, "comment": comment}
        run = ask.mesh.start_run(
            f"{definition.name}.{trigger}",
            payload_of(fields, form),
            key=form.get("run_key", "").strip() or form["key"],
            queue=queue,
            priority=_whole(form.get("priority", ""), "priority"),
            delay=_whole(form.get("delay", ""), "delay"),
            metadata={"sonar": by},
        )
    except UsageError as error:
        again = _form(ask, definition, trigger, dict(form), error)
        again.status_code = error.http_status
        return again
    return ask.go(f"/runs/{run.run_id}", done="start")


def _whole(given: str, field: str) -> int | None:
    given = given.strip()
    if given and not (given.isascii() and given.isdecimal() and len(given) < 10):
        raise InvalidInput(f"{given[:40]!r} is refused; allowed is a whole number", field=field)
    return int(given) if given else None


def _definition(ask: Ask, name: str) -> Definition:
    try:
        return ask.mesh.workflow_definition(name)
    except (NotFound, InvalidInput) as error:
        raise Refused(404, "Not found", "There is no workflow of this name.") from error


def _fields(definition: Definition, trigger: str) -> list[Field]:
    for one in definition.triggers:
        if one.name == trigger and one.kind == "manual":
            return fields_of(one.payload_schema)
    raise Refused(404, "Not found", f"{definition.name} has no manual trigger of this name.")


def _form(ask: Ask, definition: Definition, trigger: str, said: dict[str, str], error: UsageError | None) -> Response:
    fields = _fields(definition, trigger)
    values: dict[str, Any] = {
        field.name: "" if field.widget == "secret" else said.get(field.name, "" if said else field.value)
        for field in fields
    }
    return ask.write(
        "start",
        section="workflows",
        definition=definition,
        trigger=trigger,
        fields=fields,
        values=values,
        said=said,
        error=error,
        key=new_key(),
        longest=LONGEST_COMMENT,
        priorities=_PRIORITIES,
        queues=ask.queues(),
    )
