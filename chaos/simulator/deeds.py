"""What happens at a moment of a script: what clients say, what an operator does, and what nature does to a fleet.

Of clients (``who``: the name of a run): ``start`` (``what``: its workflow), ``start within`` (a transaction of the
host's, which offers nothing, and is committed ``seconds`` after it has begun), ``start again``, ``approve``,
``reject``, ``resume``, ``cancel``, ``event``, ``replay`` (all dead letters), ``pause queue``, ``resume queue``.

Of nature: ``kill``, ``stall`` (SIGSTOP), ``drain`` and ``cut`` (from the server ``what``) of a worker ``who``; of the
lease backend ``wipe``, ``keep`` (a snapshot), ``roll back`` (to it), ``new life`` (the same, and its memory has another
incarnation) and ``jump`` (of its clock); ``down`` of the server ``what``. ``seconds``: for how long, or how far.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from chaos.simulator.loop import SECOND, Process
from chaos.simulator.script import Deed
from chaos.simulator.watch import waits_for
from squidmesh import Mesh
from squidmesh.errors import BackendUnavailable, CommitUnknown, SquidMeshError
from squidmesh.ids import keyed_run_id

if TYPE_CHECKING:
    from chaos.simulator.world import World

_TRIES = 3


def do(world: World, deed: Deed) -> None:
    """By an actor of nature."""
    world.tell("nature", f"{deed.do} {deed.who} {deed.what} {deed.seconds}")
    micros = int(deed.seconds * SECOND)
    now = world.loop.now
    match deed.do:
        case "kill":
            world.crash(world.processes[deed.who], deed.seconds)
        case "stall":
            world.processes[deed.who].frozen_until = now + micros
        case "drain":
            drained = world.processes[deed.who]
            world.loop.spawn(drained, "drain", lambda: _drain(world, drained, deed.seconds))
        case "cut":
            world.processes[deed.who].cut_until[deed.what] = now + micros
        case "down":
            world.down_until[deed.what] = now + micros
        case "wipe":
            world.leases.wipe()
        case "keep":
            world.leases.keep()
        case "roll back" | "new life":
            world.leases.roll_back(new_life=deed.do == "new life")
        case "jump":
            world.leases.clock.ahead += micros
        case _:
            _ask_client(world, deed)
    world.left -= 1


def _drain(world: World, process: Process, down: float) -> None:
    """As a deploy does: it leaves, and comes back."""
    worker = process.parts.get("worker")
    if worker is not None:
        worker.drain()
    world.crash(process, down)


def _ask_client(world: World, deed: Deed) -> None:
    """In the client's process: if that is not there, nobody says it; and if it dies, nobody knows what became of it."""
    client = world.processes["client"]
    mesh: Mesh = client.parts["mesh"]

    def speak() -> None:
        _say(world, lambda: _verb(world, mesh, deed))
        client.parts["speaking"] -= 1

    client.parts["speaking"] = client.parts.get("speaking", 0) + 1
    world.loop.spawn(client, deed.do, speak)


def _say(world: World, verb: Callable[[], object]) -> None:
    """Whose answer is lost is said again, with the same key: it is the same word then."""
    for _ in range(_TRIES):
        try:
            verb()
        except (BackendUnavailable, CommitUnknown) as error:
            world.tell("client", f"is not answered: {error.code}")
            continue
        except SquidMeshError as refused:
            world.tell("client", f"is refused: {refused.code}")
        return


def _verb(world: World, mesh: Mesh, deed: Deed) -> None:
    started = {one.who: one.what for one in world.script.deeds if one.do in ("start", "start within")}
    workflow = started.get(deed.who, "Line")
    run_id = keyed_run_id(workflow, deed.who)
    said: dict[str, Any] = {"actor": "client", "key": f"{deed.do} {deed.at}"}
    match deed.do:
        case "start" | "start again":
            run = mesh.start_run(workflow, {"name": deed.who}, key=deed.who)
            world.acknowledged.append(run.run_id)
        case "start within":
            run = world.host(deed.seconds).start_run(workflow, {"name": deed.who}, key=deed.who)
            world.acknowledged.append(run.run_id)
        case "approve":
            mesh.approve_run(run_id, **said)
        case "reject":
            mesh.reject_run(run_id, **said)
        case "resume":
            mesh.resume_run(run_id, **said)
        case "cancel":
            mesh.cancel_run(run_id, **said)
        case "event":
            mesh.send_event(run_id, "horn", **said)
        case "replay":
            mesh.replay_dead_letters(all=True, **said)
        case "pause queue":
            mesh.pause_queue("default", **said)
        case "resume queue":
            mesh.resume_queue("default", **said)
        case _:
            raise ValueError(f"nobody can {deed.do!r}")


def operate(world: World, mesh: Mesh) -> None:
    """Answers whatever waits for an operator, until nothing does any more."""
    for round_ in count(1):
        _try(world, lambda: mesh.resume_queue("default", actor="operator"))
        for run_id, run in list(world.watch.runs.items()):
            for what, about in [] if run.ended else waits_for(run):
                _try(world, partial(_answer, mesh, run_id, what, about, round_))
        world.loop.sleep(SECOND)


def _try(world: World, verb: Callable[[], object]) -> None:
    try:
        verb()
    except SquidMeshError as refused:
        world.tell("operator", f"is refused: {refused.code}")


def _answer(mesh: Mesh, run_id: str, what: str, about: str, round_: int) -> None:
    said: dict[str, Any] = {"actor": "operator", "key": f"{what} {about} {round_}"}
    match what:
        case "approve":
            mesh.approve_run(run_id, step=about, **said)
        case "event":
            mesh.send_event(run_id, about, **said)
        case "resume":
            mesh.resume_run(run_id, step=about, **said)
        case "replay":
            mesh.replay_dead_letters([f"{run_id}/{about}"], **said)
        case "waive":
            mesh.waive_compensation(run_id, step=about, **said)
        case _:
            raise ValueError(f"nobody can {what!r}")
