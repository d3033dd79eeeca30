"""Reindex: every derived row comes back from the threads, whatever was done to it, while others work."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from msgspec import structs
from pydantic import BaseModel

from squidmesh import (
    Command,
    Context,
    InvalidInput,
    Mesh,
    RetryLater,
    RetryPolicy,
    Unreadable,
    Workflow,
    approval,
    fixed,
    manual,
    step,
    wait_for_children,
)
from squidmesh.ids import ThreadId
from squidmesh.journal.rows import ThreadRows
from squidmesh.ports.journal_store import JournalStore
from tests.features.vandals import KINDS, Vandal, mend, spoil
from tests.features.world import Hand, World, seen, work

HOUR = 3600


class Nothing(BaseModel):
    pass


class Mail(Workflow):
    version = "1"
    go = manual(Nothing)
    post = step(lambda: {"posted": True}, timeout=HOUR)


class Toll(Workflow):
    version = "1"
    go = manual(Nothing)
    charge = step(lambda: None, queue="toll")


class Errand(Workflow):
    version = "1"
    go = manual(Nothing)
    timeout = HOUR
    council = approval(timeout=HOUR)
    leave = step(lambda: {"left": True})
    flow = council >> leave


def again() -> None:
    raise RetryLater("not yet", after=HOUR)


class Knock(Workflow):
    version = "1"
    go = manual(Nothing)
    knock = step(again, retry=RetryPolicy(max_attempts=2, backoff=fixed(HOUR)))


class Guest(BaseModel):
    name: str


class Invite(Workflow):
    version = "1"
    send = manual(Guest)
    answer = approval()


def invite(context: Context) -> None:
    for name in ("Frodo", "Sam"):
        context.start_child_run(Invite.send, Guest(name=name), key=name)


class Feast(Workflow):
    version = "1"
    plan = manual(Nothing)
    invite = step(invite)
    answers = wait_for_children()
    flow = invite >> answers


ALL = (Mail, Toll, Errand, Knock, Invite, Feast)


@dataclass
class Shire:
    """A world in which each kind of row stands, and what some of it is."""

    world: World
    mesh: Mesh
    busy: Hand
    held: str
    errand: str
    feast: str

    @property
    def store(self) -> JournalStore:
        return self.mesh._engine().store


@pytest.fixture
def shire(world: World) -> Shire:
    mesh = world.process(*ALL, max_deliveries=1)
    mesh.start_run(Toll.go)
    doomed = Hand(world.process(*ALL, max_deliveries=1), "doomed")
    assert doomed.claim() == ["charge"]
    doomed.die()
    world.pass_time(31)
    work(mesh)
    assert len(mesh.list_dead_letters().dead_letters) == 1
    errand = mesh.start_run(Errand.go, key="mordor")
    mesh.start_run(Knock.go)
    feast, off, alone = (mesh.start_run(Feast.plan) for _ in range(3))
    work(mesh)
    for queue in ("slow", "tower"):
        mesh.pause_queue(queue, actor="sam", comment=f"{queue} is closed")
    mesh.resume_queue("tower", actor="sam")
    held = mesh.start_run(Mail.go)
    busy = Hand(world.process(*ALL), "busy")
    assert busy.claim() == ["post"]
    mesh.start_run(Mail.go, queue="slow", delay=5)
    mesh.cancel_run(seen(mesh, feast).children[0].run_id, actor="gandalf")  # nobody has heard of these two yet
    mesh.cancel_run(off.run_id, actor="gandalf")
    mesh.cancel_run(alone.run_id, actor="gandalf", children="leave")
    return Shire(world, mesh, busy, held.run_id, errand.run_id, feast.run_id)


def everything(store: JournalStore) -> dict[ThreadId, ThreadRows]:
    """Every row there is, by thread."""
    found: list[ThreadId] = []
    after: str | None = None
    while True:
        page = store.threads(after=after)
        found += [one.thread for one in page.threads]
        after = page.next
        if after is None:
            return {rows.thread: rows for rows in store.rows_of(found)}


def rows_in(found: dict[ThreadId, ThreadRows], kind: str) -> list[Any]:
    every = (getattr(rows, kind) for rows in found.values())
    return [row for its in every for row in (its if isinstance(its, tuple) else [its]) if row is not None]


WRONG: dict[str, dict[str, Any]] = {
    "run": {"workflow": "Nonsense", "status": "completed", "queue": "nowhere", "key": "x", "started_at": 1},
    "attempts": {"queue": "nowhere", "visible_at": 10**17, "run_id": "nobody", "fence": 99, "owner": "nobody"},
    "dead_letters": {"workflow": "Nonsense", "died_at": 1, "cause": "nonsense"},
    "timers": {"due_at": 10**17, "run_id": "nobody", "kind": "nonsense"},
    "paused": {"actor": "sauron", "paused_at": 1},
}
STRANGE: dict[str, list[dict[str, Any]]] = {
    "run": [{"run_id": "nobody"}],
    "attempts": [{"item": "nobody/post#1"}, {"item": "{thread}/nonsense#1"}, {"item": "nonsense"}],
    "dead_letters": [{"item": "nobody/post#1"}, {"item": "{thread}/nonsense#1"}],
    "timers": [{"timer": "nobody!ended"}, {"timer": "{thread}/nonsense!timeout"}, {"timer": "nonsense"}],
    "paused": [{"queue": "nonsense"}, {"queue": "tower"}],
}
"""Rows of nobody, and of a thread that is there, which has none of that name. (Tower was paused once.)"""


def test_each_kind_of_row_stands(shire: Shire) -> None:
    found = everything(shire.store)
    assert all(rows_in(found, kind) for kind in KINDS)
    timers = {row.kind for row in rows_in(found, "timers")}
    assert timers == {"run", "gate", "step", "child_ended", "cancel"}
    statuses = {row.status for row in rows_in(found, "run")}
    assert statuses >= {"running", "retrying", "paused", "cancelled", "waiting"}
    assert any(row.owner for row in rows_in(found, "attempts"))


def test_where_all_is_right_nothing_is_written(shire: Shire) -> None:
    before = everything(shire.store)
    shire.store.track_changes()
    mark = shire.store.position()
    done = shire.mesh.reindex()
    threads = len(before)
    assert (done.threads, done.put, done.removed, done.changed, done.unreadable) == (threads, 0, 0, 0, [])
    assert everything(shire.store) == before
    assert all(shire.store.changed(queue, since=mark).rows == () for queue in shire.store.agenda_queues())


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_are_lost_come_back(shire: Shire, kind: str) -> None:
    before = everything(shire.store)
    lost = len(rows_in(before, kind))
    Vandal(shire.world).set(kind, [])
    assert rows_in(everything(shire.store), kind) == []
    done = shire.mesh.reindex()
    assert (done.put, done.removed, done.changed) == (lost, 0, 0)
    assert everything(shire.store) == before


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_say_something_else_are_mended(shire: Shire, kind: str) -> None:
    before = everything(shire.store)
    wrong = [structs.replace(row, **WRONG[kind]) for row in rows_in(before, kind)]
    Vandal(shire.world).set(kind, wrong)
    assert rows_in(everything(shire.store), kind) != rows_in(before, kind)
    done = shire.mesh.reindex()
    assert (done.put, done.removed, done.changed) == (0, 0, len(wrong))
    assert everything(shire.store) == before


@pytest.mark.parametrize("kind", KINDS)
def test_rows_that_stand_for_nothing_are_removed(shire: Shire, kind: str) -> None:
    before = everything(shire.store)
    rows = rows_in(before, kind)
    strange = [
        structs.replace(rows[0], **{name: text.format(thread=shire.held) for name, text in one.items()})
        for one in STRANGE[kind]
    ]
    Vandal(shire.world).set(kind, rows + strange)
    done = shire.mesh.reindex()
    assert (done.put, done.removed, done.changed) == (0, len(strange), 0)
    assert {name: rows for name, rows in everything(shire.store).items() if name in before} == before
    assert len(everything(shire.store)) == len(before)


def test_a_dry_run_says_what_would_be_done_and_does_nothing(shire: Shire) -> None:
    vandal = Vandal(shire.world)
    for kind in KINDS:
        vandal.set(kind, [])
    would = shire.mesh.reindex(dry_run=True)
    assert would.dry_run
    assert [rows for kind in KINDS for rows in rows_in(everything(shire.store), kind)] == []
    done = shire.mesh.reindex()
    assert replace(done, dry_run=True) == would
    assert (done.put > 15, shire.mesh.reindex().put) == (True, 0)


def test_runs_go_on_from_rows_that_came_back(shire: Shire) -> None:
    """Who held a claim all the while ends it, timers fire, children are heard, a letter is replayed."""
    vandal, mesh = Vandal(shire.world), shire.mesh
    for kind in KINDS:
        vandal.set(kind, [])
    mesh.apply(Command("reindex"))
    shire.busy.beat()
    shire.busy.run()
    shire.busy.record()
    assert seen(mesh, shire.held).status == "completed", "the lease was left alone"
    work(mesh)
    (first, second) = seen(mesh, shire.feast).children
    assert (first.status, second.status) == ("cancelled", None)
    mesh.approve_run(second.run_id, actor="rosie")
    work(mesh)
    assert seen(mesh, shire.feast).status == "completed"
    mesh.replay_dead_letters(all=True, actor="sam")
    mesh.resume_queue("slow", actor="sam")
    shire.world.pass_time(HOUR + 1)
    for queue in ("default", "slow", "toll"):
        work(shire.world.process(*ALL, queue=queue))
    assert seen(mesh, shire.errand).status == "failed", "its deadline has passed"
    open_ = {run.workflow for run in mesh.list_runs().runs if run.status in ("running", "waiting", "paused")}
    assert open_ == {"Invite"}, "those whose parent has left them alone"
    assert mesh.list_runs(text="mordor").runs[0].run_id == shire.errand
    assert mesh.reindex(dry_run=True).put == 0


def test_a_signal_that_is_heard_meanwhile_is_not_said_again(shire: Shire, monkeypatch: pytest.MonkeyPatch) -> None:
    """The parent moves on between the look and the replacement, and its child does not."""
    store, mesh = shire.store, shire.mesh
    signals = [row for row in rows_in(everything(store), "timers") if row.kind == "child_ended"]
    others = [row for row in rows_in(everything(store), "timers") if row.kind != "child_ended"]
    Vandal(shire.world).set("timers", others)
    replace_rows = store.replace_rows
    heard: list[int] = []

    def meanwhile(replacements: Any) -> list[bool]:
        if not heard:
            heard.append(1)
            Vandal(shire.world).set("timers", others + signals)
            work(mesh)
            assert len(seen(mesh, shire.feast).children) == 2
        return replace_rows(replacements)

    monkeypatch.setattr(store, "replace_rows", meanwhile, raising=False)
    mesh.reindex()
    assert heard
    assert not {row.timer for row in store.open_timers()} & {row.timer for row in signals}


def test_a_history_that_can_not_be_read_is_named_and_its_rows_are_left_alone(shire: Shire) -> None:
    store = shire.store
    before = everything(store)
    broken = {shire.errand, shire.feast}
    for run_id in broken:
        spoil(shire.world, run_id)
    vandal = Vandal(shire.world)
    for kind in ("run", "attempts", "timers"):
        vandal.set(kind, [structs.replace(row, **WRONG[kind]) for row in rows_in(before, kind)])
    after = everything(store)
    done = shire.mesh.reindex()
    assert {one.thread for one in done.unreadable} == broken
    assert [type(one) for one in done.unreadable] == [Unreadable] * 2
    assert all("checksum" in one.why for one in done.unreadable)
    found = everything(store)
    assert {name: found[ThreadId(name)] for name in broken} == {name: after[ThreadId(name)] for name in broken}
    children = {link.run_id for link in shire.mesh.list_runs(workflow="Invite", limit=1000).runs}
    others = before.keys() - broken - children
    assert {name: found[name] for name in others} == {name: before[name] for name in others}
    mend(shire.world)
    shire.mesh.reindex()


def test_it_says_how_far_it_has_come(shire: Shire) -> None:
    heard: list[str] = []
    done = shire.mesh.reindex(tell=heard.append)
    assert heard[-1] == f"{done.threads} threads: 0 rows put, 0 removed, 0 changed"


@pytest.mark.parametrize("bad", [None, 1, "yes"])
def test_a_dry_run_is_said_by_a_bool(shire: Shire, bad: Any) -> None:
    with pytest.raises(InvalidInput, match=r"dry_run: is a .*; allowed is True or False"):
        shire.mesh.reindex(dry_run=bad)
