"""Queues: how much stands in each, how long the oldest has waited, and stopping one."""

from __future__ import annotations

from starlette.responses import Response

from squidmesh import Mesh, Queue, QueueList, UsageError
from squidmesh.sonar.guard import Refused
from squidmesh.sonar.house import LONGEST_COMMENT, Ask
from squidmesh.sonar.live import Topic, digest
from squidmesh.sonar.pages.deciding import comment_of, key_of, new_key

VERBS = ("pause", "resume")


def _digest(queues: list[Queue]) -> str:
    """How long the oldest has waited goes on by itself: that alone is no news."""
    plain = [one.to_json() for one in queues]
    for one in plain:
        if one["depth"] is not None:
            one["depth"]["oldest_ready"] = None
    return digest(plain)


def _seen(ask: Ask, found: QueueList) -> list[Queue]:
    return [one for one in found.queues if ask.visitor.sees(one.name)]


def topic(ask: Ask) -> Topic:
    return Topic(f"queues {ask.visitor.queues!r}", lambda: _digest(_seen(ask, ask.mesh.queues())))


def show(ask: Ask) -> Response:
    found = ask.mesh.queues()
    queues = _seen(ask, found)
    workers = ask.mesh.workers().workers
    deepest = max((one.depth.ready + one.depth.delayed + one.depth.leased for one in queues if one.depth), default=0)
    return ask.write(
        "queues",
        section="queues",
        topic="queues",
        seen=_digest(queues),
        found=found,
        queues=queues,
        deepest=deepest,
        claimed={
            one.name: sum(worker.state != "lost" and worker.claims_from(one.name) for worker in workers)
            for one in queues
        },
        done=ask.query("done"),
        now=found.as_of,
    )


def ask_first(ask: Ask, queue: str, verb: str) -> Response:
    _check(ask, queue, verb)
    return _question(ask, queue, verb, {}, None)


def do(ask: Ask, queue: str, verb: str) -> Response:
    _check(ask, queue, verb)
    try:
        said = {"actor": ask.visitor.actor, "comment": comment_of(ask), "key": key_of(ask)}
        (Mesh.pause_queue if verb == "pause" else Mesh.resume_queue)(ask.mesh, queue, **said)
    except UsageError as error:
        again = _question(ask, queue, verb, dict(ask.form), error)
        again.status_code = error.http_status
        return again
    return ask.go("/queues", done=verb)


def _check(ask: Ask, queue: str, verb: str) -> None:
    ask.check_may_act()
    ask.check_queue(queue)
    if verb not in VERBS:
        raise Refused(404, "Not found", "A queue can be paused or resumed.")


def _question(ask: Ask, queue: str, verb: str, said: dict[str, str], error: Exception | None) -> Response:
    return ask.write(
        "decide_queue",
        section="queues",
        queue=queue,
        verb=verb,
        said=said,
        key=new_key(),
        error=error,
        longest=LONGEST_COMMENT,
    )
