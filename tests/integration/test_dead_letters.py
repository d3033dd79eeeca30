"""A step that kills whoever runs it: given up after so many deliveries, replayed or discarded (protocol 3.5.5)."""

import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import squidmesh_sqlite
from pydantic import BaseModel
from redis import Redis

from squidmesh import Context, InvalidInput, Mesh, Workflow, manual, step
from squidmesh.runtime.chance import SystemClock
from squidmesh.testing.clock import VirtualClock
from tests.support.audit import audit
from tests.support.parts import aside
from tests.support.redises import left_behind, started

LEASE = timedelta(seconds=30)


class Dies(BaseException):
    """What a SIGKILL is to a process: nothing of it is heard of any more."""


class Order(BaseModel):
    amount: int = 1


class Poison:
    """Kills its worker until it is mended."""

    def __init__(self) -> None:
        self.mended = False
        self.keys: list[str] = []

    def __call__(self, context: Context) -> None:
        self.keys.append(context.idempotency_key)
        if not self.mended:
            raise Dies


def make_workflow(poison: Poison) -> type[Workflow]:
    def charge(context: Context) -> None:
        poison(context)

    class Payment(Workflow):
        version = "1"
        pay = manual(Order)
        take = step(charge)
        tell = step(lambda: None)
        sorry = step(lambda: None)
        flow = (take >> tell, take.on_error(sorry, recovery="compensation"))

    return Payment


class Site:
    """One plane: each ``process`` is a mesh of its own over it."""

    def __init__(self, folder: Path, leases: str | None, clock: Any) -> None:
        self.url = f"sqlite:///{folder / 'journal.db'}"
        self.poison = Poison()
        self.workflow = make_workflow(self.poison)
        self._leases = leases
        self._clock = clock

    def process(self, **settings: Any) -> Mesh:
        lease = LEASE if self._leases is None else 0.2
        given = {"lease": lease, "max_deliveries": 3, "reconcile_every": 0.01, **settings}
        return Mesh.connect(self.url, leases=self._leases, workflows=[self.workflow], clock=self._clock, **given)

    def pass_time(self) -> None:
        if self._leases is None:
            self._clock.advance(LEASE)
        else:
            threading.Event().wait(0.25)  # the server's clock is its own

    def die(self, times: int = 1, **settings: Any) -> None:
        """So many processes claim the attempt and are gone."""
        for _ in range(times):
            mesh = self.process(**settings)
            ends = time.monotonic() + 20
            with pytest.raises(Dies):
                while mesh.execute_next() is None:
                    assert time.monotonic() < ends
                    self.pass_time()
            mesh.close()
            self.pass_time()

    def give_up(self) -> str:
        with self.process() as mesh:
            run = mesh.start_run(self.workflow)
        self.die(3)
        with self.process() as mesh:
            until(lambda: mesh.execute_next() is None and mesh.list_dead_letters().dead_letters)
        return run.run_id


def until(condition: Callable[[], object], *, within: float = 20.0) -> None:
    ends, turn = time.monotonic() + within, threading.Event()
    while not condition():
        assert time.monotonic() < ends
        turn.wait(0.02)


