"""A queue is paused and resumed while a mesh works, on every plane (protocol 3.9)."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import squidmesh_sqlite
from pydantic import BaseModel
from redis import Redis

from squidmesh import KeyReused, Mesh, NotWaiting, Queue, Workflow, manual, step
from squidmesh.journal.queues import QUEUE_CODEC, QueuePaused, QueueResumed, queue_thread
from squidmesh.ports.journal_store import ThreadRead
from squidmesh.runtime.chance import SystemClock
from squidmesh.testing.servers import Server
from tests.support.redises import left_behind, started


class Errand(BaseModel):
    miles: int = 1


class Steps:
    """Notes which step runs; one of them may be held."""

    def __init__(self) -> None:
        self.ran: list[str] = []
        self.entered, self.leave = threading.Event(), threading.Event()
        self.held: str | None = None

    def __call__(self, name: str) -> None:
        self.ran.append(name)
        if name == self.held:
            self.entered.set()
            assert self.leave.wait(20)


def make_workflow(steps: Steps) -> type[Workflow]:
    class Walk(Workflow):
        version = "1"
        go = manual(Errand)
        pack = step(lambda: steps("pack"))
        march = step(lambda: steps("march"))
        rest = step(lambda: steps("rest"), queue="inn")
        flow = pack >> march >> rest

    return Walk


def until(condition: Callable[[], object], *, within: float = 20.0) -> None:
    ends, turn = time.monotonic() + within, threading.Event()
    while not condition():
        assert time.monotonic() < ends
        turn.wait(0.01)


class Site:
    """Over SQLite, each ``mesh`` is one of a process of its own; in memory all are the same one."""

    def __init__(self, folder: Path, leases: str | None) -> None:
        self.url = f"sqlite:///{folder / 'journal.db'}"
        self.leases = leases
        self.steps = Steps()
        self.workflow = make_workflow(self.steps)
        self.open: list[Mesh] = []

    def mesh(self, **settings: Any) -> Mesh:
        given = {"lease": 5, "idle_poll": 0.2, "reconcile_every": 0.05, **settings}
        self.open.append(Mesh.connect(self.url, leases=self.leases, workflows=[self.workflow], **given))
        return self.open[-1]


class InMemory(Site):
    def __init__(self) -> None:
        self.url, self.leases = "memory://", None
        self.steps = Steps()
        self.workflow = make_workflow(self.steps)
        self.open = []

    def mesh(self, **settings: Any) -> Mesh:
        return self.open[0] if self.open else super().mesh(**settings)


@pytest.fixture(scope="module", params=["redis", "valkey"])
def server(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server


@pytest.fixture
def redis(server: Server) -> Iterator[Redis]:
    with Redis.from_url(server.url, decode_responses=True) as client:
        client.flushall()
        yield client


def closing(site: Site) -> Iterator[Site]:
    yield site
    site.steps.leave.set()
    for mesh in site.open:
        mesh.close()


@pytest.fixture
def on_redis(tmp_path: Path, server: Server, redis: Redis) -> Iterator[Site]:
    yield from closing(Site(tmp_path, server.url))
    assert left_behind(redis) == []


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Site]:
    yield from closing(Site(tmp_path, None))


@pytest.fixture(params=["memory", "journal leases", "redis", "valkey"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Site]:
    if request.param in ("memory", "journal leases"):
        yield from closing(InMemory() if request.param == "memory" else Site(tmp_path, None))
        return
    (tmp_path / "server").mkdir()
    with started(request.param, tmp_path / "server") as server:
        yield from closing(Site(tmp_path, server.url))
        with Redis.from_url(server.url, decode_responses=True) as redis:
            assert left_behind(redis) == []


def of(mesh: Mesh, name: str) -> Queue:
    (found,) = [one for one in mesh.queues().queues if one.name == name]
    return found


def test_a_paused_queue_is_not_claimed_from_until_it_is_resumed(site: Site) -> None:
    client, worker = site.mesh(), site.mesh()
    client.pause_queue("default", actor="elrond", comment="the bridge is down")
    run = client.start_run(site.workflow)
    assert worker.execute_next() is None
    assert site.steps.ran == []

    why = client.explain_run(run.run_id)
    assert (why.reason, why.evidence["paused_by"]) == ("queue_paused", "elrond")
    assert why.next_actions == ("squidmesh queues resume default --actor NAME",)
    found = of(client, "default")
    assert found.paused is not None
    assert (found.paused.actor, found.paused.comment) == ("elrond", "the bridge is down")
    assert found.depth is not None
    assert (found.depth.ready, found.depth.leased) == (1, 0)
    assert found.depth.oldest_ready is not None

    client.resume_queue("default", actor="arwen")
    until(lambda: worker.execute_next() is not None)
    assert site.steps.ran == ["pack"]
    assert of(client, "default").paused is None


def test_what_is_claimed_goes_on_to_its_end_and_no_further(site: Site) -> None:
    """The step after it would have been gone on to by the very entry that completes it."""
    client, host = site.mesh(), site.mesh()
    site.steps.held = "pack"
    with host.worker(concurrency=2):
        run = client.start_run(site.workflow)
        assert site.steps.entered.wait(20)
        host.pause_queue("default", actor="elrond")
        assert of(client, "default").depth.leased == 1  # type: ignore[union-attr]
        site.steps.leave.set()
        until(lambda: client.inspect_run(run.run_id).current_steps == ("march",))
        until(lambda: client.explain_run(run.run_id).reason == "queue_paused")
        assert site.steps.ran == ["pack"]
        host.resume_queue("default", actor="elrond")
        assert client.wait_for(run.run_id, timeout=20).status == "completed"
    assert site.steps.ran == ["pack", "march", "rest"]


def test_a_pause_reaches_the_workers_of_other_processes(site: Site) -> None:
    """A second later at most nothing goes on there, and what waits is not claimed."""
    client, host = site.mesh(), site.mesh()
    with host.worker(concurrency=2):
        until(lambda: not host._engine().pauses.queues())
        client.pause_queue("inn", actor="elrond")
        run = client.start_run(site.workflow)
        until(lambda: client.explain_run(run.run_id).reason == "queue_paused")
        assert client.inspect_run(run.run_id).current_steps == ("rest",)
        client.resume_queue("inn", actor="elrond")
        assert client.wait_for(run.run_id, timeout=20).status == "completed"


def test_all_queues_are_listed_also_the_empty_and_the_paused(site: Site) -> None:
    mesh = site.mesh()
    mesh.start_run(site.workflow, queue="mine", delay=60)
    mesh.pause_queue("nobodys", actor="elrond")
    listed = mesh.queues()
    assert listed.trouble is None
    assert [one.name for one in listed.queues] == ["default", "inn", "mine", "nobodys"]
    mine = listed.queues[2]
    assert mine.depth is not None
    assert (mine.depth.ready, mine.depth.delayed, mine.depth.oldest_ready) == (0, 1, None)
    assert [one.paused is not None for one in listed.queues] == [False, False, False, True]


def test_the_same_word_again_changes_nothing(site: Site) -> None:
    mesh = site.mesh()
    mesh.pause_queue("default", actor="elrond", key="k-1")
    assert mesh.pause_queue("default", actor="sam", key="k-1").paused.actor == "elrond"  # type: ignore[union-attr]
    with pytest.raises(NotWaiting, match="elrond"):
        mesh.pause_queue("default", actor="sam")
    with pytest.raises(KeyReused):
        mesh.resume_queue("default", actor="sam", key="k-1")
    assert mesh.resume_queue("default", actor="sam").paused is None
    assert mesh.pause_queue("default", actor="elrond", key="k-1").paused is None, "it was carried out, once"
    with pytest.raises(NotWaiting):
        mesh.resume_queue("default", actor="sam")


def test_many_who_pause_at_once_are_one_pause(embedded: Site) -> None:
    meshes = [embedded.mesh() for _ in range(4)]
    for mesh in meshes:
        assert mesh.queues().trouble is None
    refused: list[str] = []

    def pause(number: int) -> None:
        try:
            meshes[number].pause_queue("default", actor=f"ops-{number}")
        except NotWaiting as error:
            refused.append(str(error))

    threads = [threading.Thread(target=pause, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    paused = of(meshes[0], "default").paused
    assert paused is not None
    assert len(refused) == 3
    assert all(paused.actor in text for text in refused)


def test_the_words_are_facts_of_the_queues_own_thread(embedded: Site) -> None:
    mesh = embedded.mesh()
    mesh.pause_queue("default", actor="elrond", comment="why", key="k-1")
    mesh.resume_queue("default", actor="arwen")
    backend = squidmesh_sqlite.backend(embedded.url, clock=SystemClock())
    (history,) = backend.journal().read([ThreadRead(thread=queue_thread("default"))], whole=True)
    facts = [QUEUE_CODEC.decode_facts(one.body, thread=one.thread, revision=one.revision) for one in history.tail]
    backend.close()
    assert [type(fact) for entry in facts for fact in entry] == [QueuePaused, QueueResumed]
    (paused,) = facts[0]
    assert (paused.actor, paused.comment, paused.key) == ("elrond", "why", "k-1")


# ------------------------------------------------------------------------------------------------- a Redis that forgets


def test_a_redis_that_was_emptied_grants_nothing_of_the_paused_queue_not_even_before_the_next_pass(
    on_redis: Site, redis: Redis
) -> None:
    """The longest pass there is: what keeps the work back is the journal, not the memory that was emptied."""
    client, worker = on_redis.mesh(reconcile_every=600), on_redis.mesh(reconcile_every=600)
    client.pause_queue("default", actor="elrond")
    assert worker.execute_next() is None
    redis.flushall()
    run = client.start_run(on_redis.workflow)
    assert redis.hlen("squidmesh:{default}:items") == 1, "it is offered, and nothing in Redis tells of the pause"
    assert redis.hexists("squidmesh:{default}:life", "paused") is False
    for _ in range(3):
        assert worker.execute_next() is None
    assert on_redis.steps.ran == []
    worker.reconcile()
    assert redis.hexists("squidmesh:{default}:life", "paused") is True
    assert client.explain_run(run.run_id).reason == "queue_paused"


def test_a_redis_that_comes_back_with_an_old_pause_is_told_that_it_is_over(on_redis: Site, redis: Redis) -> None:
    mesh = on_redis.mesh()
    run = mesh.start_run(on_redis.workflow)
    with mesh.worker(concurrency=1):
        until(lambda: mesh.inspect_run(run.run_id).ended_at)
        redis.hset("squidmesh:{default}:life", "paused", "1")
        again = mesh.start_run(on_redis.workflow)
        assert mesh.wait_for(again.run_id, timeout=20).status == "completed"


def test_a_pause_while_redis_is_away_is_recorded_and_told_later(
    on_redis: Site, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    mesh = on_redis.mesh()
    mesh.start_run(on_redis.workflow)
    from squidmesh.errors import BackendUnavailable

    def away(queues: object) -> None:
        raise BackendUnavailable("gone")

    leases = mesh._engine().leases
    monkeypatch.setattr(leases, "paused", away)
    monkeypatch.setattr(leases, "stats", away)
    found = mesh.pause_queue("default", actor="elrond")
    assert found.paused is not None
    assert found.depth is None
    assert mesh.queues().trouble == "gone"
    monkeypatch.undo()
    other = on_redis.mesh()
    other.reconcile()
    assert redis.hexists("squidmesh:{default}:life", "paused") is True
    assert other.execute_next() is None


def test_who_has_not_the_meshs_leases_can_pause_but_not_count(on_redis: Site) -> None:
    worker = on_redis.mesh()
    worker.start_run(on_redis.workflow)
    worker.reconcile()
    with Mesh.connect(on_redis.url) as operator:
        assert operator.pause_queue("default", actor="elrond").depth is None
        listed = operator.queues()
        assert listed.leases.startswith("redis://")
        assert listed.trouble is not None
        assert "leases=" in listed.trouble
    assert worker.execute_next() is None


def test_another_meshs_memory_is_told_nothing(on_redis: Site, redis: Redis, tmp_path: Path, server: Server) -> None:
    on_redis.mesh().reconcile()
    stranger = Mesh.connect(f"sqlite:///{tmp_path / 'other.db'}", leases=server.url)
    with stranger:
        stranger.pause_queue("default", actor="saruman")
    assert redis.hexists("squidmesh:{default}:life", "paused") is False