@pytest.fixture(params=["journal leases", aside("redis"), "valkey"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param == "journal leases":
        yield Site(tmp_path, None, VirtualClock())
        return
    (tmp_path / "server").mkdir()
    with started(request.param, tmp_path / "server") as server, Redis.from_url(server.url) as redis:
        yield Site(tmp_path, server.url, None)
        assert left_behind(Redis.from_url(server.url, decode_responses=True)) == []
        redis.close()


def audited(site: Site, run_id: str) -> Any:
    backend = squidmesh_sqlite.backend(site.url, clock=SystemClock())
    state = audit(backend.journal(), run_id)
    backend.close()
    return state


def test_an_attempt_that_kills_everybody_is_given_up_and_explained(site: Site) -> None:
    run_id = site.give_up()
    with site.process() as mesh:
        (letter,) = mesh.list_dead_letters().dead_letters
        assert (letter.item, letter.cause, letter.lost) == (f"{run_id}/take#1", "lost_deliveries", 3)
        assert letter.owner is not None
        explained = mesh.explain_run(run_id)
        assert explained.reason == "dead_letter"
        assert "given up" in explained.summary
        assert "after 3 lost deliveries" in explained.summary
        assert any("dead-letters replay" in action for action in explained.next_actions)
        assert mesh.inspect_run(run_id).status == "waiting"
        assert mesh.list_runs(status="waiting").runs[0].step == "take"
        nodes = {node.id: node.status for node in mesh.inspect_run_graph(run_id).nodes}
        assert nodes["take"] == "dead"
        site.pass_time()
        assert mesh.execute_next() is None, "nothing of it is delivered any more"
    assert len(site.poison.keys) == 3
    audited(site, run_id)


def test_a_replay_sends_it_back_under_the_same_key(site: Site) -> None:
    run_id = site.give_up()
    site.poison.mended = True
    with site.process() as mesh:
        item = f"{run_id}/take#1"
        tried = mesh.replay_dead_letters([item], actor="ops", dry_run=True)
        assert (tried.items, tried.dry_run) == ((item,), True)
        assert mesh.explain_run(run_id).reason == "dead_letter", "a dry run changes nothing"
        assert mesh.replay_dead_letters([item], actor="ops", comment="mended", key="once").items == (item,)
        assert mesh.replay_dead_letters([item], actor="ops", comment="mended", key="once").items == (item,)
        until(lambda: mesh.execute_next() is not None)
        until(lambda: mesh.execute_next() is not None)
        run = mesh.inspect_run(run_id, history=True)
        assert run.status == "completed"
        assert mesh.list_dead_letters().dead_letters == ()
        assert "ops" in str(run.history)
    assert len(site.poison.keys) == 4
    assert len(set(site.poison.keys)) == 1, "the outside sees one and the same deed"
    assert audited(site, run_id).runnables["take"].generation == 1


def test_what_is_not_mended_dies_again_in_the_new_generation(site: Site) -> None:
    run_id = site.give_up()
    with site.process() as mesh:
        mesh.replay_dead_letters(all=True, actor="ops")
    site.die(3)
    with site.process() as mesh:
        until(lambda: mesh.execute_next() is None and mesh.list_dead_letters().dead_letters)
        (letter,) = mesh.list_dead_letters().dead_letters
        assert (letter.generation, letter.lost) == (1, 3)
    assert len(site.poison.keys) == 6
    audited(site, run_id)


def test_a_discard_takes_the_error_route(site: Site) -> None:
    run_id = site.give_up()
    with site.process() as mesh:
        mesh.discard_dead_letters(workflow="Payment", actor="ops", reason="the card is gone")
        until(lambda: mesh.execute_next() is not None)
        run = mesh.inspect_run(run_id, history=True)
        assert run.status == "completed"
        assert mesh.list_dead_letters().dead_letters == ()
        refused = mesh.discard_dead_letters([f"{run_id}/take#1"], actor="ops", reason="again")
        assert refused.items == ()
        assert "is no dead letter; it is failed" in refused.refused[f"{run_id}/take#1"]
    state = audited(site, run_id)
    assert state.runnables["take"].error.code == "dead_letter_discarded"
    assert state.runnables["sorry"].status == "completed"


def test_an_emptied_server_does_not_bring_a_dead_letter_back(site: Site) -> None:
    run_id = site.give_up()
    with site.process() as mesh:
        mesh.reconcile(rewound=True)
        site.pass_time()
        assert mesh.execute_next() is None
        assert mesh.explain_run(run_id).reason == "dead_letter"


@pytest.fixture
def many(tmp_path: Path) -> Iterator[tuple[Site, Mesh]]:
    """Seven dead letters, one after the other."""
    site = Site(tmp_path, None, VirtualClock())
    for _ in range(7):
        with site.process() as mesh:
            mesh.start_run(site.workflow)
        site.die(1, max_deliveries=1)
        with site.process(max_deliveries=1) as mesh:
            mesh.execute_next()
    with site.process() as mesh:
        yield site, mesh


def test_all_that_match_are_replayed_page_by_page(many: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    _, mesh = many
    monkeypatch.setattr("squidmesh.runtime.dead_letters._PAGE", 3)
    letters = mesh.list_dead_letters().dead_letters
    assert len(letters) == 7
    assert [one.died_at for one in letters] == sorted(one.died_at for one in letters)
    assert len(mesh.list_dead_letters(older_than=4 * LEASE).dead_letters) == 3
    heard: list[str] = []
    done = mesh.replay_dead_letters(older_than=4 * LEASE, actor="ops", rate=1000, tell=heard.append)
    assert list(done.items) == heard == [one.item for one in letters[:3]]
    assert len(mesh.replay_dead_letters(all=True, actor="ops").items) == 4
    assert mesh.replay_dead_letters(all=True, actor="ops").items == ()


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({}, "items"),
        ({"items": [], "all": True}, "items"),
        ({"all": True, "step": "take"}, "items"),
        ({"items": "abc"}, "items"),
        ({"items": ["nonsense"]}, "items[0]"),
        ({"items": [5]}, "items[0]"),
        ({"all": 1}, "all"),
        ({"all": True, "rate": 0}, "rate"),
        ({"all": True, "rate": "fast"}, "rate"),
        ({"all": True, "dry_run": "yes"}, "dry_run"),
        ({"all": True, "actor": ""}, "actor"),
        ({"all": True, "key": ""}, "key"),
        ({"cause": "bad luck"}, "cause"),
        ({"older_than": -1}, "older_than"),
        ({"workflow": ""}, "workflow"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_done(many: Any, given: Any, field: str) -> None:
    _, mesh = many
    for verb in (mesh.replay_dead_letters, lambda **said: mesh.discard_dead_letters(**said, reason="r")):
        with pytest.raises(InvalidInput) as refused:
            verb(**{"actor": "ops", **given})
        assert refused.value.field == field
    assert len(mesh.list_dead_letters().dead_letters) == 7


def test_a_discard_needs_a_reason(many: Any) -> None:
    _, mesh = many
    with pytest.raises(InvalidInput) as refused:
        mesh.discard_dead_letters(all=True, actor="ops", reason="")
    assert refused.value.field == "reason"


def test_one_that_can_not_be_replayed_does_not_hold_the_others_up(many: Any) -> None:
    _, mesh = many
    items = [one.item for one in mesh.list_dead_letters().dead_letters]
    nobody = "00000000-0000-7000-8000-000000000000/take#1"
    done = mesh.replay_dead_letters([nobody, items[0], items[0], items[1]], actor="ops")
    assert done.items == (items[0], items[1])
    assert set(done.refused) == {nobody}
    tried = mesh.replay_dead_letters([nobody, items[0], items[2]], actor="ops", dry_run=True)
    assert tried.items == (items[2],)
    assert set(tried.refused) == {nobody, items[0]}
